//! `outrigger-image`: an image from files of this machine. `cargo xtask image` and the test cluster
//! run it.

use std::error::Error;
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use outrigger_image::{Image, Layer, archive, libraries};

const HELP: &str = "\
Puts a container image together from a few files, without a daemon and the same at each build.

Usage: outrigger-image --name NAME --output FILE --entrypoint PROGRAM [OPTIONS]

Options:
  --name NAME            The image's whole name, with its tag
  --output FILE          The archive to write (an OCI layout that Docker reads too)
  --entrypoint WORD      What it runs; again for each further word
  --file SOURCE=TARGET   A file of this machine, and where it is in the image; again for each
  --program SOURCE=TARGET
                         The same for a program, with the shared libraries that it needs
  --folder TARGET[:MODE] An empty folder, with its mode in octal (755)
  --user UID:GID         Who runs it (65532:65532)
  --env NAME=VALUE       A variable; again for each
  --label NAME=VALUE     A label; again for each

Writes the digest and the size of the archive to standard output.
";

fn main() -> ExitCode {
    match run(std::env::args().skip(1).collect()) {
        Ok(report) => {
            drop(write!(std::io::stdout(), "{report}"));
            ExitCode::SUCCESS
        }
        Err(error) => {
            let mut stderr = std::io::stderr();
            drop(writeln!(stderr, "error: {error}"));
            let mut cause = error.source();
            while let Some(source) = cause {
                drop(writeln!(stderr, "caused by: {source}"));
                cause = source.source();
            }
            ExitCode::FAILURE
        }
    }
}

fn run(args: Vec<String>) -> Result<String, Box<dyn Error>> {
    if args.is_empty() || args.iter().any(|arg| arg == "--help") {
        return Ok(HELP.to_owned());
    }
    let mut image = Image {
        architecture: architecture().to_owned(),
        user: "65532:65532".to_owned(),
        ..Image::default()
    };
    let mut layer = Layer::new();
    let mut output = None;
    let mut args = args.into_iter();
    while let Some(option) = args.next() {
        let value = args
            .next()
            .ok_or_else(|| format!("{option} needs a value"))?;
        match option.as_str() {
            "--name" => image.name = value,
            "--output" => output = Some(PathBuf::from(value)),
            "--entrypoint" => image.entrypoint.push(value),
            "--user" => image.user = value,
            "--env" => image.env.push(value),
            "--label" => image.labels.push(pair(&option, &value)?),
            "--file" | "--program" => {
                let (source, target) = pair(&option, &value)?;
                layer.add_file(Path::new(&source), &target)?;
                if option == "--program" {
                    libraries::add(&mut layer, Path::new(&source))?;
                }
            }
            "--folder" => {
                let (target, mode) = value.split_once(':').unwrap_or((&value, "755"));
                let mode = u32::from_str_radix(mode, 8)
                    .map_err(|_| format!("`{mode}` is no mode in octal"))?;
                layer.add_folder(target, mode)?;
            }
            _ => return Err(format!("unknown option: {option}\nhint: see --help").into()),
        }
    }
    if image.name.is_empty() || image.entrypoint.is_empty() {
        return Err("--name and --entrypoint are needed".into());
    }
    let output = output.ok_or("--output is needed")?;
    let (digest, bytes) = archive(&image, &layer);
    // Whoever reads the archive sees none or all of it.
    let part = output.with_extension("part");
    fs::write(&part, &bytes)?;
    fs::rename(&part, &output)?;
    Ok(format!("{digest} {} bytes\n", bytes.len()))
}

fn pair(option: &str, value: &str) -> Result<(String, String), String> {
    value
        .split_once('=')
        .map(|(left, right)| (left.to_owned(), right.to_owned()))
        .ok_or_else(|| format!("{option} takes two values with `=` between them, not `{value}`"))
}

/// As images name it.
fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}
