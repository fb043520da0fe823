//! `peers` and `profile` know no IO and no clock, so the command line, the webhook and the sidecar
//! come to the same verdict about a profile; and the injector cannot reach the plugin host.

use std::path::Path;

use super::Violation;
use super::manifest::Manifest;
use super::sources;
use crate::{Failure, command};

/// A crate and what it must not reach, however indirectly.
struct Reach {
    package: &'static str,
    never: &'static [&'static str],
}

const IO: &[&str] = &[
    "tokio",
    "hyper",
    "hyper-util",
    "axum",
    "tonic",
    "mio",
    "socket2",
    "nix",
    "rustix",
    "notify",
    "wasmtime",
    "kube",
    "tracing",
    "getrandom",
    "chrono",
    "jiff",
    "time",
];

const REACH: &[Reach] = &[
    Reach {
        package: "outrigger-peers",
        never: IO,
    },
    Reach {
        package: "outrigger-profile",
        never: IO,
    },
    Reach {
        package: "outrigger-dashboard",
        never: &[
            "outrigger-sidecar",
            "outrigger-plugin-host",
            "tokio",
            "hyper",
            "nix",
        ],
    },
    Reach {
        package: "outrigger-injector",
        never: &["outrigger-plugin-host", "outrigger-sidecar", "wasmtime"],
    },
];

/// Words that no source of the pure crates may contain outside its tests.
const WORDS: &[&str] = &[
    "std::fs",
    "std::env",
    "std::net::Tcp",
    "std::net::Udp",
    "std::process",
    "std::thread",
    "std::time::Instant",
    "SystemTime",
    "File::open",
    "File::create",
    "TcpStream",
    "UdpSocket",
    "Instant::now",
    "env::var",
    "fs::read",
];

/// The pure crates' folders.
const PURE: &[&str] = &["host/peers/src", "host/profile/src"];

/// What the pure crates say and reach.
pub(super) fn check(root: &Path, members: &[Manifest]) -> Result<Vec<Violation>, Failure> {
    let mut found = Vec::new();
    for folder in PURE {
        for (file, text) in sources::rust_files(root, Path::new(folder))? {
            found.extend(check_words(&file, &text));
        }
    }
    for reach in REACH {
        let Some(member) = members
            .iter()
            .find(|member| member.package() == reach.package)
        else {
            continue;
        };
        let tree = command::read(command::cargo().args([
            "tree",
            "--package",
            reach.package,
            "--edges",
            "normal,no-proc-macro",
            "--prefix",
            "none",
            "--format",
            "{p}",
            "--locked",
        ]))?;
        found.extend(check_tree(reach, member, &tree));
    }
    Ok(found)
}

fn check_words(file: &Path, text: &str) -> Vec<Violation> {
    let mut found = Vec::new();
    for (number, line) in
        sources::code_lines(text).take_while(|(_, line)| !line.contains("#[cfg(test)]"))
    {
        for word in WORDS.iter().filter(|word| line.contains(**word)) {
            found.push(Violation::new(
                file,
                number,
                format!("`{word}`: this crate is pure; hand the value in from outside"),
            ));
        }
    }
    found
}

/// `cargo tree` without indentation: one `name vVERSION …` a line.
fn check_tree(reach: &Reach, member: &Manifest, tree: &str) -> Vec<Violation> {
    let mut reached: Vec<&str> = tree
        .lines()
        .filter_map(|line| line.split(' ').next())
        .filter(|name| reach.never.contains(name))
        .collect();
    reached.sort_unstable();
    reached.dedup();
    reached
        .iter()
        .map(|name| {
            let message = format!(
                "`{}` reaches `{name}`, which it must not\n  hint: `cargo tree -p {} -i {name}` shows the way",
                reach.package, reach.package
            );
            Violation::new(&member.file, 0, message)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn io_in_a_pure_source_is_found_but_not_in_its_comments_or_tests() {
        let text =
            "//! Never std::fs.\nuse std::fs;\n#[cfg(test)]\nmod tests {\n    use std::env;\n}\n";
        let found = check_words(Path::new("host/peers/src/x.rs"), text);
        assert_eq!(found.len(), 1, "{found:?}");
        assert_eq!(found[0].line, 2);
    }

    #[test]
    fn an_indirect_dependency_on_io_is_found_once() {
        let member = Manifest::parse(Path::new("host/peers/Cargo.toml"), "");
        let tree = "outrigger-peers v0.1.0 (somewhere)\nserde v1.0.0\ntokio v1.54.0\ntokio v1.54.0 (*)\ntokio-util v0.7.0\n";
        let found = check_tree(&REACH[0], &member, tree);
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(
            found[0]
                .message
                .starts_with("`outrigger-peers` reaches `tokio`")
        );
    }
}
