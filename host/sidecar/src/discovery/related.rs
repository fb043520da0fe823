//! The replicas of each other StatefulSet that a profile names: found, settled and told as the peers are.
//!
//! How many there should be is never guessed from who is seen: before it is known, nothing is.

use std::collections::BTreeMap;
use std::future::pending;
use std::sync::Arc;

use futures_util::future::join_all;
use outrigger_peers::{Identity, Ordinal, PeerSet, Phase, Source};
use outrigger_plugin_host::RelatedReader;
use outrigger_profile::{Discovery, DiscoverySource, Profile, Related, layout};
use outrigger_shutdown::Shutdown;
use tokio::sync::{mpsc, watch};

use super::count::Count;
use super::followed::Looks;
use super::settle::Settle;
use super::{DiscoverySetup, Observer, Out, Publisher, names, observe_local};
use crate::cluster::{Cluster, ROLE_HINT};
use crate::config::{Config, PodManagement};
use crate::reload::Loaded;
use crate::timeline::Timeline;

/// What is known of one related StatefulSet.
#[derive(Debug, Clone, PartialEq)]
pub enum RelatedSet {
    /// Nothing was learnt yet, for this reason.
    Unknown(String),
    /// Who is there. No replica of it is one's own: [`PeerSet::own`] has no meaning.
    Known(Arc<PeerSet>),
}

/// What is known of all of them, by the names that the profile gives them.
pub type RelatedSets = BTreeMap<String, RelatedSet>;

/// What is known before anything was learnt.
const NOT_YET: &str = "nobody has been asked yet";

/// Gives plugins what is known.
#[derive(Debug, Clone)]
pub struct RelatedFor(pub watch::Receiver<Arc<RelatedSets>>);

impl RelatedReader for RelatedFor {
    fn related(&self, name: &str) -> Option<Arc<PeerSet>> {
        match self.0.borrow().get(name)? {
            RelatedSet::Known(set) => Some(Arc::clone(set)),
            RelatedSet::Unknown(_) => None,
        }
    }
}

/// Looks for the replicas of all that the profile names, until the shutdown. A newer profile's names
/// count at once; what is known of those that stay is kept.
pub async fn run(
    setup: DiscoverySetup,
    mut loaded: watch::Receiver<Arc<Loaded>>,
    out: watch::Sender<Arc<RelatedSets>>,
    timeline: Timeline,
    shutdown: Shutdown,
) {
    let mut followed: BTreeMap<String, Related> = BTreeMap::new();
    loop {
        let profile = Arc::clone(&loaded.borrow_and_update().profile);
        out.send_modify(|sets| {
            let sets = Arc::make_mut(sets);
            sets.retain(|name, _| profile.related.get(name) == followed.get(name));
            for name in profile.related.keys() {
                let unknown = || RelatedSet::Unknown(NOT_YET.to_owned());
                sets.entry(name.clone()).or_insert_with(unknown);
            }
        });
        followed.clone_from(&profile.related);
        let all = profile.related.iter().map(|(name, related)| {
            let one = One {
                setup: &setup,
                profile: &profile,
                name,
                related,
                timeline: &timeline,
            };
            one.follow(&out)
        });
        let all = async {
            join_all(all).await;
            pending::<()>().await;
        };
        let other = async {
            let differs = |loaded: &Arc<Loaded>| {
                loaded.profile.related != profile.related
                    || loaded.profile.discovery != profile.discovery
            };
            if loaded.wait_for(differs).await.is_err() {
                // Nobody can change the profile any more.
                pending::<()>().await;
            }
        };
        tokio::select! {
            () = all => {}
            () = other => {}
            () = shutdown.triggered() => return,
        }
    }
}

/// One of them.
struct One<'a> {
    setup: &'a DiscoverySetup,
    profile: &'a Profile,
    name: &'a str,
    related: &'a Related,
    timeline: &'a Timeline,
}

impl One<'_> {
    /// Looks without end.
    async fn follow(self, out: &watch::Sender<Arc<RelatedSets>>) {
        let known = match out.borrow().get(self.name) {
            Some(RelatedSet::Known(set)) => Some(PeerSet::clone(set)),
            _ => None,
        };
        let first = known.unwrap_or_else(|| PeerSet::expected(self.identity(), Ordinal(0), 0));
        let whose = Some(format!("related `{}`", self.name));
        let out = Out::Related(self.name.to_owned(), out.clone());
        let (observed, observations) = mpsc::channel(1);
        let observer = Observer {
            observed,
            memory: first.clone(),
            timeline: self.timeline.clone(),
            whose: whose.clone(),
        };
        let mut publisher = Publisher {
            settle: Settle::new(first, self.profile.discovery.settle),
            out: out.clone(),
            timeline: self.timeline.clone(),
            whose,
        };
        tokio::select! {
            () = self.observe(&out, observer) => {}
            () = publisher.follow(observations) => {}
        }
    }

    /// Its replicas as they would see themselves; nobody is the first of them here.
    fn identity(&self) -> Identity {
        Identity {
            stateful_set: self.related.stateful_set.clone(),
            ordinal: Ordinal(0),
            service: self.related.service.clone(),
            ip: None,
            uid: String::new(),
            ..self.setup.config.identity.clone()
        }
    }

    async fn observe(&self, out: &Out, mut observer: Observer) {
        let (setup, mut identity) = (self.setup_of(), self.identity());
        let desired = self.related.replicas;
        if let Some(folder) = &setup.config.local {
            let recorder = &setup.recorder;
            return observe_local(folder, identity, desired, &mut observer, recorder).await;
        }
        let settings = self.settings();
        let mut count = Count::new(&setup, &settings);
        let looked = async {
            while count.desired().is_none() {
                out.unknown(&self.no_count(setup.cluster.as_ref()));
                count.news().await;
            }
            identity.ordinal = count.start();
            match (&settings.source, &setup.cluster) {
                (DiscoverySource::Dns, _) | (_, None) => {
                    names::observe(&setup, &settings, identity, count, &mut observer).await;
                }
                (_, Some(cluster)) => {
                    let looks = Looks {
                        setup: &setup,
                        settings: &settings,
                        identity,
                        cluster,
                    };
                    looks.observe(count, &mut observer).await;
                }
            }
        };
        let followed = async {
            match &setup.cluster {
                Some(cluster) => {
                    let name = &self.related.stateful_set;
                    cluster.follow_stateful_set(name).await;
                }
                None => pending().await,
            }
        };
        tokio::select! {
            () = looked => {}
            () = followed => {}
        }
    }

    /// Why it is not known how many there should be.
    fn no_count(&self, cluster: Option<&Cluster>) -> String {
        let (name, set) = (self.name, &self.related.stateful_set);
        let or_say = format!("or set `spec.related.{name}.replicas`");
        let Some(cluster) = cluster else {
            return format!(
                "how many replicas `{set}` should have is nobody's to tell: this pod has no service account's token; give it one, {or_say}"
            );
        };
        let known = cluster.stateful_set().borrow().clone();
        match &known.trouble {
            Some(trouble) if trouble.is_forbidden => {
                format!("this pod may not read the StatefulSet `{set}`: {ROLE_HINT}, {or_say}")
            }
            Some(trouble) => format!("the StatefulSet `{set}` cannot be read: {}", trouble.reason),
            None if known.is_complete => format!("there is no StatefulSet `{set}`"),
            None => format!("the StatefulSet `{set}` has not been read yet"),
        }
    }

    /// The sidecar's own way to look, at another StatefulSet.
    fn setup_of(&self) -> DiscoverySetup {
        let own = &self.setup.config;
        let set = &self.related.stateful_set;
        DiscoverySetup {
            config: Arc::new(Config {
                identity: self.identity(),
                start: Ordinal(0),
                desired: None,
                // All may exist: who is asked for too early is asked for again.
                pod_management: PodManagement::Parallel,
                local: own
                    .local
                    .as_ref()
                    .and_then(|folder| layout::local_of(folder, set)),
                ..Config::clone(own)
            }),
            servers: self.setup.servers.clone(),
            cluster: self.setup.cluster.as_ref().map(Cluster::beside),
            recorder: self.setup.recorder.clone(),
        }
    }

    fn settings(&self) -> Discovery {
        let own = &self.profile.discovery;
        Discovery {
            service: Some(self.related.service.clone()),
            port: self.related.port.clone(),
            source: match own.source {
                DiscoverySource::Fixed(_) => DiscoverySource::Auto,
                ref other => other.clone(),
            },
            replicas: self.related.replicas,
            ..own.clone()
        }
    }
}

impl Out {
    /// Why nothing is known yet, where nothing is.
    fn unknown(&self, why: &str) {
        if let Self::Related(name, sender) = self {
            sender.send_if_modified(|sets| match sets.get(name) {
                Some(RelatedSet::Unknown(told)) if told != why => {
                    let unknown = RelatedSet::Unknown(why.to_owned());
                    Arc::make_mut(sets).insert(name.clone(), unknown);
                    true
                }
                _ => false,
            });
        }
    }
}

/// A snapshot as others see it: discovery takes one replica for its own, which nobody here is.
pub(super) fn seen_from_outside(mut set: PeerSet) -> RelatedSet {
    if set.source == Source::None {
        let why = set.stale.map(|stale| stale.reason);
        return RelatedSet::Unknown(why.unwrap_or_else(|| NOT_YET.to_owned()));
    }
    let first = set.identity.ordinal;
    let is_wanted = set.is_wanted(first);
    if let Some(replica) = set.replicas.get_mut(&first)
        && replica.addresses.is_empty()
    {
        if !is_wanted {
            set.replicas.remove(&first);
        } else if replica.phase == Phase::Starting {
            replica.phase = Phase::Pending;
        }
    }
    RelatedSet::Known(Arc::new(set))
}

#[cfg(test)]
mod tests;
