//! The least plugin: it exports `plugin` and nothing else.

#![expect(unsafe_code, reason = "the generated bindings of every guest have it")]

#[expect(clippy::pedantic, reason = "generated")]
mod bindings {
    wit_bindgen::generate!({ path: "../../wit", world: "base" });
}

use bindings::exports::outrigger::plugin::plugin::{Descriptor, Failure, Guest};

struct Minimal;

impl Guest for Minimal {
    fn describe() -> Descriptor {
        Descriptor {
            name: "minimal".into(),
            version: "0.1.0".into(),
            summary: "does nothing".into(),
            settings_schema: String::new(),
            requests: String::new(),
            attrs: Vec::new(),
        }
    }

    fn configure() -> Result<(), Failure> {
        Ok(())
    }
}

bindings::export!(Minimal with_types_in bindings);
