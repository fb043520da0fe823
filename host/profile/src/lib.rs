//! The user's document, `kind: Profile`, from its text to a [`Profile`] in which illegal states do
//! not exist.
//!
//! Pure: text in, values and [`Finding`]s out. The webhook, the sidecar, `up`, `inject` and `check`
//! all read profiles through [`parse`], so they agree on each verdict.
mod did_you_mean;
pub mod document;
pub mod env;
mod finding;
pub mod limits;
mod model;
mod size;

pub use did_you_mean::did_you_mean;
pub use finding::{Finding, Findings, Severity};
pub use model::*;
pub use size::{ByteSize, ParseByteSizeError, ParseSpanError, parse_span};
