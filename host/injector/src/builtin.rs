//! The built-in profiles, read once.

use std::sync::{Arc, LazyLock};

use outrigger_profile::builtin::BUILTINS;

use crate::facts::ProfileEntry;

static ENTRIES: LazyLock<Vec<(&'static str, Arc<ProfileEntry>)>> = LazyLock::new(|| {
    BUILTINS
        .iter()
        .map(|builtin| {
            let files = builtin.files.iter().copied();
            let entry = ProfileEntry::read(builtin.name, files, []);
            (builtin.name, Arc::new(entry))
        })
        .collect()
});

/// The built-in profile of this name.
pub fn builtin_profile(name: &str) -> Option<Arc<ProfileEntry>> {
    ENTRIES
        .iter()
        .find(|(known, _)| *known == name)
        .map(|(_, entry)| Arc::clone(entry))
}
