//! What is known around a pod in tests: profiles from folders, a StatefulSet, a Service, settings.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, LazyLock};

use outrigger_injector::facts::{
    Catalog, PodManagement, ProfileEntry, ServiceFacts, StatefulSetFacts,
};
use outrigger_injector::{FixedEntropy, Operation, Outcome, Owner, Request, Settings, decide};
use outrigger_profile::ByteSize;
use outrigger_profile::builtin::BUILTINS;
use serde_json::{Value, json};

use crate::here;

/// What is known of a cluster.
#[derive(Debug, Clone)]
pub(crate) struct World {
    pub(crate) profiles: BTreeMap<String, Arc<ProfileEntry>>,
    pub(crate) stateful_set: Option<StatefulSetFacts>,
    pub(crate) service: Option<ServiceFacts>,
    pub(crate) settings: Settings,
    pub(crate) operation: Operation,
    /// What random bytes are.
    pub(crate) entropy: FixedEntropy,
}

impl Catalog for World {
    fn profile(&self, namespace: &str, config_map: &str) -> Option<Arc<ProfileEntry>> {
        assert_eq!(namespace, "shop");
        self.profiles.get(config_map).cloned()
    }

    fn stateful_set(&self, _: &str, _: &str) -> Option<Arc<StatefulSetFacts>> {
        self.stateful_set.clone().map(Arc::new)
    }

    fn service(&self, _: &str, _: &str) -> Option<Arc<ServiceFacts>> {
        self.service.map(Arc::new)
    }
}

impl World {
    /// A StatefulSet of three that start together, with names for all of them.
    pub(crate) fn usual() -> Self {
        Self::from_yaml(&json!({}))
    }

    /// The same with what a case says.
    pub(crate) fn from_yaml(around: &Value) -> Self {
        let number = |key: &str, default: u32| {
            around
                .get(key)
                .map_or(default, |n| u32::try_from(n.as_u64().unwrap()).unwrap())
        };
        let claims = around.get("claims").and_then(Value::as_object);
        let stateful_set = StatefulSetFacts {
            uid: Some("5e7".to_owned()),
            replicas: number("replicas", 3),
            start: number("start", 0),
            management: match around.get("management").and_then(Value::as_str) {
                Some("OrderedReady") => PodManagement::OrderedReady,
                _ => PodManagement::Parallel,
            },
            service: text(around, "service").unwrap_or("db").to_owned(),
            claims: claims
                .into_iter()
                .flatten()
                .map(|(name, size)| {
                    (
                        name.clone(),
                        size.as_str().unwrap().parse::<ByteSize>().unwrap(),
                    )
                })
                .collect(),
        };
        let is = |key: &str| around.get(key).and_then(Value::as_bool);
        let service = ServiceFacts {
            headless: is("headless").unwrap_or(true),
            publish_not_ready: is("publishNotReady").unwrap_or(true),
        };
        let mut settings: Settings = around
            .get("settings")
            .map(|settings| serde_json::from_value(settings.clone()).unwrap())
            .unwrap_or_default();
        if settings.server_version.is_none() {
            settings.server_version = Some((1, number("kubernetes", 36)));
        }
        Self {
            profiles: BTreeMap::new(),
            stateful_set: (is("known") != Some(false)).then_some(stateful_set),
            service: (is("serviceKnown") != Some(false)).then_some(service),
            settings,
            operation: match text(around, "operation") {
                Some("UPDATE") => Operation::Update,
                _ => Operation::Create,
            },
            entropy: FixedEntropy(0xab),
        }
    }

    /// The same with the profiles of `tests/profiles` and those of the examples, read once.
    pub(crate) fn with_profiles(mut self) -> Self {
        static PROFILES: LazyLock<BTreeMap<String, Arc<ProfileEntry>>> = LazyLock::new(profiles);
        self.profiles.clone_from(&PROFILES);
        self
    }

    pub(crate) fn decide(&self, pod: &Value) -> Outcome {
        let request = Request {
            namespace: "shop",
            pod,
            operation: self.operation,
            dry_run: false,
            owner: Owner::of(pod),
        };
        decide(&request, self, &self.settings, &self.entropy)
    }
}

fn profiles() -> BTreeMap<String, Arc<ProfileEntry>> {
    let mut profiles = BTreeMap::new();
    let folders = std::fs::read_dir(here("tests/profiles")).unwrap();
    for folder in folders.map(|entry| entry.unwrap().path()) {
        let name = folder.file_name().unwrap().to_string_lossy().into_owned();
        let files: Vec<_> = std::fs::read_dir(&folder)
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .collect();
        profiles.insert(name.clone(), Arc::new(profile(&name, &files)));
    }
    // What the examples have as ConfigMaps.
    for builtin in BUILTINS {
        let name = format!("{}-outrigger", builtin.name);
        let entry = ProfileEntry::read(&name, builtin.files.iter().copied(), []);
        profiles.insert(name, Arc::new(entry));
    }
    profiles
}

/// Files as the `ConfigMap` of a profile.
fn profile(name: &str, files: &[PathBuf]) -> ProfileEntry {
    let texts: Vec<(String, String)> = files
        .iter()
        .map(|path| {
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            (name, std::fs::read_to_string(path).unwrap())
        })
        .collect();
    let texts = texts
        .iter()
        .map(|(name, text)| (name.as_str(), text.as_str()));
    ProfileEntry::read(name, texts, [])
}

fn text<'v>(value: &'v Value, key: &str) -> Option<&'v str> {
    value.get(key)?.as_str()
}
