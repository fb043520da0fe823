//! Metric families as values: what the exposition and the export are made from.

use super::recorder::Histogram;

/// One metric family.
#[derive(Debug, Clone, PartialEq)]
pub struct Family {
    /// Its name; a counter's without `_total`.
    pub name: String,
    /// What it tells.
    pub help: String,
    /// Its kind.
    pub kind: Kind,
    /// Its samples.
    pub samples: Vec<Sample>,
}

/// A family's kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Goes up and down.
    Gauge,
    /// Only grows.
    Counter,
    /// A distribution.
    Histogram,
    /// Not known: of a workload that does not say.
    Unknown,
}

/// One sample.
#[derive(Debug, Clone, PartialEq)]
pub struct Sample {
    /// Its labels, in the order in which they are shown.
    pub labels: Vec<(String, String)>,
    /// Its value.
    pub value: Value,
}

/// A sample's value.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// Of gauges and counters.
    Number(f64),
    /// Of histograms.
    Histogram(Histogram),
}

impl Family {
    /// A family without samples.
    pub fn new(name: &str, kind: Kind, help: &str) -> Self {
        Self {
            name: name.to_owned(),
            help: help.to_owned(),
            kind,
            samples: Vec::new(),
        }
    }

    /// Adds a sample.
    pub fn push(&mut self, labels: &[(&str, &str)], value: f64) {
        let labels = labels
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect();
        self.samples.push(Sample {
            labels,
            value: Value::Number(value),
        });
    }

    /// The same with one sample.
    #[must_use]
    pub fn with(mut self, labels: &[(&str, &str)], value: f64) -> Self {
        self.push(labels, value);
        self
    }

    /// The names that its samples have in an exposition: no other family may have one of them.
    pub fn sample_names(&self) -> Vec<String> {
        let suffixed = |suffixes: &[&str]| {
            suffixes
                .iter()
                .map(|suffix| format!("{}{suffix}", self.name))
                .collect()
        };
        match self.kind {
            Kind::Gauge | Kind::Unknown => vec![self.name.clone()],
            Kind::Counter => suffixed(&["", "_total", "_created"]),
            Kind::Histogram => suffixed(&["", "_bucket", "_sum", "_count", "_created"]),
        }
    }
}
