//! `kind: Local`: which program of this machine stands for which image.

use outrigger_profile::Finding;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::Origin;

/// The `apiVersion` of `kind: Local`.
pub(super) const API_VERSION: &str = "outrigger.dev/v1alpha1";

/// A program that stands for an image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProgramEntry {
    /// The image, with tag or digest only where they must match.
    pub image: String,
    /// The program and its first arguments: what the image's entry point is.
    pub command: Vec<String>,
    /// How the program is had where it is missing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub install: Option<Install>,
}

/// How a missing program is had.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged, deny_unknown_fields)]
pub enum Install {
    /// A crate with a program.
    Cargo {
        /// Its name on crates.io.
        cargo: String,
        /// Exactly this version.
        version: String,
    },
    /// A Go package with a program.
    Go {
        /// Its path, such as `example.com/db/cmd/db`.
        go: String,
        /// Exactly this version, such as `v1.2.3`.
        version: String,
    },
}

impl ProgramEntry {
    /// Whether this entry is for an image. Tag and digest count only where the entry has them.
    pub fn matches(&self, image: &str) -> bool {
        self.image == image || self.image == without_tag(image)
    }
}

/// An image without tag and digest.
pub(crate) fn without_tag(image: &str) -> &str {
    let image = image.split('@').next().unwrap_or(image);
    let name_at = image.rfind('/').map_or(0, |slash| slash + 1);
    match image[name_at..].find(':') {
        Some(colon) => &image[..name_at + colon],
        None => image,
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Local {
    #[serde(rename = "apiVersion")]
    api_version: String,
    #[serde(rename = "kind")]
    _kind: String,
    #[serde(default, rename = "metadata")]
    _metadata: Value,
    spec: Spec,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Spec {
    #[serde(default)]
    programs: Vec<ProgramEntry>,
}

/// The programs of a `kind: Local`.
pub(super) fn decode(
    json: &Value,
    origin: &Origin,
    findings: &mut Vec<Finding>,
) -> Vec<ProgramEntry> {
    let local: Local = match serde_path_to_error::deserialize(json) {
        Ok(local) => local,
        Err(error) => {
            let place = error.path().to_string();
            let place = if place == "." { String::new() } else { place };
            let problem = error.into_inner().to_string();
            let mut finding = Finding::error(place.as_str(), problem);
            if place.ends_with(".install") {
                finding = finding.hint(
                    "write `{cargo: CRATE, version: \"1.2.3\"}` or `{go: PACKAGE, version: v1.2.3}`",
                );
            }
            findings.push(origin.locate(finding));
            return Vec::new();
        }
    };
    if local.api_version != API_VERSION {
        findings.push(
            origin.locate(
                Finding::error(
                    "apiVersion",
                    format!("`{}` is not known", local.api_version),
                )
                .hint(format!("write `{API_VERSION}`")),
            ),
        );
    }
    for (index, program) in local.spec.programs.iter().enumerate() {
        let place = format!("spec.programs[{index}]");
        if program.command.first().is_none_or(String::is_empty) {
            findings.push(
                origin.locate(
                    Finding::error(format!("{place}.command"), "it names no program")
                        .hint("write the program's name, such as `[agdb_server]`"),
                ),
            );
        }
        let (package, version) = match &program.install {
            Some(Install::Cargo { cargo, version }) => (cargo, version),
            Some(Install::Go { go, version }) => (go, version),
            None => continue,
        };
        // Both become arguments of a client and names of folders.
        let plain = |text: &str| {
            !text.is_empty()
                && !text.starts_with(['-', '.', '/'])
                && !text.contains("..")
                && text
                    .bytes()
                    .all(|b| b.is_ascii_alphanumeric() || b"-_./+~".contains(&b))
        };
        if !plain(package) || !plain(version) || version.contains('/') {
            findings.push(
                origin.locate(
                    Finding::error(
                        format!("{place}.install"),
                        format!("`{package}` at `{version}` is no package with one version"),
                    )
                    .hint(
                        "name the package and exactly one version, such as `version: \"0.16.0\"`",
                    ),
                ),
            );
        }
    }
    local.spec.programs
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_is_matched_without_its_tag_unless_the_entry_has_one() {
        let entry = |image: &str| ProgramEntry {
            image: image.into(),
            command: vec!["x".into()],
            install: None,
        };
        let table = [
            ("agnesoft/agdb", "agnesoft/agdb:latest", true),
            ("agnesoft/agdb", "agnesoft/agdb@sha256:00", true),
            ("agnesoft/agdb:0.16", "agnesoft/agdb:0.16", true),
            ("agnesoft/agdb:0.16", "agnesoft/agdb:0.15", false),
            ("localhost:5000/db", "localhost:5000/db:1", true),
            ("localhost:5000/db", "localhost:5000/db", true),
            ("agnesoft/agdb", "other/agdb", false),
        ];
        for (written, image, expected) in table {
            assert_eq!(entry(written).matches(image), expected, "{written} {image}");
        }
    }
}
