//! `cargo xtask image`: the container image, put together without a daemon.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::{Failure, command, progress, workspace};

/// What is asked for.
#[derive(Debug, PartialEq, Eq)]
struct Asked {
    /// The build of every day with its shared libraries, instead of a static release.
    dev: bool,
    /// The image's whole name.
    name: String,
    output: PathBuf,
}

/// Builds the binary, and the image from it: `[--dev] [--name NAME] [--output FILE]`.
pub(crate) fn run(args: &[OsString]) -> Result<(), Failure> {
    let asked = parse(args)?;
    progress::heading(if asked.dev {
        "building outrigger"
    } else {
        "building outrigger as a static release (takes some minutes)"
    });
    // Its tool is built with it: with the features of the whole workspace nothing is built twice.
    let tool = ["build", "--workspace", "--bin=outrigger-image"];
    let source = if asked.dev {
        command::run(command::cargo().args(tool).arg("--bin=outrigger"))?;
        Source::Program(workspace::built("outrigger")?)
    } else {
        command::run(command::cargo().args(tool))?;
        Source::Static(release()?)
    };
    assemble(&source, &asked.name, &["/outrigger"], &asked.output)
}

/// What an image is made of.
#[derive(Debug)]
pub(crate) enum Source {
    /// A program and a shell to start it by, each with the shared libraries that it needs.
    Scripted(PathBuf),
    /// A program with the shared libraries that it needs.
    Program(PathBuf),
    /// A program that needs nothing.
    Static(PathBuf),
}

/// Puts an image together from one program, by a tool that was built before. `entrypoint` is where the
/// program lies in the image, and the arguments that it always gets.
pub(crate) fn assemble(
    source: &Source,
    name: &str,
    entrypoint: &[&str],
    output: &Path,
) -> Result<(), Failure> {
    let folder = output.parent().unwrap_or(output);
    std::fs::create_dir_all(folder)
        .map_err(|error| Failure::new(format!("cannot make {}: {error}", folder.display())))?;
    progress::heading(&format!("the image {name}"));
    let mut image = command::program(workspace::built("outrigger-image")?);
    image.args(["--name", name]);
    for word in entrypoint {
        image.args(["--entrypoint", word]);
    }
    let entrypoint = entrypoint.first().copied().unwrap_or_default();
    let (option, program) = match source {
        Source::Program(program) | Source::Scripted(program) => ("--program", program),
        Source::Static(program) => ("--file", program),
    };
    if matches!(source, Source::Scripted(_)) {
        image.args([
            "--program",
            "/bin/sh=/bin/sh",
            "--program",
            "/bin/sed=/bin/sed",
        ]);
    }
    let mut file = OsString::from(program);
    file.push("=");
    file.push(entrypoint);
    image.arg(option).arg(file);
    let title = entrypoint.rsplit('/').next().unwrap_or(entrypoint);
    for (label, value) in [
        ("title", title.to_owned()),
        ("licenses", "Apache-2.0".to_owned()),
        ("version", env!("CARGO_PKG_VERSION").to_owned()),
        ("revision", revision().unwrap_or_default()),
    ] {
        image.arg("--label");
        image.arg(format!("org.opencontainers.image.{label}={value}"));
    }
    image.arg("--output").arg(output);
    let said = command::read(&mut image)?;
    let binary = std::fs::metadata(program).map_or(0, |file| file.len());
    progress::say(&format!(
        "{}: {} (its binary: {binary} bytes)",
        output.display(),
        said.trim_end()
    ));
    Ok(())
}

fn parse(args: &[OsString]) -> Result<Asked, Failure> {
    let (mut dev, mut name, mut output) = (false, None, None);
    let mut args = args.iter();
    while let Some(arg) = args.next() {
        let mut value = || {
            args.next()
                .ok_or_else(|| Failure::usage(format!("{} needs a value", arg.display())))
        };
        match arg.to_str() {
            Some("--dev") => dev = true,
            Some("--name") => name = Some(value()?.to_string_lossy().into_owned()),
            Some("--output") => output = Some(PathBuf::from(value()?)),
            _ => {
                return Err(Failure::usage(format!(
                    "unexpected argument: {}\n  hint: the command knows --dev, --name and --output",
                    arg.display()
                )));
            }
        }
    }
    let tag = if dev {
        "dev"
    } else {
        env!("CARGO_PKG_VERSION")
    };
    Ok(Asked {
        dev,
        name: name.unwrap_or_else(|| format!("outrigger:{tag}")),
        output: match output {
            Some(output) => output,
            None => workspace::target()?.join(format!("image/outrigger-{tag}.tar")),
        },
    })
}

/// The static binary, from a target folder of its own: the flags, which keep this machine's paths out
/// of it, would otherwise have everything else built again.
fn release() -> Result<PathBuf, Failure> {
    let target = format!("{}-unknown-linux-musl", std::env::consts::ARCH);
    if command::read(Command::new("musl-gcc").arg("--version")).is_err() {
        return Err(Failure::new(
            "there is no musl-gcc, which compiles the C parts of a static binary\n  hint: apt-get install musl-tools",
        ));
    }
    command::run(command::program("rustup").args(["target", "add", &target]))?;
    let folder = workspace::target()?.join("image");
    let flags = [
        (workspace::root().to_owned(), "/outrigger"),
        (folder.clone(), "/target"),
        (cargo_home()?, "/cargo"),
    ]
    .map(|(path, instead)| format!("--remap-path-prefix={}={instead}", path.display()));
    let variable = target.to_uppercase().replace('-', "_");
    let mut cargo = command::cargo();
    cargo
        .args([
            "build",
            "--release",
            "--package",
            "outrigger",
            "--target",
            &target,
        ])
        .arg("--target-dir")
        .arg(&folder)
        .env(
            format!("CARGO_TARGET_{variable}_RUSTFLAGS"),
            flags.join(" "),
        );
    if let Some(revision) = revision() {
        cargo.env("OUTRIGGER_REVISION", revision);
    }
    command::run(&mut cargo)?;
    Ok(folder.join(&target).join("release/outrigger"))
}

fn cargo_home() -> Result<PathBuf, Failure> {
    let path = |name| std::env::var_os(name).filter(|value| !value.is_empty());
    path("CARGO_HOME")
        .map(PathBuf::from)
        .or_else(|| path("HOME").map(|home| PathBuf::from(home).join(".cargo")))
        .ok_or_else(|| Failure::new("neither CARGO_HOME nor HOME is set"))
}

/// The commit, where this is a checkout.
fn revision() -> Option<String> {
    let said = command::read(command::program("git").args(["rev-parse", "HEAD"])).ok()?;
    Some(said.trim_end().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_image_is_named_by_version_and_a_dev_image_is_dev() {
        let version = env!("CARGO_PKG_VERSION");
        let asked = parse(&[]).unwrap();
        assert_eq!(asked.name, format!("outrigger:{version}"));
        assert!(
            asked
                .output
                .ends_with(format!("image/outrigger-{version}.tar"))
        );
        let asked = parse(&["--dev".into(), "--output".into(), "x.tar".into()]).unwrap();
        assert_eq!(
            (asked.name.as_str(), asked.output),
            ("outrigger:dev", PathBuf::from("x.tar"))
        );
    }

    #[test]
    fn an_option_without_its_value_is_refused() {
        assert_eq!(parse(&["--name".into()]).unwrap_err().status, 2);
        assert_eq!(parse(&["--nam".into()]).unwrap_err().status, 2);
    }
}
