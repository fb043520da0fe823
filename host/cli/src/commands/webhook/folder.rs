//! The facts of `--catalog`: manifests in a folder, read as `up` reads them, and never again.

use std::path::Path;

use outrigger_injector::cluster::objects;
use outrigger_injector::facts::ProfileEntry;
use outrigger_injector::webhook::MemoryCatalog;
use outrigger_local::manifest::{self, Bundle};
use outrigger_profile::Findings;
use serde_json::to_value;

use crate::error_report::Failure;

/// The facts in a folder of manifests.
pub(super) fn catalog(folder: &Path) -> Result<MemoryCatalog, Failure> {
    let manifests = manifest::read(&[folder.to_owned()]);
    let findings = Findings(manifests.findings);
    if findings.has_errors() {
        return Err(findings.into());
    }
    let mut catalog = MemoryCatalog::default();
    for ((namespace, name), bundle) in &manifests.config_maps {
        catalog.add_profile(namespace, name, entry(name, bundle));
    }
    for placed in &manifests.stateful_sets {
        let set: objects::StatefulSet = serde_json::from_value(to_value(&placed.object)?)?;
        let metadata = &set.metadata;
        catalog.add_stateful_set(
            manifest::namespace_of(Some(&metadata.namespace)),
            &metadata.name,
            set.facts(),
        );
    }
    for placed in &manifests.services {
        let service: objects::Service = serde_json::from_value(to_value(&placed.object)?)?;
        let metadata = &service.metadata;
        catalog.add_service(
            manifest::namespace_of(Some(&metadata.namespace)),
            &metadata.name,
            service.facts(),
        );
    }
    Ok(catalog)
}

/// A ConfigMap without a profile in it is taken for one all the same: a pod that names it is told what it
/// lacks.
fn entry(name: &str, bundle: &Bundle) -> ProfileEntry {
    let mut files = Vec::new();
    let mut others = Vec::new();
    for (key, value) in &bundle.values {
        match std::str::from_utf8(&value.bytes) {
            Ok(text) => files.push((key.as_str(), text)),
            Err(_) => others.push(key.as_str()),
        }
    }
    ProfileEntry::read(name, files, others)
}
