//! Kubernetes objects as far as they are looked at: the rest is skipped while reading, and what is kept
//! is less still.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

pub use outrigger_api_server::Metadata;
use outrigger_profile::ByteSize;
use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny, MapAccess, Visitor};

use crate::facts::{PodManagement, ProfileEntry, ServiceFacts, StatefulSetFacts};

/// A ConfigMap that may hold a profile.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ConfigMap {
    /// Who it is.
    pub metadata: Metadata,
    #[serde(default)]
    data: Option<BTreeMap<String, String>>,
    #[serde(default, deserialize_with = "keys")]
    binary_data: BTreeSet<String>,
}

/// The keys of a map or of nothing; the values, which may be long, are skipped.
fn keys<'de, D: Deserializer<'de>>(deserializer: D) -> Result<BTreeSet<String>, D::Error> {
    struct Keys;

    impl<'de> Visitor<'de> for Keys {
        type Value = BTreeSet<String>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a map")
        }

        fn visit_unit<E>(self) -> Result<Self::Value, E> {
            Ok(BTreeSet::new())
        }

        fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
            let mut keys = BTreeSet::new();
            while let Some((key, IgnoredAny)) = map.next_entry()? {
                keys.insert(key);
            }
            Ok(keys)
        }
    }

    deserializer.deserialize_any(Keys)
}

impl ConfigMap {
    /// The profile in it.
    pub fn facts(&self) -> ProfileEntry {
        let files = self
            .data
            .iter()
            .flatten()
            .map(|(key, value)| (&**key, &**value));
        let others = self.binary_data.iter().map(|key| &**key);
        ProfileEntry::read(&self.metadata.name, files, others)
    }

    /// Bytes that its facts take at most, about: a parsed document takes several times its text.
    pub(crate) fn weight(&self) -> usize {
        let document = self
            .data
            .iter()
            .flatten()
            .find(|(key, _)| *key == outrigger_profile::layout::PROFILE_KEY);
        let keys = self.data.iter().flatten().map(|(key, _)| key.len() + 32);
        let others = self.binary_data.iter().map(|key| key.len() + 32);
        1024 + 4 * document.map_or(0, |(_, text)| text.len()) + keys.chain(others).sum::<usize>()
    }
}

/// A StatefulSet.
#[derive(Debug, Clone, Deserialize)]
pub struct StatefulSet {
    /// Who it is.
    pub metadata: Metadata,
    #[serde(default)]
    spec: StatefulSetSpec,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct StatefulSetSpec {
    replicas: Option<u32>,
    ordinals: Option<Ordinals>,
    pod_management_policy: Option<String>,
    service_name: Option<String>,
    volume_claim_templates: Option<Vec<Claim>>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
struct Ordinals {
    start: u32,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
struct Claim {
    metadata: Metadata,
    spec: ClaimSpec,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
struct ClaimSpec {
    resources: Option<ClaimResources>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
struct ClaimResources {
    requests: Option<ClaimRequests>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
struct ClaimRequests {
    storage: Option<Quantity>,
}

/// The API server sends texts; manifests may have numbers.
#[derive(Debug, Clone, Deserialize)]
#[serde(untagged)]
enum Quantity {
    Text(String),
    Bytes(u64),
}

impl Quantity {
    /// None for forms that nobody asks a disk in, such as `1e9` or thousandths.
    fn bytes(&self) -> Option<ByteSize> {
        match self {
            Self::Text(text) => text.parse().ok(),
            Self::Bytes(bytes) => Some(ByteSize(*bytes)),
        }
    }
}

impl StatefulSet {
    /// What it tells about its pods.
    pub fn facts(&self) -> StatefulSetFacts {
        let spec = &self.spec;
        let claim = |claim: &Claim| {
            let asked = claim
                .spec
                .resources
                .as_ref()?
                .requests
                .as_ref()?
                .storage
                .as_ref()?;
            Some((claim.metadata.name.clone(), asked.bytes()?))
        };
        StatefulSetFacts {
            uid: self.metadata.uid.clone(),
            replicas: spec.replicas.unwrap_or(1),
            start: spec.ordinals.as_ref().map_or(0, |ordinals| ordinals.start),
            management: match spec.pod_management_policy.as_deref() {
                Some("Parallel") => PodManagement::Parallel,
                _ => PodManagement::OrderedReady,
            },
            service: spec.service_name.clone().unwrap_or_default(),
            claims: spec
                .volume_claim_templates
                .iter()
                .flatten()
                .filter_map(claim)
                .collect(),
        }
    }

    pub(crate) fn weight(&self) -> usize {
        let claims = self.spec.volume_claim_templates.iter().flatten();
        let service = self.spec.service_name.as_ref().map_or(0, String::len);
        256 + service
            + claims
                .map(|claim| claim.metadata.name.len() + 64)
                .sum::<usize>()
    }
}

/// A Service.
#[derive(Debug, Clone, Deserialize)]
pub struct Service {
    /// Who it is.
    pub metadata: Metadata,
    #[serde(default)]
    spec: ServiceSpec,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct ServiceSpec {
    #[serde(rename = "clusterIP")]
    cluster_ip: Option<String>,
    publish_not_ready_addresses: Option<bool>,
}

impl Service {
    /// What it tells about names.
    pub fn facts(&self) -> ServiceFacts {
        ServiceFacts {
            headless: self.spec.cluster_ip.as_deref() == Some("None"),
            publish_not_ready: self.spec.publish_not_ready_addresses.unwrap_or(false),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_stateful_set_tells_what_its_pods_must_know() {
        let full: StatefulSet = serde_json::from_value(json!({
            "metadata": {"namespace": "db", "name": "agdb", "uid": "u-1", "managedFields": [{"a": {}}]},
            "spec": {
                "replicas": 5, "ordinals": {"start": 2}, "podManagementPolicy": "Parallel", "serviceName": "agdb",
                "template": {"spec": {"containers": []}},
                "volumeClaimTemplates": [
                    {"metadata": {"name": "data"}, "spec": {"resources": {"requests": {"storage": "400Gi"}}}},
                    {"metadata": {"name": "odd"}, "spec": {"resources": {"requests": {"storage": "1e9"}}}},
                    {"metadata": {"name": "none"}, "spec": {}}
                ]
            }
        }))
        .unwrap();
        let facts = full.facts();
        assert_eq!(
            (facts.replicas, facts.start, facts.management),
            (5, 2, PodManagement::Parallel)
        );
        assert_eq!(
            facts.claims,
            [("data".to_owned(), ByteSize(400 << 30))].into()
        );
        assert_eq!(facts.uid.as_deref(), Some("u-1"));
        let bare: StatefulSet = serde_json::from_value(json!({"metadata": {"name": "x"}})).unwrap();
        assert_eq!(
            (
                bare.facts().replicas,
                bare.facts().start,
                bare.facts().management
            ),
            (1, 0, PodManagement::OrderedReady)
        );
    }

    #[test]
    fn a_profile_with_a_key_of_bytes_knows_the_key_and_not_the_bytes() {
        let object =
            json!({"metadata": {"name": "p"}, "data": null, "binaryData": {"logo.png": "AAAA"}});
        let config_map: ConfigMap = serde_json::from_value(object).unwrap();
        assert_eq!(config_map.facts().keys, ["logo.png"]);
    }

    #[test]
    fn a_service_is_headless_by_its_address() {
        let facts = |spec: serde_json::Value| {
            serde_json::from_value::<Service>(json!({"metadata": {"name": "x"}, "spec": spec}))
                .unwrap()
                .facts()
        };
        assert_eq!(
            facts(json!({"clusterIP": "None", "publishNotReadyAddresses": true})),
            ServiceFacts {
                headless: true,
                publish_not_ready: true
            }
        );
        assert_eq!(
            facts(json!({"clusterIP": "10.0.0.1"})),
            ServiceFacts {
                headless: false,
                publish_not_ready: false
            }
        );
        assert_eq!(
            facts(json!({})),
            ServiceFacts {
                headless: false,
                publish_not_ready: false
            }
        );
    }
}
