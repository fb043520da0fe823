//! The file of rendered variables that a sidecar writes, as the kubelet reads it.

/// The variables of a text of `NAME='value'`, one after the other. A value stands in single quotes as it is,
/// with as many lines as it has; what comes after something else is not read.
pub(super) fn variables(text: &str) -> impl Iterator<Item = (&str, &str)> {
    let mut rest = text;
    std::iter::from_fn(move || {
        let (name, after) = rest.split_once("='")?;
        let (value, next) = after.split_once('\'')?;
        rest = next;
        Some((name.trim(), value))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Vec<(&str, &str)> {
        variables(text).collect()
    }

    #[test]
    fn a_value_comes_without_its_quotes_and_with_all_of_its_lines() {
        assert_eq!(
            read("A='10.0.0.1:7000'\nB='two\nlines = \"x\"'\nC=''\n"),
            [
                ("A", "10.0.0.1:7000"),
                ("B", "two\nlines = \"x\""),
                ("C", "")
            ]
        );
    }

    #[test]
    fn a_text_that_ends_within_a_value_has_no_such_variable() {
        assert_eq!(read("A='1'\nB='2"), [("A", "1")]);
        assert_eq!(read(""), []);
        assert_eq!(read("A=1\n"), []);
    }
}
