//! From what guests answer to our values. Texts are cut and lists bounded here, so that everything
//! behind this border is of a known size; what cannot be repaired is refused with its reason.

use std::collections::BTreeMap;
use std::time::Duration;

use super::{exports, wit};
use crate::limits::{
    ARTIFACT_BYTES_MAX, ARTIFACTS_MAX, DIAGNOSTICS_MAX, FAMILIES_MAX, KEY_BYTES_MAX,
    MESSAGE_BYTES_MAX, PAIRS_MAX, REASONS_MAX, SAMPLES_MAX, SEEDS_MAX, VALUE_BYTES_MAX, WANTS_MAX,
};
use crate::types::{
    Artifact, Batch, Diagnostic, DiagnosticSeverity, Failure, FailureKind, Family, MetricKind,
    Next, Plan, Reason, Scope, Status, Step, Verdict, cut,
};

/// Why an answer cannot be used.
pub(crate) type Refusal = String;

/// What a plugin says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Description {
    pub(crate) name: String,
    pub(crate) version: String,
    pub(crate) summary: String,
    pub(crate) settings_schema: String,
    pub(crate) requests: String,
    pub(crate) attrs: BTreeMap<String, String>,
}

pub(crate) fn description(theirs: exports::plugin::Descriptor) -> Result<Description, Refusal> {
    let is_name = |name: &str| {
        (1..=63).contains(&name.len())
            && name
                .bytes()
                .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
    };
    if !is_name(&theirs.name) {
        return Err(format!(
            "its name `{}` is not 1 to 63 lower-case letters, digits and dashes",
            cut(&theirs.name, 80).escape_debug()
        ));
    }
    if theirs.version.is_empty() || theirs.version.len() > 64 {
        return Err("its version has not 1 to 64 bytes".to_owned());
    }
    let bounded = |what: &str, text: String| {
        if text.len() > VALUE_BYTES_MAX {
            Err(format!("its {what} has more than {VALUE_BYTES_MAX} bytes"))
        } else {
            Ok(text)
        }
    };
    Ok(Description {
        name: theirs.name,
        version: one_line(&theirs.version, 64),
        summary: one_line(&theirs.summary, MESSAGE_BYTES_MAX),
        settings_schema: bounded("settings schema", theirs.settings_schema)?,
        requests: bounded("requests", theirs.requests)?,
        attrs: pairs("attrs", theirs.attrs)?,
    })
}

pub(crate) fn failure(theirs: &wit::Failure) -> Failure {
    Failure {
        kind: match theirs.kind {
            wit::FailureKind::InvalidConfig => FailureKind::InvalidConfig,
            wit::FailureKind::Unavailable => FailureKind::Unavailable,
            wit::FailureKind::Denied => FailureKind::Denied,
            wit::FailureKind::Unsupported => FailureKind::Unsupported,
            wit::FailureKind::Conflict => FailureKind::Conflict,
            wit::FailureKind::Limit => FailureKind::Limit,
            wit::FailureKind::Internal => FailureKind::Internal,
        },
        message: one_line(&theirs.message, MESSAGE_BYTES_MAX),
        retry_after: theirs.retry_after.map(span),
    }
}

pub(crate) fn verdict(theirs: exports::health::Verdict) -> Result<Verdict, Refusal> {
    let status = match theirs.status {
        exports::health::Status::Pass => Status::Pass,
        exports::health::Status::Degraded => Status::Degraded,
        exports::health::Status::Fail => Status::Fail,
        exports::health::Status::Unknown => Status::Unknown,
    };
    let reasons = theirs.reasons.into_iter().take(REASONS_MAX);
    Ok(Verdict {
        status,
        reasons: reasons.map(reason).collect::<Result<_, _>>()?,
        role: theirs.role.map(|role| word("role", role)).transpose()?,
        attrs: pairs("attrs", theirs.attrs)?,
        next_check: theirs.next_check.map(span),
    })
}

fn reason(theirs: exports::health::Reason) -> Result<Reason, Refusal> {
    Ok(Reason {
        scope: match theirs.scope {
            exports::health::Scope::Replica => Scope::Own,
            exports::health::Scope::Cluster => Scope::Cluster,
        },
        code: word("reason code", theirs.code)?,
        message: one_line(&theirs.message, MESSAGE_BYTES_MAX),
    })
}

pub(crate) fn plan(theirs: exports::discovery::Plan) -> Result<Plan, Refusal> {
    if theirs.seeds.len() > SEEDS_MAX {
        return Err(format!(
            "{} seeds, the most is {SEEDS_MAX}",
            theirs.seeds.len()
        ));
    }
    Ok(Plan {
        outputs: pairs("outputs", theirs.outputs)?,
        seeds: theirs
            .seeds
            .iter()
            .map(|seed| cut(seed, KEY_BYTES_MAX))
            .collect(),
        may_start: theirs.may_start,
        reason: one_line(&theirs.reason, MESSAGE_BYTES_MAX),
    })
}

/// The artifacts, which must be of the paths that were wanted, each once.
pub(crate) fn artifacts(
    theirs: Vec<exports::templating::Artifact>,
    wanted: &[String],
) -> Result<Vec<Artifact>, Refusal> {
    if theirs.len() > ARTIFACTS_MAX {
        return Err(format!(
            "{} artifacts, the most is {ARTIFACTS_MAX}",
            theirs.len()
        ));
    }
    let bytes: usize = theirs.iter().map(|artifact| artifact.content.len()).sum();
    if bytes > ARTIFACT_BYTES_MAX {
        return Err(format!(
            "artifacts of {bytes} bytes together, the most is {ARTIFACT_BYTES_MAX}"
        ));
    }
    let mut artifacts: Vec<Artifact> = Vec::with_capacity(theirs.len());
    for artifact in theirs {
        let path = cut(&artifact.path, KEY_BYTES_MAX);
        if !wanted.contains(&artifact.path) {
            return Err(format!("an artifact `{path}` that was not asked for"));
        }
        if artifacts.iter().any(|other| other.path == artifact.path) {
            return Err(format!("the artifact `{path}` twice"));
        }
        artifacts.push(Artifact {
            path: artifact.path,
            content: artifact.content,
        });
    }
    match wanted
        .iter()
        .find(|path| !artifacts.iter().any(|artifact| artifact.path == **path))
    {
        Some(missing) => Err(format!("no artifact `{missing}`, which was asked for")),
        None => Ok(artifacts),
    }
}

/// Errors come before warnings; beyond the limit some are left out, and the last one says so.
pub(crate) fn diagnostics(theirs: Vec<exports::templating::Diagnostic>) -> Vec<Diagnostic> {
    let count = theirs.len();
    let mut diagnostics: Vec<Diagnostic> = theirs
        .into_iter()
        .map(|diagnostic| Diagnostic {
            severity: match diagnostic.severity {
                exports::templating::Severity::Warning => DiagnosticSeverity::Warning,
                exports::templating::Severity::Error => DiagnosticSeverity::Error,
            },
            artifact: cut(&diagnostic.artifact, KEY_BYTES_MAX),
            line: diagnostic.line,
            message: one_line(&diagnostic.message, MESSAGE_BYTES_MAX),
            hint: one_line(&diagnostic.hint, MESSAGE_BYTES_MAX),
        })
        .collect();
    diagnostics.sort_by_key(|diagnostic| diagnostic.severity == DiagnosticSeverity::Warning);
    diagnostics.truncate(DIAGNOSTICS_MAX);
    if count > DIAGNOSTICS_MAX
        && let Some(last) = diagnostics.last_mut()
    {
        last.message = format!("and {} more", count - DIAGNOSTICS_MAX + 1);
        last.hint.clear();
        last.line = 0;
    }
    diagnostics
}

pub(crate) fn batch(theirs: exports::metrics::Batch) -> Result<Batch, Refusal> {
    if theirs.values.len() > SAMPLES_MAX {
        return Err(format!(
            "{} samples, the most is {SAMPLES_MAX}",
            theirs.values.len()
        ));
    }
    if theirs.families.len() > FAMILIES_MAX {
        return Err(format!(
            "{} families, the most is {FAMILIES_MAX}",
            theirs.families.len()
        ));
    }
    for family in &theirs.families {
        if !is_metric_name(&family.name) {
            return Err(format!(
                "`{}` is not the name of a metric",
                cut(&family.name, 80).escape_debug()
            ));
        }
    }
    let batch = Batch {
        families: theirs.families.into_iter().map(family).collect(),
        strings: theirs
            .strings
            .iter()
            .map(|text| cut(text, MESSAGE_BYTES_MAX))
            .collect(),
        family: theirs.family,
        starts: theirs.starts,
        pairs: theirs.pairs,
        values: theirs.values,
    };
    batch.check().map_err(|problem| problem.to_string())?;
    Ok(batch)
}

fn family(theirs: exports::metrics::Family) -> Family {
    Family {
        name: theirs.name,
        help: one_line(&theirs.help, MESSAGE_BYTES_MAX),
        kind: match theirs.kind {
            exports::metrics::Kind::Gauge => MetricKind::Gauge,
            exports::metrics::Kind::Counter => MetricKind::Counter,
        },
    }
}

fn is_metric_name(name: &str) -> bool {
    let mut bytes = name.bytes();
    let first = bytes
        .next()
        .is_some_and(|b| b.is_ascii_alphabetic() || b == b'_' || b == b':');
    first
        && name.len() <= KEY_BYTES_MAX
        && bytes.all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b':')
}

pub(crate) fn wants(theirs: Vec<String>) -> Result<Vec<String>, Refusal> {
    if theirs.len() > WANTS_MAX {
        return Err(format!(
            "{} names of wanted families, the most is {WANTS_MAX}",
            theirs.len()
        ));
    }
    for name in &theirs {
        let stem = name.strip_suffix('*').unwrap_or(name);
        if name != "*" && !is_metric_name(stem) {
            return Err(format!(
                "`{}` is not the name of a metric, with a `*` at its end or without",
                cut(name, 80).escape_debug()
            ));
        }
    }
    Ok(theirs)
}

pub(crate) fn step(theirs: exports::lifecycle::Step) -> Step {
    Step {
        next: match theirs.next {
            exports::lifecycle::Next::Done => Next::Done,
            exports::lifecycle::Next::AgainIn(millis) => Next::AgainIn(span(millis)),
            exports::lifecycle::Next::Failed(theirs) => Next::Failed(failure(&theirs)),
        },
        note: one_line(&theirs.note, MESSAGE_BYTES_MAX),
    }
}

fn span(millis: u32) -> Duration {
    Duration::from_millis(millis.into())
}

fn pairs(what: &str, theirs: Vec<(String, String)>) -> Result<BTreeMap<String, String>, Refusal> {
    if theirs.len() > PAIRS_MAX {
        return Err(format!(
            "{} pairs in its {what}, the most is {PAIRS_MAX}",
            theirs.len()
        ));
    }
    let mut pairs = BTreeMap::new();
    for (key, value) in theirs {
        if key.is_empty() || key.len() > KEY_BYTES_MAX || value.len() > VALUE_BYTES_MAX {
            return Err(format!(
                "a pair in its {what} with {} bytes of key (1 to {KEY_BYTES_MAX}) and {} of value (at most {VALUE_BYTES_MAX})",
                key.len(),
                value.len()
            ));
        }
        if pairs.contains_key(&key) {
            return Err(format!(
                "the key `{}` twice in its {what}",
                key.escape_debug()
            ));
        }
        pairs.insert(key, value);
    }
    Ok(pairs)
}

/// A word that becomes the label of metrics.
fn word(what: &str, text: String) -> Result<String, Refusal> {
    let fits = (1..=64).contains(&text.len())
        && text
            .bytes()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
    if fits {
        Ok(text)
    } else {
        Err(format!(
            "its {what} `{}` is not 1 to 64 lower-case letters, digits and dashes",
            cut(&text, 80).escape_debug()
        ))
    }
}

/// A text of one line, cut.
fn one_line(text: &str, most: usize) -> String {
    let text = cut(text.trim(), most);
    text.chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn artifact(path: &str, bytes: usize) -> exports::templating::Artifact {
        exports::templating::Artifact {
            path: path.into(),
            content: vec![b'x'; bytes],
        }
    }

    #[test]
    fn a_render_gives_exactly_what_was_asked_for() {
        let wanted = ["/a".to_owned(), "/b".to_owned()];
        let told = |theirs| artifacts(theirs, &wanted).map(|artifacts| artifacts.len());
        assert_eq!(told(vec![artifact("/b", 1), artifact("/a", 1)]), Ok(2));
        assert_eq!(
            told(vec![artifact("/a", 1)]).unwrap_err(),
            "no artifact `/b`, which was asked for"
        );
        assert_eq!(
            told(vec![artifact("/a", 1), artifact("/a", 1)]).unwrap_err(),
            "the artifact `/a` twice"
        );
        assert_eq!(
            told(vec![artifact("/etc/passwd", 1)]).unwrap_err(),
            "an artifact `/etc/passwd` that was not asked for"
        );
        assert_eq!(
            told(vec![artifact("/a", ARTIFACT_BYTES_MAX), artifact("/b", 1)]).unwrap_err(),
            "artifacts of 4194305 bytes together, the most is 4194304"
        );
    }

    #[test]
    fn too_many_diagnostics_keep_the_errors_and_say_how_many_are_missing() {
        let diagnostic = |severity| exports::templating::Diagnostic {
            severity,
            artifact: "/a".into(),
            line: 1,
            message: "wrong".into(),
            hint: String::new(),
        };
        let mut theirs = vec![diagnostic(exports::templating::Severity::Warning); 300];
        theirs.push(diagnostic(exports::templating::Severity::Error));
        let ours = diagnostics(theirs);
        assert_eq!(ours.len(), DIAGNOSTICS_MAX);
        assert_eq!(ours[0].severity, DiagnosticSeverity::Error);
        assert_eq!(ours[DIAGNOSTICS_MAX - 1].message, "and 46 more");
    }

    #[test]
    fn words_that_become_labels_are_held_to_their_form() {
        let reason_of = |code: &str| {
            reason(exports::health::Reason {
                scope: exports::health::Scope::Cluster,
                code: code.into(),
                message: "two\nlines".into(),
            })
        };
        assert_eq!(reason_of("no-leader").unwrap().message, "two lines");
        assert_eq!(
            reason_of("No Leader").unwrap_err(),
            "its reason code `No Leader` is not 1 to 64 lower-case letters, digits and dashes"
        );
    }

    #[test]
    fn names_of_metrics_are_checked() {
        let told = |name: &str| wants(vec![name.to_owned()]).is_ok();
        assert!(told("up") && told("agdb_*") && told("*"));
        assert!(!told("a b") && !told("1up") && !told("") && !told("a*b"));
    }

    #[test]
    fn a_key_given_twice_is_refused() {
        let twice = vec![("a".into(), String::new()), ("a".into(), "1".into())];
        assert_eq!(
            pairs("attrs", twice).unwrap_err(),
            "the key `a` twice in its attrs"
        );
    }
}
