//! What agdb's `/api/v1/cluster/status` says, and who said it.

use outrigger_plugin_sdk::json::{Error, FromJson, Value};

/// One row: what the answering server (or the leader that it asked) holds of one member.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// The member's item of `cluster`.
    pub address: String,
    /// Whether it answered lately. A leader forgets only after twice the term timeout, and counts any
    /// answer, even the refusal of a member that runs with another list.
    pub status: bool,
    /// Whether it leads.
    pub leader: bool,
    /// Its executed log index. Without a leader, real only in the answering server's own row.
    pub executed_index: u64,
    /// Whether it is taking a snapshot.
    pub resync: bool,
}

impl FromJson for Row {
    fn from_json(value: &Value) -> Result<Self, Error> {
        Ok(Self {
            address: value.field("address")?,
            status: value.field("status")?,
            leader: value.field("leader")?,
            executed_index: value.field("executed_index")?,
            resync: value.field::<Option<bool>>("resync")?.unwrap_or(false),
        })
    }
}

/// The members that a table names: equal for servers that run with the same list.
pub fn members(rows: &[Row]) -> Vec<&str> {
    sorted(rows.iter().map(|row| row.address.as_str()))
}

/// The same for a list of a configuration.
pub fn members_of(list: &[String]) -> Vec<&str> {
    sorted(list.iter().map(String::as_str))
}

fn sorted<'a>(addresses: impl Iterator<Item = &'a str>) -> Vec<&'a str> {
    let mut addresses: Vec<&str> = addresses.collect();
    addresses.sort_unstable();
    addresses
}

/// The address of the leader that a table names; none if there is none or more than one.
pub fn leader(rows: &[Row]) -> Option<&str> {
    let mut leaders = rows.iter().filter(|row| row.leader);
    let leader = leaders.next()?;
    leaders.next().is_none().then_some(leader.address.as_str())
}

/// How a replica was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// Its ordinal.
    pub ordinal: u32,
    /// The pod's name.
    pub name: String,
    /// Its item of `cluster`.
    pub url: String,
    /// Whether it should exist.
    pub wanted: bool,
    /// Whether it answered `/api/v1/status` now.
    pub answers: bool,
    /// How many looks in a row it did not.
    pub misses: u32,
    /// Its own table, where it was asked for it and answered in time.
    pub table: Option<Vec<Row>>,
}

/// What one look at the cluster gave.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Look {
    /// This replica.
    pub own: Seen,
    /// The others, in ordinal order.
    pub peers: Vec<Seen>,
    /// The items of `cluster` that the wanted replicas make.
    pub wanted: Vec<String>,
}

/// A replica counts as down when it missed this many looks in a row: one may be a hiccup.
pub const MISSES_MAX: u32 = 2;

impl Look {
    /// The name of the replica with this URL, or the URL where none has it.
    pub fn name<'a>(&'a self, url: &'a str) -> &'a str {
        self.seen(url).map_or(url, |seen| &seen.name)
    }

    /// The replica with this URL: agdb compares strings, and so does this.
    pub fn seen(&self, url: &str) -> Option<&Seen> {
        std::iter::once(&self.own)
            .chain(&self.peers)
            .find(|seen| seen.url == url)
    }

    /// The peers that answer with a table of other members than the own one.
    pub fn strangers<'a>(&'a self, own: &'a [Row]) -> impl Iterator<Item = (&'a Seen, &'a [Row])> {
        let own = members(own);
        self.peers.iter().filter_map(move |peer| {
            let table = peer.table.as_deref()?;
            (members(table) != own).then_some((peer, table))
        })
    }

    /// Whether a member of the own table is up and of one mind with it.
    pub fn is_up(&self, row: &Row, own: &[Row]) -> bool {
        if row.address == self.own.url {
            return true;
        }
        let of_another_mind = self.strangers(own).any(|(peer, _)| peer.url == row.address);
        let answers = self
            .seen(&row.address)
            .is_none_or(|peer| peer.misses < MISSES_MAX);
        row.status && answers && !of_another_mind
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A table in short: `0:UL5 1:U-5 2:dR0` = up or down, leader or not or resyncing, index.
    pub(crate) fn table(short: &str) -> Vec<Row> {
        short
            .split_whitespace()
            .map(|row| {
                let (ordinal, flags) = row.split_once(':').unwrap();
                Row {
                    address: url(ordinal.parse().unwrap()),
                    status: flags.starts_with('U'),
                    leader: flags[1..].starts_with('L'),
                    resync: flags[1..].starts_with('R'),
                    executed_index: flags[2..].parse().unwrap(),
                }
            })
            .collect()
    }

    pub(crate) fn url(ordinal: u32) -> String {
        format!("http://agdb-{ordinal}.agdb.default.svc.cluster.local:3000")
    }

    /// A look of `own` at `peers`, of which all that have a table or `Some` answer.
    pub(crate) fn look(
        own: (u32, Option<&str>),
        peers: &[(u32, Option<&str>)],
        desired: u32,
    ) -> Look {
        let seen = |ordinal: u32, answer: Option<&str>| Seen {
            ordinal,
            name: format!("agdb-{ordinal}"),
            url: url(ordinal),
            wanted: ordinal < desired,
            answers: answer.is_some(),
            misses: if answer.is_some() { 0 } else { MISSES_MAX },
            table: answer.filter(|short| !short.is_empty()).map(table),
        };
        Look {
            own: seen(own.0, own.1),
            peers: peers
                .iter()
                .map(|(ordinal, answer)| seen(*ordinal, *answer))
                .collect(),
            wanted: (0..desired).map(url).collect(),
        }
    }

    #[test]
    fn a_captured_answer_is_read() {
        let captured = include_str!("../tests/data/resyncing.json");
        let rows: Vec<Row> = outrigger_plugin_sdk::json::parse(captured).unwrap();
        assert_eq!(rows, table("0:UL12 1:U-12 2:UR0"));
        assert_eq!(leader(&rows), Some(url(0).as_str()));
    }

    #[test]
    fn two_leaders_in_a_table_are_none() {
        assert_eq!(leader(&table("0:UL1 1:UL1")), None);
    }

    #[test]
    fn a_peer_with_another_list_is_not_up_although_the_leaders_table_says_so() {
        let own = table("0:UL6 1:U-6 2:U-6");
        let look = look(
            (0, Some("0:UL6 1:U-6 2:U-6")),
            &[
                (1, Some("0:U-6 1:UL6 2:U-6 3:d-0 4:U-6")),
                (2, Some("0:UL6 1:U-6 2:U-6")),
            ],
            5,
        );
        let up: Vec<bool> = own.iter().map(|row| look.is_up(row, &own)).collect();
        assert_eq!(up, [true, false, true]);
    }
}
