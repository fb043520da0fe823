//! The newest snapshot of every room: what is shown and measured is read from here.

use std::sync::Arc;

use outrigger_peers::PeerSet;
use tokio::sync::watch;

use crate::cluster::Cluster;
use crate::discovery::RelatedSets;
use crate::health::HealthReport;
use crate::lifecycle::Phase;
use crate::metrics::Derives;
use crate::reload::{Loaded, ReloadState};
use crate::template::FilesState;
use crate::timeline::Timeline;

/// Where the newest snapshots are. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Rooms {
    /// The profile.
    pub loaded: watch::Receiver<Arc<Loaded>>,
    /// Who is there.
    pub peers: watch::Receiver<Arc<PeerSet>>,
    /// Each related StatefulSet.
    pub related: watch::Receiver<Arc<RelatedSets>>,
    /// The rendered files.
    pub files: watch::Receiver<Arc<FilesState>>,
    /// How reloading goes.
    pub reload: watch::Receiver<Arc<ReloadState>>,
    /// How the replica is.
    pub health: watch::Receiver<Arc<HealthReport>>,
    /// Where in its life it is.
    pub phase: watch::Receiver<Phase>,
    /// The plugin; none where the profile names none.
    pub plugin: Option<Arc<dyn Derives>>,
    /// The API of the pod's cluster; none where the pod has no token.
    pub cluster: Option<Cluster>,
    /// The record.
    pub timeline: Timeline,
}
