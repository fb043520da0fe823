//! The facts of `--catalog`: manifests in a folder, read as `up` reads them, and never again.

use std::path::{Path, PathBuf};

use outrigger_injector::webhook::MemoryCatalog;
use outrigger_profile::Findings;

use crate::commands::manifests;
use crate::error_report::Failure;

/// The facts in a folder of manifests.
pub(super) fn catalog(folder: &Path) -> Result<MemoryCatalog, Failure> {
    let mut manifests = manifests::read(&[PathBuf::from(folder)])?;
    let findings = Findings(std::mem::take(&mut manifests.findings));
    if findings.has_errors() {
        return Err(findings.into());
    }
    manifests::catalog(&manifests, "default")
}
