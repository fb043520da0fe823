//! Any text is a profile, or is refused with at least one error.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let (profile, findings) = outrigger_profile::parse(text, "fuzz.yaml");
    assert_eq!(profile.is_some(), !findings.has_errors());
    assert!(findings.0.iter().all(|finding| finding.file == "fuzz.yaml"));
});
