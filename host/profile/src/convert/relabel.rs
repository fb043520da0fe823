//! `spec.metrics.scrape[].relabel`: rules in Prometheus' words.

use std::collections::BTreeMap;

use super::Convert;
use crate::document::path;
use crate::structure::cut;
use crate::{Pattern, Relabel, RelabelAction, SourceLabels, raw};

/// The most rules of one target: each is tried on each sample.
const RULES_MAX: usize = 32;

/// What Prometheus takes where a rule says nothing.
const REGEX: &str = "(.*)";
const REPLACEMENT: &str = "$1";
const SEPARATOR: &str = ";";

impl Convert {
    pub(super) fn relabel(
        &mut self,
        at: &str,
        rules: Vec<raw::Relabel>,
        constant: &BTreeMap<String, String>,
    ) -> Vec<Relabel> {
        if rules.len() > RULES_MAX {
            self.error(
                at,
                format!("{} rules, the most is {RULES_MAX}", rules.len()),
                "take several names into one expression: a|b",
            );
        }
        let rules = rules.into_iter().take(RULES_MAX).enumerate();
        rules
            .filter_map(|(index, rule)| self.rule(&path::item(at, index), rule, constant))
            .collect()
    }

    fn rule(
        &mut self,
        at: &str,
        rule: raw::Relabel,
        constant: &BTreeMap<String, String>,
    ) -> Option<Relabel> {
        let action = rule.action.unwrap_or(raw::RelabelAction::Replace);
        self.unused_keys(at, &rule, action);
        let regex = self.regex(&path::key(at, "regex"), rule.regex.as_deref());
        let source = self.source_labels(at, &rule, action);
        let action = match action {
            raw::RelabelAction::Replace => {
                let target = self.target_label(at, rule.target_label, constant);
                RelabelAction::Replace {
                    source: source?,
                    target: target?,
                    replacement: rule.replacement.unwrap_or_else(|| REPLACEMENT.to_owned()),
                }
            }
            raw::RelabelAction::Keep => RelabelAction::Keep(source?),
            raw::RelabelAction::Drop => RelabelAction::Drop(source?),
            raw::RelabelAction::Labelkeep => RelabelAction::LabelKeep,
            raw::RelabelAction::Labeldrop => RelabelAction::LabelDrop,
        };
        Some(Relabel {
            regex: regex?,
            action,
        })
    }

    /// Keys that an action has no use for.
    fn unused_keys(&mut self, at: &str, rule: &raw::Relabel, action: raw::RelabelAction) {
        let replaces = action == raw::RelabelAction::Replace;
        for (key, is_given, is_used) in [
            (
                "source-labels",
                rule.source_labels.is_some(),
                looks_at_values(action),
            ),
            (
                "separator",
                rule.separator.is_some(),
                looks_at_values(action),
            ),
            ("target-label", rule.target_label.is_some(), replaces),
            ("replacement", rule.replacement.is_some(), replaces),
        ] {
            if is_given && !is_used {
                self.error(
                    path::key(at, key),
                    format!("has no meaning for `action: {}`", word(action)),
                    "remove it, or choose another action",
                );
            }
        }
    }

    fn regex(&mut self, at: &str, written: Option<&str>) -> Option<Pattern> {
        let text = written.unwrap_or(REGEX);
        match Pattern::new(text) {
            Ok(pattern) => Some(pattern),
            Err(problem) => {
                self.error(
                    at,
                    format!("`{}` is no regular expression: {problem}", cut(text)),
                    "the syntax is RE2's, as in Prometheus; it must match the whole text",
                );
                None
            }
        }
    }

    fn source_labels(
        &mut self,
        at: &str,
        rule: &raw::Relabel,
        action: raw::RelabelAction,
    ) -> Option<SourceLabels> {
        let labels = rule.source_labels.clone().unwrap_or_default();
        let here = path::key(at, "source-labels");
        let selects = matches!(action, raw::RelabelAction::Keep | raw::RelabelAction::Drop);
        if labels.is_empty() && selects {
            let problem = if rule.source_labels.is_some() {
                "is empty"
            } else {
                "is missing"
            };
            self.error(
                here,
                problem,
                "name the labels to look at, such as [__name__]",
            );
            return None;
        }
        let mut right = true;
        for (index, label) in labels.iter().enumerate() {
            right &= self.is_label(&path::item(&here, index), label);
        }
        right.then(|| SourceLabels {
            labels,
            separator: rule
                .separator
                .clone()
                .unwrap_or_else(|| SEPARATOR.to_owned()),
        })
    }

    fn target_label(
        &mut self,
        at: &str,
        target: Option<String>,
        constant: &BTreeMap<String, String>,
    ) -> Option<String> {
        let at = path::key(at, "target-label");
        let Some(target) = target else {
            self.error(at, "is missing", "name the label to write, such as node");
            return None;
        };
        if !self.is_label(&at, &target) {
            return None;
        }
        let (problem, hint) = if target == "__name__" {
            ("metrics are not renamed", "choose another label")
        } else if target.starts_with("__") {
            (
                "names with two underscores at the start are Prometheus' own",
                "choose another name",
            )
        } else if ["le", "quantile"].contains(&target.as_str()) {
            (
                "it has a meaning in histograms and summaries",
                "choose another label",
            )
        } else if constant.contains_key(&target) {
            (
                "`metrics.labels` sets it on every series",
                "remove one of the two",
            )
        } else {
            return Some(target);
        };
        self.error(at, format!("`{target}`: {problem}"), hint);
        None
    }

    /// Whether a text is a label's name, which is told where it is not.
    pub(super) fn is_label(&mut self, at: &str, name: &str) -> bool {
        let mut bytes = name.bytes();
        let first = bytes
            .next()
            .is_some_and(|b| b.is_ascii_alphabetic() || b == b'_');
        let right = first && bytes.all(|b| b.is_ascii_alphanumeric() || b == b'_');
        if !right {
            self.error(
                at,
                format!("`{}` is not a label's name", cut(name)),
                "use letters, digits and underscores, without a digit at the start",
            );
        }
        right
    }
}

fn looks_at_values(action: raw::RelabelAction) -> bool {
    use raw::RelabelAction::{Drop, Keep, Replace};
    matches!(action, Replace | Keep | Drop)
}

fn word(action: raw::RelabelAction) -> &'static str {
    match action {
        raw::RelabelAction::Replace => "replace",
        raw::RelabelAction::Keep => "keep",
        raw::RelabelAction::Drop => "drop",
        raw::RelabelAction::Labelkeep => "labelkeep",
        raw::RelabelAction::Labeldrop => "labeldrop",
    }
}
