//! Any bytes are the coordinator's status or are refused; each shard is counted once in what its census comes to,
//! whichever servers answer.
#![no_main]

use libfuzzer_sys::fuzz_target;
use outrigger_plugin_oxia::census::{Running, census};
use outrigger_plugin_oxia::series;
use outrigger_plugin_oxia::status::{Status, read};

/// Some of the servers, none, all; those that answer and those that do not.
fn states(status: &Status) -> [Running; 4] {
    let names = || {
        status
            .shards
            .iter()
            .flat_map(|shard| &shard.ensemble)
            .cloned()
    };
    let every = |runs: bool| names().map(|name| (name, runs)).collect();
    let some = names().filter(|name| name.len() % 2 == 0);
    [
        Running::new(),
        every(true),
        every(false),
        some.map(|name| (name, true)).collect(),
    ]
}

fuzz_target!(|content: &[u8]| {
    let Ok(status) = read(content) else {
        return;
    };
    for running in states(&status) {
        let census = census(&status, &running);
        let shards = census.shards as usize;
        assert_eq!(shards, status.shards.len());
        let leads: usize = census
            .servers
            .values()
            .map(|server| server.leads as usize)
            .sum();
        assert_eq!(leads + census.leaderless.len(), shards);
        assert!(census.unsteady.len().max(census.without_quorum.len()) <= shards);
        assert!(census.spread() as usize <= shards);
        if !running.values().any(|runs| !runs) {
            assert!(census.without_quorum.is_empty() && census.down().is_empty());
        }
        for server in census.servers.values() {
            assert!(server.breaks + server.without_quorum <= server.shards);
            assert!(server.steady <= server.shards);
        }
        let _batch = series::derive(&census, Some(1));
    }
});
