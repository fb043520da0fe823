//! What is wrong with an installation, and the command that mends it: a pure function of what was seen
//! in a cluster. [`look`] sees it, and changes nothing.

mod certificates;
mod look;
mod pods;
#[cfg(test)]
mod tests;

use std::fmt;
use std::time::SystemTime;

use serde_json::Value;

pub use self::look::look;
pub use self::pods::SeenPod;
use crate::facts::ProfileEntry;

/// Kubernetes has native sidecars, switched on, from this version on.
const SERVER_MIN: (u32, u32) = (1, 29);

/// Where the webhook is installed, by the names of its objects.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Installation {
    /// The namespace.
    pub namespace: String,
    /// The Deployment, which is also the `ServiceAccount`'s name unless it says another.
    pub deployment: String,
    /// The Service by which API servers reach it.
    pub service: String,
    /// The Secret with its certificate.
    pub secret: String,
    /// The `MutatingWebhookConfiguration`.
    pub configuration: String,
}

impl Installation {
    /// As the manifests have it, in this namespace.
    pub fn in_namespace(namespace: &str) -> Self {
        Self {
            namespace: namespace.to_owned(),
            deployment: "outrigger-webhook".to_owned(),
            service: "outrigger-webhook".to_owned(),
            secret: "outrigger-webhook-tls".to_owned(),
            configuration: "outrigger".to_owned(),
        }
    }
}

/// What was asked of the API server: the answer, or why there is none.
pub type Asked<T> = Result<T, String>;

/// What was seen in a cluster.
#[derive(Debug, Clone)]
pub struct Seen {
    /// The names that were looked for.
    pub installation: Installation,
    /// The API server's version.
    pub version: Asked<(u32, u32)>,
    /// The `MutatingWebhookConfiguration`; none = there is none.
    pub configuration: Asked<Option<Value>>,
    /// The Deployment.
    pub deployment: Asked<Option<Value>>,
    /// How many of the Service's endpoints are ready; none = there is no Service.
    pub endpoints: Asked<Option<usize>>,
    /// What is in `tls.crt` of the Secret, as PEM; none = nothing.
    pub certificate: Asked<Option<Vec<u8>>>,
    /// What came of creating a pod without keeping it.
    pub rehearsal: Rehearsal,
    /// Whether the webhook's account may do what it needs to.
    pub rights: Vec<(Right, Asked<bool>)>,
    /// Pods with our label.
    pub pods: Asked<Vec<SeenPod>>,
    /// Profiles, by namespace and name.
    pub profiles: Asked<Vec<(String, String, ProfileEntry)>>,
}

/// What came of a pod that was created as a server-side dry run, and that the webhook refuses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Rehearsal {
    /// The webhook refused it: it was reached, and understood.
    Reached,
    /// The API server could not reach it.
    Unreached(String),
    /// Nobody asked the webhook.
    NotAsked,
    /// It could not be tried.
    Untried(String),
}

/// Something that the webhook's account does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Right {
    /// The API group; empty = core.
    pub group: &'static str,
    /// The resource.
    pub resource: &'static str,
    /// The verb.
    pub verb: &'static str,
    /// On which object.
    pub on: On,
}

/// Which objects a right is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum On {
    /// All, of every namespace.
    All,
    /// The Secret with the certificates.
    Secret,
    /// The webhook's own configuration.
    Configuration,
}

/// What the webhook does in a cluster. The last ones only where it makes its own certificates.
pub const RIGHTS: &[Right] = &{
    const fn right(
        group: &'static str,
        resource: &'static str,
        verb: &'static str,
        on: On,
    ) -> Right {
        Right {
            group,
            resource,
            verb,
            on,
        }
    }
    const ADMISSION: &str = "admissionregistration.k8s.io";
    const WEBHOOKS: &str = "mutatingwebhookconfigurations";
    [
        right("", "configmaps", "list", On::All),
        right("", "configmaps", "watch", On::All),
        right("", "services", "list", On::All),
        right("", "services", "watch", On::All),
        right("apps", "statefulsets", "list", On::All),
        right("apps", "statefulsets", "watch", On::All),
        right("events.k8s.io", "events", "create", On::All),
        right("", "secrets", "get", On::Secret),
        right("", "secrets", "watch", On::Secret),
        right("", "secrets", "patch", On::Secret),
        right(ADMISSION, WEBHOOKS, "get", On::Configuration),
        right(ADMISSION, WEBHOOKS, "watch", On::Configuration),
        right(ADMISSION, WEBHOOKS, "patch", On::Configuration),
    ]
};

impl fmt::Display for Right {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.verb, self.resource)?;
        if !self.group.is_empty() {
            write!(f, ".{}", self.group)?;
        }
        Ok(())
    }
}

/// How something stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Standing {
    /// As it should be.
    Good,
    /// It works, or cannot be told.
    Doubtful,
    /// It does not work.
    Bad,
}

impl Standing {
    /// One word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Good => "ok",
            Self::Doubtful => "warning",
            Self::Bad => "error",
        }
    }
}

/// One thing that was checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Remark {
    /// How it stands.
    pub standing: Standing,
    /// What it is about: one or a few words.
    pub about: String,
    /// How it is: one sentence, lower case, no full stop.
    pub told: String,
    /// The command that mends it, or that shows why it is so.
    pub mend: Option<String>,
}

impl fmt::Display for Remark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}: {}: {}",
            self.standing.as_str(),
            self.about,
            self.told
        )?;
        if let Some(command) = &self.mend {
            write!(f, "\n  mend: {command}")?;
        }
        Ok(())
    }
}

impl Remark {
    fn new(standing: Standing, about: &str, told: impl Into<String>) -> Self {
        Self {
            standing,
            about: about.to_owned(),
            told: told.into(),
            mend: None,
        }
    }

    fn good(about: &str, told: impl Into<String>) -> Self {
        Self::new(Standing::Good, about, told)
    }

    fn doubtful(about: &str, told: impl Into<String>) -> Self {
        Self::new(Standing::Doubtful, about, told)
    }

    fn bad(about: &str, told: impl Into<String>) -> Self {
        Self::new(Standing::Bad, about, told)
    }

    fn unknown(about: &str, why: &str) -> Self {
        Self::doubtful(about, format!("it cannot be told: {why}"))
    }

    fn mend(mut self, command: impl Into<String>) -> Self {
        self.mend = Some(command.into());
        self
    }
}

/// Everything that was checked, in the order in which one thing needs the other.
pub fn evaluate(seen: &Seen, now: SystemTime) -> Vec<Remark> {
    let mut remarks = vec![version(seen)];
    let installed = matches!(&seen.configuration, Ok(Some(_)));
    if matches!(
        (&seen.configuration, &seen.deployment),
        (Ok(None), Ok(None))
    ) {
        let told = format!(
            "there is neither a webhook configuration {} nor a Deployment {} in the namespace {}",
            seen.installation.configuration,
            seen.installation.deployment,
            seen.installation.namespace
        );
        remarks.push(Remark::bad("installation", told).mend(INSTALL));
        return remarks;
    }
    remarks.extend(configuration(seen));
    remarks.extend(deployment(seen));
    remarks.push(endpoints(seen));
    if installed {
        remarks.push(rehearsal(seen));
    }
    remarks.extend(certificates::remarks(seen, now));
    remarks.extend(rights(seen));
    remarks.extend(profiles(seen));
    remarks.extend(pods::remarks(seen));
    remarks
}

/// What installs everything.
const INSTALL: &str = "kubectl apply -k manifests/overlays/self-signed";

impl Seen {
    /// A `kubectl` in the webhook's namespace.
    fn kubectl(&self, rest: &str) -> String {
        format!("kubectl -n {} {rest}", self.installation.namespace)
    }

    /// What the webhook says about itself.
    fn logs(&self) -> String {
        self.kubectl(&format!("logs deployment/{}", self.installation.deployment))
    }

    /// A field of the Deployment.
    fn of_deployment(&self, pointer: &str) -> Option<&Value> {
        self.deployment.as_ref().ok()?.as_ref()?.pointer(pointer)
    }

    /// Whether somebody else makes the certificate.
    fn is_mounted(&self) -> bool {
        let args = self.of_deployment("/spec/template/spec/containers/0/args");
        let args = args.and_then(Value::as_array).into_iter().flatten();
        args.filter_map(Value::as_str)
            .any(|arg| arg.starts_with("--certificates=mounted"))
    }
}

fn version(seen: &Seen) -> Remark {
    const ABOUT: &str = "Kubernetes";
    match &seen.version {
        Ok(version) if *version >= SERVER_MIN => {
            Remark::good(ABOUT, format!("{}.{}", version.0, version.1))
        }
        Ok((major, minor)) => Remark::bad(
            ABOUT,
            format!(
                "{major}.{minor} has no native sidecars: they need {}.{}",
                SERVER_MIN.0, SERVER_MIN.1
            ),
        ),
        Err(why) => Remark::unknown(ABOUT, why),
    }
}

fn configuration(seen: &Seen) -> Vec<Remark> {
    const ABOUT: &str = "webhook configuration";
    let name = &seen.installation.configuration;
    let found = match &seen.configuration {
        Err(why) => return vec![Remark::unknown(ABOUT, why)],
        Ok(None) => {
            let told =
                format!("there is no MutatingWebhookConfiguration {name}: no pod is injected");
            return vec![Remark::bad(ABOUT, told).mend(INSTALL)];
        }
        Ok(Some(found)) => found,
    };
    let mut remarks = Vec::new();
    let webhooks = found.get("webhooks").and_then(Value::as_array);
    for (index, webhook) in webhooks.into_iter().flatten().enumerate() {
        let text = |pointer: &str| {
            webhook
                .pointer(pointer)
                .and_then(Value::as_str)
                .unwrap_or_default()
        };
        let service = (
            text("/clientConfig/service/namespace"),
            text("/clientConfig/service/name"),
        );
        let ours = (
            seen.installation.namespace.as_str(),
            seen.installation.service.as_str(),
        );
        let url = text("/clientConfig/url");
        if !url.is_empty() {
            let told = format!("{} asks {url}, and not a Service", text("/name"));
            remarks.push(Remark::doubtful(ABOUT, told).mend(INSTALL));
        } else if service != ours {
            let told = format!(
                "{} asks the Service {}/{}, and the webhook's is {}/{}",
                text("/name"),
                service.0,
                service.1,
                ours.0,
                ours.1
            );
            remarks.push(Remark::bad(ABOUT, told).mend(INSTALL));
        }
        if text("/failurePolicy") == "Ignore" {
            let told = format!(
                "{} has failurePolicy: Ignore, so that pods start without their sidecar while no webhook answers",
                text("/name")
            );
            let patch = format!(
                "[{{\"op\":\"replace\",\"path\":\"/webhooks/{index}/failurePolicy\",\"value\":\"Fail\"}}]"
            );
            remarks.push(Remark::doubtful(ABOUT, told).mend(format!(
                "kubectl patch mutatingwebhookconfiguration {name} --type=json -p '{patch}'"
            )));
        }
    }
    if remarks.is_empty() {
        remarks.push(Remark::good(
            ABOUT,
            format!("{name} asks {}", seen.installation.service),
        ));
    }
    remarks
}

fn deployment(seen: &Seen) -> Vec<Remark> {
    const ABOUT: &str = "webhook";
    let name = &seen.installation.deployment;
    match &seen.deployment {
        Err(why) => vec![Remark::unknown(ABOUT, why)],
        Ok(None) => vec![
            Remark::bad(
                ABOUT,
                format!(
                    "there is no Deployment {name} in the namespace {}",
                    seen.installation.namespace
                ),
            )
            .mend(INSTALL),
        ],
        Ok(Some(found)) => {
            let number = |pointer: &str| found.pointer(pointer).and_then(Value::as_u64);
            let wanted = number("/spec/replicas").unwrap_or(1);
            let ready = number("/status/readyReplicas").unwrap_or(0);
            let pods = seen.kubectl("get pods -l app.kubernetes.io/component=webhook");
            if ready < wanted {
                let told = format!("{ready} of {wanted} replicas are ready");
                let remark = if ready == 0 {
                    Remark::bad(ABOUT, told).mend(seen.logs())
                } else {
                    Remark::doubtful(ABOUT, told).mend(pods)
                };
                return vec![remark];
            }
            if wanted < 2 {
                let told = "one replica alone: while it is moved, labelled pods cannot be created";
                let more = seen.kubectl(&format!("scale deployment/{name} --replicas=2"));
                return vec![Remark::doubtful(ABOUT, told).mend(more)];
            }
            vec![Remark::good(ABOUT, format!("{ready} replicas are ready"))]
        }
    }
}

fn endpoints(seen: &Seen) -> Remark {
    const ABOUT: &str = "service";
    let name = &seen.installation.service;
    match &seen.endpoints {
        Err(why) => Remark::unknown(ABOUT, why),
        Ok(None) => {
            let told = format!(
                "there is no Service {name} in the namespace {}",
                seen.installation.namespace
            );
            Remark::bad(ABOUT, told).mend(INSTALL)
        }
        Ok(Some(0)) => Remark::bad(ABOUT, format!("no endpoint of {name} is ready"))
            .mend(seen.kubectl("get pods -l app.kubernetes.io/component=webhook")),
        Ok(Some(ready)) => Remark::good(ABOUT, format!("{name} has {ready} ready endpoints")),
    }
}

fn rehearsal(seen: &Seen) -> Remark {
    const ABOUT: &str = "dry run";
    match &seen.rehearsal {
        Rehearsal::Reached => Remark::good(
            ABOUT,
            "the API server reaches the webhook through its Service",
        ),
        Rehearsal::Unreached(why) => {
            let told = format!(
                "the API server does not reach the webhook, so that labelled pods cannot be created: {why}"
            );
            Remark::bad(ABOUT, told).mend(seen.logs())
        }
        Rehearsal::NotAsked => {
            let told = "a labelled pod of a StatefulSet was taken without the webhook being asked";
            Remark::bad(ABOUT, told).mend(format!(
                "kubectl get mutatingwebhookconfiguration {} -o yaml",
                seen.installation.configuration
            ))
        }
        Rehearsal::Untried(why) => Remark::unknown(ABOUT, why),
    }
}

fn rights(seen: &Seen) -> Vec<Remark> {
    const ABOUT: &str = "rights";
    let (mut missing, mut unknown) = (Vec::new(), None);
    for (right, may) in &seen.rights {
        if right.on != On::All && seen.is_mounted() {
            continue;
        }
        match may {
            Ok(true) => {}
            Ok(false) => missing.push(right.to_string()),
            Err(why) => unknown = Some(why),
        }
    }
    let mut remarks = Vec::new();
    if !missing.is_empty() {
        let told = format!("the webhook's account may not {}", missing.join(", "));
        remarks.push(Remark::bad(ABOUT, told).mend(INSTALL));
    }
    match unknown {
        Some(why) => remarks.push(Remark::unknown(ABOUT, why)),
        None if missing.is_empty() => {
            remarks.push(Remark::good(
                ABOUT,
                "the webhook's account may do what it needs",
            ));
        }
        None => {}
    }
    remarks
}

fn profiles(seen: &Seen) -> Vec<Remark> {
    const ABOUT: &str = "profiles";
    let all = match &seen.profiles {
        Err(why) => return vec![Remark::unknown(ABOUT, why)],
        Ok(all) => all,
    };
    let mut remarks = Vec::new();
    for (namespace, name, entry) in all {
        if entry.findings.has_errors() {
            let told = format!("{namespace}/{name} has errors:\n{}", entry.findings);
            remarks.push(
                Remark::bad(ABOUT, told)
                    .mend(format!("kubectl -n {namespace} edit configmap {name}")),
            );
        }
    }
    if remarks.is_empty() {
        remarks.push(Remark::good(
            ABOUT,
            format!("{} with the label, none with errors", all.len()),
        ));
    }
    remarks
}
