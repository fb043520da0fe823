//! What users install: the release build by `cargo install`, started where nothing of the checkout is.

use std::fs;

use crate::running::{Example, Scratch};
use crate::{Failure, cache, command, progress};

/// Installs the program into a temporary folder and runs it from an empty one.
///
/// The target folder is the shared one, so that what has been compiled for release is not again. What
/// cannot be kept is the optimisation across crates at the link, which takes longer than compiling all
/// of our own and shows nothing here: it is left out.
pub(crate) fn run() -> Result<(), Failure> {
    cache::AGDB_SERVER.ensure()?;
    let scratch = Scratch::new("install")?;
    let root = scratch.path.join("root");
    command::run(
        command::cargo()
            .args(["install", "--path", "host/cli", "--locked", "--root"])
            .arg(&root)
            .env("CARGO_PROFILE_RELEASE_LTO", "off"),
    )?;
    let outrigger = root.join("bin/outrigger");
    let expected = concat!("outrigger ", env!("CARGO_PKG_VERSION"));
    let said = command::read(command::program(&outrigger).arg("--version"))?;
    if !said.starts_with(expected) {
        return Err(Failure::new(format!(
            "the installed program says `{}`, not `{expected}`",
            said.trim()
        )));
    }
    progress::say(&format!("installed: {}", said.trim()));

    let empty = scratch.path.join("empty");
    fs::create_dir(&empty)
        .map_err(|error| Failure::new(format!("cannot make {}: {error}", empty.display())))?;
    let example = Example::new(&outrigger, &empty);
    command::run(&mut example.up(
        &scratch,
        r#"exec "$OUTRIGGER" ps --state "$OUTRIGGER_STATE""#,
    ))
}
