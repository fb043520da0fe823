//! Write Outrigger plugins in Rust: traits with defaults, an export macro, fakes of the host for native tests.
