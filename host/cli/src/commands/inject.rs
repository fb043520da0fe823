//! `outrigger inject` and `outrigger uninject`: the webhook's decision and patch, in manifests.

use std::fmt::Write as _;
use std::io::IsTerminal as _;

use anstyle::Style;
use outrigger_injector::manifest::{self, Decided};
use outrigger_injector::{Decision, SystemEntropy};
use outrigger_profile::{Finding, Findings};

use super::manifests::{self, Given, add};
use crate::args::{Inject, Uninject};
use crate::env;
use crate::error_report::Failure;
use crate::exit_code::Exit;

/// Puts sidecars into manifests.
pub(crate) fn run(args: &Inject) -> Result<Exit, Failure> {
    let settings = manifests::settings(&args.injected)?;
    let given = Given::read(&args.files, &args.injected)?;
    let mut findings = given.findings();
    let (mut texts, mut report) = (Vec::new(), String::new());
    for source in given.sources() {
        match given.inject(source, &settings, &SystemEntropy) {
            Ok(injected) => {
                for one in &injected.workloads {
                    findings.extend(one.findings.iter().cloned());
                    writeln!(report, "{}:{}", source.file, line(one))?;
                    if args.explain {
                        explain(&mut report, one)?;
                    }
                }
                texts.push((source, injected.text));
            }
            Err(wrong) => add(&mut findings, wrong.0),
        }
    }
    finish(findings, &texts, args.write, &report)
}

/// Takes sidecars out of manifests.
pub(crate) fn undo(args: &Uninject) -> Result<Exit, Failure> {
    let given = Given::read(&args.files, &crate::args::Injected::default())?;
    let mut findings = given.findings();
    let (mut texts, mut report) = (Vec::new(), String::new());
    for source in given.sources() {
        match manifest::uninject(&source.text, &source.file) {
            Ok(uninjected) => {
                for workload in &uninjected.workloads {
                    let (file, line) = (&source.file, workload.line);
                    writeln!(
                        report,
                        "{file}:{line}: {workload}: the sidecar is taken out"
                    )?;
                }
                texts.push((source, uninjected.text));
            }
            Err(error) => add(&mut findings, manifests::unusable(error).0),
        }
    }
    if report.is_empty() && !Findings(findings.clone()).has_errors() {
        report.push_str("no workload has a sidecar: everything stays as it is\n");
    }
    finish(findings, &texts, args.write, &report)
}

/// Writes what came of it, unless anything is wrong.
fn finish(
    findings: Vec<Finding>,
    texts: &[(&outrigger_local::manifest::Source, String)],
    write: bool,
    report: &str,
) -> Result<Exit, Failure> {
    let findings = Findings(findings);
    if findings.has_errors() {
        return Err(findings.into());
    }
    manifests::put(texts, write)?;
    if !findings.0.is_empty() {
        manifests::tell(&format!("{findings}\n"));
    }
    manifests::tell(report);
    Ok(Exit::Done)
}

fn line(one: &Decided) -> String {
    let outcome = match &one.outcome.decision {
        Decision::Inject(_) if one.unchanged => "it has its sidecar already".to_owned(),
        Decision::Inject(injection) => {
            format!(
                "the sidecar is put in, with the profile {}",
                injection.profile
            )
        }
        Decision::Skip(reason) => format!("it stays as it is: {reason}"),
        Decision::Deny(denial) => format!("it is refused: {}", denial.message),
    };
    format!("{}: {}: {outcome}", one.workload.line, one.workload)
}

fn explain(report: &mut String, one: &Decided) -> std::fmt::Result {
    let color = std::io::stderr().is_terminal() && env::read("NO_COLOR").is_none();
    let bold = if color {
        Style::new().bold()
    } else {
        Style::new()
    };
    for field in &one.explained {
        let (path, value, why) = (&field.path, &field.value, &field.why);
        writeln!(report, "  {bold}{path}{bold:#} = {value}\n      {why}")?;
    }
    Ok(())
}
