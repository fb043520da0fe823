//! What happens once changed files are in place.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use outrigger_plugin_host::{BoxFuture, EndpointRequest, Target, Transport};
use outrigger_profile::{Method, OnChange};

use super::render::RenderedFile;
use crate::control::{ControlError, WorkloadControl, signal_name};

/// How long the workload may take to answer a request to reload.
const HTTP_TIMEOUT: Duration = Duration::from_secs(5);

/// The most of an answer that is read.
const HTTP_ANSWER_BYTES_MAX: usize = 64 * 1024;

/// The actions that a commit needs, as far as these files say.
pub(super) fn needed<'a>(
    files: impl IntoIterator<Item = &'a RenderedFile>,
    changed: &[String],
) -> Vec<OnChange> {
    let changed: BTreeSet<&str> = changed.iter().map(String::as_str).collect();
    let asked = files
        .into_iter()
        .filter(|file| changed.contains(file.path.display().to_string().as_str()))
        .map(|file| &file.on_change);
    strongest(asked)
}

/// The strongest kind alone (a restart makes a signal needless, a signal a request), each different
/// one of it once.
pub(super) fn strongest<'a>(asked: impl Iterator<Item = &'a OnChange>) -> Vec<OnChange> {
    let mut strongest = 0;
    let mut needed: Vec<OnChange> = Vec::new();
    for action in asked {
        let strength = strength(action);
        if strength > strongest {
            strongest = strength;
            needed.clear();
        }
        if strength == strongest && strength > 0 && !needed.contains(action) {
            needed.push(action.clone());
        }
    }
    needed
}

fn strength(action: &OnChange) -> u8 {
    match action {
        OnChange::None => 0,
        OnChange::Http { .. } => 1,
        OnChange::Signal(_) => 2,
        OnChange::Restart => 3,
    }
}

/// An action in words.
pub(super) fn name(action: &OnChange) -> String {
    match action {
        OnChange::None => "none".to_owned(),
        OnChange::Http { port, method, path } => {
            format!("{} :{port}{path}", method_name(*method))
        }
        OnChange::Signal(signal) => format!("SIG{}", signal_name(*signal)),
        OnChange::Restart => "restart".to_owned(),
    }
}

fn method_name(method: Method) -> &'static str {
    match method {
        Method::Get => "GET",
        Method::Head => "HEAD",
        Method::Post => "POST",
        Method::Put => "PUT",
        Method::Delete => "DELETE",
        Method::Patch => "PATCH",
    }
}

/// The kind of an action, for metrics.
pub(super) fn kind(action: &OnChange) -> &'static str {
    match action {
        OnChange::None => "none",
        OnChange::Http { .. } => "http",
        OnChange::Signal(_) => "signal",
        OnChange::Restart => "restart",
    }
}

/// Why an action was not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{problem}")]
pub struct ActionFailure {
    /// A sentence.
    pub problem: String,
    /// Whether it may go well another time.
    pub try_again: bool,
}

impl ActionFailure {
    /// One that may go well another time.
    pub fn passing(problem: impl Into<String>) -> Self {
        Self {
            problem: problem.into(),
            try_again: true,
        }
    }
}

impl From<ControlError> for ActionFailure {
    fn from(error: ControlError) -> Self {
        let text = crate::discovery::chain(&error);
        Self {
            problem: match error.hint() {
                Some(hint) => format!("{text}; {hint}"),
                None => text,
            },
            try_again: error.is_passing(),
        }
    }
}

/// Takes the actions.
pub trait ChangeActions: Send + Sync {
    /// Takes one. What is returned waits until the workload has been told, or runs anew.
    ///
    /// # Cancel safety
    /// A restart goes on without whoever asked for it.
    fn act(
        &self,
        action: OnChange,
        reason: String,
    ) -> BoxFuture<'static, Result<(), ActionFailure>>;
}

/// Asks for a restart of the workload: drained first, when it is this replica's turn.
pub type RestartRequest =
    Arc<dyn Fn(String) -> BoxFuture<'static, Result<(), ActionFailure>> + Send + Sync>;

/// Actions on the real workload.
#[derive(Clone)]
pub struct WorkloadActions {
    /// For signals.
    pub control: Arc<dyn WorkloadControl>,
    /// For requests.
    pub transport: Arc<dyn Transport>,
    /// For restarts.
    pub restart: RestartRequest,
}

impl std::fmt::Debug for WorkloadActions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("WorkloadActions")
            .field("control", &self.control)
            .finish_non_exhaustive()
    }
}

impl ChangeActions for WorkloadActions {
    fn act(
        &self,
        action: OnChange,
        reason: String,
    ) -> BoxFuture<'static, Result<(), ActionFailure>> {
        let own = self.clone();
        Box::pin(async move {
            match action {
                OnChange::None => Ok(()),
                OnChange::Http { port, method, path } => {
                    request(&*own.transport, port, method, path)
                        .await
                        .map_err(ActionFailure::passing)
                }
                OnChange::Signal(signal) => Ok(own.control.signal(signal).await?),
                OnChange::Restart => (own.restart)(reason).await,
            }
        })
    }
}

async fn request(
    transport: &dyn Transport,
    port: u16,
    method: Method,
    path: String,
) -> Result<(), String> {
    let request = EndpointRequest {
        target: Target::Local,
        tls: None,
        port,
        method,
        path,
        headers: Vec::new(),
        body: Vec::new(),
        timeout: HTTP_TIMEOUT,
        response_bytes_max: HTTP_ANSWER_BYTES_MAX,
    };
    let answer = transport
        .send(request)
        .await
        .map_err(|error| error.to_string())?;
    if (200..400).contains(&answer.status) {
        Ok(())
    } else {
        Err(format!("the workload answered {}", answer.status))
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use outrigger_profile::Signal;

    use super::super::render::RenderedSet;
    use super::*;

    fn set(actions: &[(&str, OnChange)]) -> RenderedSet {
        let files = actions.iter().map(|(path, action)| RenderedFile {
            path: PathBuf::from(path),
            content: Vec::new(),
            mode: 0o644,
            owner: None,
            on_change: action.clone(),
        });
        RenderedSet {
            files: files.collect(),
            env: None,
        }
    }

    fn http(path: &str) -> OnChange {
        OnChange::Http {
            port: 80,
            method: Method::Post,
            path: path.into(),
        }
    }

    fn names(set: &RenderedSet, changed: &[&str]) -> Vec<String> {
        let changed: Vec<String> = changed.iter().map(|path| (*path).to_owned()).collect();
        needed(&set.files, &changed).iter().map(name).collect()
    }

    #[test]
    fn the_strongest_kind_is_taken_once_and_only_for_what_changed() {
        let set = set(&[
            ("/a", http("/-/reload")),
            ("/b", http("/-/reload")),
            ("/c", http("/other")),
            ("/d", OnChange::Signal(Signal::Hup)),
            ("/e", OnChange::Signal(Signal::Hup)),
            ("/f", OnChange::Restart),
            ("/g", OnChange::None),
        ]);
        assert_eq!(names(&set, &["/g", "env"]), [""; 0]);
        assert_eq!(
            names(&set, &["/a", "/b", "/c"]),
            ["POST :80/-/reload", "POST :80/other"]
        );
        assert_eq!(names(&set, &["/a", "/d", "/e"]), ["SIGHUP"]);
        assert_eq!(names(&set, &["/a", "/d", "/f", "/g"]), ["restart"]);
    }
}
