//! Any text is read as YAML documents, or refused with a finding.
#![no_main]

use libfuzzer_sys::fuzz_target;
use outrigger_profile::document::Document;

fuzz_target!(|text: &str| {
    match Document::parse_all(text, "fuzz.yaml") {
        Ok(documents) => {
            for document in documents {
                let _json = document.to_json();
                let _line = document.line_of("spec.files[0].path");
            }
        }
        Err(finding) => assert_eq!(finding.file, "fuzz.yaml"),
    }
});
