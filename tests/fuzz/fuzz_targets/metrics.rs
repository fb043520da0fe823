//! What plugins take from a workload's metrics are counts that are some; a line that is no sample changes nothing.
#![no_main]

use libfuzzer_sys::fuzz_target;
use outrigger_plugin_oxia::series::{self, View};
use outrigger_plugin_tag::counts;

fuzz_target!(|text: &str| {
    let read = counts::counts(text);
    for number in [read.in_flight, read.hits, read.misses] {
        assert!(number.is_finite() && number >= 0.0, "{read:?}");
    }
    let running = series::running(text);
    let view = View::read(text, "oxia-0");
    if let Some(view) = &view {
        assert!(view.shards > 0 && view.up.len() + view.down.len() > 0);
    }
    let commented = format!("# HELP a b\n{text}\n# EOF\n");
    assert_eq!(series::running(&commented), running);
    assert_eq!(View::read(&commented, "oxia-0"), view);
    assert_eq!(counts::counts(&commented), read);
});
