//! What a roll keeps of itself, in an annotation of the StatefulSet.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// The annotation.
pub const ANNOTATION: &str = "outrigger.dev/roll";

/// A roll that was begun and is not over. Who finds it goes on with it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Note {
    /// When it began, by the API server's clock. Nothing is decided by it.
    pub began: String,
    /// The pods to replace, by ordinal, with the uid that each had when it began.
    pub pods: BTreeMap<u32, String>,
    /// Who is to be evicted, or was last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub named: Option<Named>,
}

/// The one replica that may be evicted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Named {
    /// Its ordinal.
    pub ordinal: u32,
    /// Its pod.
    pub uid: String,
    /// Whether it was chosen although it leads.
    pub leads: bool,
    /// Grows with each attempt to evict it, so that attempts exclude each other.
    pub attempt: u32,
}

/// The annotation is not ours to read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the annotation {ANNOTATION} cannot be read: {0}")]
pub struct NoteError(String);

impl Note {
    /// Reads the annotation's value.
    pub fn parse(text: &str) -> Result<Self, NoteError> {
        serde_json::from_str(text).map_err(|error| NoteError(error.to_string()))
    }

    /// The annotation's value.
    pub fn text(&self) -> String {
        // Strings and numbers: nothing of it can fail.
        serde_json::to_string(self).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_note_is_read_as_it_was_written_and_a_strange_one_is_refused() {
        let mut note = Note {
            began: "2026-06-01T00:00:00Z".to_owned(),
            pods: BTreeMap::from([(0, "a".to_owned()), (1, "b".to_owned())]),
            named: None,
        };
        assert_eq!(
            note.text(),
            r#"{"began":"2026-06-01T00:00:00Z","pods":{"0":"a","1":"b"}}"#
        );
        note.named = Some(Named {
            ordinal: 1,
            uid: "b".to_owned(),
            leads: false,
            attempt: 3,
        });
        assert_eq!(Note::parse(&note.text()), Ok(note));
        let error = Note::parse("2026-06-01").unwrap_err().to_string();
        assert!(
            error.starts_with("the annotation outrigger.dev/roll cannot be read: "),
            "{error}"
        );
    }
}
