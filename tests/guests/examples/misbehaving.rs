//! A guest that goes wrong in the way that its setting `behaviour` names, in each of its functions.

#![expect(unsafe_code, reason = "the generated bindings of every guest have it")]
#![expect(clippy::panic, reason = "that is one of the behaviours")]

#[expect(clippy::pedantic, reason = "generated")]
mod bindings {
    wit_bindgen::generate!({ path: "../../wit", world: "workload-plugin" });
}

use bindings::exports::outrigger::plugin::plugin::{Descriptor, Failure, Guest};
use bindings::exports::outrigger::plugin::{
    discovery, handover, health, lifecycle, metrics, templating,
};
use bindings::outrigger::plugin::types::{FailureKind, Membership};
use bindings::outrigger::plugin::{cluster, endpoint, files, log, settings, state};

struct Misbehaving;

/// The text of a setting, without its quotes.
fn setting(key: &str) -> Option<String> {
    let json = settings::get(key)?;
    Some(json.trim_matches('"').to_owned())
}

fn failure(message: &str) -> Failure {
    Failure {
        kind: FailureKind::Unavailable,
        message: message.into(),
        retry_after: Some(250),
    }
}

fn request(path: &str) -> endpoint::Request {
    endpoint::Request {
        endpoint: "api".into(),
        target: endpoint::Target::Local,
        method: endpoint::Method::Get,
        path: path.into(),
        headers: Vec::new(),
        body: Vec::new(),
        timeout: 0,
    }
}

#[expect(unconditional_recursion, reason = "that is the behaviour")]
fn recurse(depth: u64) -> u64 {
    let frame = std::hint::black_box([depth; 64]);
    recurse(depth + 1) + frame[0]
}

/// Goes wrong as the setting says; gives a sentence where it comes back.
fn misbehave(behaviour: &str) -> Result<String, Failure> {
    match behaviour {
        "trap" => panic!("as told"),
        // Long enough for whoever only tries it out.
        "trap-later" => {
            let calls = state::get("calls").map_or(0, |seen| seen.len());
            assert!(calls < 20, "as told");
            state::set("calls", &vec![0; calls + 1])?;
            Ok("well, for now".into())
        }
        "loop" => loop {
            std::hint::black_box(0);
        },
        "allocate" => {
            let mut kept = Vec::new();
            loop {
                kept.push(vec![1_u8; 1 << 20]);
                std::hint::black_box(&kept);
            }
        }
        "overflow-stack" => Ok(recurse(0).to_string()),
        "log-for-ever" => loop {
            log::emit(log::Level::Info, &"x".repeat(10_000), &[]);
        },
        "wait-for-endpoint" => match endpoint::send(&request("/slow")) {
            Ok(answer) => Ok(format!("status {}", answer.status)),
            Err(error) => Err(failure(&error.message)),
        },
        "many-requests" => {
            let answers = endpoint::send_all(&vec![request("/ok"); 40]);
            let good = answers.iter().filter(|answer| answer.is_ok()).count();
            Ok(format!("{good} of {} answered", answers.len()))
        }
        "denied-endpoint" => {
            let mut other = request("/ok");
            other.endpoint = "admin".into();
            let told = |request: &endpoint::Request| match endpoint::send(request) {
                Ok(answer) => format!("status {}", answer.status),
                Err(error) => format!("{:?}", error.kind),
            };
            let mut post = request("/ok");
            post.method = endpoint::Method::Post;
            let mut host = request("/ok");
            host.headers = vec![("Host".into(), "elsewhere".into())];
            let mut secret = request("/ok");
            secret.headers = vec![("x-token".into(), "${secret:token}".into())];
            let volume = match files::read("data", "../x", 10) {
                Ok(_) => "read".to_owned(),
                Err(error) => format!("{:?}", error.kind),
            };
            Ok([
                told(&other),
                told(&post),
                told(&request("/secret")),
                told(&request("/ok/../secret")),
                told(&host),
                told(&secret),
                volume,
            ]
            .join(" "))
        }
        "related" => {
            let told = |name: &str| match cluster::related(name) {
                Some(set) => {
                    let names: Vec<_> = set.replicas.iter().map(|one| &*one.name).collect();
                    format!("{name}: {} of {}", names.join(" "), set.desired)
                }
                None => format!("{name}: unknown"),
            };
            Ok(format!("{}; {}", told("servers"), told("others")))
        }
        "state-overflow" => {
            let told = match state::set("big", &vec![0; 70_000]) {
                Ok(()) => "stored".to_owned(),
                Err(error) => error.message,
            };
            state::set("count", b"1")?;
            Ok(told)
        }
        "failure" => Err(failure("not yet")),
        _ => Ok("well".into()),
    }
}

fn behaviour() -> String {
    setting("behaviour").unwrap_or_else(|| "well".into())
}

impl Guest for Misbehaving {
    fn describe() -> Descriptor {
        Descriptor {
            name: setting("name").unwrap_or_else(|| "misbehaving".into()),
            version: setting("version").unwrap_or_else(|| "0.1.0".into()),
            summary: "goes wrong".into(),
            settings_schema: r#"{"type":"object","properties":{
                "behaviour":{"type":"string"},"name":{"type":"string"},"version":{"type":"string"},
                "configure":{"enum":["refuse","trap","ask"]},"handover":{"enum":["refuse","trap"]}
            },"additionalProperties":false}"#
                .into(),
            requests: r#"{"endpoints":{"api":["GET /**"]},"volumes":["data"]}"#.into(),
            attrs: Vec::new(),
        }
    }

    fn configure() -> Result<(), Failure> {
        match setting("configure").as_deref() {
            Some("refuse") => Err(failure("these settings are not for me")),
            Some("trap") => panic!("as told"),
            Some("ask") => {
                cluster::current();
                Ok(())
            }
            _ => Ok(()),
        }
    }
}

fn verdict(message: String) -> health::Verdict {
    health::Verdict {
        status: health::Status::Degraded,
        reasons: vec![health::Reason {
            scope: health::Scope::Cluster,
            code: "behaviour".into(),
            message,
        }],
        role: Some("follower".into()),
        attrs: Vec::new(),
        next_check: Some(1500),
    }
}

impl health::Guest for Misbehaving {
    fn evaluate(probe: health::Probe, now: Membership) -> Result<health::Verdict, Failure> {
        let behaviour = behaviour();
        match behaviour.as_str() {
            // Only some probes go wrong, so that others can be seen to go on.
            _ if probe == health::Probe::Liveness => {
                Ok(verdict(format!("replica {} lives", now.self_ordinal)))
            }
            "huge-answer" => {
                let mut answer = verdict(String::new());
                // Eight bytes of the guest each, far more in the host.
                answer.attrs = vec![(String::new(), String::new()); 1_000_000];
                Ok(answer)
            }
            "bad-text" => {
                let mut answer = verdict("x".repeat(100_000));
                answer.reasons[0].code = "Not A Code!".into();
                Ok(answer)
            }
            other => misbehave(other).map(verdict),
        }
    }
}

impl discovery::Guest for Misbehaving {
    fn resolve(now: Membership) -> Result<discovery::Plan, Failure> {
        let said = misbehave(&behaviour())?;
        Ok(discovery::Plan {
            outputs: vec![("said".into(), said)],
            seeds: now
                .replicas
                .into_iter()
                .filter(|replica| replica.ordinal != now.self_ordinal)
                .map(|replica| replica.host)
                .collect(),
            may_start: true,
            reason: String::new(),
        })
    }
}

impl templating::Guest for Misbehaving {
    fn render(now: Membership, wanted: Vec<String>) -> Result<Vec<templating::Artifact>, Failure> {
        misbehave(&behaviour())?;
        let content = format!("replicas = {}\n", now.replicas.len()).into_bytes();
        Ok(wanted
            .into_iter()
            .map(|path| templating::Artifact {
                path,
                content: content.clone(),
            })
            .collect())
    }

    fn validate(
        _now: Membership,
        items: Vec<templating::Artifact>,
    ) -> Result<Vec<templating::Diagnostic>, Failure> {
        misbehave(&behaviour())?;
        Ok(items
            .into_iter()
            .map(|item| templating::Diagnostic {
                severity: templating::Severity::Warning,
                line: u32::try_from(item.content.len()).unwrap_or_default(),
                artifact: item.path,
                message: "seen".into(),
                hint: String::new(),
            })
            .collect())
    }
}

impl metrics::Guest for Misbehaving {
    fn derive(now: Membership, mut scraped: metrics::Batch) -> Result<metrics::Batch, Failure> {
        let behaviour = behaviour();
        misbehave(&behaviour)?;
        if behaviour == "bad-batch" {
            scraped.family.push(99);
        }
        scraped
            .values
            .iter_mut()
            .for_each(|value| *value += f64::from(now.desired));
        Ok(scraped)
    }

    fn wants() -> Vec<String> {
        vec!["workload_*".into()]
    }
}

impl lifecycle::Guest for Misbehaving {
    fn drain(context: lifecycle::DrainContext) -> lifecycle::Step {
        let (next, note) = match misbehave(&behaviour()) {
            Err(error) => (lifecycle::Next::Failed(error), String::new()),
            Ok(_) if context.attempt == 0 => (
                lifecycle::Next::AgainIn(context.remaining / 2),
                "waits".into(),
            ),
            Ok(_) => (lifecycle::Next::Done, "done".into()),
        };
        lifecycle::Step { next, note }
    }
}

impl handover::Guest for Misbehaving {
    fn save() -> Vec<u8> {
        b"from before".to_vec()
    }

    fn restore(from_version: String, data: Vec<u8>) -> Result<(), Failure> {
        match setting("handover").as_deref() {
            Some("refuse") => Err(failure("I cannot take over")),
            Some("trap") => panic!("as told"),
            _ => {
                let text = format!("{from_version}: {}", String::from_utf8_lossy(&data));
                state::set("restored", text.as_bytes())
            }
        }
    }
}

bindings::export!(Misbehaving with_types_in bindings);
