//! The profiles that ship inside the program: with `outrigger.dev/workload: agdb` alone a pod gets what
//! the workload's example has.

use crate::did_you_mean;

/// One profile that ships inside the program.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Builtin {
    /// The name by which pods ask for it.
    pub name: &'static str,
    /// What the folder or `ConfigMap` of such a profile holds, by file name: the document and the
    /// templates.
    pub files: &'static [(&'static str, &'static str)],
}

/// The files of a folder of `builtin/`.
macro_rules! files {
    ($folder:literal: $($file:literal),+) => {
        &[$(($file, include_str!(concat!("../builtin/", $folder, "/", $file)))),+]
    };
}

/// All of them, by name.
pub const BUILTINS: &[Builtin] = &[
    Builtin {
        name: "agdb",
        files: files!("agdb": "outrigger.yaml", "agdb_server.yaml"),
    },
    Builtin {
        name: "aistore-proxy",
        files: files!("aistore-proxy": "outrigger.yaml", "ais_local.json", "ais.json"),
    },
    Builtin {
        name: "aistore-target",
        files: files!("aistore-target": "outrigger.yaml", "ais_local.json", "ais.json"),
    },
    Builtin {
        name: "oxia-coordinator",
        files: files!("oxia-coordinator": "outrigger.yaml", "cluster.yaml", "coordinator.yaml"),
    },
    Builtin {
        name: "oxia-server",
        files: files!("oxia-server": "outrigger.yaml", "dataserver.yaml"),
    },
    Builtin {
        name: "piko",
        files: files!("piko": "outrigger.yaml", "server.yaml"),
    },
    Builtin {
        name: "tag",
        files: files!("tag": "outrigger.yaml"),
    },
];

/// What stands before a built-in profile's name where a profile is named.
pub const BUILTIN_PREFIX: &str = "builtin:";

/// The built-in profile of this name.
pub fn builtin(name: &str) -> Option<&'static Builtin> {
    BUILTINS.iter().find(|builtin| builtin.name == name)
}

/// What to say to a name that no built-in profile has.
pub fn no_builtin_hint(name: &str) -> String {
    let names: Vec<&str> = BUILTINS.iter().map(|builtin| builtin.name).collect();
    match did_you_mean(name, names.iter().copied()) {
        Some(near) => format!("did you mean `{near}`?"),
        None => format!("there are {}", names.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::layout::PROFILE_KEY;

    #[test]
    fn every_built_in_profile_is_right_and_has_its_templates() {
        for builtin in BUILTINS {
            let text = builtin
                .files
                .iter()
                .find(|(name, _)| *name == PROFILE_KEY)
                .map(|(_, text)| *text)
                .unwrap();
            let (profile, findings) = crate::parse(text, PROFILE_KEY);
            assert!(findings.0.is_empty(), "{}: {findings}", builtin.name);
            for file in profile.unwrap().files {
                if let crate::FileFrom::Template(template) = file.from {
                    assert!(
                        builtin.files.iter().any(|(name, _)| *name == template),
                        "{}: {template}",
                        builtin.name
                    );
                }
            }
        }
    }

    #[test]
    fn a_built_in_profile_is_that_of_the_workloads_example() {
        let examples = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples");
        for builtin in BUILTINS {
            for (name, text) in builtin.files {
                // `oxia-server` is the part `server` of the example `oxia`.
                let folder = builtin.name.replacen('-', "/", 1);
                let example = std::fs::read_to_string(examples.join(folder).join(name)).unwrap();
                // Oxia's example brings the Services of its servers; elsewhere nobody knows of any.
                let is_same = |line: &&str| !line.starts_with("    server-services: ");
                let [example, text] = [&*example, *text]
                    .map(|text| text.lines().filter(is_same).collect::<Vec<_>>().join("\n"));
                assert_eq!(example, text, "{}/{name}", builtin.name);
            }
        }
    }

    #[test]
    fn an_unknown_name_is_answered_with_those_that_there_are() {
        assert_eq!(no_builtin_hint("agbd"), "did you mean `agdb`?");
        let hint = no_builtin_hint("postgres");
        assert!(hint.starts_with("there are agdb, "), "{hint}");
    }
}
