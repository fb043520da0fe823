//! One render: a profile, its templates and what they see become one set of files, or the list of
//! everything that is wrong with them. Pure, but for the seeds on disks.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use outrigger_profile::document::path;
use outrigger_profile::{EnvValue, File, FileFrom, Finding, OnChange, Owner, Profile, Syntax};

use super::context::Context;
use super::jinja::Jinja;
use super::{env_file, format, placeholders, shell};
use crate::limits;

/// Everything that one render made.
#[derive(Clone, PartialEq, Eq)]
pub struct RenderedSet {
    /// The files, in the profile's order.
    pub files: Vec<RenderedFile>,
    /// The rendered variables as an env file; none where the profile renders none.
    pub env: Option<String>,
}

/// One rendered file.
#[derive(Clone, PartialEq, Eq)]
pub struct RenderedFile {
    /// Where the workload sees it.
    pub path: PathBuf,
    /// Its content.
    pub content: Vec<u8>,
    /// Permission bits.
    pub mode: u32,
    /// The owner, where it is not the sidecar's own.
    pub owner: Option<Owner>,
    /// What happens once it has changed.
    pub on_change: OnChange,
}

impl std::fmt::Debug for RenderedSet {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RenderedSet")
            .field("files", &self.files)
            .field("env", &self.env.as_ref().map(String::len))
            .finish()
    }
}

/// Contents may hold secrets: only their lengths show.
impl std::fmt::Debug for RenderedFile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RenderedFile")
            .field("path", &self.path)
            .field("bytes", &self.content.len())
            .field("mode", &self.mode)
            .field("owner", &self.owner)
            .field("on_change", &self.on_change)
            .finish()
    }
}

/// Renders the whole set. `from_plugin` holds the files that the plugin rendered, by path.
///
/// # Errors
/// All findings of all files at once. Those in a template name the template and its line, those in a
/// result the file and its line.
pub fn render(
    profile: &Profile,
    templates: &BTreeMap<String, String>,
    context: &Context,
    from_plugin: &BTreeMap<PathBuf, Vec<u8>>,
) -> Result<RenderedSet, Vec<Finding>> {
    let jinja = Jinja::new(templates, context);
    let mut findings = Vec::new();
    let mut files = Vec::new();
    for (index, file) in profile.files.iter().enumerate() {
        let place = format!("spec.files[{index}]");
        let content = match &file.from {
            FileFrom::Template(name) => {
                text(&place, file, name, templates, context, &jinja).map(String::into_bytes)
            }
            FileFrom::Plugin => plugin_file(&file.path, from_plugin),
        };
        let checked = content.and_then(|content| check(file, content));
        match checked {
            Ok(content) => files.push(RenderedFile {
                path: file.path.clone(),
                content,
                mode: file.mode,
                owner: file.owner,
                on_change: file.on_change.clone(),
            }),
            Err(problems) => findings.extend(problems.into_iter().map(|mut finding| {
                finding.problem = context.secrets.redact(&finding.problem);
                if finding.path.is_empty() {
                    finding.path.clone_from(&place);
                }
                finding
            })),
        }
    }
    let env = match variables(&profile.env, &jinja) {
        Ok(env) => env,
        Err(problems) => {
            findings.extend(problems);
            None
        }
    };
    if findings.is_empty() {
        Ok(RenderedSet { files, env })
    } else {
        Err(findings)
    }
}

/// One template, in whatever syntax, of the file that stands in the profile at `at`.
fn text(
    at: &str,
    file: &File,
    name: &str,
    templates: &BTreeMap<String, String>,
    context: &Context,
    jinja: &Jinja<'_>,
) -> Result<String, Vec<Finding>> {
    let Some(source) = templates.get(name) else {
        return Err(vec![
            Finding::error("", format!("there is no template `{name}`"))
                .hint("add it beside the profile: to its ConfigMap or folder"),
        ]);
    };
    let own = document_texts(&path::key(at, "values"), file.values.iter(), jinja)?;
    let rendered = match file.syntax {
        Syntax::Jinja => jinja.file(name),
        Syntax::Placeholders => {
            placeholders::render(source, &placeholders::values(&context.peers, &own))
        }
        Syntax::Env => shell::render(source, &own, &context.env),
        Syntax::Verbatim => Ok(source.clone()),
    };
    rendered.map_err(|findings| {
        findings
            .into_iter()
            .map(|finding| {
                if finding.file.is_empty() {
                    finding.in_file(name)
                } else {
                    finding
                }
            })
            .collect()
    })
}

fn plugin_file(
    path: &Path,
    from_plugin: &BTreeMap<PathBuf, Vec<u8>>,
) -> Result<Vec<u8>, Vec<Finding>> {
    from_plugin.get(path).cloned().ok_or_else(|| {
        vec![
            Finding::error("", format!("the plugin did not render {}", path.display()))
                .hint("write `template:` for this file, or use a plugin that renders it"),
        ]
    })
}

/// Whether the result is not too long and what it should be.
fn check(file: &File, content: Vec<u8>) -> Result<Vec<u8>, Vec<Finding>> {
    let shown = file.path.display().to_string();
    if content.len() > limits::RENDERED_BYTES_MAX {
        return Err(vec![
            Finding::error(
                "",
                format!(
                    "the result has more than {} bytes",
                    limits::RENDERED_BYTES_MAX
                ),
            )
            .in_file(shown),
        ]);
    }
    match format::check(&content, file.format) {
        Some(finding) => Err(vec![finding.in_file(shown)]),
        None => Ok(content),
    }
}

fn variables(
    variables: &BTreeMap<String, EnvValue>,
    jinja: &Jinja<'_>,
) -> Result<Option<String>, Vec<Finding>> {
    if variables.is_empty() {
        return Ok(None);
    }
    let templates = variables
        .iter()
        .map(|(name, value)| (name, &value.template));
    env_file::write(&document_texts("spec.env", templates, jinja)?).map(Some)
}

/// The results of templates that stand in the profile itself, in a mapping at `at`.
fn document_texts<'a>(
    at: &str,
    templates: impl Iterator<Item = (&'a String, &'a String)>,
    jinja: &Jinja<'_>,
) -> Result<BTreeMap<String, String>, Vec<Finding>> {
    let mut values = BTreeMap::new();
    let mut findings = Vec::new();
    for (name, template) in templates {
        let place = path::key(at, name);
        match jinja.text(&place, template) {
            Ok(text) => {
                values.insert(name.clone(), text);
            }
            Err(mut finding) => {
                if finding.file == place {
                    crate::reload::read::DOCUMENT.clone_into(&mut finding.file);
                    finding.line = 0;
                }
                finding.path = place;
                findings.push(finding);
            }
        }
    }
    if findings.is_empty() {
        Ok(values)
    } else {
        Err(findings)
    }
}

impl RenderedSet {
    /// Where its files are to be.
    pub fn paths(&self) -> impl Iterator<Item = &Path> {
        self.files.iter().map(|file| file.path.as_path())
    }

    /// SHA-256 over everything that a reader could notice: paths, contents, modes, owners.
    pub fn digest(&self) -> String {
        let mut parts: Vec<(String, &[u8])> = Vec::new();
        for file in &self.files {
            parts.push((file.head(), &file.content));
        }
        if let Some(env) = &self.env {
            parts.push(("env".to_owned(), env.as_bytes()));
        }
        crate::reload::read::digest(
            parts
                .iter()
                .map(|(head, content)| (head.as_str(), *content)),
        )
    }
}

impl RenderedFile {
    /// What is noticeable of a file besides its content.
    fn head(&self) -> String {
        let owner = self
            .owner
            .map(|owner| format!("{}:{}", owner.uid, owner.gid))
            .unwrap_or_default();
        format!("file {} {:o} {owner}", self.path.display(), self.mode)
    }

    /// SHA-256 over everything that a reader of this file could notice.
    pub fn digest(&self) -> String {
        crate::reload::read::digest([(self.head().as_str(), self.content.as_slice())])
    }
}

#[cfg(test)]
mod tests;
