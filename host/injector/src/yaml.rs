//! Edits YAML text in place: what is not touched stays as it was written, comments, order, quotes and
//! line ends included, and taking out what was put in gives back the same bytes.
//!
//! Only what a pod patch needs: entries of mappings and elements of sequences are added, replaced and
//! removed, in block and in flow style.

mod edit;
mod emit;
mod tree;

pub use edit::Editor;

/// Why text cannot be edited.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EditError {
    /// It is no YAML.
    #[error("line {line}: {problem}")]
    Syntax {
        /// From 1.
        line: usize,
        /// What the parser says.
        problem: String,
    },
    /// It is nested too deeply.
    #[error("line {line}: nested deeper than any manifest")]
    Depth {
        /// From 1.
        line: usize,
    },
    /// It has what an edit cannot pass: a key that is no text, a value where a collection belongs.
    #[error("line {line}: this cannot be edited here; write it as an ordinary mapping or list")]
    Shape {
        /// From 1.
        line: usize,
    },
    /// The place stands for another one.
    #[error(
        "line {line}: an alias stands here, and editing it would change what it refers to; write it out"
    )]
    Alias {
        /// From 1.
        line: usize,
    },
    /// There is no such place.
    #[error("there is no {path} to edit")]
    NoSuchPlace {
        /// A JSON pointer.
        path: String,
    },
}

#[cfg(test)]
mod tests;
