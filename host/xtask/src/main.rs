//! The project commands: demo, test, ci, bench.

fn main() {}
