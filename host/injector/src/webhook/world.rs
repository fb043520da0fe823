//! What the webhook knows and whom it tells: a cluster, or a fixed set of facts.

use std::collections::BTreeMap;
use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use outrigger_api_server::EventCounts;

use crate::cluster::KindStatus;
use crate::decide::Owner;
use crate::facts::{Catalog, ProfileEntry, ServiceFacts, StatefulSetFacts};
use crate::review::Told;

/// What the webhook knows and whom it tells.
pub trait World: Catalog + fmt::Debug + Send + Sync {
    /// What it has not learned yet, without which reviews cannot be answered; empty = it is ready.
    fn missing(&self) -> Vec<String>;

    /// How following each kind of object goes; empty = nothing is followed.
    fn following(&self) -> Vec<KindStatus> {
        Vec::new()
    }

    /// How many Events went which way; none = nobody is told by Events.
    fn told(&self) -> Option<EventCounts> {
        None
    }

    /// How many profiles have errors.
    fn profiles_with_errors(&self) -> usize;

    /// Waits until a StatefulSet is known, for at most so long; whether it is.
    fn wait_for_owner<'a>(
        &'a self,
        namespace: &'a str,
        name: &'a str,
        uid: Option<&'a str>,
        within: Duration,
    ) -> Pin<Box<dyn Future<Output = bool> + Send + 'a>>;

    /// Waits until the profile in a ConfigMap is known, for at most so long; whether it is.
    fn wait_for_profile<'a>(
        &'a self,
        namespace: &'a str,
        config_map: &'a str,
        within: Duration,
    ) -> Pin<Box<dyn Future<Output = bool> + Send + 'a>>;

    /// Takes note of a pod that was denied or skipped. Never waits.
    fn tell(&self, occasion: &Occasion<'_>);
}

/// A pod that was denied or skipped.
#[derive(Debug, Clone, Copy)]
pub struct Occasion<'a> {
    /// The pod's namespace.
    pub namespace: &'a str,
    /// Its name, or the beginning of one.
    pub pod: &'a str,
    /// Who controls it.
    pub owner: Owner<'a>,
    /// What was decided.
    pub told: &'a Told,
}

/// Facts that do not change: for tests, and for a webhook without a cluster.
#[derive(Debug, Default)]
pub struct MemoryCatalog {
    profiles: BTreeMap<Key, Arc<ProfileEntry>>,
    stateful_sets: BTreeMap<Key, Arc<StatefulSetFacts>>,
    services: BTreeMap<Key, Arc<ServiceFacts>>,
}

/// A namespace and a name.
type Key = (String, String);

impl MemoryCatalog {
    /// Adds the profile in a ConfigMap.
    pub fn add_profile(&mut self, namespace: &str, config_map: &str, entry: ProfileEntry) {
        let key = (namespace.to_owned(), config_map.to_owned());
        self.profiles.insert(key, Arc::new(entry));
    }

    /// Adds a StatefulSet.
    pub fn add_stateful_set(&mut self, namespace: &str, name: &str, facts: StatefulSetFacts) {
        let key = (namespace.to_owned(), name.to_owned());
        self.stateful_sets.insert(key, Arc::new(facts));
    }

    /// Adds a Service.
    pub fn add_service(&mut self, namespace: &str, name: &str, facts: ServiceFacts) {
        let key = (namespace.to_owned(), name.to_owned());
        self.services.insert(key, Arc::new(facts));
    }
}

fn found<T>(map: &BTreeMap<Key, Arc<T>>, namespace: &str, name: &str) -> Option<Arc<T>> {
    map.get(&(namespace.to_owned(), name.to_owned())).cloned()
}

impl Catalog for MemoryCatalog {
    fn profile(&self, namespace: &str, config_map: &str) -> Option<Arc<ProfileEntry>> {
        found(&self.profiles, namespace, config_map)
    }

    fn stateful_set(&self, namespace: &str, name: &str) -> Option<Arc<StatefulSetFacts>> {
        found(&self.stateful_sets, namespace, name)
    }

    fn service(&self, namespace: &str, name: &str) -> Option<Arc<ServiceFacts>> {
        found(&self.services, namespace, name)
    }
}

impl World for MemoryCatalog {
    fn missing(&self) -> Vec<String> {
        Vec::new()
    }

    fn profiles_with_errors(&self) -> usize {
        let entries = self.profiles.values();
        entries.filter(|entry| entry.profile.is_none()).count()
    }

    fn wait_for_owner<'a>(
        &'a self,
        _: &'a str,
        _: &'a str,
        _: Option<&'a str>,
        _: Duration,
    ) -> Pin<Box<dyn Future<Output = bool> + Send + 'a>> {
        // It will not come.
        Box::pin(std::future::ready(false))
    }

    fn wait_for_profile<'a>(
        &'a self,
        _: &'a str,
        _: &'a str,
        _: Duration,
    ) -> Pin<Box<dyn Future<Output = bool> + Send + 'a>> {
        Box::pin(std::future::ready(false))
    }

    fn tell(&self, _: &Occasion<'_>) {}
}
