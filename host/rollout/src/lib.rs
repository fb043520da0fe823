//! Restarts a StatefulSet's replicas in a cluster: one at a time, the leader last, through evictions.
//!
//! [`begin`] and [`step`] decide, pure: what was seen in, the next thing to do out. [`run`] looks, does it
//! and looks again. What was begun stands in a [`Note`] on the StatefulSet, so that a run can end at any
//! point and another one goes on.
//!
//! # Guarantees
//! However many runs there are at a time, and wherever each of them ends or is held up, no two replicas are
//! down by evictions at once, without trusting any clock:
//! - before each eviction the note names the replica, written with the version of the StatefulSet that was
//!   read before the pods were; so of two runs that decide at the same time one is too late;
//! - while the replica that the note names is still there, no other is evicted, unless it became the leader
//!   after it was chosen; then its pod has changed, and the eviction names the version of the pod that was
//!   read;
//! - all replicas are ready before the next one is named.
//!
//! # Caveats
//! Others may evict, delete and restart pods as well. A `PodDisruptionBudget` counts for all of them.

mod error;
mod look;
mod next;
mod note;
mod progress;
mod run;
mod seen;
mod turn;
mod why;

pub use error::RollError;
pub use next::{Begin, Obstacle, Refusal, Step, begin, step};
pub use note::{ANNOTATION, Named, Note, NoteError};
pub use progress::{Progress, Stop, Summary};
pub use run::{Options, Target, run};
pub use seen::{PodSeen, Seen, SetSeen, Strategy};
