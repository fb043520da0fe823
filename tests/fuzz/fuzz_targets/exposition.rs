//! A text of metrics is read line by line, with names that are some; any text can be the value of a label, and the
//! label after it is read all the same.
#![no_main]

use libfuzzer_sys::fuzz_target;
use outrigger_plugin_sdk::exposition::samples;

fuzz_target!(|text: &str| {
    let told = |samples: Vec<_>| format!("{samples:?}");
    let all: Vec<_> = samples(text).collect();
    for sample in &all {
        assert!(!sample.name.is_empty());
        assert!(!sample.name.contains([' ', '\t', '{', '\n']), "{sample:?}");
    }
    assert_eq!(told(all), told(text.lines().flat_map(samples).collect()));

    let escaped = text
        .replace('\\', "\\\\")
        .replace('"', "\\\"")
        .replace('\n', "\\n");
    let line = format!("m{{first=\"{escaped}\",second=\"x\"}} 1.5 1700000000000");
    let read: Vec<_> = samples(&line).collect();
    let [sample] = read.as_slice() else {
        panic!("{line:?}: {read:?}");
    };
    assert_eq!((sample.name, sample.value), ("m", 1.5));
    assert_eq!(sample.label("second"), Some("x"));
    assert_eq!(
        sample.label("first"),
        (escaped == text && !text.contains('\\')).then_some(text)
    );
});
