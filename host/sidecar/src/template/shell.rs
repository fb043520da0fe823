//! Shell-like variables: `${NAME}`, `${NAME:-default}`, `$$`. Nothing is executed.
//!
//! Names of the file's own go before the environment, and are known without braces too, as `envsubst`
//! knows those that it is told. Any other `$NAME` stays: it may be a password's.

use std::collections::BTreeMap;

use outrigger_profile::{Finding, did_you_mean};

/// Renders a text. A `$` before anything but `$`, `{` and a name of the file's `own` stays as it is.
///
/// # Errors
/// Every variable that is not set and every `${` that is not understood, with its line.
pub(super) fn render(
    text: &str,
    own: &BTreeMap<String, String>,
    env: &BTreeMap<String, String>,
) -> Result<String, Vec<Finding>> {
    let known = Known { own, env };
    let mut out = String::with_capacity(text.len());
    let mut findings = Vec::new();
    let mut line = 1;
    let mut rest = text;
    while let Some(start) = rest.find('$') {
        let (before, from) = rest.split_at(start);
        out.push_str(before);
        line += newlines(before);
        rest = &from[1..];
        if let Some(after) = rest.strip_prefix('$') {
            out.push('$');
            rest = after;
        } else if let Some(inner) = rest.strip_prefix('{') {
            let Some(end) = inner.find('}') else {
                findings.push(
                    Finding::error("", "`${` is not closed")
                        .at_line(line)
                        .hint("write `$${` for the text itself"),
                );
                break;
            };
            let (expression, after) = (&inner[..end], &inner[end + 1..]);
            match known.value(expression) {
                Ok(value) => out.push_str(value),
                Err(finding) => findings.push(finding.at_line(line)),
            }
            line += newlines(expression);
            rest = after;
        } else if let Some((value, after)) = known.own_without_braces(rest) {
            out.push_str(value);
            rest = after;
        } else {
            out.push('$');
        }
    }
    out.push_str(rest);
    if findings.is_empty() {
        Ok(out)
    } else {
        Err(findings)
    }
}

fn newlines(text: &str) -> usize {
    text.bytes().filter(|byte| *byte == b'\n').count()
}

fn is_in_names(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_'
}

/// The variables that there are.
struct Known<'a> {
    /// The file's own.
    own: &'a BTreeMap<String, String>,
    /// The sidecar's.
    env: &'a BTreeMap<String, String>,
}

impl<'a> Known<'a> {
    fn get(&self, name: &str) -> Option<&'a str> {
        let value = self.own.get(name).or_else(|| self.env.get(name));
        value.map(String::as_str)
    }

    /// The value of a name of the file's own at the start of a text, and what follows the name.
    fn own_without_braces<'t>(&self, text: &'t str) -> Option<(&'a str, &'t str)> {
        let (name, after) = text.split_at(text.find(|c| !is_in_names(c)).unwrap_or(text.len()));
        Some((self.own.get(name)?, after))
    }

    /// What stands for `NAME` or `NAME:-default`. As in a shell, `:-` counts for an empty variable too.
    fn value<'t>(&self, expression: &'t str) -> Result<&'t str, Finding>
    where
        'a: 't,
    {
        let (name, default) = match expression.split_once(":-") {
            Some((name, default)) => (name, Some(default)),
            None => (expression, None),
        };
        let is_name = name.starts_with(|c: char| is_in_names(c) && !c.is_ascii_digit())
            && name.chars().all(is_in_names);
        if !is_name {
            return Err(
                Finding::error("", format!("`${{{expression}}}` is not understood")).hint(format!(
                    "there are `${{NAME}}` and `${{NAME:-default}}`; write `$${{{expression}}}` for the text itself"
                )),
            );
        }
        match (self.get(name), default) {
            (Some("") | None, Some(default)) => Ok(default),
            (Some(value), _) => Ok(value),
            (None, None) => {
                let names = self.own.keys().chain(self.env.keys());
                let hint = match did_you_mean(name, names.map(String::as_str)) {
                    Some(near) => format!("did you mean `${{{near}}}`?"),
                    None => format!(
                        "give it a value in the file's `values`, or write `${{{name}:-default}}`"
                    ),
                };
                Err(Finding::error("", format!("the variable `{name}` is not set")).hint(hint))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn env() -> BTreeMap<String, String> {
        BTreeMap::from([
            ("POD_NAME".to_owned(), "db-1".to_owned()),
            ("EMPTY".to_owned(), String::new()),
        ])
    }

    fn render(text: &str, env: &BTreeMap<String, String>) -> Result<String, Vec<Finding>> {
        super::render(text, &BTreeMap::new(), env)
    }

    #[test]
    fn variables_defaults_and_doubled_dollars() {
        let text = "${POD_NAME} ${ZONE:-a b} ${EMPTY:-x}${EMPTY} $$HOME $HOME $(date) $${X} 5$";
        assert_eq!(
            render(text, &env()).unwrap(),
            "db-1 a b x $HOME $HOME $(date) ${X} 5$"
        );
    }

    #[test]
    fn a_files_own_names_go_before_the_environment_and_need_no_braces() {
        let own = BTreeMap::from([
            ("AGDB_REPLICA_INDEX".to_owned(), "2".to_owned()),
            ("POD_NAME".to_owned(), "mine".to_owned()),
            ("NONE".to_owned(), String::new()),
        ]);
        let cases = [
            (
                "http://agdb-${AGDB_REPLICA_INDEX}.agdb:3000",
                "http://agdb-2.agdb:3000",
            ),
            (
                "http://agdb-$AGDB_REPLICA_INDEX.agdb:3000",
                "http://agdb-2.agdb:3000",
            ),
            (
                "${POD_NAME} $POD_NAME ${EMPTY:-x} ${NONE:-y}$NONE|",
                "mine mine x y|",
            ),
            // Another name, the text itself, and names that only the environment has.
            (
                "$AGDB_REPLICA_INDEXES $$AGDB_REPLICA_INDEX $EMPTY",
                "$AGDB_REPLICA_INDEXES $AGDB_REPLICA_INDEX $EMPTY",
            ),
            // A bare word is no variable.
            (
                "agdb-AGDB_REPLICA_INDEX p$$ 5$ $é",
                "agdb-AGDB_REPLICA_INDEX p$ 5$ $é",
            ),
        ];
        for (text, expected) in cases {
            assert_eq!(
                super::render(text, &own, &env()).unwrap(),
                expected,
                "{text}"
            );
        }
        let findings = super::render("${AGDB_REPLICA_INDX}", &own, &env()).unwrap_err();
        assert_eq!(
            findings[0].hint.as_deref(),
            Some("did you mean `${AGDB_REPLICA_INDEX}`?")
        );
    }

    #[test]
    fn everything_that_is_missing_or_not_understood_is_told_with_its_line() {
        let findings = render("${POD_NAM}\n${ZONE}\n${a.b}\n${POD_NAME", &env()).unwrap_err();
        let told: Vec<String> = findings.iter().map(ToString::to_string).collect();
        assert_eq!(
            told,
            [
                "error: line 1: the variable `POD_NAM` is not set\n  hint: did you mean `${POD_NAME}`?",
                "error: line 2: the variable `ZONE` is not set\n  hint: give it a value in the file's `values`, or write `${ZONE:-default}`",
                "error: line 3: `${a.b}` is not understood\n  hint: there are `${NAME}` and `${NAME:-default}`; write `$${a.b}` for the text itself",
                "error: line 4: `${` is not closed\n  hint: write `$${` for the text itself",
            ]
        );
    }

    proptest! {
        #[test]
        fn texts_without_dollars_stay_as_they_are(text in "[^$]{0,60}") {
            prop_assert_eq!(render(&text, &env()).unwrap(), text);
        }

        #[test]
        fn any_text_ends_in_a_result_or_findings(text in "[${}:A-Z\\n -]{0,60}") {
            if let Err(findings) = render(&text, &env()) {
                prop_assert!(!findings.is_empty());
            }
        }
    }
}
