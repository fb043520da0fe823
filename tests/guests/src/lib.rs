//! Guests that misbehave. Each is an example of this crate; [`BEHAVIOURS`] lists what the example
//! `misbehaving` can do wrong, chosen by its setting `behaviour`.

/// Every behaviour of the guest `misbehaving`.
pub const BEHAVIOURS: &[&str] = &[
    "well",
    "trap",
    "loop",
    "allocate",
    "overflow-stack",
    "log-for-ever",
    "huge-answer",
    "bad-text",
    "wait-for-endpoint",
    "many-requests",
    "related",
    "denied-endpoint",
    "failure",
    "state-overflow",
    "bad-batch",
];
