//! `outrigger policy`: the injection as admission policies, for clusters that want no webhook.

use std::io::Write as _;

use outrigger_injector::{Decision, SystemEntropy, policy};
use outrigger_profile::{Finding, Findings};

use super::manifests::{self, Given};
use crate::args;
use crate::error_report::Failure;
use crate::exit_code::Exit;

/// Prints the policies of every StatefulSet that asks for the sidecar.
pub(crate) fn run(args: &args::Policy) -> Result<Exit, Failure> {
    let settings = manifests::settings(&args.injected)?;
    let given = Given::read(&args.files, &args.injected)?;
    let mut findings = given.findings();
    let mut text = String::new();
    for source in given.sources() {
        let injected = match given.inject(source, &settings, &SystemEntropy) {
            Ok(injected) => injected,
            Err(wrong) => {
                findings.extend(wrong.0);
                continue;
            }
        };
        for one in injected.workloads {
            findings.extend(one.findings);
            if let Decision::Inject(injection) = &one.outcome.decision {
                if !text.is_empty() {
                    text.push_str("---\n");
                }
                text.push_str(&policy::policies(&one.workload, injection));
            }
        }
    }
    if text.is_empty() && !Findings(findings.clone()).has_errors() {
        let none = Finding::error(
            "",
            "no StatefulSet among the manifests asks for the sidecar",
        );
        findings.push(
            none.hint(
                "label its pod template outrigger.dev/inject: \"true\", and name its file too",
            ),
        );
    }
    let findings = Findings(findings);
    if findings.has_errors() {
        return Err(findings.into());
    }
    std::io::stdout().lock().write_all(text.as_bytes())?;
    if !findings.0.is_empty() {
        manifests::tell(&format!("{findings}\n"));
    }
    Ok(Exit::Done)
}
