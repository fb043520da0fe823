//! `outrigger webhook`: answers the API server's admission reviews.

mod cluster;
mod folder;

use std::io::IsTerminal as _;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use outrigger_injector::Settings;
use outrigger_injector::certificate::{MountedCertificates, ServingCert};
use outrigger_injector::webhook::{Webhook, WebhookConfig, WebhookError, World, limits};
use outrigger_profile::document::Document;
use outrigger_profile::env::{LOG, LOG_FORMAT};
use outrigger_profile::{Finding, Findings};
use outrigger_shutdown::{Deadline, Shutdown, Signals, Tasks};
use outrigger_telemetry::{LogConfig, LogFormat};
use tracing::info;

use crate::args;
use crate::env;
use crate::error_report::{Advised, Failure};
use crate::exit_code::Exit;

/// Runs until it is told to end.
pub(crate) fn run(args: args::Webhook) -> Result<Exit, Failure> {
    let settings = settings(&args)?;
    // One thread: a review costs microseconds, and memory is dearer.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let outcome = runtime.block_on(webhook(args, settings));
    runtime.shutdown_background();
    outcome
}

async fn webhook(args: args::Webhook, mut settings: Settings) -> Result<Exit, Failure> {
    logs(&args)?;
    let signals = outrigger_shutdown::signals()?;
    let shutdown = Shutdown::new();
    let tasks = Tasks::new(shutdown.clone());
    let webhook = Webhook::bind(WebhookConfig {
        listen: args.listen,
        admin: args.metrics,
        tls_min: args.tls_min.into(),
        connection_life: args.connection_life,
        linger: args.linger,
    })
    .await
    .map_err(advised)?;
    let addresses = (webhook.address()?, webhook.admin_address()?);
    let serving = ServingCert::new();
    let world: Arc<dyn World> = match &args.catalog {
        Some(folder) => {
            let certificates = mounted(&args)?;
            let catalog = folder::catalog(folder)?;
            let word = shutdown.clone();
            tasks.spawn("certificates", certificates.run(serving.clone(), word));
            Arc::new(catalog)
        }
        None => Arc::new(cluster::join(&args, &mut settings, &serving, &tasks).await?),
    };
    webhook.serve(world, settings, serving, &tasks)?;
    info!(reviews = %addresses.0, metrics = %addresses.1, "The webhook listens");
    end(signals, &tasks, args.linger).await
}

/// Waits for the word to end, or for a part that ended when it should not.
async fn end(mut signals: Signals, tasks: &Tasks, linger: Duration) -> Result<Exit, Failure> {
    let fault = tokio::select! {
        signal = signals.next() => {
            tasks.shutdown().trigger(signal.to_string());
            None
        }
        fault = tasks.fault() => {
            tasks.shutdown().trigger(fault.to_string());
            Some(fault)
        }
    };
    let within = linger + limits::TOTAL_TIMEOUT + Duration::from_secs(1);
    tokio::select! {
        _ = tasks.finish(Deadline::after(within)) => {}
        _ = signals.next() => info!("The end is not waited for"),
    }
    match fault {
        None => Ok(Exit::Done),
        Some(fault) => Err(fault.to_string().into()),
    }
}

/// What is injected: the file of settings, and the options that have precedence.
fn settings(args: &args::Webhook) -> Result<Settings, Failure> {
    let mut settings = match &args.settings {
        Some(file) => read_settings(file)?,
        None => Settings::default(),
    };
    if let Some(image) = &args.image {
        settings.image.clone_from(image);
    }
    if let Some(policy) = &args.image_pull_policy {
        settings.image_pull_policy = Some(policy.clone());
    }
    Ok(settings)
}

pub(super) fn read_settings(file: &Path) -> Result<Settings, Failure> {
    let name = file.display().to_string();
    let wrong = |problem: String| Findings(vec![Finding::error("", problem).in_file(&name)]);
    let text = std::fs::read_to_string(file)
        .map_err(|error| wrong(format!("the settings cannot be read: {error}")))?;
    let documents = Document::parse_all(&text, &name).map_err(|finding| Findings(vec![finding]))?;
    match &documents[..] {
        [] => Ok(Settings::default()),
        [document] => {
            Ok(serde_json::from_value(document.to_json())
                .map_err(|error| wrong(error.to_string()))?)
        }
        _ => Err(wrong("the settings are one document, and here are more".to_owned()).into()),
    }
}

fn logs(args: &args::Webhook) -> Result<(), Failure> {
    let terminal = std::io::stderr().is_terminal();
    let json = match env::read(LOG_FORMAT.name).as_deref() {
        Some("text") => false,
        Some("json") => true,
        _ => !terminal,
    };
    let filter = args.log.clone().or_else(|| env::read(LOG.name));
    let config = LogConfig {
        filter: filter.unwrap_or_else(|| "info".to_owned()),
        format: if json {
            LogFormat::Json
        } else {
            LogFormat::Text
        },
        color: terminal && env::read("NO_COLOR").is_none(),
    };
    match outrigger_telemetry::init(&config, None, []) {
        // Nothing is exported, so nothing has to be ended either.
        Ok(_) => Ok(()),
        Err(error) => {
            let finding = Finding::error("--log", error.to_string());
            let finding = match error.hint() {
                Some(hint) => finding.hint(hint),
                None => finding,
            };
            Err(Findings(vec![finding]).into())
        }
    }
}

/// The certificate of `--certificates mounted`.
fn mounted(args: &args::Webhook) -> Result<MountedCertificates, Failure> {
    match &args.certificates {
        args::Certificates::Mounted(folder) => {
            Ok(MountedCertificates::in_folder(folder, names(args)?))
        }
        args::Certificates::SelfSigned => {
            let finding = Finding::error(
                "--certificates",
                "self-signed certificates are kept in a Secret, and without a cluster there is none",
            );
            Err(Findings(vec![
                finding.hint("add --certificates mounted=DIR with tls.crt and tls.key"),
            ])
            .into())
        }
    }
}

/// The names by which API servers know the webhook.
fn names(args: &args::Webhook) -> Result<Vec<String>, Failure> {
    let service = &args.service;
    // Without a cluster it goes by any name that the certificate has.
    if args.catalog.is_some() {
        return Ok(Vec::new());
    }
    let namespace = namespace(args)?;
    Ok(vec![
        format!("{service}.{namespace}.svc"),
        format!("{service}.{namespace}"),
    ])
}

/// The webhook's own namespace.
fn namespace(args: &args::Webhook) -> Result<String, Failure> {
    let found = args.namespace.clone();
    found
        .or_else(|| env::read(outrigger_profile::env::POD_NAMESPACE.name))
        .ok_or_else(|| {
            let finding = Finding::error("--namespace", "the webhook's namespace is not known");
            let hint = "set it, or POD_NAMESPACE by the downward API";
            Findings(vec![finding.hint(hint)]).into()
        })
}

fn advised(error: WebhookError) -> Failure {
    match error {
        WebhookError::Listen { .. } => Advised::new(
            error,
            "take another address with --listen and --metrics, or end who listens there",
        )
        .into(),
        WebhookError::Tls(_) => error.into(),
    }
}
