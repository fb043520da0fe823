//! The webhook's own certificates: this loop reads, asks [`super::renewal`], writes, and serves.

use std::time::SystemTime;

use outrigger_shutdown::Shutdown;
use tokio::sync::Notify;
use tokio::time::Instant;
use tracing::{info, warn};

use super::apply::{IssueError, apply};
use super::issue::EcdsaIssuer;
use super::pem::PemError;
use super::record::{self, RecordError};
use super::renewal::{Policy, Seen, Step, Trust, step, takes};
use super::serving::{PairError, Rotation, ServingCert, ahead_seconds, certified};
use super::state::{Bundle, CaCertificate, Leaf, State};
use crate::cluster::configuration::{COLLECTION, Configuration, ConfigurationName};
use crate::cluster::secret::{Secret, SecretName};
use outrigger_api_server::{ApiError, ApiServer, Pause, touched};

/// Steps that follow each other at once: more are never needed.
const STEPS_IN_A_ROW: u32 = 8;
/// Clocks that differ by less than this are not worth a word.
const CLOCK_TOLERANCE_SECONDS: i64 = 60;

/// Where things are in the cluster.
#[derive(Debug, Clone)]
pub struct OwnCertificates {
    /// The webhook's namespace.
    pub namespace: String,
    /// The Secret that the replicas share.
    pub secret: String,
    /// The `MutatingWebhookConfiguration`.
    pub configuration: String,
    /// Our webhooks in it; empty = all of them.
    pub webhooks: Vec<String>,
    /// For how long things are good.
    pub policy: Policy,
}

/// One look did not come to its end. The next one follows.
#[derive(Debug, thiserror::Error)]
enum LookError {
    #[error("the webhook configuration {0} cannot be read")]
    ReadConfiguration(String, #[source] ApiError),
    #[error("the webhook configuration {0} cannot be written")]
    WriteConfiguration(String, #[source] ApiError),
    #[error("the Secret {0} cannot be read")]
    ReadSecret(String, #[source] ApiError),
    #[error("the Secret {0} cannot be written")]
    WriteSecret(String, #[source] ApiError),
    #[error(transparent)]
    Issue(#[from] IssueError),
    #[error("the certificate that was made cannot be served")]
    Serve(#[source] PairError),
}

impl LookError {
    fn api(&self) -> Option<&ApiError> {
        match self {
            Self::ReadConfiguration(_, error)
            | Self::WriteConfiguration(_, error)
            | Self::ReadSecret(_, error)
            | Self::WriteSecret(_, error) => Some(error),
            Self::Issue(_) | Self::Serve(_) => None,
        }
    }

    fn text(&self) -> String {
        let mut text = self.to_string();
        if let Some(error) = self.api() {
            text = format!("{text}: {}", error.chain());
            if let Some(hint) = error.hint() {
                text = format!("{text} ({hint})");
            }
        } else if let Some(source) = std::error::Error::source(self) {
            text = format!("{text}: {source}");
        }
        text
    }
}

/// How a look ended.
enum Look {
    /// Something was written, or somebody else was quicker: look again.
    Again,
    /// All is well until something changes.
    Rest,
}

/// What this process remembers from one look to the next.
struct Keeper<'a> {
    own: &'a OwnCertificates,
    api: &'a ApiServer,
    serving: &'a ServingCert,
    secret: SecretName,
    configuration: ConfigurationName,
    begun: Instant,
    trust: Trust,
    remembered: Option<State>,
    served: Option<Leaf>,
    broken: bool,
}

impl OwnCertificates {
    /// Makes, renews and serves the certificate until shutdown.
    pub async fn run(self, api: ApiServer, serving: ServingCert, shutdown: Shutdown) {
        let changed = Notify::new();
        let secret = SecretName {
            namespace: self.namespace.clone(),
            name: self.secret.clone(),
        };
        let secrets = secret.collection();
        let mut keeper = Keeper::new(&self, &api, &serving, secret);
        tokio::select! {
            () = shutdown.triggered() => {}
            () = keeper.keep(&changed) => {}
            () = touched(&api, &secrets, &self.secret, &changed) => {}
            () = touched(&api, COLLECTION, &self.configuration, &changed) => {}
        }
    }
}

impl<'a> Keeper<'a> {
    fn new(
        own: &'a OwnCertificates,
        api: &'a ApiServer,
        serving: &'a ServingCert,
        secret: SecretName,
    ) -> Self {
        Self {
            own,
            api,
            serving,
            secret,
            configuration: ConfigurationName {
                name: own.configuration.clone(),
                webhooks: own.webhooks.clone(),
            },
            begun: Instant::now(),
            trust: Trust::default(),
            remembered: None,
            served: None,
            broken: false,
        }
    }

    async fn keep(&mut self, changed: &Notify) {
        let mut pause = Pause::default();
        let mut in_a_row = 0;
        loop {
            let wait = match self.look().await {
                Ok(Look::Rest) => {
                    pause.reset();
                    in_a_row = 0;
                    self.own.policy.look_every()
                }
                Ok(Look::Again) => {
                    in_a_row += 1;
                    if in_a_row < STEPS_IN_A_ROW {
                        continue;
                    }
                    // Somebody undoes what is written: both would go on as fast as they can.
                    pause.next()
                }
                Err(error) => {
                    let text = error.text();
                    warn!(
                        error = text,
                        "The webhook's certificate cannot be looked after"
                    );
                    self.serving.note(|standing| standing.trouble = Some(text));
                    pause.next()
                }
            };
            tokio::select! {
                () = tokio::time::sleep(wait) => {}
                () = changed.notified() => {}
            }
        }
    }

    /// Reads both objects, in this order, serves what is to be served and writes at most one of them.
    async fn look(&mut self) -> Result<Look, LookError> {
        let name = &self.own.configuration;
        let configuration = self
            .configuration
            .read(self.api)
            .await
            .map_err(|error| LookError::ReadConfiguration(name.clone(), error))?;
        let bundle = configuration.as_ref().map(bundle);
        self.trust.note(
            bundle.as_ref(),
            self.begun.elapsed(),
            self.own.policy.settle,
        );
        let secret = self
            .secret
            .read(self.api)
            .await
            .map_err(|error| LookError::ReadSecret(self.own.secret.clone(), error))?;
        let now = self.now(configuration.as_ref(), secret.as_ref());
        let record = self.record(secret.as_ref());
        if let Some(record) = &record {
            self.take(record, now, bundle.as_ref())?;
        }
        let trusted = self.served.as_ref().is_some_and(|leaf| {
            bundle
                .as_ref()
                .is_some_and(|bundle| bundle.trusts(&leaf.issuer))
        });
        self.serving.note(|standing| {
            standing.trusted = Some(trusted);
            standing.authority_until = record
                .as_ref()
                .map(|record| record.signing.certificate.validity.until);
            standing.rotation = record.as_ref().map(rotation);
        });
        let seen = Seen {
            now,
            bundle: bundle.as_ref(),
            record: record.as_ref(),
            remembered: self.remembered.as_ref(),
            trust: &self.trust,
        };
        let step = step(&self.own.policy, &seen);
        let state = apply(&step, &self.own.policy, &seen, &EcdsaIssuer)?;
        if record.is_some() {
            self.remembered = record;
        }
        let absent = bundle.is_none().then(|| {
            format!(
                "there is no webhook configuration {name} with our webhooks: apply the manifests"
            )
        });
        self.serving.note(|standing| standing.trouble = absent);
        match (&step, state, configuration) {
            (_, Some(state), _) => self.write(&step, secret.as_ref(), &state).await,
            (Step::Trust(wanted), None, Some(configuration)) => {
                self.trust(&configuration, wanted).await
            }
            _ => Ok(Look::Rest),
        }
    }

    /// The API server's time: it is the one that verifies.
    fn now(&self, configuration: Option<&Configuration>, secret: Option<&Secret>) -> SystemTime {
        let local = SystemTime::now();
        let server = secret
            .and_then(|secret| secret.time)
            .or_else(|| configuration.and_then(|configuration| configuration.time));
        let ahead = server
            .map(|server| ahead_seconds(local, server))
            .filter(|ahead| ahead.abs() > CLOCK_TOLERANCE_SECONDS);
        self.serving.note(|standing| {
            if let (Some(seconds), None) = (ahead, standing.clock_ahead_seconds) {
                warn!(
                    seconds,
                    "This machine's clock is not the API server's, which is gone by"
                );
            }
            standing.clock_ahead_seconds = ahead;
        });
        server.unwrap_or(local)
    }

    /// What the Secret holds. A broken one is as good as none, and is told once.
    fn record(&mut self, secret: Option<&Secret>) -> Option<State> {
        let read = secret.map_or(Ok(None), |secret| record::read(&secret.data));
        let broken = read.is_err();
        let state = match read {
            Ok(state) => state,
            Err(error) => {
                if !self.broken {
                    tell_broken(&self.own.secret, &error);
                }
                None
            }
        };
        self.broken = broken;
        state
    }

    fn take(
        &mut self,
        record: &State,
        now: SystemTime,
        bundle: Option<&Bundle>,
    ) -> Result<(), LookError> {
        let offered = &record.leaf;
        if !takes(
            &self.own.policy,
            now,
            self.served.as_ref(),
            offered,
            bundle,
            &self.trust,
        ) {
            return Ok(());
        }
        let key = certified(offered.pem.as_bytes(), offered.key.0.as_bytes())
            .map_err(LookError::Serve)?;
        self.serving.serve(key, offered.validity);
        info!(certificate = %offered.fingerprint, authority = %offered.issuer, days = offered.validity.left(now).as_secs() / 86_400, "A certificate is served");
        self.served = Some(offered.clone());
        Ok(())
    }

    async fn write(
        &self,
        step: &Step,
        before: Option<&Secret>,
        state: &State,
    ) -> Result<Look, LookError> {
        let data = record::write(state);
        let written = match before {
            Some(before) => {
                self.secret
                    .update(self.api, before, &data, &record::KEYS)
                    .await
            }
            None => self.secret.create(self.api, &data).await,
        };
        match written {
            Ok(()) => {
                info!(step = step.name(), "The shared certificates were written");
                Ok(Look::Again)
            }
            Err(error) if error.is(409) => Ok(Look::Again),
            Err(error) => Err(LookError::WriteSecret(self.own.secret.clone(), error)),
        }
    }

    async fn trust(
        &self,
        before: &Configuration,
        wanted: &[CaCertificate],
    ) -> Result<Look, LookError> {
        let text: String = wanted.iter().map(|one| &*one.pem).collect();
        match self.configuration.write(self.api, before, &text).await {
            Ok(()) => {
                info!(
                    authorities = wanted.len(),
                    "The webhook configuration was told whom to trust"
                );
                Ok(Look::Again)
            }
            Err(error) if error.is(409) => Ok(Look::Again),
            Err(error) => Err(LookError::WriteConfiguration(
                self.own.configuration.clone(),
                error,
            )),
        }
    }
}

fn rotation(record: &State) -> Rotation {
    if record.next.is_some() {
        Rotation::Introducing
    } else if record.retired.is_empty() {
        Rotation::Rest
    } else {
        Rotation::Retiring
    }
}

fn tell_broken(secret: &str, error: &RecordError) {
    let cause = std::error::Error::source(error).map(ToString::to_string);
    warn!(secret, %error, cause, "The Secret holds no whole record: it is made anew");
}

/// What the webhooks' bundles come to.
fn bundle(configuration: &Configuration) -> Bundle {
    // A bundle that cannot be read trusts nobody.
    let read =
        |text: &Vec<u8>| -> Result<Vec<CaCertificate>, PemError> { record::authorities(text) };
    let bundles: Vec<Vec<CaCertificate>> = configuration
        .webhooks
        .iter()
        .map(|(_, text)| read(text).unwrap_or_default())
        .collect();
    let mut trusted = Vec::new();
    let mut partly: Vec<CaCertificate> = Vec::new();
    for one in bundles.iter().flatten() {
        let known = |list: &[CaCertificate]| {
            list.iter()
                .any(|other| other.fingerprint == one.fingerprint)
        };
        if known(&trusted) || known(&partly) {
            continue;
        }
        let everywhere = bundles.iter().all(|bundle| known(bundle));
        if everywhere {
            &mut trusted
        } else {
            &mut partly
        }
        .push(one.clone());
    }
    let canonical: String = trusted.iter().map(|one| &*one.pem).collect();
    let clean = configuration
        .webhooks
        .iter()
        .all(|(_, text)| *text == canonical.as_bytes());
    Bundle {
        trusted,
        partly,
        clean,
    }
}

#[cfg(test)]
mod tests;
