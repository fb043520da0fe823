//! How the sidecar ended, in one sentence: the last entry of the timeline, and the container's termination
//! message, which outlives the pod's logs in `kubectl describe`.

use std::fs::OpenOptions;
use std::io::Write as _;
use std::path::Path;

use crate::lifecycle::{DrainOutcome, StepResult};
use crate::timeline::cut;

/// What the kubelet reads of it.
const BYTES_MAX: usize = 4096;

/// How the drain before the end went.
#[derive(Debug)]
pub(crate) enum Drained<'a> {
    /// There was nothing to drain: the workload was not running.
    Needless,
    /// To its own end.
    Ended(&'a DrainOutcome),
    /// A second signal cut it off, during this step.
    CutOff(Option<&'static str>),
}

/// The sentence.
pub(crate) fn told(signal: &str, drained: &Drained<'_>, left: &[String]) -> String {
    let mut text = match drained {
        Drained::Needless => format!("{signal}: the workload was not running, nothing to drain"),
        Drained::CutOff(step) => {
            let step = step.unwrap_or("begin");
            format!("{signal} again: the drain was cut off during its step `{step}`")
        }
        Drained::Ended(outcome) => format!("{signal}: {}", ended(outcome)),
    };
    if !left.is_empty() {
        text = format!(
            "{text}; these tasks did not end in time: {}",
            left.join(", ")
        );
    }
    text
}

fn ended(outcome: &DrainOutcome) -> String {
    #[expect(
        clippy::cast_precision_loss,
        reason = "a drain takes minutes at most, and tenths of a second are shown"
    )]
    let seconds = outcome.took_ms as f64 / 1000.0;
    let with = |result: StepResult| outcome.steps.iter().find(|step| step.result == result);
    if let Some(step) = with(StepResult::OutOfTime) {
        let limit = match outcome.limit {
            "drain.timeout" => "`drain.timeout`",
            _ => "the end of the grace period",
        };
        let (step, note) = (step.step, &step.note);
        return format!(
            "the drain was cut off by {limit} after {seconds:.1} s, during its step `{step}`: {note}"
        );
    }
    if let Some(step) = with(StepResult::Failed) {
        let (step, note) = (step.step, &step.note);
        return format!("drained in {seconds:.1} s, and the step `{step}` failed: {note}");
    }
    if outcome.complete {
        format!("drained in {seconds:.1} s")
    } else {
        format!("the drain ended after {seconds:.1} s, not everything was done")
    }
}

/// Puts the sentence where the kubelet looks. Outside a pod there is no such file, and a file that cannot
/// be written changes nothing about the end.
pub(crate) fn write(file: Option<&Path>, text: &str) {
    let Some(file) = file else {
        return;
    };
    let opened = OpenOptions::new().write(true).truncate(true).open(file);
    let written =
        opened.and_then(|mut file| file.write_all(cut(text.to_owned(), BYTES_MAX).as_bytes()));
    if let Err(error) = written {
        tracing::debug!(path = %file.display(), %error, "There is no termination message");
    }
}

#[cfg(test)]
mod tests {
    use outrigger_plugin_host::DrainReason;

    use super::*;
    use crate::lifecycle::DrainStep;

    fn outcome(results: &[(&'static str, StepResult)], limit: &'static str) -> DrainOutcome {
        let steps = results.iter().map(|(step, result)| DrainStep {
            step,
            result: *result,
            note: "as it was".to_owned(),
            took_ms: 1,
        });
        DrainOutcome {
            reason: DrainReason::Unknown,
            complete: results
                .iter()
                .all(|(_, result)| *result == StepResult::Done),
            steps: steps.collect(),
            took_ms: 2340,
            limit,
        }
    }

    #[test]
    fn the_end_is_told_with_the_step_that_did_not_come_to_its_end() {
        let done = outcome(&[("notice", StepResult::Done)], "grace-period");
        let failed = outcome(&[("http", StepResult::Failed)], "grace-period");
        let late = [
            ("notice", StepResult::Done),
            ("plugin", StepResult::OutOfTime),
        ];
        let [grace, own] = ["grace-period", "drain.timeout"].map(|limit| outcome(&late, limit));
        let left = ["export".to_owned()];
        let told = [
            told("SIGTERM", &Drained::Ended(&done), &[]),
            told("SIGTERM", &Drained::Ended(&failed), &[]),
            told("SIGTERM", &Drained::Ended(&grace), &left),
            told("SIGTERM", &Drained::Ended(&own), &[]),
            told("SIGTERM", &Drained::CutOff(Some("http")), &[]),
            told("SIGINT", &Drained::Needless, &[]),
        ];
        assert_eq!(
            told,
            [
                "SIGTERM: drained in 2.3 s",
                "SIGTERM: drained in 2.3 s, and the step `http` failed: as it was",
                "SIGTERM: the drain was cut off by the end of the grace period after 2.3 s, during its step `plugin`: as it was; these tasks did not end in time: export",
                "SIGTERM: the drain was cut off by `drain.timeout` after 2.3 s, during its step `plugin`: as it was",
                "SIGTERM again: the drain was cut off during its step `http`",
                "SIGINT: the workload was not running, nothing to drain",
            ]
        );
    }

    #[test]
    fn the_message_replaces_what_was_there_and_a_missing_file_is_not_made() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("termination-log");
        write(Some(&file), "first");
        assert!(!file.exists());
        std::fs::write(&file, "the word of an earlier end, which was longer").unwrap();
        write(Some(&file), &"ä".repeat(BYTES_MAX));
        let text = std::fs::read_to_string(&file).unwrap();
        assert!(text.starts_with("ää") && text.len() <= BYTES_MAX && text.ends_with('…'));
        write(Some(&file), "the end");
        assert_eq!(std::fs::read_to_string(&file).unwrap(), "the end");
    }
}
