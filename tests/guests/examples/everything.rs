//! The whole border in as little code as possible: exports every interface and calls every function
//! that it may import. Kept as a file for each version of `wit/`, and measured by the benchmark.

#![expect(unsafe_code, reason = "the generated bindings of every guest have it")]

#[expect(clippy::pedantic, reason = "generated")]
mod bindings {
    wit_bindgen::generate!({ path: "../../wit", world: "workload-plugin" });
}

use bindings::exports::outrigger::plugin::plugin::{Descriptor, Failure, Guest};
use bindings::exports::outrigger::plugin::{
    discovery, handover, health, lifecycle, metrics, templating,
};
use bindings::outrigger::plugin::types::Membership;
use bindings::outrigger::plugin::{clock, cluster, endpoint, files, log, settings, state};

struct Everything;

impl Guest for Everything {
    fn describe() -> Descriptor {
        Descriptor {
            name: "everything".into(),
            version: "0.1.0".into(),
            summary: "speaks the whole border".into(),
            settings_schema: String::new(),
            requests: r#"{"endpoints":{"api":["GET /ok"]},"volumes":["data"]}"#.into(),
            attrs: vec![("license".into(), "Apache-2.0".into())],
        }
    }

    fn configure() -> Result<(), Failure> {
        if settings::get("none").is_none() && !settings::secret_exists("none") {
            settings::all();
        }
        Ok(())
    }
}

impl health::Guest for Everything {
    fn evaluate(probe: health::Probe, now: Membership) -> Result<health::Verdict, Failure> {
        // Liveness is the bare call, for the benchmark.
        if probe == health::Probe::Liveness {
            return Ok(verdict(None));
        }
        if log::enabled(log::Level::Info) {
            log::emit(log::Level::Info, "evaluates", &[("a".into(), "b".into())]);
        }
        let began = clock::mono();
        let passed = clock::wall() > 0.0 && clock::mono() >= began;
        if cluster::current().revision != cluster::revision() || now.replicas.is_empty() || !passed
        {
            return Ok(verdict(None));
        }
        state::set("a", b"1")?;
        state::compare_and_set("a", state::get("a").as_deref(), b"2")?;
        state::delete("a");
        let request = endpoint::Request {
            endpoint: "api".into(),
            target: endpoint::Target::Peer(now.self_ordinal),
            method: endpoint::Method::Get,
            path: "/ok".into(),
            headers: Vec::new(),
            body: Vec::new(),
            timeout: 100,
        };
        let answer = endpoint::send(&request)?;
        for answer in endpoint::send_all(&[request]) {
            answer?;
        }
        files::usage("data")?;
        files::entries("data", "")?;
        // Granted for reading only, and not there: failures both.
        let none = files::read("data", "none", 1).is_err();
        let denied = files::write("data", "none", b"1").is_err();
        Ok(verdict(
            (answer.status == 200 && none && denied).then(|| "leader".into()),
        ))
    }
}

fn verdict(role: Option<String>) -> health::Verdict {
    health::Verdict {
        status: health::Status::Pass,
        reasons: Vec::new(),
        role,
        attrs: Vec::new(),
        next_check: None,
    }
}

impl discovery::Guest for Everything {
    fn resolve(now: Membership) -> Result<discovery::Plan, Failure> {
        Ok(discovery::Plan {
            outputs: Vec::new(),
            seeds: now
                .replicas
                .into_iter()
                .map(|replica| replica.host)
                .collect(),
            may_start: true,
            reason: String::new(),
        })
    }
}

impl templating::Guest for Everything {
    fn render(_now: Membership, wanted: Vec<String>) -> Result<Vec<templating::Artifact>, Failure> {
        let artifact = |path| templating::Artifact {
            path,
            content: b"content".to_vec(),
        };
        Ok(wanted.into_iter().map(artifact).collect())
    }

    fn validate(
        _now: Membership,
        _items: Vec<templating::Artifact>,
    ) -> Result<Vec<templating::Diagnostic>, Failure> {
        Ok(Vec::new())
    }
}

impl metrics::Guest for Everything {
    fn derive(_now: Membership, scraped: metrics::Batch) -> Result<metrics::Batch, Failure> {
        Ok(scraped)
    }

    fn wants() -> Vec<String> {
        vec!["*".into()]
    }
}

impl lifecycle::Guest for Everything {
    fn drain(_context: lifecycle::DrainContext) -> lifecycle::Step {
        lifecycle::Step {
            next: lifecycle::Next::Done,
            note: "done".into(),
        }
    }
}

impl handover::Guest for Everything {
    fn save() -> Vec<u8> {
        Vec::new()
    }

    fn restore(_from_version: String, _data: Vec<u8>) -> Result<(), Failure> {
        Ok(())
    }
}

bindings::export!(Everything with_types_in bindings);
