//! Samples of a workload's `/metrics`, for the few numbers that a plugin must know outside of a scrape:
//! at a probe, at a start, in a drain.
//!
//! The text format alone, line by line. What is not understood is skipped: the host's own scrape is the
//! one that tells of it.

/// One sample.
#[derive(Debug, Clone, PartialEq)]
pub struct Sample<'a> {
    /// The series' name.
    pub name: &'a str,
    /// The text between the braces.
    labels: &'a str,
    /// The value.
    pub value: f64,
}

/// The samples of a text in their order.
pub fn samples(text: &str) -> impl Iterator<Item = Sample<'_>> {
    text.lines().filter_map(sample)
}

/// The value of the first sample of this name.
pub fn value(text: &str, name: &str) -> Option<f64> {
    samples(text)
        .find(|sample| sample.name == name)
        .map(|sample| sample.value)
}

impl Sample<'_> {
    /// The value of a label, as long as nothing in it is escaped.
    pub fn label(&self, name: &str) -> Option<&str> {
        let mut rest = self.labels;
        loop {
            let (found, after) = rest.split_once("=\"")?;
            let end = closing_quote(after)?;
            let (value, next) = (&after[..end], &after[end + 1..]);
            if found.trim_matches([',', ' ']) == name {
                return (!value.contains('\\')).then_some(value);
            }
            rest = next;
        }
    }
}

/// Where the text that begins within quotes ends.
fn closing_quote(text: &str) -> Option<usize> {
    let mut escaped = false;
    for (place, byte) in text.bytes().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' => return Some(place),
            _ => {}
        }
    }
    None
}

fn sample(line: &str) -> Option<Sample<'_>> {
    let line = line.trim();
    if line.is_empty() || line.starts_with('#') {
        return None;
    }
    let end = line.find(['{', ' ', '\t']).filter(|end| *end > 0)?;
    let (name, rest) = line.split_at(end);
    let (labels, rest) = match rest.strip_prefix('{') {
        Some(inner) => {
            let end = closing_brace(inner)?;
            (&inner[..end], &inner[end + 1..])
        }
        None => ("", rest),
    };
    let value = number(rest.split_whitespace().next()?)?;
    Some(Sample {
        name,
        labels,
        value,
    })
}

/// Where the labels end; a brace within quotes is part of a value.
fn closing_brace(text: &str) -> Option<usize> {
    let mut at = 0;
    loop {
        let found = at + text[at..].find(['"', '}'])?;
        if text.as_bytes()[found] == b'}' {
            return Some(found);
        }
        at = found + 1;
        at += closing_quote(&text[at..])? + 1;
    }
}

fn number(text: &str) -> Option<f64> {
    match text {
        "+Inf" => Some(f64::INFINITY),
        "-Inf" => Some(f64::NEG_INFINITY),
        _ => text.parse().ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const TEXT: &str = "# HELP up whether it is up\n# TYPE up gauge\nup 1\n\
        ring{name=\"o\",state=\"ACTIVE\"} 3 1700000000000\nodd{a=\"}\\\"\",b=\"x\"} 2\nbig 1.5e+06\nbroken\nworse{ 1\n{nameless=\"x\"} 1\n";

    #[test]
    fn names_labels_and_values_are_read_and_the_rest_is_skipped() {
        assert_eq!(value(TEXT, "up"), Some(1.0));
        assert_eq!(value(TEXT, "big"), Some(1.5e6));
        assert_eq!(value(TEXT, "absent"), None);
        let names: Vec<&str> = samples(TEXT).map(|sample| sample.name).collect();
        assert_eq!(names, ["up", "ring", "odd", "big"]);
        let ring = samples(TEXT).nth(1).unwrap();
        assert_eq!((ring.label("state"), ring.value), (Some("ACTIVE"), 3.0));
        assert_eq!((ring.label("name"), ring.label("nam")), (Some("o"), None));
        let odd = samples(TEXT).nth(2).unwrap();
        assert_eq!((odd.label("a"), odd.label("b")), (None, Some("x")));
    }

    proptest! {
        #[test]
        fn any_text_gives_samples_whose_labels_can_be_asked_for(text in ".{0,200}") {
            for sample in samples(&text) {
                let _maybe = sample.label("a");
            }
        }

        #[test]
        fn near_samples_are_read(text in "[a-b{}\",=\\\\ 0-9\n]{0,60}") {
            for sample in samples(&text) {
                let _maybe = sample.label("a");
            }
        }
    }
}
