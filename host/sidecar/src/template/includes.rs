//! Which templates include which: a template that includes itself, by whatever way, is refused before
//! it is rendered.

use std::collections::BTreeMap;

use outrigger_profile::Finding;

/// One place where a template names another.
#[derive(Debug, PartialEq, Eq)]
struct Include<'a> {
    line: usize,
    name: &'a str,
}

/// A finding when the templates that `first` leads to form a circle.
pub(super) fn cycles(first: &str, templates: &BTreeMap<String, String>) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut done = Vec::new();
    walk(&mut vec![(first, 0)], templates, &mut done, &mut findings);
    findings
}

/// Follows the includes of the last of `chain`, depth first.
fn walk<'a>(
    chain: &mut Vec<(&'a str, usize)>,
    templates: &'a BTreeMap<String, String>,
    done: &mut Vec<&'a str>,
    findings: &mut Vec<Finding>,
) {
    let Some((name, _)) = chain.last().copied() else {
        return;
    };
    let Some((name, text)) = templates.get_key_value(name) else {
        return;
    };
    for include in scan(text) {
        let start = chain.iter().position(|(at, _)| *at == include.name);
        if let Some(start) = start {
            let mut names: Vec<&str> = chain.iter().skip(start).map(|(at, _)| *at).collect();
            names.push(include.name);
            findings.push(
                Finding::error(
                    "",
                    format!(
                        "templates include one another in a circle: {}",
                        names.join(" → ")
                    ),
                )
                .in_file(name.as_str())
                .at_line(include.line)
                .hint("put what they share into a template that includes none of them"),
            );
        } else if !done.contains(&include.name) {
            chain.push((include.name, include.line));
            walk(chain, templates, done, findings);
            chain.pop();
        }
    }
    done.push(name);
}

/// The templates that a text names in `include`, `import`, `from` and `extends`.
fn scan(text: &str) -> Vec<Include<'_>> {
    let mut found = Vec::new();
    let mut rest = text;
    let mut line = 1;
    while let Some(start) = rest.find("{%") {
        line += newlines(&rest[..start]);
        rest = &rest[start + 2..];
        let end = rest.find("%}").unwrap_or(rest.len());
        let tag = rest[..end].trim_start_matches(['-', '+']).trim_start();
        let keyword = tag.split_whitespace().next().unwrap_or_default();
        if ["include", "import", "from", "extends"].contains(&keyword) {
            found.extend(quoted(tag).map(|name| Include { line, name }));
        }
        line += newlines(&rest[..end]);
        rest = &rest[end..];
    }
    found
}

fn newlines(text: &str) -> usize {
    text.bytes().filter(|byte| *byte == b'\n').count()
}

/// The texts in quotes.
fn quoted(tag: &str) -> impl Iterator<Item = &str> {
    let mut rest = tag;
    std::iter::from_fn(move || {
        let start = rest.find(['"', '\''])?;
        let quote = rest[start..].chars().next()?;
        rest = &rest[start + 1..];
        let end = rest.find(quote)?;
        let name = &rest[..end];
        rest = &rest[end + 1..];
        Some(name)
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn templates(texts: &[(&str, &str)]) -> BTreeMap<String, String> {
        texts
            .iter()
            .map(|(name, text)| ((*name).to_owned(), (*text).to_owned()))
            .collect()
    }

    #[test]
    fn a_circle_is_told_with_its_whole_chain() {
        let templates = templates(&[
            ("main", "x\n{% include 'a' %}"),
            ("a", "{%- include \"b\" -%}"),
            ("b", "\n\n{% from 'a' import m %}"),
        ]);
        let findings = cycles("main", &templates);
        assert_eq!(findings.len(), 1);
        assert_eq!(
            findings[0].to_string(),
            "error: b:3: templates include one another in a circle: a → b → a\n  hint: put what they share into a template that includes none of them"
        );
    }

    #[test]
    fn a_template_that_two_others_share_is_no_circle() {
        let templates = templates(&[
            ("main", "{% include 'a' %}{% include 'b' %}"),
            ("a", "{% include 'c' %}"),
            ("b", "{% include 'c' %}"),
            ("c", "text"),
        ]);
        assert_eq!(cycles("main", &templates), []);
    }

    #[test]
    fn a_template_that_includes_itself_is_a_circle() {
        let templates = templates(&[("main", "{% include 'main' %}")]);
        assert_eq!(cycles("main", &templates).len(), 1);
    }

    proptest! {
        #[test]
        fn any_text_can_be_scanned(text in "[{}%'\"a-z \\n-]{0,80}") {
            scan(&text);
        }
    }
}
