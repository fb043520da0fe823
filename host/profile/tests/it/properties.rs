//! Nothing that anyone can write makes the parser panic, and each finding names a place that is there.

use outrigger_profile::document::Document;
use outrigger_profile::parse;
use proptest::prelude::*;

/// Every key once.
const WHOLE: &str = include_str!("../ui/every_key.yaml");

/// Texts that mean something to YAML or to us.
const PIECES: &[&str] = &[
    ":",
    ": ",
    "- ",
    "\n",
    "\n  ",
    "\t",
    "{",
    "}",
    "[",
    "]",
    "&a ",
    "*a",
    "<<: *a",
    "!!str ",
    "|\n",
    ">",
    "'",
    "\"",
    "#",
    "---\n",
    "...\n",
    "? ",
    "%",
    "0644",
    "1e999",
    ".nan",
    "~",
    "null",
    "true",
    "-1",
    "99999999999999999999",
    "spec",
    "port",
    "5s",
    "{{ x }}",
    "\u{feff}",
    "\u{0}",
    "é",
    "\u{85}",
    "\u{2028}",
    "\r",
];

fn check(text: &str) -> Result<(), TestCaseError> {
    let (profile, findings) = parse(text, "p.yaml");
    prop_assert_eq!(profile.is_none(), findings.has_errors());
    let lines = text.lines().count().max(1);
    for finding in &findings.0 {
        prop_assert!(finding.line <= lines, "{finding}\nof {lines} lines");
        prop_assert_eq!(&finding.file, "p.yaml");
        prop_assert!(
            !finding.problem.is_empty() && !finding.problem.contains('\n'),
            "{finding}"
        );
        prop_assert!(!finding.problem.starts_with("cannot be read"), "{finding}");
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_text_makes_the_parser_panic(text in "(?s).{0,300}") {
        check(&text)?;
    }

    #[test]
    fn no_heap_of_yamls_own_signs_makes_the_parser_panic(
        pieces in prop::collection::vec(prop::sample::select(PIECES), 0..60)
    ) {
        check(&pieces.concat())?;
    }

    #[test]
    fn each_finding_of_a_damaged_profile_names_a_line_that_exists(
        damage in prop::collection::vec((any::<prop::sample::Index>(), 0..12_usize, prop::sample::select(PIECES)), 1..4)
    ) {
        let mut text: Vec<char> = WHOLE.chars().collect();
        for (at, length, piece) in damage {
            let start = at.index(text.len() + 1);
            let end = (start + length).min(text.len());
            text.splice(start..end, piece.chars());
        }
        let text: String = text.into_iter().collect();
        check(&text)?;
    }

    #[test]
    fn each_value_of_a_profile_may_be_replaced_by_any_other(
        line in any::<prop::sample::Index>(),
        value in prop::sample::select(&[
            "", "x", "5", "-5", "70000", "1.5", "true", "[]", "{}", "[1, x]", "{a: b}", "\"\"", "\"5\"", "1s",
        ])
    ) {
        let lines: Vec<&str> = WHOLE.lines().collect();
        let at = line.index(lines.len());
        let mut changed: Vec<String> = lines.iter().map(|l| (*l).to_owned()).collect();
        if let Some((key, _)) = lines[at].split_once(": ") {
            changed[at] = format!("{key}: {value}");
        }
        let text = changed.join("\n");
        check(&text)?;
        // A replaced value is read as YAML, whatever it means.
        prop_assert!(Document::parse_all(&text, "p.yaml").is_ok(), "{text}");
    }
}
