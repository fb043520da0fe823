//! A component that is no plugin at all.

#![expect(unsafe_code, reason = "the generated bindings of every guest have it")]

#[expect(clippy::pedantic, reason = "generated")]
mod bindings {
    wit_bindgen::generate!({
        inline: "
            package example:other;
            world other {
                import elsewhere: interface { ask: func() -> string; }
                export greet: func() -> string;
            }
        ",
    });
}

struct Other;

impl bindings::Guest for Other {
    fn greet() -> String {
        bindings::elsewhere::ask()
    }
}

bindings::export!(Other with_types_in bindings);
