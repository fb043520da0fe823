//! What the commands that work on manifests share: how these are read, and the facts in them.

use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use outrigger_injector::cluster::objects;
use outrigger_injector::facts::{Catalog, ProfileEntry, ServiceFacts, StatefulSetFacts};
use outrigger_injector::manifest::{self as injector, Injected, ManifestError};
use outrigger_injector::webhook::MemoryCatalog;
use outrigger_injector::{Entropy, Settings};
use outrigger_local::manifest::{self, Bundle, Input, Manifests, Source};
use outrigger_profile::document::Document;
use outrigger_profile::layout::PROFILE_KEY;
use outrigger_profile::{Finding, Findings, Severity};
use serde_json::to_value;

use crate::args;
use crate::error_report::Failure;

/// The most that is read from standard input.
const INPUT_BYTES: u64 = 16 << 20;
/// How standard input is called.
const STANDARD_INPUT: &str = "stdin";
/// Our own kinds are no cluster's: `Local`, `Profile`.
const OWN_GROUP: &str = "outrigger.dev/";
/// By which the webhook finds profiles.
const PROFILE_LABEL: &str = "outrigger.dev/profile";

/// Manifests as they were given.
pub(super) struct Given {
    manifests: Manifests,
    catalog: MemoryCatalog,
    /// The profile of `--profile-from`, whatever the pods call it.
    profile: Option<Arc<ProfileEntry>>,
    /// Of objects that name none.
    namespace: String,
}

/// Reads files, folders and standard input.
pub(super) fn read(files: &[PathBuf]) -> Result<Manifests, Failure> {
    let mut inputs = Vec::new();
    for file in files {
        inputs.push(if file == Path::new("-") {
            Input::Text(standard_input()?)
        } else {
            Input::Path(file.clone())
        });
    }
    Ok(manifest::read_inputs(&inputs))
}

fn standard_input() -> Result<Source, Failure> {
    let mut text = String::new();
    let read = std::io::stdin()
        .lock()
        .take(INPUT_BYTES)
        .read_to_string(&mut text)?;
    if u64::try_from(read).is_ok_and(|read| read >= INPUT_BYTES) {
        let problem = format!("it is longer than {INPUT_BYTES} bytes");
        return Err(Findings(vec![Finding::error("", problem).in_file(STANDARD_INPUT)]).into());
    }
    Ok(Source {
        file: STANDARD_INPUT.to_owned(),
        text,
    })
}

impl Given {
    /// Reads manifests and what belongs to them.
    pub(super) fn read(files: &[PathBuf], args: &args::Injected) -> Result<Self, Failure> {
        let manifests = read(files)?;
        let mut given = Self {
            catalog: MemoryCatalog::default(),
            profile: None,
            namespace: args.namespace.clone(),
            manifests,
        };
        if let Some(folder) = &args.profile_from {
            given.take_from(folder)?;
        }
        given.catalog = catalog(&given.manifests, &given.namespace)?;
        Ok(given)
    }

    /// Takes the profile of a folder: one of manifests, or one that is what a ConfigMap would hold.
    fn take_from(&mut self, folder: &Path) -> Result<(), Failure> {
        let mut beside = manifest::read(&[folder.to_owned()]);
        if beside.config_maps.is_empty() && folder.join(PROFILE_KEY).is_file() {
            self.profile = Some(Arc::new(as_config_map(folder)?));
            return Ok(());
        }
        for (key, bundle) in std::mem::take(&mut beside.config_maps) {
            self.manifests.config_maps.entry(key).or_insert(bundle);
        }
        for (key, bundle) in std::mem::take(&mut beside.secrets) {
            self.manifests.secrets.entry(key).or_insert(bundle);
        }
        for service in std::mem::take(&mut beside.services) {
            let metadata = &service.object.metadata;
            let namespace = manifest::namespace_of(metadata.namespace.as_deref());
            let name = metadata.name.as_deref().unwrap_or_default();
            if self.manifests.service(namespace, name).is_none() {
                self.manifests.services.push(service);
            }
        }
        self.manifests.findings.append(&mut beside.findings);
        Ok(())
    }

    /// The texts with objects for a cluster, in their order.
    pub(super) fn sources(&self) -> impl Iterator<Item = &Source> {
        self.manifests
            .sources
            .iter()
            .filter(|source| !is_ours(source))
    }

    /// The sidecars put into one of the texts, or why it cannot be edited.
    pub(super) fn inject(
        &self,
        source: &Source,
        settings: &Settings,
        entropy: &dyn Entropy,
    ) -> Result<Injected, Findings> {
        let place = |kind: &str, name: &str, written: Option<&str>| self.place(kind, name, written);
        injector::inject(&source.text, &source.file, &place, self, settings, entropy)
            .map_err(unusable)
    }

    /// What was wrong while reading.
    pub(super) fn findings(&self) -> Vec<Finding> {
        self.manifests.findings.clone()
    }

    /// Every profile among the manifests and beside them: its name and what is wrong with it.
    pub(super) fn profiles(&self) -> Vec<(String, Vec<Finding>)> {
        let maps = self.manifests.config_maps.iter();
        let mut all: Vec<_> = maps
            .filter(|(_, bundle)| bundle.values.contains_key(PROFILE_KEY))
            .map(|((_, name), bundle)| (name.clone(), entry(name, bundle).findings.0))
            .collect();
        for source in &self.manifests.sources {
            let (documents, _told_already) = Document::read_all(&source.text, &source.file);
            let kind =
                |document: &Document| document.root().get("kind")?.as_text().map(str::to_owned);
            if documents.first().and_then(kind).as_deref() == Some("Profile") {
                let (_, findings) = outrigger_profile::parse(&source.text, &source.file);
                all.push((source.file.clone(), findings.0));
            }
        }
        all
    }

    /// What nobody misses before the manifests are applied: profiles without the label by which the webhook
    /// finds them, Secrets that profiles name, selectors that an API server refuses.
    pub(super) fn only_in_a_cluster(&self) -> Vec<Finding> {
        let unlabelled = self.manifests.config_maps.iter().filter_map(unlabelled);
        let secrets = manifest::missing_secrets(&self.manifests);
        // They may well be in the cluster already.
        let secrets = secrets.into_iter().map(|finding| Finding {
            severity: Severity::Warning,
            ..finding
        });
        let mut all: Vec<Finding> = unlabelled.chain(secrets).collect();
        all.extend(manifest::selectors(&self.manifests));
        all
    }

    /// Where an object will be: where a kustomization puts it, or what it says itself.
    fn place(&self, kind: &str, name: &str, written: Option<&str>) -> String {
        let own = manifest::namespace_of(written);
        let sets = self.manifests.stateful_sets.iter();
        let mut places = sets
            .map(|set| &set.object.metadata)
            .filter(|metadata| kind == "StatefulSet" && metadata.name.as_deref() == Some(name))
            .map(|metadata| manifest::namespace_of(metadata.namespace.as_deref()));
        let first = places.clone().next().unwrap_or(own);
        let found = if places.any(|place| place == own) {
            own
        } else {
            first
        };
        renamed(found, &self.namespace).to_owned()
    }
}

impl Catalog for Given {
    fn profile(&self, namespace: &str, config_map: &str) -> Option<Arc<ProfileEntry>> {
        let found = self.catalog.profile(namespace, config_map);
        found.or_else(|| self.profile.clone())
    }

    fn stateful_set(&self, namespace: &str, name: &str) -> Option<Arc<StatefulSetFacts>> {
        self.catalog.stateful_set(namespace, name)
    }

    fn service(&self, namespace: &str, name: &str) -> Option<Arc<ServiceFacts>> {
        self.catalog.service(namespace, name)
    }
}

/// What to say of a profile that the webhook does not see.
fn unlabelled(((_, name), bundle): (&manifest::Key, &Bundle)) -> Option<Finding> {
    let labelled = bundle.labels.get(PROFILE_LABEL).map(String::as_str) == Some("true");
    if labelled || !bundle.values.contains_key(PROFILE_KEY) {
        return None;
    }
    let place = &bundle.labels_at;
    let finding = Finding::warning(
        "",
        format!(
            "the webhook does not see the profile {name}, which has no label {PROFILE_LABEL}: \"true\""
        ),
    );
    let label = format!("{{{PROFILE_LABEL}: \"true\"}}");
    let hint = if place.path.starts_with("configMapGenerator") {
        format!("add `options: {{labels: {label}}}` to the generator")
    } else {
        format!("add `labels: {label}` to its metadata")
    };
    Some(place.locate(finding.hint(hint)))
}

/// `default` is where objects are that name no namespace.
fn renamed<'a>(namespace: &'a str, default: &'a str) -> &'a str {
    if namespace == "default" {
        default
    } else {
        namespace
    }
}

fn is_ours(source: &Source) -> bool {
    let (documents, _told_already) = Document::read_all(&source.text, &source.file);
    let ours = |document: &Document| {
        let group = document
            .root()
            .get("apiVersion")
            .and_then(|node| node.as_text());
        group.is_some_and(|group| group.starts_with(OWN_GROUP))
    };
    !documents.is_empty() && documents.iter().all(ours)
}

/// The facts in manifests. `namespace` is where objects are that name none.
pub(super) fn catalog(manifests: &Manifests, namespace: &str) -> Result<MemoryCatalog, Failure> {
    let mut catalog = MemoryCatalog::default();
    for ((place, name), bundle) in &manifests.config_maps {
        catalog.add_profile(renamed(place, namespace), name, entry(name, bundle));
    }
    for placed in &manifests.stateful_sets {
        let set: objects::StatefulSet = serde_json::from_value(to_value(&placed.object)?)?;
        let place = manifest::namespace_of(Some(&set.metadata.namespace));
        catalog.add_stateful_set(renamed(place, namespace), &set.metadata.name, set.facts());
    }
    for placed in &manifests.services {
        let service: objects::Service = serde_json::from_value(to_value(&placed.object)?)?;
        let place = manifest::namespace_of(Some(&service.metadata.namespace));
        let name = &service.metadata.name;
        catalog.add_service(renamed(place, namespace), name, service.facts());
    }
    Ok(catalog)
}

/// A ConfigMap without a profile in it is taken for one all the same: a pod that names it is told what it
/// lacks. Findings name the file behind the ConfigMap.
fn entry(name: &str, bundle: &Bundle) -> ProfileEntry {
    let mut files = Vec::new();
    let mut others = Vec::new();
    for (key, value) in &bundle.values {
        match std::str::from_utf8(&value.bytes) {
            Ok(text) => files.push((key.as_str(), text)),
            Err(_) => others.push(key.as_str()),
        }
    }
    let mut entry = ProfileEntry::read(name, files, others);
    if let Some(value) = bundle.values.get(PROFILE_KEY) {
        for finding in &mut entry.findings.0 {
            finding.file.clone_from(&value.file);
            if finding.line > 0 {
                finding.line += value.lines_before;
            }
        }
    }
    entry
}

/// The files of a folder as a ConfigMap would hold them.
fn as_config_map(folder: &Path) -> Result<ProfileEntry, Failure> {
    let mut files = Vec::new();
    for file in std::fs::read_dir(folder)? {
        let file = file?;
        let name = file.file_name().to_string_lossy().into_owned();
        if file.path().is_file()
            && let Ok(text) = std::fs::read_to_string(file.path())
        {
            files.push((name, text));
        }
    }
    let texts = files
        .iter()
        .map(|(name, text)| (name.as_str(), text.as_str()));
    let name = folder.display().to_string();
    let mut entry = ProfileEntry::read(&name, texts, []);
    for finding in &mut entry.findings.0 {
        finding.file = folder.join(PROFILE_KEY).display().to_string();
    }
    Ok(entry)
}

/// The settings of the file, and the image that was named.
pub(super) fn settings(args: &args::Injected) -> Result<Settings, Failure> {
    let mut settings = match &args.settings {
        Some(file) => super::webhook::read_settings(file)?,
        None => Settings::default(),
    };
    if let Some(image) = &args.image {
        settings.image.clone_from(image);
    }
    Ok(settings)
}

/// Adds what is not there yet: what cannot be read was told when the manifests were.
pub(super) fn add(findings: &mut Vec<Finding>, more: impl IntoIterator<Item = Finding>) {
    for finding in more {
        if !findings.contains(&finding) {
            findings.push(finding);
        }
    }
}

/// What cannot be edited is bad input.
pub(super) fn unusable(error: ManifestError) -> Findings {
    let (file, workload, problem) = match error {
        ManifestError::Unreadable(findings) => return findings,
        ManifestError::Text {
            file,
            workload,
            problem,
        } => (file, workload, problem.to_string()),
        ManifestError::Uninject {
            file,
            workload,
            problem,
        } => (file, workload, problem.to_string()),
    };
    let finding = Finding::error("", format!("{workload}: {problem}"));
    Findings(vec![finding.in_file(file).at_line(workload.line)])
}

/// The texts as they are now: in their files, or on standard output as one stream of documents.
pub(super) fn put(texts: &[(&Source, String)], write: bool) -> Result<(), Failure> {
    if !write {
        let mut all = String::new();
        for (_, text) in texts {
            if !all.is_empty() {
                if !all.ends_with('\n') {
                    all.push('\n');
                }
                if !text.starts_with("---") {
                    all.push_str("---\n");
                }
            }
            all.push_str(text);
        }
        std::io::stdout().lock().write_all(all.as_bytes())?;
        return Ok(());
    }
    if texts
        .iter()
        .any(|(source, _)| source.file == STANDARD_INPUT)
    {
        let finding = Finding::error("--write", "standard input cannot be written to");
        return Err(Findings(vec![
            finding.hint("leave out --write: the result is printed"),
        ])
        .into());
    }
    for (source, text) in texts {
        if *text != source.text {
            std::fs::write(&source.file, text)
                .map_err(|error| format!("{}: it cannot be written: {error}", source.file))?;
        }
    }
    Ok(())
}

/// Writes a report beside the result.
pub(super) fn tell(report: &str) {
    // Where standard error is closed there is nobody to tell.
    drop(std::io::stderr().lock().write_all(report.as_bytes()));
}
