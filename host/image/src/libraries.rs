//! The shared libraries of a program that is not static: what tests put into an image beside it.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::layer::{Layer, LayerError};

/// Why a program's libraries are not known.
#[derive(Debug, thiserror::Error)]
pub enum LibrariesError {
    /// `ldd` is not there, or failed.
    #[error("cannot ask `ldd` for the libraries of {}: {why}", program.display())]
    Ask {
        /// The program.
        program: PathBuf,
        /// What went wrong.
        why: String,
    },
    /// The program needs a library that this machine does not have.
    #[error("{} needs `{library}`, which is not on this machine", program.display())]
    Missing {
        /// The program.
        program: PathBuf,
        /// The library's name.
        library: String,
    },
    /// A library cannot be put into the image.
    #[error(transparent)]
    Layer(#[from] LayerError),
}

/// Adds the libraries of a program, and its loader, at the paths where it looks for them. A static
/// program has none.
///
/// # Errors
/// When they cannot be told or read.
pub fn add(layer: &mut Layer, program: &Path) -> Result<(), LibrariesError> {
    let ask = |why: String| LibrariesError::Ask {
        program: program.to_owned(),
        why,
    };
    let output = Command::new("ldd")
        .arg(program)
        .env("LC_ALL", "C")
        .output()
        .map_err(|error| ask(error.to_string()))?;
    let said = String::from_utf8_lossy(&output.stdout).into_owned()
        + &String::from_utf8_lossy(&output.stderr);
    if ["not a dynamic executable", "statically linked"]
        .iter()
        .any(|words| said.contains(words))
    {
        return Ok(());
    }
    if !output.status.success() {
        return Err(ask(said.trim().to_owned()));
    }
    for path in paths(&said).map_err(|library| LibrariesError::Missing {
        program: program.to_owned(),
        library,
    })? {
        layer.add_file(Path::new(&path), &path)?;
    }
    Ok(())
}

/// The files that `ldd` names; the error is the library that it did not find.
fn paths(said: &str) -> Result<Vec<String>, String> {
    let mut found = Vec::new();
    for line in said.lines() {
        let words: Vec<&str> = line.split_whitespace().collect();
        match words.as_slice() {
            [library, "=>", "not", "found"] => return Err((*library).to_owned()),
            [_, "=>", path, ..] | [path, ..] if path.starts_with('/') => {
                found.push((*path).to_owned());
            }
            // The kernel's own part has no file.
            _ => {}
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn libraries_and_loader_are_found_and_the_kernels_own_part_is_not() {
        let said = "\tlinux-vdso.so.1 (0x00007ffd)\n\tlibc.so.6 => /lib/x86_64-linux-gnu/libc.so.6 (0x00007f)\n\
                    \t/lib64/ld-linux-x86-64.so.2 (0x00007f)\n";
        assert_eq!(
            paths(said).unwrap(),
            [
                "/lib/x86_64-linux-gnu/libc.so.6",
                "/lib64/ld-linux-x86-64.so.2"
            ]
        );
    }

    #[test]
    fn a_library_that_is_missing_is_named() {
        assert_eq!(
            paths("\tlibx.so.1 => not found\n"),
            Err("libx.so.1".to_owned())
        );
    }
}
