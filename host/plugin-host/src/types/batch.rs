//! Metric samples as columns: the form in which they cross the border to a plugin.

use std::collections::HashMap;

use serde::Serialize;

/// What a family is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum MetricKind {
    /// Goes up and down.
    Gauge,
    /// Only goes up.
    Counter,
}

/// One metric family.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Family {
    /// Without a `_total` suffix, which the exposition adds to counters.
    pub name: String,
    /// One line for people.
    pub help: String,
    /// Gauge or counter.
    pub kind: MetricKind,
}

/// Samples as columns.
///
/// # Guarantees
/// A batch that a plugin answered has passed [`Batch::check`]; one made by a [`BatchBuilder`] passes it.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Batch {
    /// The families.
    pub families: Vec<Family>,
    /// The names and values of labels, each once.
    pub strings: Vec<String>,
    /// For each sample the index of its family.
    pub family: Vec<u32>,
    /// For each sample where its labels begin in `pairs`; they end where the next sample's begin.
    pub starts: Vec<u32>,
    /// Indices into `strings`: a label's name, then its value.
    pub pairs: Vec<u32>,
    /// The values.
    pub values: Vec<f64>,
}

/// One sample of a batch.
#[derive(Debug, Clone, PartialEq)]
pub struct Sample<'a> {
    /// Its family.
    pub family: &'a Family,
    /// Its labels in order.
    pub labels: Vec<(&'a str, &'a str)>,
    /// Its value.
    pub value: f64,
}

/// Columns that do not fit together.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BatchProblem {
    /// `family`, `starts` and `values` are not equally long.
    #[error(
        "the columns have different lengths: {family} families, {starts} starts, {values} values"
    )]
    Lengths {
        /// Of `family`.
        family: usize,
        /// Of `starts`.
        starts: usize,
        /// Of `values`.
        values: usize,
    },
    /// A sample of a family that is not there.
    #[error("sample {sample} names family {index}, which is not there")]
    Family {
        /// Which sample.
        sample: usize,
        /// Which family.
        index: u32,
    },
    /// A sample's labels begin before its predecessor's, or beyond the end, or within a pair.
    #[error("the labels of sample {sample} start at {start}, which is out of place")]
    Start {
        /// Which sample.
        sample: usize,
        /// Where.
        start: u32,
    },
    /// A label that names a string that is not there.
    #[error("pair entry {entry} names string {index}, which is not there")]
    String {
        /// Which entry of `pairs`.
        entry: usize,
        /// Which string.
        index: u32,
    },
    /// Pairs without a sample, or half a pair.
    #[error("{0} pair entries do not belong to a sample or are half a pair")]
    Pairs(usize),
}

impl Batch {
    /// How many samples there are.
    pub fn len(&self) -> usize {
        self.values.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    /// Whether the columns fit together.
    pub fn check(&self) -> Result<(), BatchProblem> {
        let rows = self.values.len();
        if self.family.len() != rows || self.starts.len() != rows {
            return Err(BatchProblem::Lengths {
                family: self.family.len(),
                starts: self.starts.len(),
                values: rows,
            });
        }
        if !self.pairs.len().is_multiple_of(2) || (rows == 0 && !self.pairs.is_empty()) {
            return Err(BatchProblem::Pairs(self.pairs.len()));
        }
        let mut before = 0;
        for (sample, (&family, &start)) in self.family.iter().zip(&self.starts).enumerate() {
            if family as usize >= self.families.len() {
                return Err(BatchProblem::Family {
                    sample,
                    index: family,
                });
            }
            let first_is_not_zero = sample == 0 && start != 0;
            if first_is_not_zero
                || start < before
                || start as usize > self.pairs.len()
                || start % 2 != 0
            {
                return Err(BatchProblem::Start { sample, start });
            }
            before = start;
        }
        match self
            .pairs
            .iter()
            .position(|&index| index as usize >= self.strings.len())
        {
            Some(entry) => Err(BatchProblem::String {
                entry,
                index: self.pairs.get(entry).copied().unwrap_or_default(),
            }),
            None => Ok(()),
        }
    }

    /// The samples in order. Those whose columns do not fit are left out; after [`Batch::check`]
    /// there are none.
    pub fn samples(&self) -> impl Iterator<Item = Sample<'_>> {
        (0..self.values.len()).filter_map(|row| {
            let family = self.families.get(*self.family.get(row)? as usize)?;
            let start = *self.starts.get(row)? as usize;
            let end = self
                .starts
                .get(row + 1)
                .map_or(self.pairs.len(), |end| *end as usize);
            let labels = self
                .pairs
                .get(start..end)?
                .chunks_exact(2)
                .map(|pair| {
                    let text = |at: usize| {
                        let index = *pair.get(at)? as usize;
                        self.strings.get(index).map(String::as_str)
                    };
                    Some((text(0)?, text(1)?))
                })
                .collect::<Option<Vec<_>>>()?;
            Some(Sample {
                family,
                labels,
                value: *self.values.get(row)?,
            })
        })
    }
}

/// Makes a [`Batch`], storing each string and family once.
#[derive(Debug, Default)]
pub struct BatchBuilder {
    batch: Batch,
    strings: HashMap<String, u32>,
    families: HashMap<String, u32>,
}

impl BatchBuilder {
    /// Adds one sample. The first sample of a family says what the family is.
    pub fn push(&mut self, family: &Family, labels: &[(&str, &str)], value: f64) {
        let family_index = if let Some(index) = self.families.get(&family.name) {
            *index
        } else {
            let index = next_index(self.batch.families.len());
            self.batch.families.push(family.clone());
            self.families.insert(family.name.clone(), index);
            index
        };
        self.batch.starts.push(next_index(self.batch.pairs.len()));
        self.batch.family.push(family_index);
        self.batch.values.push(value);
        for (name, label_value) in labels {
            for text in [name, label_value] {
                let index = self.string(text);
                self.batch.pairs.push(index);
            }
        }
    }

    /// The batch.
    pub fn finish(self) -> Batch {
        self.batch
    }

    fn string(&mut self, text: &str) -> u32 {
        if let Some(index) = self.strings.get(text) {
            return *index;
        }
        let index = next_index(self.batch.strings.len());
        self.batch.strings.push(text.to_owned());
        self.strings.insert(text.to_owned(), index);
        index
    }
}

fn next_index(len: usize) -> u32 {
    u32::try_from(len).expect("a batch is bounded far below 2^32 entries")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gauge(name: &str) -> Family {
        Family {
            name: name.into(),
            help: String::new(),
            kind: MetricKind::Gauge,
        }
    }

    #[test]
    fn what_was_pushed_comes_out_again_and_strings_are_stored_once() {
        let mut builder = BatchBuilder::default();
        builder.push(&gauge("up"), &[("peer", "1")], 1.0);
        builder.push(&gauge("lag"), &[], 4.0);
        builder.push(&gauge("up"), &[("peer", "2"), ("zone", "1")], 0.0);
        let batch = builder.finish();
        assert_eq!(batch.check(), Ok(()));
        assert_eq!(batch.strings, ["peer", "1", "2", "zone"]);
        let told: Vec<String> = batch
            .samples()
            .map(|s| format!("{} {:?} {}", s.family.name, s.labels, s.value))
            .collect();
        assert_eq!(
            told,
            [
                r#"up [("peer", "1")] 1"#,
                "lag [] 4",
                r#"up [("peer", "2"), ("zone", "1")] 0"#
            ]
        );
    }

    #[test]
    fn columns_that_do_not_fit_together_are_refused_with_the_place() {
        let good = || {
            let mut builder = BatchBuilder::default();
            builder.push(&gauge("up"), &[("peer", "1")], 1.0);
            builder.push(&gauge("up"), &[("peer", "2")], 1.0);
            builder.finish()
        };
        let told = |change: fn(&mut Batch)| {
            let mut batch = good();
            change(&mut batch);
            batch.check().unwrap_err().to_string()
        };
        assert_eq!(
            [
                told(|b| b.values.push(1.0)),
                told(|b| b.family = vec![0, 7]),
                told(|b| b.starts = vec![0, 1]),
                told(|b| b.starts = vec![2, 2]),
                told(|b| b.pairs = vec![0, 1, 0, 9]),
                told(|b| b.pairs.push(0)),
            ],
            [
                "the columns have different lengths: 2 families, 2 starts, 3 values",
                "sample 1 names family 7, which is not there",
                "the labels of sample 1 start at 1, which is out of place",
                "the labels of sample 0 start at 2, which is out of place",
                "pair entry 3 names string 9, which is not there",
                "5 pair entries do not belong to a sample or are half a pair",
            ]
        );
    }

    proptest::proptest! {
        #[test]
        fn no_columns_whatever_make_reading_panic(
            family in proptest::collection::vec(0_u32..4, 0..6),
            starts in proptest::collection::vec(0_u32..9, 0..6),
            pairs in proptest::collection::vec(0_u32..4, 0..9),
            values in proptest::collection::vec(0.0_f64..2.0, 0..6),
        ) {
            let batch = Batch {
                families: vec![gauge("a"), gauge("b")],
                strings: vec!["x".into(), "y".into()],
                family, starts, pairs, values,
            };
            let read = batch.samples().count();
            if batch.check().is_ok() {
                proptest::prop_assert_eq!(read, batch.len());
            }
        }
    }
}
