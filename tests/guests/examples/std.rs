//! A guest that uses the standard library as if it were a program: prints, reads variables,
//! arguments, clocks, random numbers and files. Built for `wasm32-wasip2`.

#![expect(unsafe_code, reason = "the generated bindings of every guest have it")]

#[expect(clippy::pedantic, reason = "generated")]
mod bindings {
    wit_bindgen::generate!({ path: "../../wit", world: "health-plugin" });
}

use std::collections::HashMap;
use std::io::{Read as _, Write as _};
use std::time::{Instant, SystemTime};

use bindings::exports::outrigger::plugin::health;
use bindings::exports::outrigger::plugin::plugin::{Descriptor, Failure, Guest};

struct Std;

impl Guest for Std {
    fn describe() -> Descriptor {
        Descriptor {
            name: "std".into(),
            version: "0.1.0".into(),
            summary: "uses the standard library".into(),
            settings_schema: String::new(),
            requests: String::new(),
            attrs: Vec::new(),
        }
    }

    fn configure() -> Result<(), Failure> {
        Ok(())
    }
}

impl health::Guest for Std {
    #[expect(
        clippy::disallowed_methods,
        clippy::print_stdout,
        clippy::print_stderr,
        reason = "that is what it is for"
    )]
    fn evaluate(
        probe: health::Probe,
        _now: health::Membership,
    ) -> Result<health::Verdict, Failure> {
        match probe {
            health::Probe::Startup => std::process::exit(3),
            health::Probe::Liveness => {
                // Not granted, and not there in this host: traps or fails, as the host decides.
                let listening = std::net::TcpListener::bind("127.0.0.1:0").is_ok();
                assert!(!listening, "a socket was had");
            }
            health::Probe::Readiness => {}
        }
        println!("a line on stdout");
        eprintln!("a line on stderr");
        print!("without an end");
        let flushed = std::io::stdout().flush().is_ok();
        let began = Instant::now();
        std::thread::sleep(std::time::Duration::from_millis(20));
        let slept = began.elapsed().as_millis();
        let mut input = String::new();
        let read = std::io::stdin().read_to_string(&mut input);
        // The seed of a hash map is a random number.
        let map: HashMap<&str, u32> = [("a", 1)].into_iter().collect();
        let since_epoch = SystemTime::now()
            .duration_since(SystemTime::UNIX_EPOCH)
            .map_or(0, |span| span.as_secs());
        let seen = [
            ("variables", std::env::vars().count().to_string()),
            ("arguments", std::env::args().count().to_string()),
            ("slept", (slept >= 20).to_string()),
            ("stdin", format!("{read:?} {}", input.len())),
            ("map", map.len().to_string()),
            ("after-2020", (since_epoch > 1_577_836_800).to_string()),
            ("flushed", flushed.to_string()),
            ("file", std::fs::read("/etc/passwd").is_err().to_string()),
        ];
        Ok(health::Verdict {
            status: health::Status::Pass,
            reasons: Vec::new(),
            role: None,
            attrs: seen
                .into_iter()
                .map(|(key, value)| (key.to_owned(), value))
                .collect(),
            next_check: None,
        })
    }
}

bindings::export!(Std with_types_in bindings);
