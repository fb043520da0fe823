//! `/metrics`: our own series, the plugin's derived ones, in one exposition.

mod recorder;

pub use recorder::{BUCKETS, Histogram, Recorded, Recorder};
