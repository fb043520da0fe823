//! The steps of a decision.

use crate::decide::{Decision, Operation, Outcome, Request, SkipReason};
use crate::entropy::Entropy;
use crate::facts::Catalog;
use crate::settings::Settings;

pub(crate) fn outcome(
    request: &Request<'_>,
    _catalog: &dyn Catalog,
    _settings: &Settings,
    _entropy: &dyn Entropy,
) -> Outcome {
    let reason = if request.operation == Operation::Create {
        SkipReason::NotAsked
    } else {
        SkipReason::NotCreated
    };
    Outcome {
        decision: Decision::Skip(reason),
        warnings: Vec::new(),
    }
}
