//! The one binary: parsing, wiring and reporting, no logic.

fn main() {}
