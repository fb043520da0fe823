//! Process tests: the harness that they share.
