//! Images become programs of this machine: found, or installed by their ordinary client.

use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use outrigger_profile::Finding;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::Command;

use crate::manifest::{Install, Manifests, ProgramEntry, without_tag};
use crate::plan::Program;

/// What stands for the images, and what is missing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Programs {
    /// By image, as the manifests write it.
    pub by_image: BTreeMap<String, Program>,
    /// What must be installed first.
    pub missing: Vec<Missing>,
}

/// A program that is not there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Missing {
    /// The image that it stands for.
    pub image: String,
    /// Its name.
    pub program: String,
    /// The command that installs it, its variables first.
    pub command: InstallCommand,
}

/// A command that installs a program.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InstallCommand {
    /// Variables.
    pub env: Vec<(String, String)>,
    /// The client and its arguments.
    pub argv: Vec<String>,
}

impl std::fmt::Display for InstallCommand {
    /// As it can be typed into a shell.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (name, value) in &self.env {
            write!(f, "{name}={} ", quoted(value))?;
        }
        let words: Vec<String> = self.argv.iter().map(|word| quoted(word)).collect();
        f.write_str(&words.join(" "))
    }
}

fn quoted(word: &str) -> String {
    let plain = !word.is_empty()
        && word
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"-_./@+=:,~".contains(&b));
    if plain {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

/// A program could not be installed.
#[derive(Debug, thiserror::Error)]
pub enum InstallError {
    /// The client is missing or could not be started.
    #[error("cannot run `{command}`")]
    Start {
        /// The command.
        command: String,
        /// Why.
        source: std::io::Error,
    },
    /// The client failed.
    #[error("`{command}` failed with exit code {code}:\n{said}")]
    Failed {
        /// The command.
        command: String,
        /// Its exit code.
        code: i32,
        /// The last lines that it wrote.
        said: String,
    },
}

/// Finds the program of each image that the manifests name.
pub fn resolve(manifests: &Manifests, cache: &Path, path: &[PathBuf]) -> (Programs, Vec<Finding>) {
    let mut programs = Programs::default();
    let mut findings = Vec::new();
    let mut seen = BTreeSet::new();
    for set in &manifests.stateful_sets {
        let Some(pod) = &set.object.spec.template.spec else {
            continue;
        };
        let lists = [
            ("initContainers", pod.init_containers.as_ref()),
            ("containers", Some(&pod.containers)),
        ];
        for (field, list) in lists {
            for (index, container) in list.into_iter().flatten().enumerate() {
                let Some(image) = container.image.as_deref().filter(|image| !image.is_empty())
                else {
                    continue;
                };
                if !seen.insert(image) {
                    continue;
                }
                let place = format!("spec.template.spec.{field}[{index}].image");
                let entry = manifests.programs.iter().find(|entry| entry.matches(image));
                let problem = match entry {
                    Some(entry) => of_entry(entry, image, cache, path, &mut programs),
                    None => without_entry(image, container.command.as_ref(), path, &mut programs),
                };
                if let Err((problem, hint)) = problem {
                    let finding = Finding::error(place, problem).hint(hint);
                    findings.push(set.origin.locate(finding));
                }
            }
        }
    }
    (programs, findings)
}

/// What is wrong, and what to do.
type Problem = (String, String);

/// The manifest's own command, or a program that is called as the image.
fn without_entry(
    image: &str,
    command: Option<&Vec<String>>,
    path: &[PathBuf],
    programs: &mut Programs,
) -> Result<(), Problem> {
    let bare = without_tag(image);
    let name = command
        .and_then(|command| command.first())
        .map_or_else(|| bare.rsplit('/').next().unwrap_or(bare), String::as_str);
    let Some(found) = on_path(name, path) else {
        return Err((
            format!("no program of this machine stands for `{image}`"),
            format!(
                "put `{name}` on PATH, or add a `kind: Local` with `programs: [{{image: {bare}, \
                 command: [PROGRAM]}}]`"
            ),
        ));
    };
    let entry_point = vec![found.to_string_lossy().into_owned()];
    programs
        .by_image
        .insert(image.to_owned(), Program { entry_point });
    Ok(())
}

/// Takes a program over from the cache or from `PATH`; notes it as missing where it can be had.
fn of_entry(
    entry: &ProgramEntry,
    image: &str,
    cache: &Path,
    path: &[PathBuf],
    programs: &mut Programs,
) -> Result<(), Problem> {
    let Some((name, rest)) = entry.command.split_first() else {
        return Ok(());
    };
    let found = match &entry.install {
        None => on_path(name, path).ok_or_else(|| {
            (
                format!("its program `{name}` is not on PATH"),
                "install it, or add `install:` to its entry in `kind: Local`".to_owned(),
            )
        })?,
        // The version that is asked for is in the cache; what is on PATH may be another one.
        Some(install) => {
            let file = root_of(install, cache).join("bin").join(name);
            let install = command(install, cache);
            // Two images may stand for one program.
            let known = programs
                .missing
                .iter()
                .any(|missing| missing.command == install);
            if !known && !executable(&file) {
                programs.missing.push(Missing {
                    image: image.to_owned(),
                    program: name.clone(),
                    command: install,
                });
            }
            file
        }
    };
    let mut entry_point = vec![found.to_string_lossy().into_owned()];
    entry_point.extend_from_slice(rest);
    programs
        .by_image
        .insert(image.to_owned(), Program { entry_point });
    Ok(())
}

/// The folder below which a program is installed.
fn root_of(install: &Install, cache: &Path) -> PathBuf {
    let (Install::Cargo {
        cargo: package,
        version,
    }
    | Install::Go {
        go: package,
        version,
    }) = install;
    // Two modules may end with the same word, `v2` above all.
    let package = package.replace('/', "_");
    cache.join("programs").join(format!("{package}-{version}"))
}

fn command(install: &Install, cache: &Path) -> InstallCommand {
    let root = root_of(install, cache).to_string_lossy().into_owned();
    match install {
        Install::Cargo { cargo, version } => InstallCommand {
            env: Vec::new(),
            argv: [
                "cargo",
                "install",
                cargo,
                "--version",
                version,
                "--locked",
                "--root",
                &root,
            ]
            .map(str::to_owned)
            .to_vec(),
        },
        Install::Go { go, version } => InstallCommand {
            env: vec![("GOBIN".to_owned(), format!("{root}/bin"))],
            argv: vec![
                "go".to_owned(),
                "install".to_owned(),
                format!("{go}@{version}"),
            ],
        },
    }
}

/// Runs the command; each line that the client writes is told.
///
/// # Cancel safety
/// A dropped call ends the client; what it installed by then stays.
pub async fn install(missing: &Missing, mut tell: impl FnMut(&str)) -> Result<(), InstallError> {
    let shown = missing.command.to_string();
    let start = |source| InstallError::Start {
        command: shown.clone(),
        source,
    };
    let (program, arguments) = missing
        .command
        .argv
        .split_first()
        .expect("a command has a program");
    let mut child = Command::new(program)
        .args(arguments)
        .envs(
            missing
                .command
                .env
                .iter()
                .map(|(name, value)| (name, value)),
        )
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .map_err(start)?;
    let mut last = std::collections::VecDeque::new();
    if let Some(stderr) = child.stderr.take() {
        let mut lines = BufReader::new(stderr).lines();
        while let Ok(Some(line)) = lines.next_line().await {
            tell(line.trim());
            if last.len() == 20 {
                last.pop_front();
            }
            last.push_back(line);
        }
    }
    let status = child.wait().await.map_err(start)?;
    if status.success() {
        return Ok(());
    }
    Err(InstallError::Failed {
        command: shown,
        code: crate::entry::exit_code(status),
        said: Vec::from(last).join("\n"),
    })
}

/// A program by its name or absolute path.
fn on_path(name: &str, path: &[PathBuf]) -> Option<PathBuf> {
    let given = Path::new(name);
    if given.is_absolute() && executable(given) {
        return Some(given.to_path_buf());
    }
    // An image's path of its own: what counts is the name.
    let name = given.file_name()?;
    path.iter()
        .filter(|folder| folder.is_absolute())
        .map(|folder| folder.join(name))
        .find(|file| executable(file))
}

fn executable(file: &Path) -> bool {
    std::fs::metadata(file)
        .is_ok_and(|metadata| metadata.is_file() && metadata.permissions().mode() & 0o111 != 0)
}
