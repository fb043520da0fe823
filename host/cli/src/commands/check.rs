//! `outrigger check`: what is wrong with profiles and manifests, and with an installation in a cluster.

use std::collections::BTreeSet;
use std::io::{IsTerminal as _, Write as _};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use anstyle::{AnsiColor, Style};
use outrigger_injector::FixedEntropy;
use outrigger_injector::check::{self, Installation, Remark, Standing};
use outrigger_profile::{Finding, Findings};

use super::manifests::{self, Given, add};
use crate::args;
use crate::env;
use crate::error_report::{Advised, Failure};
use crate::exit_code::Exit;

/// Checks what is named; nothing is changed.
pub(crate) fn run(args: &args::Check) -> Result<Exit, Failure> {
    let cluster = args.cluster || args.files.is_empty() && has_cluster();
    let here = [PathBuf::from(".")];
    let files = match (&args.files[..], cluster) {
        ([], true) => None,
        ([], false) => Some(&here[..]),
        (files, _) => Some(files),
    };
    if let Some(files) = files {
        offline(files, args)?;
    }
    if cluster {
        return online(args);
    }
    Ok(Exit::Done)
}

/// Whether a kubeconfig or a service account says where a cluster is.
fn has_cluster() -> bool {
    let file =
        env::path("KUBECONFIG").or_else(|| env::path("HOME").map(|home| home.join(".kube/config")));
    file.is_some_and(|file| std::env::split_paths(&file).any(|file| Path::is_file(&file)))
        || env::read("KUBERNETES_SERVICE_HOST").is_some()
}

/// Profiles and manifests.
fn offline(files: &[PathBuf], args: &args::Check) -> Result<(), Failure> {
    let settings = manifests::settings(&args.injected)?;
    let given = Given::read(files, &args.injected)?;
    let mut findings = given.findings();
    let (mut names, mut workloads) = (BTreeSet::new(), 0_usize);
    for (name, told) in given.profiles() {
        add(&mut findings, told);
        names.insert(name);
    }
    add(&mut findings, given.only_in_a_cluster());
    for source in given.sources() {
        // The same bytes as always: nothing of this is kept.
        let entropy = FixedEntropy(0);
        match given.inject(source, &settings, &entropy) {
            Ok(injected) => {
                workloads += injected.workloads.len();
                for one in injected.workloads {
                    let own = one.findings.into_iter();
                    // They were told with their lines.
                    let new = own.filter(|finding| !repeats(finding, &names));
                    add(&mut findings, new);
                }
            }
            Err(wrong) => add(&mut findings, wrong.0),
        }
    }
    let findings = Findings(findings);
    if findings.has_errors() {
        return Err(findings.into());
    }
    if !findings.0.is_empty() {
        manifests::tell(&format!("{findings}\n"));
    }
    let text = format!(
        "{} and {}: no errors\n",
        count(names.len(), "profile"),
        count(workloads, "pod template")
    );
    std::io::stdout().lock().write_all(text.as_bytes())?;
    Ok(())
}

fn repeats(finding: &Finding, profiles: &BTreeSet<String>) -> bool {
    let rest = finding.problem.strip_prefix("profile ");
    rest.and_then(|rest| rest.split_once(": "))
        .is_some_and(|(name, _)| profiles.contains(name))
}

fn count(number: usize, what: &str) -> String {
    let plural = if number == 1 { "" } else { "s" };
    format!("{number} {what}{plural}")
}

/// The installation in a cluster.
fn online(args: &args::Check) -> Result<Exit, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let seen = runtime.block_on(async {
        let api = outrigger_api_server::connect().await?;
        let installation = Installation::in_namespace(&args.system_namespace);
        Ok::<_, outrigger_api_server::ConnectError>(
            check::look(&api, installation, &args.injected.namespace).await,
        )
    });
    let seen =
        seen.map_err(|error| Advised::new(error, "set KUBECONFIG, or name manifests with -f"))?;
    let remarks = check::evaluate(&seen, SystemTime::now());
    let color = std::io::stdout().is_terminal() && env::read("NO_COLOR").is_none();
    let mut text = String::new();
    for remark in &remarks {
        text.push_str(&shown(remark, color));
    }
    std::io::stdout().lock().write_all(text.as_bytes())?;
    let bad = remarks
        .iter()
        .any(|remark| remark.standing == Standing::Bad);
    Ok(if bad { Exit::Failed } else { Exit::Done })
}

fn shown(remark: &Remark, color: bool) -> String {
    let word = remark.standing.as_str();
    let text = remark.to_string();
    let style = match remark.standing {
        _ if !color => Style::new(),
        Standing::Good => AnsiColor::Green.on_default(),
        Standing::Doubtful => AnsiColor::Yellow.on_default(),
        Standing::Bad => AnsiColor::Red.on_default().bold(),
    };
    let rest = text.strip_prefix(word).unwrap_or(&text);
    format!("{style}{word}{style:#}{rest}\n")
}
