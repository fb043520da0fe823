//! Building and reading metric batches, which cross the border as columns.

use std::collections::BTreeMap;

use crate::{Batch, Family, Kind};

/// Builds a [`Batch`]: families once, strings once, samples in order.
#[derive(Debug, Default)]
pub struct Builder {
    families: Vec<Family>,
    strings: Vec<String>,
    known: BTreeMap<String, u32>,
    family: Vec<u32>,
    starts: Vec<u32>,
    pairs: Vec<u32>,
    values: Vec<f64>,
}

/// A family of a [`Builder`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FamilyId(u32);

impl Builder {
    /// An empty batch.
    pub fn new() -> Self {
        Self::default()
    }

    /// Declares a gauge.
    pub fn gauge(&mut self, name: &str, help: &str) -> FamilyId {
        self.declare(name, help, Kind::Gauge)
    }

    /// Declares a counter; `name` is without the suffix `_total`.
    pub fn counter(&mut self, name: &str, help: &str) -> FamilyId {
        self.declare(name, help, Kind::Counter)
    }

    fn declare(&mut self, name: &str, help: &str, kind: Kind) -> FamilyId {
        self.families.push(Family {
            name: name.to_owned(),
            help: help.to_owned(),
            kind,
        });
        FamilyId(index(self.families.len() - 1))
    }

    /// Adds a sample.
    pub fn sample(&mut self, family: FamilyId, labels: &[(&str, &str)], value: f64) {
        self.family.push(family.0);
        self.starts.push(index(self.pairs.len()));
        for (name, value) in labels {
            let name = self.intern(name);
            let value = self.intern(value);
            self.pairs.extend([name, value]);
        }
        self.values.push(value);
    }

    fn intern(&mut self, text: &str) -> u32 {
        if let Some(known) = self.known.get(text) {
            return *known;
        }
        let place = index(self.strings.len());
        self.strings.push(text.to_owned());
        self.known.insert(text.to_owned(), place);
        place
    }

    /// The batch. Families without samples are left out by the host's exposition, not here.
    pub fn build(self) -> Batch {
        Batch {
            families: self.families,
            strings: self.strings,
            family: self.family,
            starts: self.starts,
            pairs: self.pairs,
            values: self.values,
        }
    }
}

/// Places in a batch are 32 bits wide; a guest's memory holds no more.
fn index(place: usize) -> u32 {
    u32::try_from(place).unwrap_or(u32::MAX)
}

/// One row of a batch.
#[derive(Debug, Clone, PartialEq)]
pub struct Sample<'a> {
    /// The family's name.
    pub name: &'a str,
    /// Label names and values, in the batch's order.
    pub labels: Vec<(&'a str, &'a str)>,
    /// The value.
    pub value: f64,
}

impl Batch {
    /// A batch without samples.
    pub fn empty() -> Self {
        Builder::new().build()
    }

    /// The rows. Rows that point outside of the columns are skipped.
    pub fn samples(&self) -> impl Iterator<Item = Sample<'_>> {
        self.family.iter().enumerate().filter_map(|(row, family)| {
            let place = |n: u32| usize::try_from(n).ok();
            let name = &self.families.get(place(*family)?)?.name;
            let from = place(*self.starts.get(row)?)?;
            let to = match self.starts.get(row + 1) {
                Some(next) => place(*next)?,
                None => self.pairs.len(),
            };
            let labels = self
                .pairs
                .get(from..to)?
                .chunks_exact(2)
                .map(|pair| {
                    let text = |n: u32| self.strings.get(place(n)?).map(String::as_str);
                    Some((text(pair[0])?, text(pair[1])?))
                })
                .collect::<Option<Vec<_>>>()?;
            Some(Sample {
                name,
                labels,
                value: *self.values.get(row)?,
            })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_come_back_as_they_were_added_and_strings_are_kept_once() {
        let mut builder = Builder::new();
        let up = builder.gauge("up", "whether it is up");
        let changes = builder.counter("changes", "how often");
        builder.sample(up, &[("replica", "db-0")], 1.0);
        builder.sample(up, &[("replica", "db-1")], 0.0);
        builder.sample(changes, &[], 3.0);
        let batch = builder.build();

        assert_eq!(batch.strings, ["replica", "db-0", "db-1"]);
        let samples: Vec<_> = batch.samples().collect();
        assert_eq!(samples.len(), 3);
        assert_eq!(samples[1].labels, [("replica", "db-1")]);
        assert_eq!((samples[2].name, samples[2].labels.len()), ("changes", 0));
    }

    #[test]
    fn a_row_that_points_nowhere_is_skipped() {
        let batch = Batch {
            family: vec![9],
            starts: vec![0],
            values: vec![1.0],
            ..Batch::empty()
        };
        assert_eq!(batch.samples().count(), 0);
    }
}
