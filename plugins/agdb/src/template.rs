//! The check of `agdb_server.yaml` against the replicas, and the file that the plugin itself renders.

use outrigger_plugin_sdk::{Artifact, Diagnostic, Membership};

use crate::config::{self, Config, Problem};
use crate::plan::inline;
use crate::settings::Settings;

/// The one name under which agdb reads its configuration.
pub const FILE_NAME: &str = "agdb_server.yaml";

/// Whether an artifact is agdb's configuration.
pub fn is_config(path: &str) -> bool {
    path.rsplit('/').next() == Some(FILE_NAME)
}

/// What is wrong with a configuration, for this replica of this cluster.
pub fn check(path: &str, content: &[u8], settings: &Settings, now: &Membership) -> Vec<Diagnostic> {
    let Ok(text) = std::str::from_utf8(content) else {
        return vec![
            Diagnostic::error(path, 0, "the file is not UTF-8")
                .hint("check the template's encoding"),
        ];
    };
    let config = config::parse(text);
    let mut problems = config.problems.clone();
    problems.extend(cluster_problems(&config, settings, now));
    problems.extend(timeouts(&config));
    problems.sort_by_key(|problem| problem.line);
    problems
        .into_iter()
        .map(|problem| diagnostic(path, problem))
        .collect()
}

/// A problem as a diagnostic of this artifact.
pub fn diagnostic(path: &str, problem: Problem) -> Diagnostic {
    let diagnostic = if problem.harmless {
        Diagnostic::warning(path, problem.line, problem.message)
    } else {
        Diagnostic::error(path, problem.line, problem.message)
    };
    diagnostic.hint(problem.hint)
}

const USE_THE_OUTPUT: &str =
    "write `cluster: {{ plugin.cluster }}` and `address: {{ plugin.address }}`";

fn cluster_problems(config: &Config, settings: &Settings, now: &Membership) -> Vec<Problem> {
    let line_of = |key: &str| config.entry(key).map_or(0, |entry| entry.line);
    let (list_line, address_line) = (line_of("cluster"), line_of("address"));
    let cluster = config.cluster();
    let url = config.server_url();
    let desired = now.desired as usize;
    if !now.is_wanted(now.self_ordinal) {
        return vec![Problem::error(
            list_line,
            format!(
                "ordinal {} is beyond the {desired} replicas that are wanted",
                now.self_ordinal
            ),
            "nothing to do: this replica is about to be removed and keeps what it has",
        )];
    }
    // A list with a fault of its own has been told already.
    if config
        .problems
        .iter()
        .any(|p| !p.harmless && (p.line == list_line || p.line == address_line) && p.line != 0)
    {
        return Vec::new();
    }
    let mut problems = Vec::new();
    if cluster.is_empty() {
        if desired > 1 {
            problems.push(Problem::error(
                list_line,
                format!(
                    "`cluster` is {}: agdb would run as a server of its own, though {desired} replicas are wanted",
                    if list_line == 0 { "missing" } else { "empty" }
                ),
                USE_THE_OUTPUT,
            ));
        }
        return problems;
    }
    for (place, item) in cluster.iter().enumerate() {
        if cluster[..place].contains(item) {
            problems.push(Problem::error(
                list_line,
                format!("{item} stands in `cluster` twice"),
                "each replica stands in it once, in ordinal order",
            ));
        }
    }
    if cluster.len() < desired {
        problems.push(Problem::error(
            list_line,
            format!("`cluster` has {} of {desired} replicas", cluster.len()),
            USE_THE_OUTPUT,
        ));
    } else if cluster.len() > desired {
        problems.push(Problem::warning(
            list_line,
            format!("`cluster` has {} members and {desired} replicas are wanted: a majority is counted of the longer list", cluster.len()),
            USE_THE_OUTPUT,
        ));
    }
    let index = (now.self_ordinal - now.start) as usize;
    match cluster.iter().position(|item| *item == url) {
        Some(place) if place == index => {}
        Some(place) => problems.push(Problem::error(
            address_line,
            format!("{url} stands at place {place} of `cluster`, and this replica's place is {index}: it would take another's identity"),
            USE_THE_OUTPUT,
        )),
        None => problems.push(Problem::error(
            address_line,
            format!("{url} does not stand in `cluster` (compared letter by letter, with scheme, port and base path)"),
            USE_THE_OUTPUT,
        )),
    }
    for (place, (item, replica)) in cluster.iter().zip(now.wanted()).enumerate() {
        let expected = settings.url(replica);
        if *item != expected {
            problems.push(Problem::warning(
                list_line,
                format!("place {place} of `cluster` is {item}, and {} is reached under {expected}", replica.name),
                "set `scheme`, `port` and `basepath` of the plugin to what agdb uses, or correct the list",
            ));
        }
    }
    problems
}

fn timeouts(config: &Config) -> Option<Problem> {
    let heartbeat = config.number("cluster_heartbeat_timeout_ms", 1000);
    let term = config.number("cluster_term_timeout_ms", 3000);
    let line = config
        .entry("cluster_term_timeout_ms")
        .or(config.entry("cluster_heartbeat_timeout_ms"))?
        .line;
    (term < heartbeat.saturating_mul(2)).then(|| {
        Problem::warning(
            line,
            format!("a term times out after {term} ms and heartbeats come every {heartbeat} ms: one lost heartbeat starts an election"),
            "let the term timeout be at least twice the heartbeat",
        )
    })
}

/// What is wrong with a pepper file of these bytes: agdb takes 16, without the white space around them.
pub fn pepper_problem(bytes: &[u8]) -> Option<String> {
    let length = bytes.trim_ascii().len();
    (length != 16).then(|| format!("the pepper has {length} bytes and agdb takes exactly 16"))
}

/// Renders the configuration from the settings and the replicas. It holds no secret.
pub fn render(path: &str, settings: &Settings, now: &Membership) -> Option<Artifact> {
    let own = now.own()?;
    let mut lines = vec![
        format!("address: {}", settings.address(own)),
        format!("basepath: {}", settings.basepath),
        format!("cluster: {}", inline(&settings.cluster(now))),
    ];
    if !settings.server.iter().any(|(key, _)| key == "bind") {
        lines.push(format!("bind: :::{}", settings.port));
    }
    lines.extend(
        settings
            .server
            .iter()
            .map(|(key, value)| format!("{key}: {value}")),
    );
    Some(Artifact {
        path: path.to_owned(),
        content: (lines.join("\n") + "\n").into_bytes(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::membership;
    use outrigger_plugin_sdk::Severity;

    fn found(text: &str, ordinal: u32, desired: u32) -> Vec<(Severity, u32, String)> {
        check(
            "/agdb/agdb_server.yaml",
            text.as_bytes(),
            &Settings::default(),
            &membership(ordinal, desired),
        )
        .into_iter()
        .map(|d| (d.severity, d.line, d.message))
        .collect()
    }

    fn url(ordinal: u32) -> String {
        format!("http://agdb-{ordinal}.agdb.default.svc.cluster.local:3000")
    }

    fn file(address: u32, list: &[u32]) -> String {
        let list: Vec<String> = list.iter().map(|i| url(*i)).collect();
        format!(
            "address: {}\ncluster: [{}]\n",
            url(address),
            list.join(", ")
        )
    }

    #[test]
    fn a_right_configuration_has_nothing_to_say() {
        assert_eq!(found(include_str!("../tests/data/agdb-0.yaml"), 0, 3), []);
        assert_eq!(found(&file(2, &[0, 1, 2]), 2, 3), []);
        assert_eq!(found(&file(0, &[0]), 0, 1), []);
        assert_eq!(
            found("address: http://localhost:3000\n", 0, 1),
            [],
            "alone, without a list"
        );
    }

    #[test]
    fn a_missing_or_empty_list_is_refused_because_agdb_would_run_alone() {
        let alone = "agdb would run as a server of its own, though 3 replicas are wanted";
        let missing = found(&format!("address: {}", url(0)), 0, 3);
        assert_eq!(
            missing,
            [(Severity::Error, 0, format!("`cluster` is missing: {alone}"))]
        );
        let empty = found(&format!("address: {}\ncluster: []", url(0)), 0, 3);
        assert_eq!(
            empty,
            [(Severity::Error, 2, format!("`cluster` is empty: {alone}"))]
        );
    }

    #[test]
    fn a_short_list_is_refused_and_a_long_one_warned_of() {
        assert_eq!(
            found(&file(0, &[0, 1]), 0, 3),
            [(
                Severity::Error,
                2,
                "`cluster` has 2 of 3 replicas".to_owned()
            )]
        );
        assert_eq!(found(&file(0, &[0, 1, 2]), 0, 2)[0].0, Severity::Warning);
    }

    #[test]
    fn another_ones_place_is_refused() {
        let (severity, line, message) = found(&file(1, &[0, 1, 2]), 2, 3).remove(0);
        assert_eq!((severity, line), (Severity::Error, 1));
        assert!(message.ends_with("stands at place 1 of `cluster`, and this replica's place is 2: it would take another's identity"));
    }

    #[test]
    fn an_address_outside_of_the_list_is_refused() {
        let (severity, line, message) = found(&file(3, &[0, 1, 2]), 0, 3).remove(0);
        assert_eq!((severity, line), (Severity::Error, 1));
        assert!(message.contains("does not stand in `cluster`"));
        let slash = file(0, &[0, 1, 2]).replace("local:3000,", "local:3000/,");
        assert!(
            found(&slash, 0, 3)[0].2.contains("letter by letter"),
            "a slash at the end of an item counts"
        );
    }

    #[test]
    fn a_replica_that_stands_in_the_list_twice_is_refused() {
        let messages = found(&file(0, &[0, 1, 1]), 0, 3);
        assert!(
            messages
                .iter()
                .any(|m| m.0 == Severity::Error && m.2.ends_with("stands in `cluster` twice"))
        );
    }

    #[test]
    fn addresses_under_which_the_replicas_are_not_reached_are_warned_of() {
        let text = file(0, &[0, 1, 2]).replace(":3000", ":4000");
        let messages = found(&text, 0, 3);
        assert_eq!(messages.len(), 3);
        assert!(
            messages
                .iter()
                .all(|m| m.0 == Severity::Warning && m.2.contains("is reached under"))
        );
    }

    #[test]
    fn a_list_with_a_fault_of_its_own_is_told_of_once() {
        let block = format!("address: {}\ncluster:\n  - {}\n", url(0), url(0));
        let messages = found(&block, 0, 3);
        assert_eq!(
            messages
                .iter()
                .filter(|m| m.2.contains("block list"))
                .count(),
            1
        );
        let unfilled = format!(
            "address: http://agdb-{{id}}.agdb:3000\ncluster: [{}, {}]",
            url(0),
            url(1)
        );
        assert_eq!(found(&unfilled, 0, 2).len(), 1);
    }

    #[test]
    fn a_replica_that_is_about_to_be_removed_keeps_what_it_has() {
        let messages = found(&file(0, &[0, 1, 2]), 4, 3);
        assert_eq!(
            messages[0].2,
            "ordinal 4 is beyond the 3 replicas that are wanted"
        );
    }

    #[test]
    fn the_place_counts_from_the_first_ordinal() {
        let mut now = membership(6, 3);
        now.start = 5;
        now.replicas = (5..8).map(crate::testing::replica).collect();
        let text = file(6, &[5, 6, 7]);
        assert_eq!(
            check(
                "agdb_server.yaml",
                text.as_bytes(),
                &Settings::default(),
                &now
            ),
            []
        );
    }

    #[test]
    fn a_pepper_has_sixteen_bytes_without_the_white_space_around_them() {
        assert_eq!(pepper_problem(b"0123456789abcdef\n"), None);
        assert_eq!(
            pepper_problem(b"short").as_deref(),
            Some("the pepper has 5 bytes and agdb takes exactly 16")
        );
    }

    #[test]
    fn what_the_plugin_renders_passes_its_own_check() {
        let server = vec![("data_dir".to_owned(), "/agdb/data".to_owned())];
        let settings = Settings {
            server,
            basepath: "/db".to_owned(),
            ..Settings::default()
        };
        let now = membership(1, 3);
        let artifact = render("/agdb/agdb_server.yaml", &settings, &now).unwrap();
        assert_eq!(
            check(&artifact.path, &artifact.content, &settings, &now),
            []
        );
        let text = String::from_utf8(artifact.content).unwrap();
        assert!(text.starts_with("address: http://agdb-1."));
        assert!(text.ends_with("bind: :::3000\ndata_dir: /agdb/data\n"));
    }

    #[test]
    fn a_term_that_ends_before_two_heartbeats_is_warned_of() {
        let text = file(0, &[0, 1, 2]) + "cluster_heartbeat_timeout_ms: 2000\n";
        assert_eq!(found(&text, 0, 3)[0].0, Severity::Warning);
    }

    proptest::proptest! {
        #[test]
        fn any_file_gives_diagnostics_with_lines_of_the_file(
            text in r#"((cluster|address|bind|basepath|x): ?[\[\]a-z:/,{}$# "'0-9.é-]{0,30}\n?){0,6}"#,
            ordinal in 0_u32..6,
        ) {
            let lines = u32::try_from(text.lines().count()).unwrap();
            let now = membership(ordinal, 3);
            for diagnostic in check("agdb_server.yaml", text.as_bytes(), &Settings::default(), &now) {
                proptest::prop_assert!(diagnostic.line <= lines);
                proptest::prop_assert!(!diagnostic.message.is_empty() && !diagnostic.hint.is_empty());
            }
        }
    }
}
