//! The profile from outside: findings, schema, reference and properties.

mod agdb_example;
mod generated;
mod properties;
mod ui;

use std::path::PathBuf;

/// A file of this crate.
fn here(path: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// Compares with a stored text, or stores it where `UPDATE=1` is set. Returns what differs.
fn golden(path: &std::path::Path, actual: &str) -> Result<(), String> {
    let is_update = std::env::var_os("UPDATE").is_some();
    let stored = std::fs::read_to_string(path).unwrap_or_default();
    if stored == actual {
        return Ok(());
    }
    if is_update {
        std::fs::write(path, actual).expect("the crate's folder can be written to");
        return Ok(());
    }
    Err(format!(
        "{} differs (UPDATE=1 stores it):\n--- stored\n{stored}\n--- now\n{actual}",
        path.display()
    ))
}
