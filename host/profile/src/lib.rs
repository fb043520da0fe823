//! The user's document, `kind: Profile`, from its text to a [`Profile`] in which illegal states do
//! not exist.
//!
//! Pure: text in, values and [`Finding`]s out. The webhook, the sidecar, `up`, `inject` and `check`
//! all read profiles through [`parse`], so they agree on each verdict.
pub mod builtin;
mod convert;
pub mod defaults;
mod did_you_mean;
pub mod document;
pub mod env;
mod finding;
mod host;
pub mod layout;
pub mod limits;
mod model;
mod parse;
mod pattern;
mod raw;
mod reference;
mod schema;
mod size;
mod structure;

pub use did_you_mean::did_you_mean;
pub use finding::{Finding, Findings, Severity};
pub use host::{LINK_LOCAL, host_problem, is_link_local};
pub use model::*;
pub use parse::parse;
pub use pattern::{PATTERN_BYTES_MAX, Pattern};
pub use reference::reference;
pub use schema::schema;
pub use size::{ByteSize, ParseByteSizeError, ParseSpanError, parse_span, show_span};
