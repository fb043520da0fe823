//! Builds the built-in plugins into components and compiles them for this engine, so that one
//! `cargo build` gives the complete binary.

use std::env;
use std::error::Error;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

/// The plugins that ship inside the binary: their name and their package.
const BUILTINS: &[(&str, &str)] = &[
    ("agdb", "outrigger-plugin-agdb"),
    ("aistore", "outrigger-plugin-aistore"),
    ("oxia", "outrigger-plugin-oxia"),
    ("piko", "outrigger-plugin-piko"),
    ("tag", "outrigger-plugin-tag"),
];

fn main() -> Result<(), Box<dyn Error>> {
    let here = PathBuf::from(variable("CARGO_MANIFEST_DIR")?);
    let out = PathBuf::from(variable("OUT_DIR")?);
    let root = here.join("../..").canonicalize()?;
    for watched in [
        "wit",
        "plugins",
        "Cargo.lock",
        "host/plugin-build/src",
        "host/plugin-host/src",
    ] {
        println!("cargo::rerun-if-changed={}", root.join(watched).display());
    }

    // One folder for the guests of every profile: `<target>/guests`, beside `<target>/debug`. The
    // outer cargo holds the lock of its own folder while this runs, so it cannot be that one.
    let target = out
        .ancestors()
        .nth(4)
        .ok_or("OUT_DIR is not four levels below the target folder")?;
    let guests = target.join("guests");

    let mut code = String::from("&[\n");
    for (name, package) in BUILTINS {
        let component = outrigger_plugin_build::build_component(&root, package, &guests)?;
        let compiled = outrigger_plugin_host::compile(&component)?;
        let digest = outrigger_plugin_host::digest(&component);
        // The generated file lies in the same folder as these.
        write(&out, &format!("{name}.wasm"), &component)?;
        write(&out, &format!("{name}.cwasm"), &compiled)?;
        writeln!(
            code,
            "    outrigger_plugin_host::BuiltinPlugin {{ name: {name:?}, component_sha256: {digest:?}, \
             component: include_bytes!(\"{name}.wasm\"), compiled: include_bytes!(\"{name}.cwasm\") }},"
        )?;
    }
    code.push_str("]\n");
    write(&out, "builtins.rs", code.as_bytes())?;
    Ok(())
}

/// Writes only what changed, so that an unchanged plugin does not rebuild the binary.
fn write(folder: &Path, name: &str, content: &[u8]) -> Result<(), Box<dyn Error>> {
    let path = folder.join(name);
    if !fs::read(&path).is_ok_and(|old| old == content) {
        fs::write(&path, content)?;
    }
    Ok(())
}

#[expect(
    clippy::disallowed_methods,
    reason = "cargo speaks to build scripts through the environment"
)]
fn variable(name: &str) -> Result<String, String> {
    env::var(name).map_err(|_| format!("cargo did not set {name}"))
}
