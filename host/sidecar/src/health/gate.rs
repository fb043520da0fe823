//! The start gate: how long the workload is held back, and why. Pure.

use std::time::Duration;

use super::{ProbeReason, ProbeReport};
use crate::template::{FilesState, Gate};

/// Whether the workload may start, after this much waiting. Once the cap has passed it may as soon
/// as files are in place, even if names that it waits for do not resolve. The cap moves neither
/// missing files nor a plugin that says that a start would harm the data: those fail the gate, with
/// the reason, for as long as they last.
pub fn start_gate(files: &FilesState, waited: Duration, cap: Duration) -> ProbeReport {
    let Gate::Waiting(reason) = &files.gate else {
        return ProbeReport::passing();
    };
    let in_place = files.set.is_some() || files.good_unix_ms > 0;
    if !in_place {
        let code = if files.refusal.is_some() {
            "files-refused"
        } else {
            "files-missing"
        };
        return ProbeReport::failing(code, reason);
    }
    if files.plan.as_ref().is_some_and(|plan| !plan.may_start) {
        return ProbeReport::failing("start-unsafe", reason);
    }
    if waited < cap {
        return ProbeReport::failing("start-held", reason);
    }
    let told = format!("it starts all the same after {} s: {reason}", cap.as_secs());
    ProbeReport {
        pass: true,
        reasons: vec![ProbeReason::outrigger("start-capped", told).note()],
        checked_unix_ms: None,
    }
}

#[cfg(test)]
mod tests {
    use outrigger_plugin_host::Plan;

    use super::*;
    use crate::fixture::files;

    #[test]
    fn a_plugin_that_holds_the_start_is_not_moved_by_the_cap() {
        let mut state = files(
            Gate::Waiting("two majorities could form".to_owned()),
            Some(1),
        );
        state.plan = Some(Plan {
            outputs: std::collections::BTreeMap::new(),
            seeds: Vec::new(),
            may_start: false,
            reason: "two majorities could form".to_owned(),
        });
        let report = start_gate(&state, Duration::from_secs(999), Duration::from_mins(1));
        assert!(!report.pass);
        assert_eq!(report.reasons[0].code, "start-unsafe");
    }

    #[test]
    fn the_gate_opens_with_the_files_and_never_without_them() {
        let waiting = || Gate::Waiting("db-1 does not resolve yet".to_owned());
        let table = [
            (Gate::Ready, None, 0, true, ""),
            (waiting(), None, 0, false, "files-missing"),
            (waiting(), None, 999, false, "files-missing"),
            (waiting(), Some(1), 59, false, "start-held"),
            (waiting(), Some(1), 60, true, "start-capped"),
            (Gate::Ready, Some(1), 60, true, ""),
        ];
        for (gate, set, waited, pass, code) in table {
            let state = files(gate.clone(), set);
            let report = start_gate(&state, Duration::from_secs(waited), Duration::from_mins(1));
            let codes: Vec<&str> = report.reasons.iter().map(|r| r.code.as_str()).collect();
            assert_eq!(
                (report.pass, codes.join(",").as_str()),
                (pass, code),
                "{gate:?} {set:?} {waited}"
            );
        }
    }
}
