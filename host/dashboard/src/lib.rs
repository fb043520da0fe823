//! The model that the status shows, and its embedded read-only page.
