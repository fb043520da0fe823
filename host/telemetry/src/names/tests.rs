//! The reference of metrics, from the names themselves.

use std::fmt::Write as _;
use std::path::PathBuf;

const INTRODUCTION: &str = "\
# Metrics

Generated from the names in `src/names.rs`; `UPDATE=1 cargo test -p outrigger-telemetry` writes it anew. Counters end
with `_total` in an exposition. `outrigger_build_info` is everywhere, the build as labels of a constant 1.
";

/// Each name with what is said of it.
fn named() -> Vec<(String, String)> {
    let (mut all, mut said) = (Vec::new(), String::new());
    for line in include_str!("../names.rs").lines() {
        if let Some(text) = line.strip_prefix("/// ") {
            if !said.is_empty() {
                said.push(' ');
            }
            said.push_str(text);
        } else if let Some((_, name)) = line.split_once(": &str = \"") {
            let name = name.trim_end_matches("\";").to_owned();
            all.push((name, std::mem::take(&mut said)));
        } else {
            said.clear();
        }
    }
    all.retain(|(name, _)| name != super::PREFIX && name != super::BUILD_INFO);
    all
}

fn reference() -> String {
    let (webhook, sidecar): (Vec<_>, Vec<_>) = named()
        .into_iter()
        .partition(|(name, _)| name.starts_with("outrigger_webhook_"));
    let mut text = INTRODUCTION.to_owned();
    for (title, place, all) in [
        (
            "The sidecar",
            "At `/metrics` of port 7070, beside the plugin's and the workload's own.",
            sidecar,
        ),
        ("The webhook", "At `/metrics` of port 7071.", webhook),
    ] {
        write!(
            text,
            "\n## {title}\n\n{place}\n\n| name | meaning |\n|---|---|\n"
        )
        .unwrap();
        for (name, meaning) in all {
            writeln!(text, "| `{name}` | {meaning} |").unwrap();
        }
    }
    text
}

#[test]
fn the_reference_of_metrics_is_up_to_date() {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("METRICS.md");
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(&path, reference()).unwrap();
    }
    let stored = std::fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(stored, reference(), "UPDATE=1 stores it");
}

#[test]
fn every_name_is_one_of_ours_and_says_what_it_means() {
    let all = named();
    assert!(all.len() > 40, "{}", all.len());
    for (name, meaning) in all {
        assert!(name.starts_with(super::PREFIX), "{name}");
        assert!(meaning.ends_with('.'), "{name}: {meaning}");
    }
}
