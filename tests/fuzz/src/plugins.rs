//! What the targets of the plugins share.

use outrigger_plugin_sdk::{Diagnostic, Membership, Replica, fake};

/// How many lines a text has.
pub fn lines(text: &str) -> u32 {
    u32::try_from(text.lines().count().max(1)).unwrap()
}

/// Three replicas, of which `own` is this one; 3 is about to go.
pub fn members(name: &str, own: u32) -> Membership {
    fake::members(name, own, 3, |ordinal| {
        let pod = format!("{name}-{ordinal}");
        let host = format!("{pod}.{name}.default.svc.cluster.local");
        let mut replica = Replica::new(ordinal, pod, host);
        replica.addresses.push(format!("10.0.0.{ordinal}"));
        replica
    })
}

/// Demands that what was found in a file is of that file and its lines, in their order, and says what to do.
pub fn sound(found: &[Diagnostic], path: &str, text: &str) {
    assert!(found.is_sorted_by_key(|one| one.line), "{found:?}");
    for one in found {
        assert_eq!(one.artifact, path);
        assert!(one.line <= lines(text), "{one:?}");
        assert!(!one.message.is_empty() && !one.hint.is_empty(), "{one:?}");
    }
}
