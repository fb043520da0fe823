//! The world of a webhook in a cluster: what its watches know, and Events for the owners of pods.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use outrigger_api_server::{EventCounts, EventSink, Notice};

use super::world::{Occasion, World};
use crate::cluster::{ClusterCatalog, KindStatus};
use crate::decide::SkipReason;
use crate::facts::{Catalog, ProfileEntry, ServiceFacts, StatefulSetFacts};
use crate::review::Told;

/// A cluster's catalog and where its Events go.
#[derive(Debug, Clone)]
pub struct ClusterWorld {
    /// What is known.
    pub catalog: ClusterCatalog,
    /// Who tells owners.
    pub events: EventSink,
}

impl Catalog for ClusterWorld {
    fn profile(&self, namespace: &str, config_map: &str) -> Option<Arc<ProfileEntry>> {
        self.catalog.profile(namespace, config_map)
    }

    fn stateful_set(&self, namespace: &str, name: &str) -> Option<Arc<StatefulSetFacts>> {
        self.catalog.stateful_set(namespace, name)
    }

    fn service(&self, namespace: &str, name: &str) -> Option<Arc<ServiceFacts>> {
        self.catalog.service(namespace, name)
    }
}

impl World for ClusterWorld {
    fn missing(&self) -> Vec<String> {
        self.catalog.missing()
    }

    fn following(&self) -> Vec<KindStatus> {
        self.catalog.status().into()
    }

    fn told(&self) -> Option<EventCounts> {
        Some(self.events.counts())
    }

    fn profiles_with_errors(&self) -> usize {
        self.catalog.profiles_with_errors()
    }

    fn wait_for_owner<'a>(
        &'a self,
        namespace: &'a str,
        name: &'a str,
        uid: Option<&'a str>,
        within: Duration,
    ) -> Pin<Box<dyn Future<Output = bool> + Send + 'a>> {
        Box::pin(self.catalog.wait_for_owner(namespace, name, uid, within))
    }

    fn wait_for_profile<'a>(
        &'a self,
        namespace: &'a str,
        config_map: &'a str,
        within: Duration,
    ) -> Pin<Box<dyn Future<Output = bool> + Send + 'a>> {
        Box::pin(self.catalog.wait_for_profile(namespace, config_map, within))
    }

    fn tell(&self, occasion: &Occasion<'_>) {
        let (reason, message, warning) = match occasion.told {
            Told::Denied(denial) => ("SidecarDenied", denial.to_string(), true),
            Told::Skipped(skip @ (SkipReason::Owner { .. } | SkipReason::NotRequired(_))) => {
                ("SidecarSkipped", skip.to_string(), false)
            }
            // Nobody is surprised by the others: they are what the pod's own label says.
            _ => return,
        };
        // An event is about an object, and only its uid says which.
        let Some(uid) = occasion.owner.uid else {
            return;
        };
        self.events.tell(Notice {
            namespace: occasion.namespace.to_owned(),
            api_version: occasion.owner.api_version.to_owned(),
            kind: occasion.owner.kind.to_owned(),
            name: occasion.owner.name.to_owned(),
            uid: uid.to_owned(),
            action: "Inject",
            reason,
            message: format!("pod {}: {message}", occasion.pod),
            warning,
        });
    }
}
