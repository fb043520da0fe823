//! Reads the text formats that workloads expose, line by line. Pure; what it cannot read is an error
//! with its line, never a guess.

use std::collections::HashSet;

use super::derived::is_metric_name;
use super::family::{Family, Kind, Sample, Value};

/// How many samples one exposition may have.
pub const SAMPLES_MAX: usize = 50_000;

/// Why an exposition cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {problem}")]
pub struct ParseError {
    /// From 1.
    pub line: usize,
    /// What is wrong.
    pub problem: String,
}

/// The families of an exposition in either text format. Each sample stands in a family of its own
/// name, so histograms and summaries come out as their parts, of unknown kind: nothing is lost that
/// a scraper needs to compute with them. Timestamps and exemplars are left out.
pub fn parse(text: &str) -> Result<Vec<Family>, ParseError> {
    let mut reader = Reader::default();
    for (index, line) in text.lines().enumerate() {
        let fail = |problem: String| ParseError {
            line: index + 1,
            problem,
        };
        let line = line.trim_end_matches('\r');
        if line == "# EOF" {
            break;
        }
        if let Some(comment) = line.strip_prefix('#') {
            reader.comment(comment.trim_start());
        } else if !line.trim().is_empty() {
            reader.sample(line).map_err(fail)?;
        }
    }
    reader.part_namesakes();
    Ok(reader.families)
}

#[derive(Debug, Default)]
struct Reader {
    families: Vec<Family>,
    places: std::collections::HashMap<String, usize>,
    kinds: std::collections::HashMap<String, Kind>,
    helps: std::collections::HashMap<String, String>,
    samples: usize,
}

impl Reader {
    fn comment(&mut self, comment: &str) {
        let mut words = comment.splitn(3, [' ', '\t']);
        let (Some(word), Some(name)) = (words.next(), words.next()) else {
            return;
        };
        let rest = words.next().unwrap_or("").trim();
        match (word, rest) {
            ("TYPE", "counter") => {
                // OpenMetrics names the family without the ending of its samples.
                let bare = name.strip_suffix("_total").unwrap_or(name);
                self.kinds.insert(format!("{bare}_total"), Kind::Counter);
                self.kinds.insert(name.to_owned(), Kind::Counter);
            }
            ("TYPE", "gauge") => {
                self.kinds.insert(name.to_owned(), Kind::Gauge);
            }
            ("HELP", _) => {
                let help = rest.replace("\\n", "\n").replace("\\\\", "\\");
                self.helps.insert(name.to_owned(), help);
            }
            _ => {}
        }
    }

    fn sample(&mut self, line: &str) -> Result<(), String> {
        self.samples += 1;
        if self.samples > SAMPLES_MAX {
            return Err(format!("there are more than {SAMPLES_MAX} samples"));
        }
        let end = line
            .find(|c: char| c == '{' || c.is_whitespace())
            .ok_or("a name stands alone")?;
        let (name, rest) = line.split_at(end);
        if !is_metric_name(name) {
            return Err(format!("`{name}` is not a metric's name"));
        }
        let (labels, rest) = if let Some(inside) = rest.strip_prefix('{') {
            labels(inside)?
        } else {
            (Vec::new(), rest)
        };
        let word = rest
            .split_whitespace()
            .next()
            .ok_or("the value is missing")?;
        let value = number(word).ok_or_else(|| format!("`{word}` is not a number"))?;
        let place = self.place(name);
        self.families[place].samples.push(Sample {
            labels,
            value: Value::Number(value),
        });
        Ok(())
    }

    fn place(&mut self, sample: &str) -> usize {
        if let Some(place) = self.places.get(sample) {
            return *place;
        }
        let kind = self.kinds.get(sample).copied().unwrap_or(Kind::Unknown);
        // A counter of the older format may lack the ending: it keeps its name, without its kind.
        let (name, kind) = match (kind, sample.strip_suffix("_total")) {
            (Kind::Counter, Some(bare)) => (bare, Kind::Counter),
            (Kind::Counter, None) => (sample, Kind::Unknown),
            (kind, _) => (sample, kind),
        };
        let help = self.helps.get(sample).or_else(|| self.helps.get(name));
        let family = Family::new(name, kind, help.map_or("", String::as_str));
        self.families.push(family);
        self.places
            .insert(sample.to_owned(), self.families.len() - 1);
        self.families.len() - 1
    }
}

impl Reader {
    /// A counter whose family would be named as another one is: Go's `go_memstats_alloc_bytes_total` beside the
    /// gauge `go_memstats_alloc_bytes`, which the older format allows. It keeps its name, without its kind.
    fn part_namesakes(&mut self) {
        let others = self.families.iter();
        let others = others.filter(|family| family.kind != Kind::Counter);
        let taken: HashSet<String> = others.map(|family| family.name.clone()).collect();
        for family in &mut self.families {
            if family.kind == Kind::Counter && taken.contains(&family.name) {
                family.name.push_str("_total");
                family.kind = Kind::Unknown;
            }
        }
    }
}

type Labels = Vec<(String, String)>;

/// The labels after an opening brace, and what follows the closing one.
fn labels(mut rest: &str) -> Result<(Labels, &str), String> {
    let mut labels: Labels = Vec::new();
    loop {
        rest = rest.trim_start_matches([' ', '\t', ',']);
        if let Some(after) = rest.strip_prefix('}') {
            return Ok((labels, after));
        }
        let (name, after) = rest.split_once('=').ok_or("a label has no value")?;
        let name = name.trim();
        if !is_metric_name(name) || name.contains(':') {
            return Err(format!("`{name}` is not a label's name"));
        }
        if labels.iter().any(|(given, _)| given == name) {
            return Err(format!("the label `{name}` is there twice"));
        }
        let after = after
            .trim_start()
            .strip_prefix('"')
            .ok_or("a label's value is not quoted")?;
        let (value, after) = quoted(after)?;
        labels.push((name.to_owned(), value));
        rest = after;
    }
}

/// A quoted text after its opening quote, and what follows the closing one.
fn quoted(text: &str) -> Result<(String, &str), String> {
    let mut value = String::new();
    let mut characters = text.char_indices();
    while let Some((at, character)) = characters.next() {
        match character {
            '"' => return Ok((value, &text[at + 1..])),
            '\\' => match characters.next() {
                Some((_, 'n')) => value.push('\n'),
                Some((_, other @ ('"' | '\\'))) => value.push(other),
                Some((_, other)) => value.extend(['\\', other]),
                None => break,
            },
            other => value.push(other),
        }
    }
    Err("a label's value does not end".to_owned())
}

fn number(word: &str) -> Option<f64> {
    match word {
        "+Inf" | "Inf" => Some(f64::INFINITY),
        "-Inf" => Some(f64::NEG_INFINITY),
        "NaN" => Some(f64::NAN),
        _ => word.parse().ok(),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::metrics::encode::{Format, encode};

    const CLASSIC: &str = "\
# HELP http_requests_total Requests by \\\\ \\n code
# TYPE http_requests_total counter
http_requests_total{code=\"200\",path=\"/a\\\"b\\\\\\n\"} 10 1712345678000
http_requests_total{code=\"500\",} 1
# TYPE up gauge
up 1
# TYPE odd counter
odd 3
# TYPE took histogram
took_bucket{le=\"1\"} 2
took_bucket{le=\"+Inf\"} 3
took_sum NaN
took_count 3
";

    #[test]
    fn what_was_read_is_written_again_with_nothing_lost() {
        let families = parse(CLASSIC).unwrap();
        let text = encode(&families, &[], Format::Classic).unwrap();
        assert_eq!(
            text,
            "\
# HELP http_requests_total Requests by \\\\ \\n code
# TYPE http_requests_total counter
http_requests_total{code=\"200\",path=\"/a\\\"b\\\\\\n\"} 10.0
http_requests_total{code=\"500\"} 1.0
# HELP up 
# TYPE up gauge
up 1.0
# HELP odd 
# TYPE odd untyped
odd 3.0
# HELP took_bucket 
# TYPE took_bucket untyped
took_bucket{le=\"1\"} 2.0
took_bucket{le=\"+Inf\"} 3.0
# HELP took_sum 
# TYPE took_sum untyped
took_sum NaN
# HELP took_count 
# TYPE took_count untyped
took_count 3.0
"
        );
    }

    #[test]
    fn a_counter_and_a_gauge_of_one_name_are_two_families() {
        const GO: &str = "\
# TYPE go_memstats_alloc_bytes gauge
go_memstats_alloc_bytes 15
# HELP go_memstats_alloc_bytes_total so far
# TYPE go_memstats_alloc_bytes_total counter
go_memstats_alloc_bytes_total 55
";
        let families = parse(GO).unwrap();
        assert_eq!(
            encode(&families, &[], Format::Classic).unwrap(),
            "\
# HELP go_memstats_alloc_bytes 
# TYPE go_memstats_alloc_bytes gauge
go_memstats_alloc_bytes 15.0
# HELP go_memstats_alloc_bytes_total so far
# TYPE go_memstats_alloc_bytes_total untyped
go_memstats_alloc_bytes_total 55.0
"
        );
        let open = encode(&families, &[], Format::OpenMetrics).unwrap();
        assert!(
            open.contains("\ngo_memstats_alloc_bytes_total 55.0\n"),
            "{open}"
        );
    }

    #[test]
    fn what_cannot_be_read_is_an_error_with_its_line() {
        for (text, problem) in [
            ("up 1\nup", "line 2: a name stands alone"),
            ("up one", "line 1: `one` is not a number"),
            ("1up 1", "line 1: `1up` is not a metric's name"),
            ("up{a=1} 1", "line 1: a label's value is not quoted"),
            ("up{a=\"1} 1", "line 1: a label's value does not end"),
            (
                "up{a=\"1\",a=\"2\"} 1",
                "line 1: the label `a` is there twice",
            ),
            ("<html>", "line 1: a name stands alone"),
        ] {
            assert_eq!(parse(text).unwrap_err().to_string(), problem, "{text}");
        }
    }

    proptest! {
        #[test]
        fn no_text_breaks_the_reader(text in "[a-z{}=\"\\\\,# \n0-9.+-]{0,200}") {
            drop(parse(&text));
        }

        #[test]
        fn what_we_write_we_read(
            value in any::<f64>(),
            label in "\\PC{0,20}",
        ) {
            let family = Family::new("a", Kind::Gauge, "help").with(&[("l", &label)], value);
            let text = encode(std::slice::from_ref(&family), &[], Format::OpenMetrics).unwrap();
            let read = parse(&text).unwrap();
            prop_assert_eq!(&read[0].samples[0].labels, &family.samples[0].labels);
        }
    }
}
