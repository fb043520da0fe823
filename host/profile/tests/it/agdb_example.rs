//! The example that newcomers meet.

use std::path::PathBuf;

use outrigger_profile::{OnChange, PluginSource, parse};

use crate::here;

#[test]
fn the_agdb_profile_has_no_findings() {
    let path = here("../../examples/agdb/outrigger.yaml");
    let text = std::fs::read_to_string(path).unwrap();
    let (profile, findings) = parse(&text, "examples/agdb/outrigger.yaml");
    assert_eq!(findings.to_string(), "");
    let profile = profile.unwrap();
    assert_eq!(profile.file_dirs(), [PathBuf::from("/agdb")]);
    let plugin = profile.plugin.unwrap();
    assert_eq!(plugin.source, PluginSource::Builtin("agdb".into()));
    assert!(plugin.grants.volumes["data"].write);
    assert_eq!(profile.files[0].on_change, OnChange::Restart);
    assert!(profile.health.readiness.plugin);
}
