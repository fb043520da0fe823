//! A plugin whose `health` looks like ours by its name and is another by its types.

#![expect(unsafe_code, reason = "the generated bindings of every guest have it")]

mod bindings {
    wit_bindgen::generate!({
        inline: "
            package outrigger:plugin@0.1.0;
            interface types {
                type kv = tuple<string, string>;
                type millis = u32;
                enum failure-kind { invalid-config, unavailable, denied, unsupported, conflict, limit, internal }
                record failure { kind: failure-kind, message: string, retry-after: option<millis> }
            }
            interface plugin {
                use types.{kv, failure};
                record descriptor {
                    name: string, version: string, summary: string,
                    settings-schema: string, requests: string, attrs: list<kv>,
                }
                describe: func() -> descriptor;
                configure: func() -> result<_, failure>;
            }
            interface health {
                evaluate: func(probe: u32) -> string;
            }
            world changed { export plugin; export health; }
        ",
    });
}

use bindings::exports::outrigger::plugin::plugin::{Descriptor, Failure};

struct Other;

impl bindings::exports::outrigger::plugin::plugin::Guest for Other {
    fn describe() -> Descriptor {
        Descriptor {
            name: "other-types".into(),
            version: "0.1.0".into(),
            summary: String::new(),
            settings_schema: String::new(),
            requests: String::new(),
            attrs: Vec::new(),
        }
    }

    fn configure() -> Result<(), Failure> {
        Ok(())
    }
}

impl bindings::exports::outrigger::plugin::health::Guest for Other {
    fn evaluate(probe: u32) -> String {
        probe.to_string()
    }
}

bindings::export!(Other with_types_in bindings);
