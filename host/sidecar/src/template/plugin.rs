//! What rendering asks of a plugin, and what stands when it does not answer.

use std::collections::BTreeMap;
use std::path::PathBuf;

use outrigger_peers::PeerSet;
use outrigger_plugin_host::{
    Artifact, BoxFuture, CallError, CallErrorKind, Diagnostic, DiagnosticSeverity, FailureKind,
    Interface, Plan, Plugin,
};
use outrigger_profile::{FileFrom, Finding, OnFailure, Profile};

use super::env_file;
use super::render::RenderedSet;
use crate::reload::read::DOCUMENT;

/// The part of a plugin that rendering calls.
pub trait TemplatePlugin: Send + Sync {
    /// Whether it exports an interface.
    fn exports(&self, interface: Interface) -> bool;
    /// What the configuration should say about the replicas.
    fn resolve<'a>(&'a self, now: &'a PeerSet) -> BoxFuture<'a, Result<Plan, CallError>>;
    /// The files with these paths.
    fn render<'a>(
        &'a self,
        now: &'a PeerSet,
        wanted: &'a [String],
    ) -> BoxFuture<'a, Result<Vec<Artifact>, CallError>>;
    /// What is wrong with a whole set.
    fn validate<'a>(
        &'a self,
        now: &'a PeerSet,
        items: &'a [Artifact],
    ) -> BoxFuture<'a, Result<Vec<Diagnostic>, CallError>>;
}

impl TemplatePlugin for Plugin {
    fn exports(&self, interface: Interface) -> bool {
        Plugin::exports(self, interface)
    }

    fn resolve<'a>(&'a self, now: &'a PeerSet) -> BoxFuture<'a, Result<Plan, CallError>> {
        Box::pin(Plugin::resolve(self, now))
    }

    fn render<'a>(
        &'a self,
        now: &'a PeerSet,
        wanted: &'a [String],
    ) -> BoxFuture<'a, Result<Vec<Artifact>, CallError>> {
        Box::pin(Plugin::render(self, now, wanted))
    }

    fn validate<'a>(
        &'a self,
        now: &'a PeerSet,
        items: &'a [Artifact],
    ) -> BoxFuture<'a, Result<Vec<Diagnostic>, CallError>> {
        Box::pin(Plugin::validate(self, now, items))
    }
}

/// What a plugin gave to one render.
#[derive(Debug, Default)]
pub(super) struct Given {
    /// Its plan; none without `discovery`, or where its failure is ignored.
    pub(super) plan: Option<Plan>,
    /// The files that it rendered.
    pub(super) files: BTreeMap<PathBuf, Vec<u8>>,
}

/// Asks for the plan and the files. `last` is the plan of the last time that it answered.
pub(super) async fn ask(
    plugin: &dyn TemplatePlugin,
    profile: &Profile,
    now: &PeerSet,
    last: Option<&Plan>,
) -> Result<Given, Vec<Finding>> {
    let on_failure = on_failure(profile);
    let mut given = Given::default();
    if plugin.exports(Interface::Discovery) {
        match plugin.resolve(now).await {
            Ok(plan) => given.plan = Some(plan),
            Err(error) => match (on_failure, last) {
                (OnFailure::Ignore, _) => {}
                // An answered failure is news; a plugin that broke leaves what it said last.
                (OnFailure::KeepLast, Some(last)) if !is_answer(&error) => {
                    given.plan = Some(last.clone());
                }
                _ => return Err(vec![failed(&error)]),
            },
        }
    }
    let wanted: Vec<String> = profile
        .files
        .iter()
        .filter(|file| file.from == FileFrom::Plugin)
        .map(|file| file.path.display().to_string())
        .collect();
    if !wanted.is_empty() {
        // Nothing else can make these files, so a failure here is never ignored.
        let artifacts = plugin
            .render(now, &wanted)
            .await
            .map_err(|error| vec![failed(&error)])?;
        given.files = artifacts
            .into_iter()
            .map(|artifact| (PathBuf::from(artifact.path), artifact.content))
            .collect();
    }
    Ok(given)
}

/// Has the plugin look at a whole set. Its warnings, or what it refuses the set for.
pub(super) async fn validate(
    plugin: &dyn TemplatePlugin,
    profile: &Profile,
    now: &PeerSet,
    set: &RenderedSet,
) -> Result<Vec<Finding>, Vec<Finding>> {
    if !plugin.exports(Interface::Templating) {
        return Ok(Vec::new());
    }
    let files = set.files.iter().map(|file| Artifact {
        path: file.path.display().to_string(),
        content: file.content.clone(),
    });
    let env = set.env.iter().map(|text| Artifact {
        path: Artifact::ENV.to_owned(),
        content: text.clone().into_bytes(),
    });
    let items: Vec<Artifact> = files.chain(env).collect();
    let finding = |diagnostic| finding(diagnostic, set.env.as_deref());
    match plugin.validate(now, &items).await {
        Ok(diagnostics) => {
            let (errors, warnings): (Vec<_>, Vec<_>) = diagnostics
                .into_iter()
                .partition(|found| found.severity == DiagnosticSeverity::Error);
            if errors.is_empty() {
                Ok(warnings.into_iter().map(finding).collect())
            } else {
                Err(errors.into_iter().chain(warnings).map(finding).collect())
            }
        }
        Err(error) if on_failure(profile) == OnFailure::Ignore && !is_answer(&error) => {
            Ok(vec![Finding::warning(
                "spec.plugin",
                format!("the set was not validated: {error}"),
            )])
        }
        // A set that nobody looked at never replaces one that stands.
        Err(error) => Err(vec![failed(&error)]),
    }
}

fn on_failure(profile: &Profile) -> OnFailure {
    profile
        .plugin
        .as_ref()
        .map_or(OnFailure::default(), |plugin| plugin.on_failure)
}

/// Whether the plugin itself said so, and a trial later is useless.
fn is_answer(error: &CallError) -> bool {
    matches!(&error.kind, CallErrorKind::Failure(failure) if failure.kind == FailureKind::InvalidConfig)
}

fn failed(error: &CallError) -> Finding {
    let finding = Finding::error("spec.plugin", error.to_string());
    match error.hint() {
        Some(hint) => finding.hint(hint),
        None => finding,
    }
}

/// `env` are the rendered variables: their templates stand in the profile, and what is wrong with one is told there.
fn finding(diagnostic: Diagnostic, env: Option<&str>) -> Finding {
    let line = usize::try_from(diagnostic.line).unwrap_or(0);
    let (place, file, line) = if diagnostic.artifact == Artifact::ENV {
        let name = env.and_then(|env| env_file::name_at(env, line));
        let place = name.map_or("spec.env".to_owned(), |name| format!("spec.env.{name}"));
        (place, DOCUMENT.to_owned(), 0)
    } else {
        (String::new(), diagnostic.artifact, line)
    };
    let mut finding = match diagnostic.severity {
        DiagnosticSeverity::Error => Finding::error(place, diagnostic.message),
        DiagnosticSeverity::Warning => Finding::warning(place, diagnostic.message),
    }
    .in_file(file)
    .at_line(line);
    if !diagnostic.hint.is_empty() {
        finding = finding.hint(diagnostic.hint);
    }
    finding
}
