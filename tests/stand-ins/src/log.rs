//! Log lines as the workloads write them: JSON, on standard error.

use std::io::Write as _;

use serde_json::{Map, Value};

/// Writes one line. Nobody reads it where it cannot be written.
pub(crate) fn line(level: &str, message: &str, fields: &[(&str, &str)]) {
    let mut entry = Map::from_iter([
        ("level".to_owned(), Value::from(level)),
        ("msg".to_owned(), Value::from(message)),
    ]);
    for (key, value) in fields {
        entry.insert((*key).to_owned(), Value::from(*value));
    }
    drop(writeln!(std::io::stderr(), "{}", Value::from(entry)));
}
