//! What templates see.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use minijinja::Value;
use minijinja::value::{Enumerator, Object, Serde};
use outrigger_peers::{Ordinal, PeerSet, Replica};
use serde_json::{Value as Json, json};

use super::random::Seeds;
use crate::discovery::{RelatedSet, RelatedSets};
use crate::secrets::Secrets;

/// Everything that a render depends on besides the templates.
#[derive(Debug, Clone)]
pub struct Context {
    /// The replicas.
    pub peers: Arc<PeerSet>,
    /// Each related StatefulSet, as far as it is known.
    pub related: Arc<RelatedSets>,
    /// This replica's role, as its own health tells.
    pub role: Option<String>,
    /// The pod's volumes by name.
    pub volumes: BTreeMap<String, VolumeFacts>,
    /// Environment variables.
    pub env: BTreeMap<String, String>,
    /// The settings of the profile, its own and the plugin's.
    pub settings: BTreeMap<String, Json>,
    /// The Secrets of the profile.
    pub secrets: Arc<Secrets>,
    /// The outputs of the plugin.
    pub plugin: BTreeMap<String, String>,
    /// Where random texts come from.
    pub seeds: Arc<dyn Seeds>,
}

/// What is known of a volume. What is not known is missing in templates, and asking for it an error.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct VolumeFacts {
    /// Where the workload sees it.
    pub path: String,
    /// Its capacity in bytes.
    pub bytes: Option<u64>,
    /// The bytes that are free now.
    pub free: Option<u64>,
}

impl Context {
    /// The whole of it but the Secrets, as JSON: what templates see, and what did-you-mean looks at.
    pub(crate) fn json(&self) -> Json {
        let set = &self.peers;
        let identity = &set.identity;
        let mut own = replica(set, set.own());
        if let Json::Object(fields) = &mut own {
            fields.insert("namespace".into(), identity.namespace.clone().into());
            fields.insert("role".into(), self.role.clone().into());
            if !identity.uid.is_empty() {
                fields.insert("uid".into(), identity.uid.clone().into());
            }
            if let Some(ip) = identity.ip {
                fields.insert("ip".into(), ip.to_string().into());
            }
        }
        let volumes: serde_json::Map<String, Json> = self
            .volumes
            .iter()
            .map(|(name, facts)| (name.clone(), volume(facts)))
            .collect();
        let peers: Vec<Json> = set.peers().map(|peer| replica(set, peer)).collect();
        // Those that should exist: a replica that is about to go is no member any more.
        let replicas: Vec<Json> = members(set).map(|member| replica(set, member)).collect();
        let related: serde_json::Map<String, Json> = self
            .related
            .iter()
            .filter_map(|(name, set)| match set {
                RelatedSet::Known(set) => Some((name.clone(), related(set))),
                RelatedSet::Unknown(_) => None,
            })
            .collect();
        json!({
            "self": own,
            "peers": peers,
            "replicas": replicas,
            "related": related,
            "desired": set.desired,
            "quorum": set.quorum(),
            "start": set.start.0,
            "service": identity.service,
            "service_host": identity.service_host(),
            "domain": identity.cluster_domain,
            "volumes": volumes,
            "env": self.env,
            "settings": self.settings,
            "plugin": self.plugin,
        })
    }

    /// What templates see.
    pub(crate) fn value(&self) -> Value {
        let mut fields: BTreeMap<String, Value> = BTreeMap::new();
        if let Json::Object(json) = self.json() {
            for (name, value) in json {
                fields.insert(name, Value::from(Serde(value)));
            }
        }
        let secrets = Value::from_object(SecretMap(Arc::clone(&self.secrets)));
        fields.insert("secrets".to_owned(), secrets);
        Value::from(fields)
    }
}

/// Another StatefulSet: its replicas are those that should exist.
fn related(set: &PeerSet) -> Json {
    let replicas: Vec<Json> = set.wanted().map(|one| replica(set, one)).collect();
    json!({
        "replicas": replicas,
        "desired": set.desired,
        "start": set.start.0,
        "statefulset": set.identity.stateful_set,
        "service": set.identity.service,
        "service_host": set.identity.service_host(),
    })
}

/// The replicas that should exist, and this one, in ordinal order.
pub(crate) fn members(set: &PeerSet) -> impl Iterator<Item = &Replica> {
    let own = set.identity.ordinal;
    set.replicas
        .values()
        .filter(move |replica| set.is_wanted(replica.ordinal) || replica.ordinal == own)
}

fn replica(set: &PeerSet, replica: &Replica) -> Json {
    let addresses: Vec<String> = replica.addresses.iter().map(ToString::to_string).collect();
    let mut fields = json!({
        "name": replica.name,
        "ordinal": replica.ordinal.0,
        "index": index(set.start, replica.ordinal),
        "host": replica.host,
        "addresses": addresses,
        "phase": replica.phase.as_str(),
        "role": replica.role,
        "attrs": replica.attrs,
    });
    if let (Some(address), Json::Object(fields)) = (addresses.first(), &mut fields) {
        fields.insert("ip".into(), address.clone().into());
    }
    fields
}

/// The place in the list of replicas, from 0.
fn index(start: Ordinal, ordinal: Ordinal) -> u32 {
    ordinal.0.saturating_sub(start.0)
}

fn volume(facts: &VolumeFacts) -> Json {
    let mut fields = serde_json::Map::from_iter([("path".to_owned(), facts.path.clone().into())]);
    for (name, bytes) in [("bytes", facts.bytes), ("free", facts.free)] {
        if let Some(bytes) = bytes {
            fields.insert(name.to_owned(), bytes.into());
        }
    }
    Json::Object(fields)
}

/// `secrets`: shows its keys, never its values, unless one is asked for by name.
#[derive(Debug)]
struct SecretMap(Arc<Secrets>);

impl Object for SecretMap {
    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        let name = key.as_str()?;
        self.0.keys(name)?;
        Some(Value::from_object(SecretKeys {
            secrets: Arc::clone(&self.0),
            name: name.to_owned(),
        }))
    }

    fn enumerate(self: &Arc<Self>) -> Enumerator {
        Enumerator::Values(self.0.names().map(Value::from).collect())
    }

    fn render(self: &Arc<Self>, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(secrets)")
    }
}

/// One Secret.
#[derive(Debug)]
struct SecretKeys {
    secrets: Arc<Secrets>,
    name: String,
}

impl Object for SecretKeys {
    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        let value = self.secrets.keys(&self.name)?.get(key.as_str()?)?;
        // A value that is not text would be mangled in a template; it counts as missing.
        std::str::from_utf8(value).ok().map(Value::from)
    }

    fn enumerate(self: &Arc<Self>) -> Enumerator {
        let keys = self.secrets.keys(&self.name);
        Enumerator::Values(
            keys.into_iter()
                .flat_map(|keys| keys.keys().map(|key| Value::from(key.as_str())))
                .collect(),
        )
    }

    fn render(self: &Arc<Self>, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "(the secret {})", self.name)
    }
}
