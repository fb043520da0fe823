//! What a data server would not start with, or take without a word, in a configuration that is about to be put in
//! place. It is the same for every server: who a server is, the coordinator's list says.

use outrigger_plugin_sdk::Diagnostic;
use outrigger_plugin_sdk::inspect::{self, Inspection};
use outrigger_plugin_sdk::yaml::Node;

use crate::config::unknown_keys;

/// The keys of each section that has any; Oxia ignores those that it does not know.
const SECTIONS: &[(&[&str], &[&str])] = &[
    (
        &[],
        &[
            "server",
            "replication",
            "storage",
            "scheduler",
            "featureFlags",
            "observability",
        ],
    ),
    (&["server"], &["public", "internal"]),
    (&["server", "public"], &["bindAddress", "auth", "tls"]),
    (&["server", "internal"], &["bindAddress", "auth", "tls"]),
    (&["replication"], &["tls"]),
    (&["storage"], &["wal", "database", "notification"]),
    (&["storage", "wal"], &["dir", "sync", "retention"]),
    (&["storage", "database"], &["dir", "readCacheSizeMB"]),
    (&["storage", "notification"], &["retention"]),
    (&["scheduler"], &["checksum"]),
    (&["scheduler", "checksum"], &["interval"]),
    (&["featureFlags"], &["authorityValidation"]),
    (&["observability"], &["metric", "log"]),
    (
        &["observability", "metric"],
        &["enabled", "bindAddress", "tls"],
    ),
    (&["observability", "log"], &["level"]),
];

/// Where something listens, and whether only this pod has to reach it.
const ADDRESSES: &[(&[&str], bool)] = &[
    (&["server", "public", "bindAddress"], false),
    (&["server", "internal", "bindAddress"], false),
    (&["observability", "metric", "bindAddress"], true),
];

/// What is kept on a disk, and where that is unless it is said.
const FOLDERS: &[(&[&str], &str)] = &[
    (&["storage", "wal", "dir"], "./data/wal"),
    (&["storage", "database", "dir"], "./data/db"),
];

const SPANS: &[&[&str]] = &[
    &["storage", "wal", "retention"],
    &["storage", "notification", "retention"],
    &["scheduler", "checksum", "interval"],
];

const DOES_NOT_START: &str = "Oxia does not start with it";

/// What is wrong with a configuration.
pub fn check(path: &str, content: &[u8]) -> Vec<Diagnostic> {
    let root = match inspect::yaml(path, content) {
        Ok(Some(root)) => root,
        Ok(None) => {
            let hint = "Oxia starts all the same, and keeps its data in its working folder";
            return vec![Diagnostic::error(path, 0, "the file is empty").hint(hint)];
        }
        Err(found) => return vec![found.hint(DOES_NOT_START)],
    };
    let mut found = Inspection::new(path);
    unknown_keys(&root, SECTIONS, &mut found);
    for (folder, default) in FOLDERS {
        check_folder(&root, folder, default, &mut found);
    }
    for (address, is_local) in ADDRESSES {
        check_address(&root, address, *is_local, &mut found);
    }
    for span in SPANS {
        if let Some((text, line)) = root.filled(span)
            && !is_span(&text)
        {
            let message = format!("`{}: {text}` is no span of time", span.join("."));
            found.error(
                line,
                message,
                "numbers with units, such as 1h30m; the units are h, m, s and ms",
            );
        }
    }
    let cache = ["storage", "database", "readCacheSizeMB"];
    if let Some((text, line)) = root.filled(&cache)
        && text.parse::<i64>().is_err()
    {
        let message = format!("`{}: {text}` is no whole number", cache.join("."));
        found.error(line, message, "write megabytes, without a unit");
    }
    found.into_diagnostics()
}

fn check_folder(root: &Node, folder: &[&str], default: &str, found: &mut Inspection<'_>) {
    const HINT: &str = "write a path on the claim: what is elsewhere is gone with the container";
    let key = folder.join(".");
    match root.filled(folder) {
        None => found.error(
            0,
            format!("`{key}` is not set: Oxia takes {default} in its working folder"),
            HINT,
        ),
        Some((path, line)) if !path.starts_with('/') => {
            found.error(line, format!("`{key}: {path}` is no absolute path"), HINT);
        }
        Some(_) => {}
    }
}

fn check_address(root: &Node, address: &[&str], is_local: bool, found: &mut Inspection<'_>) {
    let Some((text, line)) = root.filled(address) else {
        return;
    };
    let key = address.join(".");
    let parts = text.rsplit_once(':');
    let Some((host, _)) = parts.filter(|(_, port)| port.parse::<u16>().is_ok()) else {
        let message = format!("`{key}: {text}` has no port");
        return found.error(line, message, DOES_NOT_START);
    };
    if !is_local && (host == "localhost" || host == "[::1]" || host.starts_with("127.")) {
        let message = format!("`{key}: {text}` is reached from within this pod alone");
        let hint =
            "bind to 0.0.0.0: the coordinator, the other servers and clients come from elsewhere";
        found.error(line, message, hint);
    }
}

/// As Go reads them: numbers, each with a unit, such as `1h30m` and `1.5s`; `0` alone needs none.
fn is_span(text: &str) -> bool {
    let mut rest = text.strip_prefix(['-', '+']).unwrap_or(text);
    if rest == "0" {
        return true;
    }
    let mut spans = 0;
    while !rest.is_empty() {
        let number = rest
            .find(|c: char| !c.is_ascii_digit() && c != '.')
            .unwrap_or(rest.len());
        let (digits, after) = rest.split_at(number);
        if digits.matches('.').count() > 1 || !digits.contains(|c: char| c.is_ascii_digit()) {
            return false;
        }
        let unit = after
            .find(|c: char| c.is_ascii_digit() || c == '.')
            .unwrap_or(after.len());
        let (unit, after) = after.split_at(unit);
        if !matches!(unit, "h" | "m" | "s" | "ms" | "us" | "µs" | "ns") {
            return false;
        }
        rest = after;
        spans += 1;
    }
    spans > 0
}

#[cfg(test)]
mod tests {
    use super::*;
    use outrigger_plugin_sdk::Severity;
    use proptest::prelude::*;

    const RIGHT: &str = include_str!("../tests/data/dataserver.yaml");

    fn told(text: &str) -> Vec<String> {
        check("dataserver.yaml", text.as_bytes())
            .into_iter()
            .map(|found| {
                let severity = match found.severity {
                    Severity::Error => "error",
                    Severity::Warning => "warning",
                };
                format!("{severity} {}: {}", found.line, found.message)
            })
            .collect()
    }

    #[test]
    fn what_the_example_renders_is_right() {
        assert_eq!(told(RIGHT), Vec::<String>::new());
    }

    #[test]
    fn what_oxia_does_not_start_with_is_refused() {
        for (right, wrong, message) in [
            (
                "retention: 1h",
                "retention: 1day",
                "`storage.wal.retention: 1day` is no span of time",
            ),
            (
                "retention: 1h",
                "retention: 3600",
                "`storage.wal.retention: 3600` is no span of time",
            ),
            (
                "MB: 100",
                "MB: 100Mi",
                "`storage.database.readCacheSizeMB: 100Mi` is no whole number",
            ),
            (
                "0.0.0.0:6648",
                "0.0.0.0",
                "`server.public.bindAddress: 0.0.0.0` has no port",
            ),
        ] {
            assert!(RIGHT.contains(right), "{right}");
            let found = told(&RIGHT.replace(right, wrong));
            assert_eq!(found.len(), 1, "{found:?}");
            assert!(
                found[0].starts_with("error") && found[0].ends_with(message),
                "{found:?}"
            );
        }
        assert!(told("server: [\n")[0].starts_with("error"));
    }

    #[test]
    fn what_oxia_takes_without_a_word_is_told() {
        let empty = &check("dataserver.yaml", b"# nothing\n")[0];
        assert_eq!(empty.message, "the file is empty");
        assert!(empty.hint.ends_with("keeps its data in its working folder"));
        let without = RIGHT.replace("dir: /data/wal", "dri: /data/wal");
        assert_eq!(
            told(&without),
            [
                "error 0: `storage.wal.dir` is not set: Oxia takes ./data/wal in its working folder",
                "warning 7: `dri` is no key of `storage.wal`",
            ]
        );
        let relative = RIGHT.replace("dir: /data/db", "dir: data/db");
        assert!(
            told(&relative)[0].ends_with("`storage.database.dir: data/db` is no absolute path")
        );
        let own = RIGHT.replace("0.0.0.0:6649", "127.0.0.1:6649");
        assert!(told(&own)[0].ends_with("is reached from within this pod alone"));
    }

    #[test]
    fn spans_are_read_as_go_reads_them() {
        for right in ["1h", "1h30m", "1.5s", "-5m", "0", "100ms", ".5s"] {
            assert!(is_span(right), "{right}");
        }
        for wrong in ["", "1", "1day", "h", "1.2.3s", "5 m", "-", "1h30"] {
            assert!(!is_span(wrong), "{wrong}");
        }
    }

    proptest! {
        #[test]
        fn any_text_ends_in_findings_or_none(text in "[a-z0-9:{} \\n./-]{0,120}") {
            let _found = check("dataserver.yaml", text.as_bytes());
        }
    }
}
