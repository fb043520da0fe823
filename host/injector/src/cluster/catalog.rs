//! The profiles, the `StatefulSet`s and the Services of the cluster, as the webhook needs them.

use std::sync::Arc;
use std::time::Duration;

use outrigger_api_server::ApiServer;
use outrigger_shutdown::Shutdown;

use super::follow::{Kind, follow};
use super::objects::{ConfigMap, Metadata, Service, StatefulSet};
pub use super::store::KindStatus;
use super::store::Store;
use crate::facts::{Catalog, ProfileEntry, ServiceFacts, StatefulSetFacts};

/// The label of a ConfigMap that holds a profile, with its value.
pub const PROFILE_LABEL: &str = "outrigger.dev/profile=true";

/// How much may be known, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CatalogLimits {
    /// Of profiles: about five times their text. 8 MiB hold about 500 profiles of 3 KiB.
    pub profiles: usize,
    /// Of `StatefulSet`s: about 500 bytes each. 8 MiB hold about 16,000.
    pub stateful_sets: usize,
    /// Of Services: about 250 bytes each. 8 MiB hold about 32,000.
    pub services: usize,
}

impl Default for CatalogLimits {
    fn default() -> Self {
        Self {
            profiles: 8 << 20,
            stateful_sets: 8 << 20,
            services: 8 << 20,
        }
    }
}

enum Profiles {}
enum StatefulSets {}
enum Services {}

impl Kind for Profiles {
    type Object = ConfigMap;
    type Facts = ProfileEntry;
    const NAME: &'static str = "configmaps";
    const PATH: &'static str = "/api/v1/configmaps";
    const LABELS: Option<&'static str> = Some(PROFILE_LABEL);
    const PAGE: u32 = 10;

    fn metadata(object: &ConfigMap) -> &Metadata {
        &object.metadata
    }

    fn facts(object: &ConfigMap) -> ProfileEntry {
        let entry = object.facts();
        if entry.profile.is_none() {
            let Metadata {
                namespace, name, ..
            } = &object.metadata;
            tracing::warn!(
                namespace,
                name,
                findings = entry.findings.0.len(),
                "A profile has errors: pods that ask for it are denied"
            );
        }
        entry
    }

    fn weight(object: &ConfigMap) -> usize {
        object.weight()
    }
}

impl Kind for StatefulSets {
    type Object = StatefulSet;
    type Facts = StatefulSetFacts;
    const NAME: &'static str = "statefulsets";
    const PATH: &'static str = "/apis/apps/v1/statefulsets";
    const LABELS: Option<&'static str> = None;
    const PAGE: u32 = 50;

    fn metadata(object: &StatefulSet) -> &Metadata {
        &object.metadata
    }

    fn facts(object: &StatefulSet) -> StatefulSetFacts {
        object.facts()
    }

    fn weight(object: &StatefulSet) -> usize {
        object.weight()
    }
}

impl Kind for Services {
    type Object = Service;
    type Facts = ServiceFacts;
    const NAME: &'static str = "services";
    const PATH: &'static str = "/api/v1/services";
    const LABELS: Option<&'static str> = None;
    const PAGE: u32 = 100;

    fn metadata(object: &Service) -> &Metadata {
        &object.metadata
    }

    fn facts(object: &Service) -> ServiceFacts {
        object.facts()
    }

    fn weight(_: &Service) -> usize {
        0
    }
}

#[derive(Debug)]
struct Inner {
    profiles: Store<ProfileEntry>,
    stateful_sets: Store<StatefulSetFacts>,
    services: Store<ServiceFacts>,
}

/// What is known of a cluster. Cheap to clone; all clones are one. Looking into it never waits.
#[derive(Debug, Clone)]
pub struct ClusterCatalog {
    inner: Arc<Inner>,
}

impl ClusterCatalog {
    /// Nothing yet: [`ClusterCatalog::run`] fills it.
    pub fn new(limits: CatalogLimits) -> Self {
        Self {
            inner: Arc::new(Inner {
                profiles: Store::new(Profiles::NAME, limits.profiles),
                stateful_sets: Store::new(StatefulSets::NAME, limits.stateful_sets),
                services: Store::new(Services::NAME, limits.services),
            }),
        }
    }

    /// Follows the cluster until shutdown.
    pub async fn run(self, api: ApiServer, shutdown: Shutdown) {
        let Inner {
            profiles,
            stateful_sets,
            services,
        } = &*self.inner;
        tokio::select! {
            () = shutdown.triggered() => {}
            () = follow::<Profiles>(&api, profiles) => {}
            () = follow::<StatefulSets>(&api, stateful_sets) => {}
            () = follow::<Services>(&api, services) => {}
        }
    }

    /// The kinds whose first list is not in yet, and why; empty = everything that is there is known.
    pub fn missing(&self) -> Vec<String> {
        let status = self.status();
        status.iter().filter_map(KindStatus::missing).collect()
    }

    /// Waits until the first lists are in.
    ///
    /// # Cancel safety
    /// Safe: it holds no state.
    pub async fn ready(&self) {
        listed(&self.inner.profiles).await;
        listed(&self.inner.stateful_sets).await;
        listed(&self.inner.services).await;
    }

    /// How following each kind goes.
    pub fn status(&self) -> [KindStatus; 3] {
        [
            self.inner.profiles.status(),
            self.inner.stateful_sets.status(),
            self.inner.services.status(),
        ]
    }

    /// How many profiles have errors.
    pub fn profiles_with_errors(&self) -> usize {
        self.inner.profiles.count(|entry| entry.profile.is_none())
    }

    /// Waits until the StatefulSet with this uid is known; without a uid, any of that name. False when
    /// it was not within that time: watches lag behind the API server, by milliseconds as a rule.
    ///
    /// # Cancel safety
    /// Safe: it holds no state.
    pub async fn wait_for_owner(
        &self,
        namespace: &str,
        name: &str,
        uid: Option<&str>,
        within: Duration,
    ) -> bool {
        let known = || {
            let facts = self.inner.stateful_sets.get(namespace, name);
            facts.is_some_and(|facts| uid.is_none() || facts.uid.as_deref() == uid)
        };
        wait(&self.inner.stateful_sets, known, within).await
    }

    /// Waits until the profile in this ConfigMap is known; see [`ClusterCatalog::wait_for_owner`].
    ///
    /// # Cancel safety
    /// Safe: it holds no state.
    pub async fn wait_for_profile(
        &self,
        namespace: &str,
        config_map: &str,
        within: Duration,
    ) -> bool {
        wait(
            &self.inner.profiles,
            || self.inner.profiles.get(namespace, config_map).is_some(),
            within,
        )
        .await
    }
}

async fn listed<F: PartialEq>(store: &Store<F>) {
    // The sender lives as long as the store.
    drop(store.changes().wait_for(|_| store.status().listed).await);
}

async fn wait<F: PartialEq>(store: &Store<F>, known: impl Fn() -> bool, within: Duration) -> bool {
    let mut changes = store.changes();
    let found = tokio::time::timeout(within, changes.wait_for(|_| known())).await;
    found.is_ok()
}

impl Catalog for ClusterCatalog {
    fn profile(&self, namespace: &str, config_map: &str) -> Option<Arc<ProfileEntry>> {
        self.inner.profiles.get(namespace, config_map)
    }

    fn stateful_set(&self, namespace: &str, name: &str) -> Option<Arc<StatefulSetFacts>> {
        self.inner.stateful_sets.get(namespace, name)
    }

    fn service(&self, namespace: &str, name: &str) -> Option<Arc<ServiceFacts>> {
        self.inner.services.get(namespace, name)
    }
}

#[cfg(test)]
mod tests;
