//! A plugin of a border that this host does not speak.

#![expect(unsafe_code, reason = "the generated bindings of every guest have it")]

mod bindings {
    wit_bindgen::generate!({
        inline: "
            package outrigger:plugin@0.9.0;
            interface plugin { describe: func() -> string; }
            world base { export plugin; }
        ",
    });
}

struct Other;

impl bindings::exports::outrigger::plugin::plugin::Guest for Other {
    fn describe() -> String {
        "from the future".into()
    }
}

bindings::export!(Other with_types_in bindings);
