//! Rendered environment variables as the file that Kubernetes' `fileKeyRef` reads: `KEY='value'`, one
//! after the other, values in single quotes, nothing escaped (KEP-3721).

use std::collections::BTreeMap;

use outrigger_profile::Finding;

/// The file's content.
///
/// # Errors
/// The format has no way to write a single quote within a value.
pub(super) fn write(variables: &BTreeMap<String, String>) -> Result<String, Vec<Finding>> {
    let mut text = String::new();
    let mut findings = Vec::new();
    for (name, value) in variables {
        if let Some(what) = [('\'', "a single quote"), ('\0', "a NUL")]
            .iter()
            .find_map(|(c, what)| value.contains(*c).then_some(what))
        {
            findings.push(
                Finding::error(
                    format!("spec.env.{name}"),
                    format!("the value holds {what}, which an env file cannot carry"),
                )
                .hint("put the value into a file of its own"),
            );
            continue;
        }
        text.push_str(name);
        text.push_str("='");
        text.push_str(value);
        text.push_str("'\n");
    }
    if findings.is_empty() {
        Ok(text)
    } else {
        Err(findings)
    }
}

/// The variable that a line (from 1) of such a file belongs to.
pub(super) fn name_at(text: &str, line: usize) -> Option<&str> {
    let mut rest = text;
    let mut next = 1;
    while let Some((name, after)) = rest.split_once("='") {
        let (value, after) = after.split_once("'\n")?;
        next += 1 + value.matches('\n').count();
        if line < next {
            return (line > 0).then_some(name);
        }
        rest = after;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn variables(values: &[(&str, &str)]) -> BTreeMap<String, String> {
        values
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect()
    }

    #[test]
    fn values_stand_in_single_quotes_as_they_are() {
        let text = write(&variables(&[
            ("B", "two words"),
            ("A", "$HOME \"x\"\nmore\\"),
        ]))
        .unwrap();
        assert_eq!(text, "A='$HOME \"x\"\nmore\\'\nB='two words'\n");
    }

    #[test]
    fn a_line_tells_its_variable_though_values_have_lines_of_their_own() {
        let text = write(&variables(&[("A", "one\ntwo"), ("B", ""), ("C", "x='y")])).unwrap_err();
        assert_eq!(text.len(), 1, "{text:?}");
        let text = write(&variables(&[("A", "one\ntwo\n"), ("B", ""), ("C", "x=y")])).unwrap();
        let names: Vec<_> = (0..7).map(|line| name_at(&text, line)).collect();
        assert_eq!(
            names,
            [
                None,
                Some("A"),
                Some("A"),
                Some("A"),
                Some("B"),
                Some("C"),
                None
            ]
        );
    }

    #[test]
    fn what_the_format_cannot_carry_is_refused_for_each_variable() {
        let findings = write(&variables(&[("A", "it's"), ("B", "x\0"), ("C", "ok")])).unwrap_err();
        let places: Vec<&str> = findings.iter().map(|f| f.path.as_str()).collect();
        assert_eq!(places, ["spec.env.A", "spec.env.B"]);
    }
}
