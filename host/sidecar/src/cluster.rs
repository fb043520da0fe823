//! What the pod's service account may know and do in the API of its cluster: who the replicas are and how
//! many there should be, and the label with this one's role. Whatever it may not do is done without, and told once with the role that is missing.

mod endpoint_slice;
mod followed;
mod role_label;
mod stateful_set;
mod told;
mod turn;

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use outrigger_api_server::{ApiServer, EventCounts, EventSink, RequestCounts, Scope, events};
use outrigger_peers::Identity;
use outrigger_shutdown::{Shutdown, Tasks};
use tokio::sync::watch;

pub use self::endpoint_slice::{Endpoint, EndpointSlice, Slice};
pub use self::followed::{Kept, Known, Trouble};
use self::role_label::RolePublisher;
pub use self::role_label::{ROLE_LABEL, RoleLabel};
pub use self::stateful_set::{StatefulSet, Wanted};
use self::told::Teller;
pub use self::turn::LeaseTurns;
use crate::lifecycle::Phase;
use crate::metrics::Recorder;
use crate::timeline::Timeline;

/// How many slices come in one answer: each has at most a hundred endpoints as a rule.
const SLICES_PAGE: u32 = 16;

/// What to do about rights that are missing.
pub(crate) const ROLE_HINT: &str =
    "give the pod's service account the Role of `manifests/components/sidecar-access`";

/// As whom a sidecar writes.
const MANAGER: &str = "outrigger-sidecar";

/// The API of the pod's cluster. Cheap to clone; all clones are one.
#[derive(Debug, Clone)]
pub struct Cluster {
    api: ApiServer,
    identity: Arc<Identity>,
    slices: watch::Sender<Known<Slice>>,
    stateful_set: watch::Sender<Known<Wanted>>,
    role_label: watch::Sender<RoleLabel>,
    events: Arc<OnceLock<EventSink>>,
    recorder: Recorder,
    /// Before it is asked again whether what was forbidden is allowed now.
    forbidden_pause: Duration,
}

impl Cluster {
    /// That of this pod.
    pub fn new(api: ApiServer, identity: &Identity, recorder: Recorder) -> Self {
        Self {
            api,
            identity: Arc::new(identity.clone()),
            slices: watch::Sender::default(),
            stateful_set: watch::Sender::default(),
            role_label: watch::Sender::default(),
            events: Arc::default(),
            recorder,
            forbidden_pause: followed::FORBIDDEN_PAUSE,
        }
    }

    /// The same way, to another StatefulSet: what is known of it is kept apart. A workload may wait for it
    /// to start, and so for the Role that is missing.
    pub(crate) fn beside(&self) -> Self {
        Self {
            slices: watch::Sender::default(),
            stateful_set: watch::Sender::default(),
            forbidden_pause: followed::AWAITED_PAUSE,
            ..self.clone()
        }
    }

    /// The slices of the governing Service.
    pub fn slices(&self) -> watch::Receiver<Known<Slice>> {
        self.slices.subscribe()
    }

    /// The StatefulSet.
    pub fn stateful_set(&self) -> watch::Receiver<Known<Wanted>> {
        self.stateful_set.subscribe()
    }

    /// The pod's label with its role.
    pub fn role_label(&self) -> watch::Receiver<RoleLabel> {
        self.role_label.subscribe()
    }

    /// How many requests went out so far.
    pub fn requests(&self) -> RequestCounts {
        self.api.requests()
    }

    /// How many Events went which way.
    pub fn events(&self) -> EventCounts {
        self.events
            .get()
            .map_or_else(EventCounts::default, EventSink::counts)
    }

    /// Tells Events of what the timeline says that somebody should act on, until the shutdown.
    pub(crate) fn tell_events(&self, timeline: Timeline, tasks: &Tasks) {
        let (sink, sender) = events();
        let sink = self.events.get_or_init(|| sink).clone();
        let teller = Teller {
            api: self.api.clone(),
            identity: Identity::clone(&self.identity),
            timeline,
            sink,
            sender,
        };
        let shutdown: Shutdown = tasks.shutdown().clone();
        tasks.spawn("events", teller.run(shutdown));
    }

    /// Publishes the role as the pod's label until the shutdown.
    pub(crate) fn publish_role(
        &self,
        role: watch::Receiver<Option<String>>,
        phase: watch::Receiver<Phase>,
        timeline: Timeline,
        tasks: &Tasks,
    ) {
        let publisher = RolePublisher {
            api: self.api.clone(),
            identity: Identity::clone(&self.identity),
            role,
            phase,
            timeline,
            recorder: self.recorder.clone(),
            out: self.role_label.clone(),
        };
        let shutdown: Shutdown = tasks.shutdown().clone();
        tasks.spawn("role label", publisher.run(shutdown));
    }

    /// Turns to restart, by the StatefulSet's Lease.
    pub(crate) fn turns(&self, timeline: Timeline, tasks: Tasks) -> LeaseTurns {
        let identity = Identity::clone(&self.identity);
        LeaseTurns::new(
            self.api.clone(),
            identity,
            self.stateful_set(),
            timeline,
            tasks,
        )
    }

    /// Forgets what is known: another Service may be followed from now on.
    pub(crate) fn forget(&self) {
        self.slices.send_replace(Known::default());
        self.stateful_set.send_replace(Known::default());
    }

    /// Keeps the slices of a Service current until this is dropped.
    pub(crate) async fn follow_slices(&self, service: &str) {
        let scope = Scope {
            kind: "endpointslices",
            path: self.path("/apis/discovery.k8s.io/v1", "endpointslices"),
            labels: Some(format!("kubernetes.io/service-name={service}")),
            fields: None,
            page: SLICES_PAGE,
            watch_for: followed::WATCH_FOR,
        };
        self.follow(&scope, &self.slices).await;
    }

    /// Keeps the StatefulSet current until this is dropped.
    pub(crate) async fn follow_stateful_set(&self, name: &str) {
        let scope = Scope {
            kind: "statefulsets",
            path: self.path("/apis/apps/v1", "statefulsets"),
            labels: None,
            // A role may allow this one object by its name.
            fields: Some(format!("metadata.name={name}")),
            page: 1,
            watch_for: followed::WATCH_FOR,
        };
        self.follow(&scope, &self.stateful_set).await;
    }

    async fn follow<T: Kept>(&self, scope: &Scope, out: &watch::Sender<Known<T>>) {
        let pause = self.forbidden_pause;
        followed::follow(&self.api, scope, out, pause, &self.recorder).await;
    }

    fn path(&self, group: &str, plural: &str) -> String {
        format!("{group}/namespaces/{}/{plural}", self.identity.namespace)
    }
}
