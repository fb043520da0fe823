use proptest::prelude::*;
use serde_json::json;

use super::*;

fn accepts(key: &Key, text: &str) -> bool {
    check(key.place, key.name, &json!(text)).is_ok()
}

#[test]
fn every_example_of_the_reference_is_accepted() {
    for key in KEYS {
        for example in key.grammar.examples().split('`').skip(1).step_by(2) {
            assert!(accepts(key, example), "{}: {example}", key.name);
        }
    }
}

#[test]
fn every_key_is_taken_over() {
    for key in KEYS
        .iter()
        .filter(|key| !["role", "status"].contains(&key.name))
    {
        let text = match key.grammar {
            Grammar::Bool => "true",
            Grammar::Builtin => "agdb",
            Grammar::Order => "last",
            Grammar::Port => "7170",
            Grammar::Cpu => "1",
            Grammar::Memory => "64Mi",
            Grammar::LogFilter => "debug",
            Grammar::Url => "http://a:1",
            Grammar::Name { .. } | Grammar::Image | Grammar::Status => "a",
        };
        let (known, value) = match check(key.place, key.name, &json!(text)) {
            Ok((known, _)) => (known, text),
            Err(finding) => panic!("{finding}"),
        };
        let mut asked = Asked::default();
        asked.take(known, value);
        assert_ne!(asked, Asked::default(), "{}", key.name);
    }
}

#[test]
fn what_could_end_a_text_or_a_path_is_refused_everywhere() {
    for key in KEYS {
        for text in [
            "", " ", "a b", "a\nb", "a\0", "a\"b", "a'b", "a;b", "$(a)", "`a`", "../a", "a\\b",
            "{a}", "ä", "-a", "a|b",
        ] {
            assert!(!accepts(key, text), "{}: {text:?}", key.name);
        }
    }
}

#[test]
fn a_hostile_key_is_shown_without_control_characters_and_cut() {
    let key = format!("\u{1b}[31m{}", "x".repeat(500));
    let finding = check(Place::Annotation, &key, &json!("a")).unwrap_err();
    assert!(!finding.problem.contains('\u{1b}'));
    assert!(finding.problem.len() < 200);
}

proptest! {
    #[test]
    fn no_value_that_passes_holds_more_than_the_allowed_characters(text in ".{0,40}", index in 0..KEYS.len()) {
        let key = &KEYS[index];
        if key.grammar != Grammar::Status && accepts(key, &text) {
            prop_assert!(text.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-/:@=,[]%~".contains(&b)), "{text:?}");
        }
    }
}
