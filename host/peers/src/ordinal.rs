//! A pod's index, and the name that carries it.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// The index of a replica in its StatefulSet.
///
/// The first one is the StatefulSet's `.spec.ordinals.start`, which is not always 0.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Ordinal(pub u32);

impl fmt::Display for Ordinal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The name of a StatefulSet's pod: `<statefulset>-<ordinal>`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ReplicaName {
    /// The StatefulSet's name.
    pub stateful_set: String,
    /// The pod's index.
    pub ordinal: Ordinal,
}

/// A pod name that no StatefulSet gives.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ParseReplicaNameError {
    /// The name.
    pub name: String,
    /// What is wrong with it.
    pub problem: &'static str,
}

impl fmt::Display for ParseReplicaNameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "`{}` is not the name of a StatefulSet's pod: {}",
            self.name, self.problem
        )
    }
}

impl std::error::Error for ParseReplicaNameError {}

impl ReplicaName {
    /// The name of the replica with this ordinal.
    pub fn new(stateful_set: impl Into<String>, ordinal: Ordinal) -> Self {
        Self {
            stateful_set: stateful_set.into(),
            ordinal,
        }
    }
}

impl fmt::Display for ReplicaName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.stateful_set, self.ordinal)
    }
}

impl FromStr for ReplicaName {
    type Err = ParseReplicaNameError;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        let fail = |problem| ParseReplicaNameError {
            name: name.to_owned(),
            problem,
        };
        let (stateful_set, digits) = name
            .rsplit_once('-')
            .ok_or_else(|| fail("it has no `-<ordinal>` at its end"))?;
        if stateful_set.is_empty() {
            return Err(fail("nothing stands before the ordinal"));
        }
        if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
            return Err(fail("what follows the last dash is not a number"));
        }
        if digits.len() > 1 && digits.starts_with('0') {
            return Err(fail("its ordinal has a leading zero"));
        }
        let ordinal = digits
            .parse()
            .map_err(|_| fail("its ordinal is too large"))?;
        Ok(Self {
            stateful_set: stateful_set.to_owned(),
            ordinal: Ordinal(ordinal),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_dashes_gives_its_last_part_as_ordinal() {
        let name: ReplicaName = "my-db-12".parse().unwrap();
        assert_eq!(name, ReplicaName::new("my-db", Ordinal(12)));
        assert_eq!(name.to_string(), "my-db-12");
    }

    #[test]
    fn names_that_no_stateful_set_gives_are_refused_with_the_reason() {
        let refused = [
            "agdb",
            "agdb-",
            "agdb-x",
            "agdb-01",
            "-1",
            "agdb-99999999999",
            "agdb-+1",
        ];
        let problems: Vec<String> = refused
            .iter()
            .map(|name| name.parse::<ReplicaName>().unwrap_err().to_string())
            .collect();
        assert_eq!(
            problems,
            [
                "`agdb` is not the name of a StatefulSet's pod: it has no `-<ordinal>` at its end",
                "`agdb-` is not the name of a StatefulSet's pod: what follows the last dash is not a number",
                "`agdb-x` is not the name of a StatefulSet's pod: what follows the last dash is not a number",
                "`agdb-01` is not the name of a StatefulSet's pod: its ordinal has a leading zero",
                "`-1` is not the name of a StatefulSet's pod: nothing stands before the ordinal",
                "`agdb-99999999999` is not the name of a StatefulSet's pod: its ordinal is too large",
                "`agdb-+1` is not the name of a StatefulSet's pod: what follows the last dash is not a number",
            ]
        );
    }

    proptest::proptest! {
        #[test]
        fn a_name_is_read_back_as_it_was_built(stateful_set in "[a-z][a-z0-9.-]{0,20}", ordinal: u32) {
            let name = ReplicaName::new(stateful_set, Ordinal(ordinal));
            proptest::prop_assert_eq!(name.to_string().parse(), Ok(name));
        }

        #[test]
        fn what_is_read_as_a_name_is_shown_as_it_was_written(text in "(?s).{0,12}|[a-z0-9-]{0,12}") {
            if let Ok(name) = text.parse::<ReplicaName>() {
                proptest::prop_assert_eq!(name.to_string(), text);
            }
        }
    }
}
