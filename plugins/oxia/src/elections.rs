//! How many elections there were: the growth of the terms from look to look, which is kept, as the status tells
//! only where the terms stand.

use std::collections::BTreeMap;

use outrigger_plugin_sdk::json::{self, Error, FromJson, ToJson, Value};
use outrigger_plugin_sdk::state;

use crate::status::Status;

/// The state's key.
pub const KEY: &str = "elections";

/// What is kept.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Elections {
    /// The cluster that the terms are of.
    pub instance: String,
    /// The term of each shard.
    pub terms: BTreeMap<String, i64>,
    /// The elections so far, failed ones included.
    pub total: u64,
}

impl ToJson for Elections {
    fn to_json(&self) -> Value {
        let terms = self
            .terms
            .iter()
            .map(|(shard, term)| (shard.clone(), term.to_json()));
        Value::object([
            ("instance", self.instance.to_json()),
            ("terms", Value::Object(terms.collect())),
            ("total", self.total.to_json()),
        ])
    }
}

impl FromJson for Elections {
    fn from_json(value: &Value) -> Result<Self, Error> {
        let terms = match value.get("terms") {
            Some(Value::Object(terms)) => terms.as_slice(),
            _ => return Err(Error::new("expected terms")),
        };
        Ok(Self {
            instance: value.field("instance")?,
            terms: terms
                .iter()
                .map(|(shard, term)| Ok((shard.clone(), i64::from_json(term)?)))
                .collect::<Result<_, Error>>()?,
            total: value.field("total")?,
        })
    }
}

impl Elections {
    /// What is kept after a look. Shards that are new, and those of another cluster, only begin to count.
    #[must_use]
    pub fn after(&self, status: &Status) -> Self {
        let terms: BTreeMap<String, i64> = status
            .shards
            .iter()
            .map(|shard| (shard.name.clone(), shard.term))
            .collect();
        let mut total = self.total;
        if self.instance == status.instance {
            for (shard, term) in &terms {
                let grown = self
                    .terms
                    .get(shard)
                    .map_or(0, |before| term.saturating_sub(*before));
                total = total.saturating_add(u64::try_from(grown).unwrap_or_default());
            }
        }
        Self {
            instance: status.instance.clone(),
            terms,
            total,
        }
    }
}

/// The elections since the first look; none when they cannot be kept.
pub fn count(status: &Status) -> Option<u64> {
    let before = state::get(KEY);
    let text = before
        .as_deref()
        .and_then(|kept| std::str::from_utf8(kept).ok());
    let last: Elections = text
        .and_then(|text| json::parse(text).ok())
        .unwrap_or_default();
    let next = last.after(status);
    if next == last {
        return Some(next.total);
    }
    match state::compare_and_set(
        KEY,
        before.as_deref(),
        next.to_json().to_string().as_bytes(),
    ) {
        Ok(true) => Some(next.total),
        // Another look was faster, and has counted it.
        Ok(false) => state::load::<Elections>(KEY).map(|kept| kept.total),
        Err(failure) => {
            outrigger_plugin_sdk::warn!("The terms are not kept", "error" => failure.message);
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::status;
    use crate::testing::STEADY;
    use outrigger_plugin_sdk::fake::FakeHost;
    use proptest::prelude::*;

    fn at(first: i64) -> Status {
        let text = STEADY.replacen("term: 1", &format!("term: {first}"), 1);
        status::read(text.as_bytes()).unwrap()
    }

    #[test]
    fn the_growth_of_terms_is_counted_from_the_first_look_on() {
        let _host = FakeHost::new();
        assert_eq!(count(&at(7)), Some(0));
        assert_eq!(count(&at(12)), Some(5));
        assert_eq!(count(&at(12)), Some(5));
        assert_eq!(count(&at(14)), Some(7));
        // Set back by hand: it counts on from there.
        assert_eq!(count(&at(2)), Some(7));
        assert_eq!(count(&at(3)), Some(8));
    }

    #[test]
    fn another_clusters_terms_are_no_elections() {
        let _host = FakeHost::new();
        assert_eq!(count(&at(1)), Some(0));
        let mut other = at(40);
        other.instance = "another".to_owned();
        assert_eq!(count(&other), Some(0));
        assert_eq!(count(&other), Some(0));
    }

    #[test]
    fn what_another_version_kept_is_begun_anew() {
        let _host = FakeHost::new();
        state::set(KEY, b"[]").unwrap();
        assert_eq!(count(&at(9)), Some(0));
        assert_eq!(count(&at(10)), Some(1));
    }

    proptest! {
        #[test]
        fn the_count_never_goes_back(terms in proptest::collection::vec(any::<i64>(), 1..20)) {
            let mut kept = Elections::default();
            for term in terms {
                let mut status = at(1);
                status.shards[0].term = term;
                let next = kept.after(&status);
                prop_assert!(next.total >= kept.total);
                kept = next;
            }
        }
    }
}
