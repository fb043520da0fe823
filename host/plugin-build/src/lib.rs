//! Builds a guest crate into a WebAssembly component: a nested `cargo build` for a WebAssembly
//! target, then, where the toolchain does not do it, the wrapping of the core module.
//!
//! Used by the command line's build script for the built-in plugins and by tests for their guests.
//! It knows nothing of the engine.

use std::ffi::OsString;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;
use wit_component::ComponentEncoder;

/// For which target a guest is built.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Target {
    /// `wasm32-unknown-unknown`: nothing of WASI is imported; small.
    #[default]
    Unknown,
    /// `wasm32-wasip2`: the whole standard library, on top of WASI 0.2.
    WasiP2,
}

impl Target {
    /// The target's name for cargo and rustup.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Unknown => "wasm32-unknown-unknown",
            Self::WasiP2 => "wasm32-wasip2",
        }
    }
}

/// What is built, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GuestBuild {
    /// The folder of the workspace or crate. Its `Cargo.lock` is kept to, where there is one.
    pub manifest_dir: PathBuf,
    /// The package.
    pub package: String,
    /// An example of the package instead of its library.
    pub example: Option<String>,
    /// Cargo features.
    pub features: Vec<String>,
    /// For which target.
    pub target: Target,
    /// Cargo's profile; none = `release`.
    pub profile: Option<String>,
    /// Where cargo puts what it makes. Never the outer cargo's own target folder, whose lock it holds.
    pub target_dir: PathBuf,
}

/// Why there is no component.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// Cargo cannot be run.
    #[error("cargo cannot be run as `{program}`")]
    Run {
        /// What was run.
        program: String,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// Cargo failed.
    #[error("`{package}` cannot be built for {target}:\n{stderr}{}", hint.map(|hint| format!("\nhint: {hint}")).unwrap_or_default())]
    Cargo {
        /// The package.
        package: String,
        /// The target.
        target: &'static str,
        /// What cargo wrote.
        stderr: String,
        /// What to do about it, where it is known.
        hint: Option<&'static str>,
    },
    /// Cargo succeeded and made nothing that could be a guest.
    #[error(
        "building `{package}` made no .wasm file\nhint: the crate needs `crate-type = [\"cdylib\"]`"
    )]
    NoArtifact {
        /// The package.
        package: String,
    },
    /// What cargo made cannot be read.
    #[error("{} cannot be read", path.display())]
    Read {
        /// Which file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The core module does not become a component.
    #[error("`{package}` does not become a component: {reason}")]
    Encode {
        /// The package.
        package: String,
        /// Why.
        reason: String,
    },
}

/// Builds a package's library with the workspace's profile `guest` for `wasm32-unknown-unknown`.
/// `target_dir` must not be the outer cargo's own.
pub fn build_component(
    workspace: &Path,
    package: &str,
    target_dir: &Path,
) -> Result<Vec<u8>, BuildError> {
    build(&GuestBuild {
        manifest_dir: workspace.to_owned(),
        package: package.to_owned(),
        example: None,
        features: Vec::new(),
        target: Target::Unknown,
        profile: Some("guest".to_owned()),
        target_dir: target_dir.to_owned(),
    })
}

/// Builds a guest and returns the component.
pub fn build(guest: &GuestBuild) -> Result<Vec<u8>, BuildError> {
    let output = run_cargo(guest)?;
    let path = artifact(&output.stdout, guest).ok_or_else(|| BuildError::NoArtifact {
        package: guest.package.clone(),
    })?;
    let wasm = fs::read(&path).map_err(|source| BuildError::Read { path, source })?;
    match guest.target {
        // The target's linker made a component already.
        Target::WasiP2 => Ok(wasm),
        Target::Unknown => encode(&wasm).map_err(|reason| BuildError::Encode {
            package: guest.package.clone(),
            reason,
        }),
    }
}

/// Wraps a core module that carries its WIT world in a custom section, as `wit-bindgen` makes it.
pub fn encode(module: &[u8]) -> Result<Vec<u8>, String> {
    ComponentEncoder::default()
        .validate(true)
        .module(module)
        .and_then(ComponentEncoder::encode)
        .map_err(|error| format!("{error:#}"))
}

fn run_cargo(guest: &GuestBuild) -> Result<Output, BuildError> {
    // Within cargo, CARGO is the very binary that runs.
    let program = cargo();
    let mut command = Command::new(&program);
    command
        .arg("build")
        .args(["--message-format", "json-render-diagnostics"])
        .args(["--package", &guest.package])
        .args(["--target", guest.target.as_str()])
        .args(["--profile", guest.profile.as_deref().unwrap_or("release")])
        .arg("--target-dir")
        .arg(&guest.target_dir)
        .current_dir(&guest.manifest_dir);
    match &guest.example {
        Some(example) => command.args(["--example", example]),
        None => command.arg("--lib"),
    };
    if !guest.features.is_empty() {
        command.args(["--features", &guest.features.join(",")]);
    }
    if guest.manifest_dir.join("Cargo.lock").exists() {
        command.arg("--locked");
    }
    // What the outer cargo sets for its own target would break the guest's.
    for name in outer_variables() {
        command.env_remove(name);
    }
    // Paths of this machine stay out of the guest, so that its digest does not depend on them.
    if let Some(home) = cargo_home() {
        let remap = format!("--remap-path-prefix={}=/cargo", home.display());
        command.env("CARGO_ENCODED_RUSTFLAGS", remap);
    }
    let output = command.output().map_err(|source| BuildError::Run {
        program: program.to_string_lossy().into_owned(),
        source,
    })?;
    if output.status.success() {
        return Ok(output);
    }
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    let hint = hint(&stderr, guest.target);
    Err(BuildError::Cargo {
        package: guest.package.clone(),
        target: guest.target.as_str(),
        stderr,
        hint,
    })
}

#[expect(
    clippy::disallowed_methods,
    reason = "cargo speaks to build scripts and tests through the environment"
)]
fn cargo() -> OsString {
    std::env::var("CARGO").map_or_else(|_| OsString::from("cargo"), OsString::from)
}

/// Where cargo keeps the sources of dependencies.
fn cargo_home() -> Option<PathBuf> {
    let set = std::env::var_os("CARGO_HOME").map(PathBuf::from);
    set.or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".cargo")))
}

/// The variables of the outer build: flags for its target, its compiler wrapper as clippy sets it,
/// and everything that it tells build scripts.
fn outer_variables() -> impl Iterator<Item = OsString> {
    const NAMES: &[&str] = &[
        "RUSTFLAGS",
        "CARGO_ENCODED_RUSTFLAGS",
        "CARGO_BUILD_RUSTFLAGS",
        "CARGO_BUILD_TARGET",
        "CARGO_TARGET_DIR",
        "CARGO_BUILD_TARGET_DIR",
        "CARGO_BUILD_BUILD_DIR",
        "CARGO_MAKEFLAGS",
        "RUSTC_WRAPPER",
        "RUSTC_WORKSPACE_WRAPPER",
        "CLIPPY_ARGS",
        "RUSTC",
        "RUSTDOC",
        "TARGET",
        "HOST",
        "OUT_DIR",
        "PROFILE",
        "OPT_LEVEL",
        "DEBUG",
        "NUM_JOBS",
        "LD_LIBRARY_PATH",
    ];
    const PREFIXES: &[&str] = &[
        "CARGO_CFG_",
        "CARGO_FEATURE_",
        "CARGO_PKG_",
        "CARGO_PROFILE_",
        "DEP_",
    ];
    let prefixed = std::env::vars_os().map(|(name, _)| name).filter(|name| {
        let name = name.to_string_lossy();
        PREFIXES.iter().any(|prefix| name.starts_with(prefix))
    });
    NAMES.iter().map(OsString::from).chain(prefixed)
}

fn hint(stderr: &str, target: Target) -> Option<&'static str> {
    let missing = stderr.contains("target may not be installed")
        || stderr.contains("can't find crate for `std`")
        || stderr.contains("can't find crate for `core`");
    match (missing, target) {
        (true, Target::Unknown) => {
            Some("install the target: rustup target add wasm32-unknown-unknown")
        }
        (true, Target::WasiP2) => Some("install the target: rustup target add wasm32-wasip2"),
        (false, _) => stderr.contains("Cargo.lock needs to be updated").then_some(
            "run a cargo command without --locked once, and keep the changed Cargo.lock",
        ),
    }
}

/// The file that cargo says it made for the guest, among its messages.
fn artifact(messages: &[u8], guest: &GuestBuild) -> Option<PathBuf> {
    let wanted = guest
        .example
        .clone()
        .unwrap_or_else(|| guest.package.clone())
        .replace('-', "_");
    let kind = if guest.example.is_some() {
        "example"
    } else {
        "cdylib"
    };
    messages
        .split(|byte| *byte == b'\n')
        .filter_map(|line| serde_json::from_slice::<Value>(line).ok())
        .filter(|message| message["reason"] == "compiler-artifact")
        .filter(|message| {
            let target = &message["target"];
            let kinds = target["kind"].as_array();
            let name = target["name"].as_str().unwrap_or_default();
            kinds.is_some_and(|kinds| kinds.iter().any(|one| one == kind))
                && name.replace('-', "_") == wanted
        })
        .filter_map(|message| {
            let files = message["filenames"].as_array()?.clone();
            files
                .iter()
                .filter_map(Value::as_str)
                .map(PathBuf::from)
                .find(|path| path.extension().is_some_and(|end| end == "wasm"))
        })
        .next_back()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn guest(folder: &Path) -> GuestBuild {
        GuestBuild {
            manifest_dir: folder.to_owned(),
            package: "some-guest".into(),
            example: None,
            features: Vec::new(),
            target: Target::Unknown,
            profile: None,
            target_dir: folder.join("target"),
        }
    }

    #[test]
    fn the_file_is_the_one_that_cargo_names_for_the_package() {
        let messages = br#"
{"reason":"compiler-artifact","target":{"kind":["lib"],"name":"some_guest"},"filenames":["/t/libsome_guest.rlib"]}
{"reason":"compiler-artifact","target":{"kind":["cdylib"],"name":"other"},"filenames":["/t/other.wasm"]}
not json
{"reason":"compiler-artifact","target":{"kind":["cdylib","rlib"],"name":"some-guest"},"filenames":["/t/libsome_guest.rlib","/t/some_guest.wasm"]}
{"reason":"build-finished","success":true}"#;
        let found = artifact(messages, &guest(Path::new("/")));
        assert_eq!(found, Some(PathBuf::from("/t/some_guest.wasm")));
    }

    #[test]
    fn a_missing_target_comes_with_the_command_that_installs_it() {
        let stderr = "error[E0463]: can't find crate for `core`\n = note: the `wasm32-wasip2` target may not be installed";
        assert_eq!(
            hint(stderr, Target::WasiP2),
            Some("install the target: rustup target add wasm32-wasip2")
        );
        assert_eq!(hint("error: something else", Target::WasiP2), None);
    }

    #[test]
    fn a_crate_that_is_not_there_fails_with_cargos_own_words() {
        let folder = tempfile::tempdir().unwrap();
        let error = build(&guest(folder.path())).unwrap_err().to_string();
        assert!(
            error.starts_with("`some-guest` cannot be built for wasm32-unknown-unknown:\n")
                && error.contains("Cargo.toml"),
            "{error}"
        );
    }

    #[test]
    fn a_module_without_a_world_does_not_become_a_component_by_itself() {
        assert!(encode(b"\0asm\x01\0\0\0\xff").is_err());
    }
}
