//! Checking a configuration that is about to be put in place: what is wrong with it, and where.

use crate::vocabulary::Diagnostic;
use crate::yaml::{self, Node};

/// What was found in one artifact so far.
#[derive(Debug)]
pub struct Inspection<'a> {
    path: &'a str,
    found: Vec<Diagnostic>,
}

impl<'a> Inspection<'a> {
    /// Of the artifact with this path.
    pub fn new(path: &'a str) -> Self {
        let found = Vec::new();
        Self { path, found }
    }

    /// What keeps the old set: in a line (from 1; 0 = the whole file), with what to do about it.
    pub fn error(&mut self, line: u32, message: impl Into<String>, hint: &str) {
        let found = Diagnostic::error(self.path, line, message).hint(hint);
        self.found.push(found);
    }

    /// What is shown, and keeps nothing.
    pub fn warning(&mut self, line: u32, message: impl Into<String>, hint: &str) {
        let found = Diagnostic::warning(self.path, line, message).hint(hint);
        self.found.push(found);
    }

    /// All of it, by line; in a line in the order in which it was found.
    pub fn into_diagnostics(mut self) -> Vec<Diagnostic> {
        self.found.sort_by_key(|diagnostic| diagnostic.line);
        self.found
    }
}

/// An artifact's text.
///
/// # Errors
/// What to say of bytes that are none.
pub fn text<'c>(path: &str, content: &'c [u8]) -> Result<&'c str, Diagnostic> {
    std::str::from_utf8(content).map_err(|_| {
        Diagnostic::error(path, 0, "the file is not UTF-8").hint("check the template's encoding")
    })
}

/// An artifact's document; none in an empty one.
///
/// # Errors
/// What to say of one that cannot be read.
pub fn yaml(path: &str, content: &[u8]) -> Result<Option<Node>, Diagnostic> {
    yaml::parse(text(path, content)?).map_err(|error| {
        Diagnostic::error(path, error.line, format!("no YAML: {}", error.message))
            .hint("check the indentation, quotes and brackets around this line")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_found_is_told_by_line_with_its_hint() {
        let mut inspection = Inspection::new("/etc/db.yaml");
        inspection.warning(7, "late", "later");
        inspection.error(0, "all of it", "anew");
        inspection.error(7, "late too", "last");
        let told: Vec<_> = inspection
            .into_diagnostics()
            .into_iter()
            .map(|found| (found.line, found.message, found.hint))
            .collect();
        let said =
            |line: u32, message: &str, hint: &str| (line, message.to_owned(), hint.to_owned());
        assert_eq!(
            told,
            [
                said(0, "all of it", "anew"),
                said(7, "late", "later"),
                said(7, "late too", "last")
            ]
        );
    }

    #[test]
    fn what_cannot_be_read_is_an_error_of_its_line() {
        let told = |content: &[u8]| {
            yaml("/etc/db.yaml", content).map_err(|found| (found.line, found.message))
        };
        assert_eq!(told(b""), Ok(None));
        assert_eq!(told(b"\xff"), Err((0, "the file is not UTF-8".to_owned())));
        assert_eq!(told(b"a: 1\nb: c: d").unwrap_err().0, 2);
    }
}
