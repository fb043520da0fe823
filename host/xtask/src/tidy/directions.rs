//! Who may use whom: the rooms of the workspace and their doors, written down once.

use super::Violation;
use super::manifest::{Kind, Manifest};

/// One crate of ours.
struct Room {
    package: &'static str,
    /// The crates of ours that it may use.
    uses: &'static [&'static str],
    /// What its tests, benchmarks and build script may use besides.
    tools: &'static [&'static str],
}

const fn room(package: &'static str, uses: &'static [&'static str]) -> Room {
    Room {
        package,
        uses,
        tools: &[],
    }
}

/// Dependencies point one way, and host and guests meet in `wit/` alone: no list of the host names
/// the SDK or a plugin, and no list of a plugin names a crate of the host.
const ROOMS: &[Room] = &[
    room("outrigger-peers", &[]),
    room("outrigger-profile", &["outrigger-peers"]),
    room("outrigger-shutdown", &[]),
    room("outrigger-telemetry", &[]),
    room("outrigger-plugin-build", &[]),
    room("outrigger-api-server", &["outrigger-shutdown"]),
    Room {
        package: "outrigger-plugin-host",
        uses: &["outrigger-peers", "outrigger-profile"],
        tools: &["outrigger-plugin-build"],
    },
    room("outrigger-dashboard", &["outrigger-peers"]),
    Room {
        package: "outrigger-sidecar",
        uses: &[
            "outrigger-api-server",
            "outrigger-dashboard",
            "outrigger-peers",
            "outrigger-plugin-host",
            "outrigger-profile",
            "outrigger-shutdown",
            "outrigger-telemetry",
        ],
        tools: &["outrigger-plugin-build"],
    },
    room(
        "outrigger-injector",
        &[
            "outrigger-api-server",
            "outrigger-peers",
            "outrigger-profile",
            "outrigger-shutdown",
            "outrigger-telemetry",
        ],
    ),
    room(
        "outrigger-rollout",
        &["outrigger-api-server", "outrigger-peers"],
    ),
    room(
        "outrigger-local",
        &[
            "outrigger-peers",
            "outrigger-profile",
            "outrigger-shutdown",
            "outrigger-telemetry",
        ],
    ),
    Room {
        package: "outrigger",
        uses: &[
            "outrigger-api-server",
            "outrigger-injector",
            "outrigger-local",
            "outrigger-peers",
            "outrigger-plugin-host",
            "outrigger-profile",
            "outrigger-rollout",
            "outrigger-shutdown",
            "outrigger-sidecar",
            "outrigger-telemetry",
        ],
        tools: &["outrigger-plugin-build"],
    },
    room("outrigger-image", &[]),
    room("outrigger-xtask", &[]),
    room("outrigger-plugin-sdk", &[]),
    room("outrigger-plugin-agdb", &["outrigger-plugin-sdk"]),
    room("outrigger-plugin-piko", &["outrigger-plugin-sdk"]),
    room("outrigger-plugin-tag", &["outrigger-plugin-sdk"]),
    room("outrigger-plugin-oxia", &["outrigger-plugin-sdk"]),
    room("outrigger-plugin-aistore", &["outrigger-plugin-sdk"]),
    room("outrigger-test-guests", &[]),
    room("outrigger-stand-ins", &[]),
    Room {
        package: "outrigger-tests",
        uses: &[],
        tools: &["outrigger-plugin-build"],
    },
    room(
        "outrigger-cluster-tests",
        &["outrigger-plugin-build", "outrigger-tests"],
    ),
];

/// Heavy dependencies and the rooms that keep them in. `deny.toml` holds the same for what comes in
/// by way of others.
const FENCES: &[(&str, &[&str])] = &[
    ("wasmtime", &["outrigger-plugin-host"]),
    ("clap", &["outrigger"]),
    ("hickory-server", &["outrigger-local"]),
    ("rtnetlink", &["outrigger-local"]),
    ("wit-component", &["outrigger-plugin-build"]),
    (
        "wit-bindgen",
        &["outrigger-plugin-sdk", "outrigger-test-guests"],
    ),
    ("minijinja", &["outrigger-sidecar"]),
    (
        "notify",
        &["outrigger-injector", "outrigger-sidecar", "outrigger-local"],
    ),
    ("kube", &["outrigger-api-server", "outrigger-injector"]),
    ("rcgen", &["outrigger-injector", "outrigger-sidecar"]),
    ("hickory-resolver", &["outrigger-sidecar"]),
    ("opentelemetry_sdk", &["outrigger-telemetry"]),
    ("opentelemetry-otlp", &["outrigger-telemetry"]),
    ("tracing-subscriber", &["outrigger-telemetry"]),
];

/// What one member may not depend on.
pub(super) fn check(manifest: &Manifest) -> Vec<Violation> {
    let package = manifest.package();
    let Some(room) = ROOMS.iter().find(|room| room.package == package) else {
        let message = format!(
            "`{package}` is new: say in host/xtask/src/tidy/directions.rs which of our crates it may use"
        );
        return vec![Violation::new(&manifest.file, 0, message)];
    };
    let mut found = Vec::new();
    for (kind, entry) in manifest.dependencies() {
        let name = entry.key.as_str();
        let ours = name == "outrigger" || name.starts_with("outrigger-");
        let allowed =
            room.uses.contains(&name) || (kind != Kind::Normal && room.tools.contains(&name));
        if ours && !allowed {
            let message = format!(
                "`{package}` may not use `{name}`: dependencies point one way (ARCHITECTURE.md)"
            );
            found.push(Violation::new(&manifest.file, entry.line, message));
        }
        if let Some((_, rooms)) = FENCES.iter().find(|(fenced, _)| *fenced == name)
            && !(rooms.contains(&package) || kind == Kind::Dev && !is_engine(name))
        {
            let message = format!("only {} may use `{name}`", rooms.join(", "));
            found.push(Violation::new(&manifest.file, entry.line, message));
        }
    }
    found
}

/// The engine stays in its room even in tests.
fn is_engine(name: &str) -> bool {
    name == "wasmtime"
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn check_text(text: &str) -> Vec<String> {
        check(&Manifest::parse(Path::new("x/Cargo.toml"), text))
            .into_iter()
            .map(|violation| violation.message)
            .collect()
    }

    #[test]
    fn the_engine_outside_its_room_is_found_even_for_tests() {
        let found = check_text(
            "[package]\nname = \"outrigger-sidecar\"\n[dev-dependencies]\nwasmtime.workspace = true\n",
        );
        assert_eq!(found, ["only outrigger-plugin-host may use `wasmtime`"]);
    }

    #[test]
    fn a_dependency_that_points_back_is_found() {
        let found = check_text(
            "[package]\nname = \"outrigger-peers\"\n[dependencies]\noutrigger-profile.workspace = true\n",
        );
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(found[0].starts_with("`outrigger-peers` may not use `outrigger-profile`"));
    }

    #[test]
    fn a_plugin_that_uses_a_crate_of_the_host_is_found() {
        let found = check_text(
            "[package]\nname = \"outrigger-plugin-agdb\"\n[dependencies]\noutrigger-peers.workspace = true\n",
        );
        assert_eq!(found.len(), 1, "{found:?}");
    }

    #[test]
    fn the_dashboard_cannot_reach_the_sidecar() {
        let found = check_text(
            "[package]\nname = \"outrigger-dashboard\"\n[dependencies]\noutrigger-sidecar.workspace = true\n",
        );
        assert_eq!(found.len(), 1, "{found:?}");
    }

    #[test]
    fn the_injector_cannot_reach_the_plugin_host() {
        let found = check_text(
            "[package]\nname = \"outrigger-injector\"\n[dependencies]\noutrigger-plugin-host.workspace = true\n",
        );
        assert_eq!(found.len(), 1, "{found:?}");
    }

    #[test]
    fn building_guests_is_for_tests_and_build_scripts() {
        let as_tool = "[package]\nname = \"outrigger-plugin-host\"\n[dev-dependencies]\noutrigger-plugin-build.workspace = true\n";
        assert!(check_text(as_tool).is_empty());
        assert_eq!(check_text(&as_tool.replace("dev-", "")).len(), 1);
    }

    #[test]
    fn a_crate_that_the_table_does_not_know_is_found() {
        assert_eq!(check_text("[package]\nname = \"outrigger-new\"\n").len(), 1);
    }

    #[test]
    fn no_room_of_the_host_names_a_guest_and_no_guest_names_the_host() {
        let is_guest = |name: &str| {
            name == "outrigger-plugin-sdk"
                || name == "outrigger-test-guests"
                || name.starts_with("outrigger-plugin-")
                    && name != "outrigger-plugin-host"
                    && name != "outrigger-plugin-build"
        };
        for room in ROOMS {
            for used in room.uses.iter().chain(room.tools) {
                assert_eq!(
                    is_guest(room.package),
                    is_guest(used),
                    "{} uses {used}",
                    room.package
                );
            }
        }
    }
}
