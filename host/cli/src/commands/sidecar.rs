//! `outrigger sidecar`: the runtime beside one replica.

use std::ffi::OsString;
use std::io::IsTerminal as _;
use std::time::Duration;

use outrigger_api_server::ApiServer;
use outrigger_plugin_host::Compiler;
use outrigger_profile::env::{EnvVar, LOG, OTLP_ENDPOINT};
use outrigger_profile::{Finding, Findings};
use outrigger_sidecar::config::{self, Config};
use outrigger_sidecar::{Ended, Sidecar, SidecarError, SidecarSetup};
use outrigger_telemetry::{LogConfig, LogFormat, Telemetry, TelemetryError};

use crate::builtins::BUILTINS;
use crate::env;
use crate::error_report::{Advised, Failure};
use crate::exit_code::Exit;

/// How long the last traces and metrics may take to be exported.
const FLUSH_WITHIN: Duration = Duration::from_secs(2);

/// Runs it until it is told to end.
pub(crate) fn run() -> Result<Exit, Failure> {
    let config = Config::from_env(&env::read)?;
    // One thread for everything but guests: a sidecar has little to do and should stay small.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let outcome = runtime.block_on(sidecar(config));
    runtime.shutdown_background();
    outcome
}

async fn sidecar(config: Config) -> Result<Exit, Failure> {
    let telemetry = telemetry(&config)?;
    let signals = outrigger_shutdown::signals()?;
    // `up` has no API server, wherever it runs.
    let api = match config.local {
        Some(_) => None,
        None => api_server(),
    };
    let setup = SidecarSetup {
        config,
        builtins: BUILTINS,
        compiler: compiler()?,
        log: telemetry.log(),
        otlp: telemetry.metrics(),
        api,
    };
    let exit = match Sidecar::start(setup).await {
        Ok(sidecar) => match sidecar.run(signals).await {
            Ended::InOrder(_) => Ok(Exit::Done),
            Ended::Fault(fault) => Err(fault.into()),
        },
        Err(SidecarError::BadInput(findings)) => Err(findings.into()),
        Err(SidecarError::Admin(error)) => {
            let hint = error.hint();
            Err(Advised::new(error, hint).into())
        }
        Err(error) => Err(error.into()),
    };
    telemetry.shutdown(FLUSH_WITHIN).await;
    exit
}

/// By the pod's service account; a sidecar does its work without one too.
fn api_server() -> Option<ApiServer> {
    outrigger_api_server::connect_in_cluster().unwrap_or_else(|error| {
        let cause = std::error::Error::source(&error).map(ToString::to_string);
        tracing::warn!(%error, cause, "The API server is not asked for anything");
        None
    })
}

fn telemetry(config: &Config) -> Result<Telemetry, Failure> {
    let format = match config.log_format {
        Some(config::LogFormat::Text) => LogFormat::Text,
        None if std::io::stderr().is_terminal() => LogFormat::Text,
        Some(config::LogFormat::Json) | None => LogFormat::Json,
    };
    let identity = &config.identity;
    let resource = [
        ("service.name", "outrigger-sidecar".to_owned()),
        ("k8s.namespace.name", identity.namespace.clone()),
        ("k8s.statefulset.name", identity.stateful_set.clone()),
        ("k8s.pod.name", identity.pod()),
    ];
    let color = std::io::stderr().is_terminal() && env::read("NO_COLOR").is_none();
    let log = LogConfig {
        filter: config.log_filter.clone(),
        format,
        color,
    };
    outrigger_telemetry::init(&log, config.otlp_endpoint.as_deref(), resource).map_err(named)
}

/// What the environment asks for and telemetry cannot do is bad input, with the variable's name.
fn named(error: TelemetryError) -> Failure {
    let variable: EnvVar = match &error {
        TelemetryError::Filter(_) => LOG,
        TelemetryError::Otlp { .. } | TelemetryError::Https { .. } => OTLP_ENDPOINT,
        TelemetryError::Twice => return error.into(),
    };
    let finding = Finding::error(variable.name, error.to_string());
    let finding = match error.hint() {
        Some(hint) => finding.hint(hint),
        None => finding,
    };
    Findings(vec![finding]).into()
}

/// Components that are not built in are compiled by this same program, in a process of its own.
fn compiler() -> Result<Compiler, Failure> {
    let own = std::env::current_exe()?;
    Ok(Compiler::Child(vec![
        own.into_os_string(),
        OsString::from("__compile"),
    ]))
}
