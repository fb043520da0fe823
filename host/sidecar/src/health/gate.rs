//! The start gate: how long the workload is held back, and why. Pure.

use std::time::Duration;

use outrigger_peers::{PeerSet, quorum};
use outrigger_profile::{Start, WaitFor};

use super::ProbeReport;

/// Whether the files are in place, as the template room tells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FilesGate {
    /// They are, or there are none.
    InPlace,
    /// They are not; a stable word and a sentence say why.
    Missing {
        /// Such as `files-refused`.
        code: String,
        /// Why.
        reason: String,
    },
    /// They are, but a start would not be safe now: the plugin says why.
    Unsafe {
        /// Why.
        reason: String,
    },
}

/// What the gate looks at.
#[derive(Debug, Clone, Copy)]
pub struct GateInput<'a> {
    /// The profile's rules.
    pub start: &'a Start,
    /// The files.
    pub files: &'a FilesGate,
    /// Who is there.
    pub peers: &'a PeerSet,
    /// Since the sidecar started.
    pub waited: Duration,
}

/// Whether the workload may start. After the cap it may as soon as its files are in place, whatever
/// else it waits for; without files it never may.
pub fn start_gate(input: GateInput<'_>) -> ProbeReport {
    let over = input.waited >= input.start.cap;
    match input.files {
        FilesGate::Missing { code, reason } => return ProbeReport::failing(code, reason),
        FilesGate::Unsafe { reason } if !over => {
            return ProbeReport::failing("start-unsafe", reason);
        }
        FilesGate::Unsafe { .. } | FilesGate::InPlace => {}
    }
    let Some(waits) = waits_for(input.start.wait_for, input.peers) else {
        let mut report = ProbeReport::passing();
        if let FilesGate::Unsafe { reason } = input.files {
            report.reasons = ProbeReport::failing("start-capped", reason).reasons;
            report.reasons[0].counts = false;
        }
        return report;
    };
    if over {
        let mut report = ProbeReport::failing(
            "start-capped",
            format!(
                "it starts all the same after {} s: {waits}",
                input.start.cap.as_secs()
            ),
        );
        report.pass = true;
        report.reasons[0].counts = false;
        return report;
    }
    ProbeReport::failing("names-missing", waits)
}

/// Whose names are still missing; none when enough are there.
fn waits_for(whom: WaitFor, peers: &PeerSet) -> Option<String> {
    let resolved = |needed: usize| {
        let there = peers
            .wanted()
            .filter(|replica| !replica.addresses.is_empty())
            .count();
        let wanted = peers.wanted().count();
        (there < needed).then(|| {
            format!("{there} of {wanted} replicas' names resolve, {needed} are waited for")
        })
    };
    match whom {
        WaitFor::Nobody => None,
        WaitFor::Own => {
            let own = peers.own();
            own.addresses
                .is_empty()
                .then(|| format!("the name {} does not resolve yet", own.host))
        }
        WaitFor::Majority => resolved(quorum(peers.desired) as usize),
        WaitFor::All => resolved(peers.desired as usize),
    }
}

#[cfg(test)]
mod tests {
    use outrigger_peers::{Identity, Ordinal};

    use super::*;

    fn peers(resolved: &[u32]) -> PeerSet {
        let identity = Identity {
            stateful_set: "db".into(),
            ordinal: Ordinal(0),
            namespace: "default".into(),
            service: "db".into(),
            cluster_domain: "cluster.local".into(),
            ip: None,
            uid: String::new(),
        };
        let mut set = PeerSet::expected(identity, Ordinal(0), 3);
        for ordinal in resolved {
            let replica = set.replicas.get_mut(&Ordinal(*ordinal)).unwrap();
            replica.addresses = vec!["10.0.0.1".parse().unwrap()];
        }
        set
    }

    fn gate(wait_for: WaitFor, files: &FilesGate, resolved: &[u32], waited: u64) -> (bool, String) {
        let report = start_gate(GateInput {
            start: &Start {
                cap: Duration::from_secs(60),
                wait_for,
            },
            files,
            peers: &peers(resolved),
            waited: Duration::from_secs(waited),
        });
        let codes: Vec<&str> = report.reasons.iter().map(|r| r.code.as_str()).collect();
        (report.pass, codes.join(","))
    }

    #[test]
    fn the_gate_opens_with_the_files_and_never_without_them() {
        let missing = FilesGate::Missing {
            code: "files-refused".into(),
            reason: "the template fails".into(),
        };
        let unsafe_now = FilesGate::Unsafe {
            reason: "another cluster runs".into(),
        };
        let ok = FilesGate::InPlace;
        let table = [
            (WaitFor::Nobody, &ok, &[][..], 0, true, ""),
            (
                WaitFor::Nobody,
                &missing,
                &[0, 1, 2],
                0,
                false,
                "files-refused",
            ),
            (
                WaitFor::Nobody,
                &missing,
                &[0, 1, 2],
                999,
                false,
                "files-refused",
            ),
            (WaitFor::Own, &ok, &[1, 2], 0, false, "names-missing"),
            (WaitFor::Own, &ok, &[0], 0, true, ""),
            (WaitFor::Majority, &ok, &[0], 0, false, "names-missing"),
            (WaitFor::Majority, &ok, &[0, 2], 0, true, ""),
            (WaitFor::All, &ok, &[0, 2], 59, false, "names-missing"),
            (WaitFor::All, &ok, &[0, 2], 60, true, "start-capped"),
            (WaitFor::All, &ok, &[0, 1, 2], 60, true, ""),
            (WaitFor::Nobody, &unsafe_now, &[], 59, false, "start-unsafe"),
            (WaitFor::Nobody, &unsafe_now, &[], 60, true, "start-capped"),
        ];
        for (wait_for, files, resolved, waited, pass, code) in table {
            assert_eq!(
                gate(wait_for, files, resolved, waited),
                (pass, code.to_owned()),
                "{wait_for:?} {files:?} {resolved:?} {waited}"
            );
        }
    }
}
