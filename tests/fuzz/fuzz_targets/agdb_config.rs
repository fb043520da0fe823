//! Any text is a configuration as agdb reads it, with what is wrong in its lines; one without faults reads the same
//! when each entry is written on a line of its own.
#![no_main]

use libfuzzer_sys::fuzz_target;
use outrigger_fuzz::{lines, members, sound};
use outrigger_plugin_agdb::config::{Config, parse};
use outrigger_plugin_agdb::settings::Settings;
use outrigger_plugin_agdb::template::check;

/// Keys and values; quotes at a value's ends count for nothing.
fn meaning(config: &Config) -> Vec<(&str, &str)> {
    let is_dropped = |c: char| c.is_whitespace() || c == '\'' || c == '"';
    let entries = config.entries.iter();
    entries
        .map(|entry| (entry.key.as_str(), entry.value.trim_matches(is_dropped)))
        .collect()
}

fuzz_target!(|text: &str| {
    let config = parse(text);
    let places: Vec<u32> = config.entries.iter().map(|entry| entry.line).collect();
    assert!(places.is_sorted_by(|one, next| one < next));
    assert!(places.iter().all(|line| (1..=lines(text)).contains(line)));
    let _lists = (config.server_url(), config.cluster(), config.pepper_path());
    for problem in &config.problems {
        assert!(problem.line <= lines(text));
        assert!(!problem.message.is_empty() && !problem.hint.is_empty());
    }
    if config.problems.is_empty() {
        let entries = config.entries.iter();
        let written: String = entries
            .map(|entry| format!("{}: {}\n", entry.key, entry.value))
            .collect();
        let again = parse(&written);
        assert_eq!(meaning(&again), meaning(&config));
        assert_eq!(again.problems, []);
    }
    for own in [1, 3] {
        let found = check(
            "/agdb/agdb_server.yaml",
            text.as_bytes(),
            &Settings::default(),
            &members("agdb", own),
        );
        sound(&found, "/agdb/agdb_server.yaml", text);
    }
});
