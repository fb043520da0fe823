//! Signals, the phase of a process, its deadline, named tasks and readiness latches.
