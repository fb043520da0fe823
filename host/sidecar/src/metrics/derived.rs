//! The plugin's own series, taken at their word only where they fit into an exposition. Pure.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::fmt;

use outrigger_plugin_host::{Batch, MetricKind};
use outrigger_telemetry::names;

use super::family::{Family, Kind, Sample, Value};

/// How many samples a plugin may add: a hundred per replica of a cluster of twenty.
pub const DERIVED_ROWS_MAX: usize = 2000;

/// How many labels one sample may have.
const LABELS_MAX: usize = 16;

/// The most that a label's value or a help text may hold, in bytes.
const TEXT_BYTES_MAX: usize = 1024;

/// Why something of a plugin's batch is not in the exposition.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Problem {
    /// The columns do not fit together.
    Columns,
    /// The family's name cannot be used.
    Name,
    /// The family's name belongs to another one.
    Clash,
    /// A label cannot be used.
    Label,
    /// The same sample came before.
    Duplicate,
    /// A counter below zero.
    Value,
    /// Too many samples.
    Cap,
}

impl Problem {
    /// The word for metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Columns => "columns",
            Self::Name => "name",
            Self::Clash => "clash",
            Self::Label => "label",
            Self::Duplicate => "duplicate",
            Self::Value => "value",
            Self::Cap => "cap",
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Columns => "the columns do not fit together",
            Self::Name => {
                "a family's name is not of letters, digits and underscores, or starts with `outrigger_`"
            }
            Self::Clash => "a family's name belongs to another one",
            Self::Label => "a label's name cannot be used, or there are too many or too long ones",
            Self::Duplicate => "the same sample came before",
            Self::Value => "a counter is below zero or no number",
            Self::Cap => return write!(f, "there are more than {DERIVED_ROWS_MAX} samples"),
        })
    }
}

/// The families of a batch that can be shown, and why others cannot. `taken` are the sample names of
/// families that are in the exposition already, `constant` the labels that every sample gets.
pub fn derived(
    batch: &Batch,
    taken: &BTreeSet<String>,
    constant: &[(String, String)],
) -> (Vec<Family>, BTreeMap<Problem, String>) {
    let mut problems: BTreeMap<Problem, String> = BTreeMap::new();
    let mut note = |problem: Problem, what: String| {
        problems.entry(problem).or_insert(what);
    };
    if let Err(problem) = batch.check() {
        note(Problem::Columns, problem.to_string());
        return (Vec::new(), problems);
    }
    let mut families: Vec<Family> = Vec::new();
    let mut places: BTreeMap<String, Option<usize>> = BTreeMap::new();
    let mut names = taken.clone();
    let mut samples: HashSet<(usize, Vec<(String, String)>)> = HashSet::new();
    for (row, sample) in batch.samples().enumerate() {
        if row >= DERIVED_ROWS_MAX {
            note(Problem::Cap, format!("{} samples", batch.len()));
            break;
        }
        let place = *places.entry(sample.family.name.clone()).or_insert_with(|| {
            let Some(family) = family(sample.family) else {
                note(Problem::Name, sample.family.name.clone());
                return None;
            };
            let own = family.sample_names();
            if own.iter().any(|name| names.contains(name)) {
                note(Problem::Clash, family.name.clone());
                return None;
            }
            names.extend(own);
            families.push(family);
            Some(families.len() - 1)
        });
        let Some(place) = place else { continue };
        let Some(labels) = labels(&sample.labels, constant) else {
            note(Problem::Label, sample.family.name.clone());
            continue;
        };
        let counts = families[place].kind == Kind::Counter;
        if counts && (sample.value.is_nan() || sample.value < 0.0) {
            note(Problem::Value, sample.family.name.clone());
            continue;
        }
        let mut sorted = labels.clone();
        sorted.sort();
        if !samples.insert((place, sorted)) {
            note(Problem::Duplicate, sample.family.name.clone());
            continue;
        }
        families[place].samples.push(Sample {
            labels,
            value: Value::Number(sample.value),
        });
    }
    families.retain(|family| !family.samples.is_empty());
    (families, problems)
}

fn family(given: &outrigger_plugin_host::Family) -> Option<Family> {
    let kind = match given.kind {
        MetricKind::Gauge => Kind::Gauge,
        MetricKind::Counter => Kind::Counter,
    };
    let name = match kind {
        Kind::Counter => given.name.strip_suffix("_total").unwrap_or(&given.name),
        _ => given.name.as_str(),
    };
    let fits = is_metric_name(name) && name.len() <= 200 && !name.starts_with(names::PREFIX);
    fits.then(|| {
        let help = crate::timeline::cut(given.help.clone(), TEXT_BYTES_MAX);
        Family::new(name, kind, &help)
    })
}

/// The labels of a sample, where they can be used beside the constant ones.
fn labels(given: &[(&str, &str)], constant: &[(String, String)]) -> Option<Vec<(String, String)>> {
    if given.len() > LABELS_MAX {
        return None;
    }
    let mut seen: BTreeSet<&str> = constant.iter().map(|(name, _)| name.as_str()).collect();
    given
        .iter()
        .map(|(name, value)| {
            let fits = is_label_name(name) && value.len() <= TEXT_BYTES_MAX && seen.insert(name);
            fits.then(|| ((*name).to_owned(), (*value).to_owned()))
        })
        .collect()
}

/// Letters, digits, underscores and colons, not starting with a digit.
pub(super) fn is_metric_name(name: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b':';
    !name.is_empty() && name.bytes().all(fits) && !name.as_bytes()[0].is_ascii_digit()
}

/// Letters, digits and underscores, not starting with a digit or with two underscores; `le` and
/// `quantile` mean something else.
pub(super) fn is_label_name(name: &str) -> bool {
    is_metric_name(name)
        && !name.contains(':')
        && !name.starts_with("__")
        && !["le", "quantile"].contains(&name)
}

#[cfg(test)]
mod tests {
    use outrigger_plugin_host::BatchBuilder;
    use proptest::prelude::*;

    use super::*;
    use crate::metrics::encode::{Format, encode};

    fn given(name: &str, kind: MetricKind) -> outrigger_plugin_host::Family {
        outrigger_plugin_host::Family {
            name: name.to_owned(),
            help: "help".to_owned(),
            kind,
        }
    }

    type Row<'a> = (&'a str, MetricKind, &'a [(&'a str, &'a str)], f64);

    fn batch(rows: &[Row<'_>]) -> Batch {
        let mut builder = BatchBuilder::default();
        for (name, kind, labels, value) in rows {
            builder.push(&given(name, *kind), labels, *value);
        }
        builder.finish()
    }

    fn problems(rows: &[Row<'_>]) -> (usize, String) {
        let taken = BTreeSet::from(["outrigger_peers".to_owned(), "taken".to_owned()]);
        let constant = [("cluster".to_owned(), "prod".to_owned())];
        let (families, problems) = derived(&batch(rows), &taken, &constant);
        let words: Vec<&str> = problems.keys().map(|problem| problem.as_str()).collect();
        (
            families.iter().map(|f| f.samples.len()).sum(),
            words.join(","),
        )
    }

    #[test]
    fn what_fits_is_shown_and_what_does_not_is_named() {
        use MetricKind::{Counter, Gauge};
        let table: &[(&[Row<'_>], (usize, &str))] = &[
            (
                &[
                    ("db_up", Gauge, &[], 1.0),
                    ("db_lag", Gauge, &[("o", "1")], 2.0),
                ],
                (2, ""),
            ),
            (&[("db up", Gauge, &[], 1.0)], (0, "name")),
            (&[("1db", Gauge, &[], 1.0)], (0, "name")),
            (&[("outrigger_x", Gauge, &[], 1.0)], (0, "name")),
            (&[("taken", Gauge, &[], 1.0)], (0, "clash")),
            (
                &[("db", Counter, &[], 1.0), ("db_total", Gauge, &[], 1.0)],
                (1, "clash"),
            ),
            (&[("db_total", Counter, &[], 1.0)], (1, "")),
            (&[("db", Gauge, &[("a-b", "1")], 1.0)], (0, "label")),
            (&[("db", Gauge, &[("__a", "1")], 1.0)], (0, "label")),
            (&[("db", Gauge, &[("cluster", "1")], 1.0)], (0, "label")),
            (
                &[("db", Gauge, &[("a", "1"), ("a", "2")], 1.0)],
                (0, "label"),
            ),
            (&[("db", Counter, &[], -1.0)], (0, "value")),
            (&[("db", Gauge, &[], f64::NAN)], (1, "")),
            (
                &[
                    ("db", Gauge, &[("a", "1"), ("b", "2")], 1.0),
                    ("db", Gauge, &[("b", "2"), ("a", "1")], 2.0),
                ],
                (1, "duplicate"),
            ),
        ];
        for (rows, (shown, words)) in table {
            assert_eq!(problems(rows), (*shown, (*words).to_owned()), "{rows:?}");
        }
    }

    #[test]
    fn beyond_the_cap_samples_are_left_out_and_that_is_said() {
        let mut builder = BatchBuilder::default();
        for row in 0..=DERIVED_ROWS_MAX {
            let row = row.to_string();
            builder.push(&given("db", MetricKind::Gauge), &[("row", &row)], 1.0);
        }
        let (families, problems) = derived(&builder.finish(), &BTreeSet::new(), &[]);
        assert_eq!(families[0].samples.len(), DERIVED_ROWS_MAX);
        assert_eq!(problems[&Problem::Cap], "2001 samples");
    }

    proptest! {
        #[test]
        fn whatever_a_plugin_says_the_exposition_has_one_sample_a_line(
            rows in proptest::collection::vec(
                (".{0,12}", ".{0,6}", ".{0,6}", any::<f64>(), any::<bool>()), 0..20),
            columns in proptest::collection::vec(any::<u32>(), 0..3),
        ) {
            let mut builder = BatchBuilder::default();
            for (name, label, value, number, counts) in &rows {
                let kind = if *counts { MetricKind::Counter } else { MetricKind::Gauge };
                builder.push(&given(name, kind), &[(label, value)], *number);
            }
            let mut batch = builder.finish();
            batch.pairs.extend(columns);
            let (families, _) = derived(&batch, &BTreeSet::new(), &[]);
            let samples: usize = families.iter().map(|f| f.samples.len()).sum();
            let text = encode(&families, &[], Format::OpenMetrics).unwrap();
            let lines = text.lines().filter(|line| !line.starts_with('#')).count();
            prop_assert_eq!(lines, samples);
        }
    }
}
