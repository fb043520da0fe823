//! Scrapes the workload's own expositions and merges them, so that no family comes twice.

use std::collections::{HashMap, HashSet};

use bytes::Bytes;
use http_body_util::Full;
use hyper::{Request, header};
use outrigger_plugin_host::{self as plugin, Batch, BatchBuilder, MetricKind};
use outrigger_profile::ScrapeTarget;
use tokio::net::TcpStream;

use super::family::{Family, Kind, Value};
use super::text::{ParseError, parse};
use crate::limits;
use crate::transport::{ExchangeError, authority, exchange};

/// Why a target could not be scraped.
#[derive(Debug, thiserror::Error)]
pub(super) enum ScrapeError {
    #[error("the workload does not answer: {0}")]
    NotAnswering(String),
    #[error("the workload answers with status {0}")]
    Status(u16),
    #[error("the exposition has more than {0} bytes")]
    TooLarge(usize),
    #[error("the exposition is not text")]
    NotText,
    #[error("the exposition cannot be read: {0}")]
    Unreadable(#[from] ParseError),
}

/// One target's families.
pub(super) async fn scrape(host: &str, target: &ScrapeTarget) -> Result<Vec<Family>, ScrapeError> {
    tokio::time::timeout(target.timeout, fetch(host, target))
        .await
        .map_err(|_| {
            let waited = target.timeout.as_millis();
            ScrapeError::NotAnswering(format!("no answer within {waited} ms"))
        })?
}

async fn fetch(host: &str, target: &ScrapeTarget) -> Result<Vec<Family>, ScrapeError> {
    let not_answering =
        |error: &dyn std::fmt::Display| ScrapeError::NotAnswering(error.to_string());
    let request = Request::get(&target.path)
        .header(header::HOST, authority(host, target.port))
        .header(header::ACCEPT, "text/plain;version=0.0.4")
        .header(header::CONNECTION, "close")
        .body(Full::new(Bytes::new()))
        .map_err(|error| not_answering(&error))?;
    let stream = TcpStream::connect((host, target.port))
        .await
        .map_err(|error| not_answering(&error))?;
    let answer = exchange(stream, request, limits::SCRAPE_BYTES_MAX)
        .await
        .map_err(|error| match error {
            ExchangeError::TooLarge(max) => ScrapeError::TooLarge(max),
            ExchangeError::Broken(error) => not_answering(&error),
        })?;
    if !answer.status().is_success() {
        return Err(ScrapeError::Status(answer.status().as_u16()));
    }
    let text = std::str::from_utf8(answer.body()).map_err(|_| ScrapeError::NotText)?;
    Ok(parse(text)?)
}

/// The families of several targets as one exposition.
#[derive(Debug)]
pub(super) struct Merged {
    families: Vec<Family>,
    places: HashMap<String, usize>,
    /// Names of families that are not the workload's.
    taken: HashSet<String>,
    constant: HashSet<String>,
    samples: HashSet<(usize, Vec<(String, String)>)>,
}

impl Merged {
    pub(super) fn new(own: &[Family], constant: &[(String, String)]) -> Self {
        Self {
            families: Vec::new(),
            places: HashMap::new(),
            taken: own.iter().flat_map(Family::sample_names).collect(),
            constant: constant.iter().map(|(name, _)| name.clone()).collect(),
            samples: HashSet::new(),
        }
    }

    /// Adds one target's families. What cannot stand beside the others is left out and said.
    pub(super) fn add(&mut self, families: Vec<Family>) -> Result<(), String> {
        let mut problem = None;
        for family in families {
            let place = if let Some(place) = self.place(&family) {
                place
            } else {
                let names = family.sample_names();
                if let Some(name) = names.iter().find(|name| self.taken.contains(*name)) {
                    problem = Some(format!("`{name}` belongs to another family"));
                    continue;
                }
                self.taken.extend(names);
                self.places.insert(family.name.clone(), self.families.len());
                self.families.push(Family {
                    samples: Vec::new(),
                    ..family.clone()
                });
                self.families.len() - 1
            };
            for sample in family.samples {
                if sample
                    .labels
                    .iter()
                    .any(|(name, _)| self.constant.contains(name))
                {
                    problem = Some(format!(
                        "a sample of `{}` has a label that `metrics.labels` sets too",
                        family.name
                    ));
                    continue;
                }
                let mut key = sample.labels.clone();
                key.sort();
                if self.samples.insert((place, key)) {
                    self.families[place].samples.push(sample);
                } else {
                    problem = Some(format!("a sample of `{}` comes twice", family.name));
                }
            }
        }
        problem.map_or(Ok(()), Err)
    }

    /// Where the same family of another target stands. A counter is no gauge, though they share a name.
    fn place(&self, family: &Family) -> Option<usize> {
        let place = *self.places.get(&family.name)?;
        let counts = |family: &Family| family.kind == Kind::Counter;
        (counts(&self.families[place]) == counts(family)).then_some(place)
    }

    pub(super) fn families(self) -> Vec<Family> {
        self.families
    }
}

/// The samples whose families a plugin wants; a `*` at the end matches any rest.
pub(super) fn batch(families: &[Family], wants: &[String]) -> Batch {
    let mut builder = BatchBuilder::default();
    let wanted = |name: &str| {
        wants.iter().any(|want| match want.strip_suffix('*') {
            Some(start) => name.starts_with(start),
            None => name == want,
        })
    };
    for family in families.iter().filter(|family| wanted(&family.name)) {
        let described = plugin::Family {
            name: family.name.clone(),
            help: family.help.clone(),
            kind: match family.kind {
                Kind::Counter => MetricKind::Counter,
                Kind::Gauge | Kind::Histogram | Kind::Unknown => MetricKind::Gauge,
            },
        };
        for sample in &family.samples {
            if let Value::Number(value) = sample.value {
                let labels: Vec<(&str, &str)> = sample
                    .labels
                    .iter()
                    .map(|(name, value)| (name.as_str(), value.as_str()))
                    .collect();
                builder.push(&described, &labels, value);
            }
        }
    }
    builder.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_are_merged_by_family_and_nothing_comes_twice() {
        let own = [Family::new("outrigger_peers", Kind::Gauge, "")];
        let constant = [("cluster".to_owned(), "prod".to_owned())];
        let mut merged = Merged::new(&own, &constant);
        merged
            .add(parse("up{shard=\"1\"} 1\nlag 5\n").unwrap())
            .unwrap();
        merged.add(parse("up{shard=\"2\"} 0\n").unwrap()).unwrap();
        for (text, problem) in [
            ("lag 6\n", "a sample of `lag` comes twice"),
            (
                "outrigger_peers 1\n",
                "`outrigger_peers` belongs to another family",
            ),
            (
                "# TYPE lag counter\nlag_total 6\n",
                "`lag` belongs to another family",
            ),
            (
                "other{cluster=\"x\"} 1\n",
                "a sample of `other` has a label that `metrics.labels` sets too",
            ),
        ] {
            assert_eq!(merged.add(parse(text).unwrap()).unwrap_err(), problem);
        }
        let counts: Vec<(String, usize)> = merged
            .families()
            .into_iter()
            .map(|family| (family.name, family.samples.len()))
            .collect();
        assert_eq!(
            counts,
            [
                ("up".to_owned(), 2),
                ("lag".to_owned(), 1),
                ("other".to_owned(), 0)
            ]
        );
    }

    #[test]
    fn a_plugin_is_given_the_families_that_it_wants() {
        let families = parse("db_lag 1\ndb_up 1\ngo_threads 5\n").unwrap();
        let names = |wants: &[&str]| -> Vec<String> {
            let wants: Vec<String> = wants.iter().map(|want| (*want).to_owned()).collect();
            let batch = batch(&families, &wants);
            batch
                .families
                .into_iter()
                .map(|family| family.name)
                .collect()
        };
        assert_eq!(names(&["db_*"]), ["db_lag", "db_up"]);
        assert_eq!(names(&["db_lag", "missing"]), ["db_lag"]);
        assert!(names(&[]).is_empty());
    }
}
