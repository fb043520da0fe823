//! The series that the coordinator's plugin derives, and reading them back beside a server. Their names say
//! `derived`, as the coordinator has no such series itself. Pure.

use outrigger_plugin_sdk::Batch;
use outrigger_plugin_sdk::batch::Builder;
use outrigger_plugin_sdk::exposition::samples;

use crate::census::{Census, Running, Server};

/// The coordinator's own series of whether a server answers it.
pub const RUNNING: &str = "oxia_coordinator_node_running_count";

const SHARDS: &str = "oxia_derived_shards";
const SERVER_RUNNING: &str = "oxia_derived_server_running";
const SERVER_SHARDS: &str = "oxia_derived_server_shards";
const SERVER_STEADY: &str = "oxia_derived_server_shards_steady";
const SERVER_WITHOUT_QUORUM: &str = "oxia_derived_server_shards_without_quorum";
const SERVER_BREAKS: &str = "oxia_derived_server_shards_needing_it";
const SERVER_LEADS: &str = "oxia_derived_server_leaders";

/// The series of a census.
pub fn derive(census: &Census, elections: Option<u64>) -> Batch {
    let mut batch = Builder::new();
    let mut gauge = |name: &str, help: &str, value: usize| {
        let family = batch.gauge(name, help);
        batch.sample(family, &[], number(value));
    };
    gauge(SHARDS, "Shards of the status file.", census.shards as usize);
    gauge(
        "oxia_derived_shards_steady",
        "Shards whose status is steady.",
        (census.shards as usize).saturating_sub(census.unsteady.len()),
    );
    gauge(
        "oxia_derived_shards_without_leader",
        "Shards without a leader.",
        census.leaderless.len(),
    );
    gauge(
        "oxia_derived_shards_without_quorum",
        "Shards of whose copies no majority answers the coordinator: writes time out, whatever their status.",
        census.without_quorum.len(),
    );
    gauge(
        "oxia_derived_leader_spread",
        "How many more shards the busiest server leads than the least busy one that keeps any.",
        census.spread() as usize,
    );
    if let Some(elections) = elections {
        let family = batch.counter(
            "oxia_derived_elections",
            "Elections by the growth of the terms, failed ones included.",
        );
        #[expect(clippy::cast_precision_loss, reason = "exact to 2^53 elections")]
        batch.sample(family, &[], elections as f64);
    }
    let mut of_servers = |name: &str, help: &str, value: fn(&Server) -> Option<u32>| {
        let family = batch.gauge(name, help);
        for (server, counted) in &census.servers {
            if let Some(value) = value(counted) {
                batch.sample(family, &[("server", server)], f64::from(value));
            }
        }
    };
    of_servers(
        SERVER_RUNNING,
        "Whether a server of the list answers the coordinator.",
        |server| server.running.map(u32::from),
    );
    of_servers(
        SERVER_SHARDS,
        "Shards whose ensemble names the server.",
        |server| Some(server.shards),
    );
    of_servers(SERVER_STEADY, "Those of them that are steady.", |server| {
        Some(server.steady)
    });
    of_servers(
        SERVER_WITHOUT_QUORUM,
        "Those of them without a quorum.",
        |server| Some(server.without_quorum),
    );
    of_servers(
        SERVER_BREAKS,
        "Those of them that lose their quorum if the server stops now.",
        |server| Some(server.breaks),
    );
    of_servers(SERVER_LEADS, "Shards that the server leads.", |server| {
        Some(server.leads)
    });
    batch.build()
}

fn number(count: usize) -> f64 {
    f64::from(u32::try_from(count).unwrap_or(u32::MAX))
}

/// Who answers, from the coordinator's own metrics as text.
pub fn running(text: &str) -> Running {
    samples(text)
        .filter(|sample| sample.name == RUNNING)
        .filter_map(|sample| Some((sample.label("data_server")?.to_owned(), sample.value > 0.0)))
        .collect()
}

/// The same from what was scraped.
pub fn scraped(batch: &Batch) -> Running {
    batch
        .samples()
        .filter(|sample| sample.name == RUNNING)
        .filter_map(|sample| {
            let label = sample
                .labels
                .iter()
                .find(|(name, _)| *name == "data_server");
            label.map(|(_, server)| ((*server).to_owned(), sample.value > 0.0))
        })
        .collect()
}

/// What a server learns of itself from the series above.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct View {
    /// This server; all zero where nothing is said of it.
    pub own: Server,
    /// How many shards there are.
    pub shards: u32,
    /// The servers that answer the coordinator.
    pub up: Vec<String>,
    /// The servers of the list that do not.
    pub down: Vec<String>,
}

impl View {
    /// Reads what is said of the server of this name; none where the text does not hold the series, or
    /// knows no shards and no servers yet.
    pub fn read(text: &str, own: &str) -> Option<Self> {
        let mut view = Self::default();
        let mut is_known = false;
        for sample in samples(text) {
            let value = count(sample.value);
            if sample.name == SHARDS {
                is_known = value > 0;
                view.shards = value;
                continue;
            }
            let Some(server) = sample.label("server") else {
                continue;
            };
            if sample.name == SERVER_RUNNING {
                let list = if value > 0 {
                    &mut view.up
                } else {
                    &mut view.down
                };
                list.push(server.to_owned());
            }
            if server != own {
                continue;
            }
            match sample.name {
                SERVER_RUNNING => view.own.running = Some(value > 0),
                SERVER_SHARDS => view.own.shards = value,
                SERVER_STEADY => view.own.steady = value,
                SERVER_WITHOUT_QUORUM => view.own.without_quorum = value,
                SERVER_BREAKS => view.own.breaks = value,
                SERVER_LEADS => view.own.leads = value,
                _ => {}
            }
        }
        (is_known && !(view.up.is_empty() && view.down.is_empty())).then_some(view)
    }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "clamped before"
)]
fn count(value: f64) -> u32 {
    value.clamp(0.0, f64::from(u32::MAX)) as u32
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::census::census;
    use crate::status;
    use crate::testing::{self, METRICS, NO_QUORUM, STEADY};
    use proptest::prelude::*;

    /// The exposition of a coordinator's sidecar with this status and these servers.
    pub(crate) fn exposition(status: &str, servers: &[(&str, bool)]) -> String {
        let status = status::read(status.as_bytes()).unwrap();
        let batch = derive(&census(&status, &testing::running(servers)), Some(3));
        let line = |sample: outrigger_plugin_sdk::batch::Sample<'_>| {
            let labels: Vec<String> = sample
                .labels
                .iter()
                .map(|(name, value)| format!("{name}=\"{value}\""))
                .collect();
            format!("{}{{{}}} {}\n", sample.name, labels.join(","), sample.value)
        };
        batch.samples().map(line).collect()
    }

    #[test]
    fn what_is_derived_is_read_back_beside_a_server() {
        let text = exposition(
            NO_QUORUM,
            &[("oxia-0", true), ("oxia-1", false), ("oxia-2", false)],
        );
        let view = View::read(&text, "oxia-0").unwrap();
        assert_eq!(
            view,
            View {
                own: Server {
                    running: Some(true),
                    shards: 2,
                    steady: 1,
                    without_quorum: 2,
                    breaks: 0,
                    leads: 1,
                },
                shards: 2,
                up: vec!["oxia-0".to_owned()],
                down: vec!["oxia-1".to_owned(), "oxia-2".to_owned()],
            }
        );
        let other = View::read(&text, "oxia-7").unwrap();
        assert_eq!(other.own, Server::default());
    }

    #[test]
    fn a_coordinator_that_knows_nothing_yet_is_no_answer() {
        assert_eq!(View::read("up 1\n", "oxia-0"), None);
        assert_eq!(View::read(&exposition(STEADY, &[]), "oxia-0"), None);
        assert_eq!(
            View::read(&exposition("{}", &[("oxia-0", true)]), "oxia-0"),
            None
        );
    }

    #[test]
    fn the_cluster_has_its_series() {
        let text = exposition(
            NO_QUORUM,
            &[("oxia-0", true), ("oxia-1", false), ("oxia-2", false)],
        );
        let whole: Vec<&str> = text.lines().filter(|line| line.contains("{}")).collect();
        assert_eq!(
            whole,
            [
                "oxia_derived_shards{} 2",
                "oxia_derived_shards_steady{} 1",
                "oxia_derived_shards_without_leader{} 1",
                "oxia_derived_shards_without_quorum{} 2",
                "oxia_derived_leader_spread{} 1",
                "oxia_derived_elections{} 3",
            ]
        );
    }

    #[test]
    fn the_captured_metrics_say_who_answers() {
        let all = testing::running(&[("oxia-0", true), ("oxia-1", true), ("oxia-2", true)]);
        assert_eq!(running(METRICS), all);
        let mut scrape = Builder::new();
        let family = scrape.gauge(RUNNING, "");
        scrape.sample(
            family,
            &[("otel_scope_name", "oxia"), ("data_server", "a")],
            1.0,
        );
        scrape.sample(family, &[("data_server", "b")], 0.0);
        assert_eq!(
            scraped(&scrape.build()),
            testing::running(&[("a", true), ("b", false)])
        );
    }

    proptest! {
        #[test]
        fn any_exposition_gives_a_view_or_none(text in "(oxia_derived_(shards|server_running|server_shards)[{}a-z\",=0-9. eE+-]{0,40}\n){0,6}") {
            let _either = View::read(&text, "oxia-0");
        }
    }
}
