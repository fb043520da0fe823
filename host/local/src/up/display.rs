//! How `up` looks: lines with the pod's name in front, a table, addresses to open.

use std::io::{self, Write as _};

use anstyle::{AnsiColor, Style};
use outrigger_peers::{Phase, ReplicaName};
use serde_json::json;

use crate::events::{Event, Timed};
use crate::hub_api::{PodRow, PsAnswer};
use crate::log_lines::{LogLine, now_unix_ms};
use crate::plan::{SIDECAR, SIDECAR_PORT};
use crate::progress::Progress;

/// One for each replica, then from the first again.
const COLORS: [AnsiColor; 6] = [
    AnsiColor::Cyan,
    AnsiColor::Green,
    AnsiColor::Yellow,
    AnsiColor::Blue,
    AnsiColor::Magenta,
    AnsiColor::BrightCyan,
];

/// Where everything is shown: logs on standard output, what `up` says on standard error; with
/// `json` all of it as JSON lines on standard output.
#[derive(Debug)]
pub(super) struct Display {
    json: bool,
    color: bool,
    width: usize,
    pub(super) progress: Progress,
}

impl Display {
    pub(super) fn new(json: bool, color: bool, terminal: bool) -> Self {
        Self {
            json,
            color,
            width: 0,
            progress: Progress::new(terminal && !json),
        }
    }

    /// Something that `up` itself says.
    pub(super) fn say(&self, text: &str) {
        if self.json {
            let notice = json!({
                "unix-ms": now_unix_ms(), "event": "notice", "message": text,
            });
            return self.line(&notice.to_string());
        }
        // Who closed standard error does not want to know.
        let _ignored = self
            .progress
            .above(|| writeln!(io::stderr().lock(), "{text}"));
    }

    fn line(&self, text: &str) {
        // Who closed standard output does not want to know.
        let _ignored = self
            .progress
            .above(|| writeln!(io::stdout().lock(), "{text}"));
    }

    pub(super) fn log(&mut self, log: &LogLine) {
        if self.json {
            let event = json!({
                "unix-ms": log.unix_ms, "event": "log", "pod": log.pod,
                "container": log.container, "line": log.line,
            });
            return self.line(&event.to_string());
        }
        let sidecar = log.container == SIDECAR;
        let name = if sidecar {
            format!("{} sidecar", log.pod)
        } else {
            log.pod.clone()
        };
        self.width = self.width.max(name.len());
        let width = self.width;
        let prefix = paint(self.color, color_of(&log.pod), &format!("{name:width$} │"));
        let text = if sidecar {
            paint(self.color, Style::new().dimmed(), &log.line)
        } else {
            log.line.clone()
        };
        self.line(&format!("{prefix} {text}"));
    }

    pub(super) fn event(&mut self, timed: &Timed, waiting: bool) {
        if self.json {
            if let Ok(text) = serde_json::to_string(timed) {
                self.line(&text);
            }
            return;
        }
        match &timed.event {
            Event::Notice { message } => self.say(message),
            Event::Pod {
                pod,
                phase,
                role,
                reasons,
            } => {
                let mut text = phase_text(*phase, role.as_deref());
                if let Some(reason) = reasons.first() {
                    text.push_str(": ");
                    text.push_str(reason);
                }
                if waiting {
                    self.progress.say(pod, &text);
                }
                if !waiting || matches!(phase, Phase::Ready) {
                    let name = paint(self.color, color_of(pod), pod);
                    self.say(&format!("{name} is {text}"));
                }
            }
            Event::Container {
                pod,
                container,
                message,
            } => {
                let name = paint(self.color, color_of(pod), &format!("{pod}/{container}"));
                self.say(&format!("{name} {message}"));
            }
            Event::PodStopped { pod, took_ms } => {
                let name = paint(self.color, color_of(pod), pod);
                let tenths = took_ms / 100;
                self.say(&format!(
                    "{name} stopped in {}.{} s",
                    tenths / 10,
                    tenths % 10
                ));
            }
            Event::RollDone => self.say("every replica was restarted"),
            Event::Down { reason } => self.say(&format!("stopping: {reason}")),
            Event::Reachable { .. } | Event::AllReady { .. } => {}
        }
    }

    /// The table, once all are ready.
    pub(super) fn ready(&mut self, answer: &PsAnswer, took: std::time::Duration) {
        self.progress.clear();
        if self.json {
            if let Ok(state) = serde_json::to_value(answer) {
                let event = json!({ "unix-ms": now_unix_ms(), "event": "state", "state": state });
                self.line(&event.to_string());
            }
            return;
        }
        let mut text = format!(
            "\nall ready after {:.1} s\n\n{}",
            took.as_secs_f32(),
            table(answer)
        );
        let pages: Vec<String> = answer
            .stateful_sets
            .iter()
            .flat_map(|set| &set.pods)
            .filter_map(|pod| {
                let page = pod
                    .reachable
                    .iter()
                    .find(|port| port.port == SIDECAR_PORT)?;
                Some(format!("  http://{}/  {}\n", page.address, pod.name))
            })
            .collect();
        if !pages.is_empty() {
            text += "\nstatus pages:\n";
            text.extend(pages);
        }
        self.say(&text);
    }
}

/// The pods as a table: name, address in the cluster, address on this machine, state, role, restarts.
pub fn table(answer: &PsAnswer) -> String {
    let mut rows = vec![
        [
            "POD",
            "ADDRESS",
            "REACHABLE AT",
            "STATE",
            "ROLE",
            "RESTARTS",
        ]
        .map(str::to_owned),
    ];
    for pod in answer.stateful_sets.iter().flat_map(|set| &set.pods) {
        rows.push(row(pod));
    }
    let mut widths = [0; 6];
    for row in &rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let mut text = String::new();
    for row in rows {
        let cells: Vec<String> = row
            .iter()
            .zip(widths)
            .map(|(cell, width)| format!("{cell:width$}"))
            .collect();
        text += cells.join("  ").trim_end();
        text.push('\n');
    }
    let mut lines = Vec::new();
    for set in &answer.stateful_sets {
        if !set.settled || set.rolling {
            let rolling = if set.rolling {
                ", being restarted one by one"
            } else {
                ""
            };
            lines.push(format!(
                "{}: {} of {} ready{rolling}",
                set.name, set.ready, set.desired
            ));
        }
        let waiting = |pod: &&PodRow| matches!(pod.phase, Phase::Starting | Phase::NotReady);
        for pod in set.pods.iter().filter(waiting) {
            for reason in &pod.reasons {
                lines.push(format!("{}: {reason}", pod.name));
            }
        }
    }
    for line in lines {
        text += &line;
        text.push('\n');
    }
    text
}

fn row(pod: &PodRow) -> [String; 6] {
    let ports: Vec<String> = pod
        .reachable
        .iter()
        .filter(|port| port.container != SIDECAR)
        .map(|port| port.address.to_string())
        .collect();
    [
        pod.name.clone(),
        pod.ip.to_string(),
        if ports.is_empty() {
            "-".to_owned()
        } else {
            ports.join(", ")
        },
        pod.phase.to_string(),
        pod.role.clone().unwrap_or_else(|| "-".to_owned()),
        pod.restarts.to_string(),
    ]
}

fn phase_text(phase: Phase, role: Option<&str>) -> String {
    match role {
        Some(role) => format!("{phase} ({role})"),
        None => phase.to_string(),
    }
}

fn color_of(pod: &str) -> Style {
    let ordinal = pod
        .parse::<ReplicaName>()
        .map_or(0, |name| usize::try_from(name.ordinal.0).unwrap_or(0));
    Style::new().fg_color(Some(COLORS[ordinal % COLORS.len()].into()))
}

fn paint(color: bool, style: Style, text: &str) -> String {
    if color {
        format!("{style}{text}{style:#}")
    } else {
        text.to_owned()
    }
}
