//! A life of a workload as its document tells it, held against one that is lived.

use std::collections::BTreeMap;
use std::fs;
use std::time::Duration;

use crate::eventually::eventually;
use crate::programs;
use crate::replicas::lines;
use crate::up::Up;

/// For the last lines, which are written while something ends.
const SOON: Duration = Duration::from_secs(10);

/// The lines of `examples/<name>/LIFE.md`, by pod and in their order.
#[derive(Debug)]
pub struct Life {
    file: String,
    pods: BTreeMap<String, Vec<String>>,
}

impl Life {
    /// Reads it.
    ///
    /// # Panics
    /// When it is not there, or tells of nobody.
    #[track_caller]
    pub fn read(example: &str) -> Self {
        let file = format!("examples/{example}/LIFE.md");
        let text = fs::read_to_string(programs::root().join(&file))
            .unwrap_or_else(|error| panic!("cannot read {file}: {error}"));
        let pods = told(&text);
        assert!(!pods.is_empty(), "{file} tells of nobody");
        Self { file, pods }
    }

    /// Waits until the timeline of each pod has its lines in their order; there may be others between them.
    pub async fn is_lived(&self, up: &Up) {
        let what = format!("all that {} tells has happened", self.file);
        eventually(SOON, &what, async || {
            let missing: Vec<String> = self
                .pods
                .iter()
                .filter_map(|(pod, wanted)| {
                    let happened = lines(up, pod, "outrigger");
                    let line = first_missing(wanted, &happened)?;
                    Some(format!(
                        "{pod}: not `{line}` in its place in\n{}",
                        happened.join("\n")
                    ))
                })
                .collect();
            if missing.is_empty() {
                Ok(())
            } else {
                Err(missing.join("\n"))
            }
        })
        .await;
    }
}

/// Lines of the form `<seconds> <pod>  <message>` within fences.
fn told(text: &str) -> BTreeMap<String, Vec<String>> {
    let mut pods: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let fenced = text.split("```").skip(1).step_by(2);
    for line in fenced.flat_map(str::lines) {
        let mut parts = line.trim_start().splitn(3, ' ');
        let [Some(seconds), Some(pod), Some(message)] = [parts.next(), parts.next(), parts.next()]
        else {
            continue;
        };
        if seconds.parse::<f64>().is_ok() {
            let message = message.trim().to_owned();
            pods.entry(pod.to_owned()).or_default().push(message);
        }
    }
    pods
}

fn first_missing<'a>(wanted: &'a [String], happened: &[String]) -> Option<&'a String> {
    let mut happened = happened.iter().map(|line| without_spans(line));
    wanted.iter().find(|line| {
        let line = without_spans(line);
        let line = line.trim_end_matches('…').trim_end();
        !happened.any(|one| one.contains(line))
    })
}

/// The text without what differs from life to life: numbers of seconds and milliseconds.
fn without_spans(text: &str) -> String {
    let words = text.split(' ').collect::<Vec<_>>();
    let mut out = Vec::with_capacity(words.len());
    for (index, word) in words.iter().enumerate() {
        let unit = words
            .get(index + 1)
            .map(|next| next.trim_end_matches([',', '.', ':', ';']));
        let is_number = word.parse::<f64>().is_ok();
        if is_number && matches!(unit, Some("s" | "ms")) {
            out.push("#");
        } else {
            out.push(word);
        }
    }
    out.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_held_against_the_timeline_in_their_order() {
        let text = "Text 1 db-0 no line.\n```\n  0.5 db-0  start gate passes\n 12.0 db-0  drained in 1.2 s, which…\n```\n";
        let wanted = &told(text)["db-0"];
        assert_eq!(wanted.len(), 2);
        let line =
            |text: &str| format!("2026-11-22T00:00:00Z INFO outrigger::timeline: {text} seq=3");
        let lived = [
            line("start gate passes"),
            line("something else"),
            line("drained in 30.4 s, which is long"),
        ];
        assert_eq!(first_missing(wanted, &lived), None);
        let turned = [lived[2].clone(), lived[0].clone()];
        assert_eq!(first_missing(wanted, &turned), wanted.get(1));
        assert_eq!(first_missing(wanted, &[]), wanted.first());
    }
}
