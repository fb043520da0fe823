//! Decisions and patches from outside: golden pairs, pods that other injectors changed too, properties of
//! generated pods, and the generated reference.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "these are tests, their helpers too"
)]

mod cases;
mod foreign;
mod generated;
mod golden;
mod hostile;
mod pod_security;
mod properties;
mod yaml;

use std::path::{Path, PathBuf};

/// A file of this crate.
fn here(path: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// Compares with a stored text, or stores it where `UPDATE=1` is set. Returns what differs.
fn stored(path: &Path, actual: &str) -> Result<(), String> {
    let before = std::fs::read_to_string(path).unwrap_or_default();
    if before == actual {
        return Ok(());
    }
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(path, actual).expect("the crate's folder can be written to");
        return Ok(());
    }
    Err(format!(
        "{} differs (UPDATE=1 stores it):\n--- stored\n{before}\n--- now\n{actual}",
        path.display()
    ))
}

#[test]
fn the_reference_of_annotations_is_up_to_date() {
    let reference = outrigger_injector::annotation::reference();
    if let Err(difference) = stored(&here("ANNOTATIONS.md"), &reference) {
        panic!("{difference}");
    }
}
