//! What is shown on a terminal until all replicas are ready: one line for each.

use std::collections::BTreeMap;
use std::io;

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};

/// Lines at the bottom of the terminal; nothing at all where there is none.
#[derive(Debug)]
pub struct Progress {
    lines: BTreeMap<String, ProgressBar>,
    all: Option<MultiProgress>,
}

impl Progress {
    /// Shown on standard error, if that is a terminal.
    pub fn new(terminal: bool) -> Self {
        Self {
            lines: BTreeMap::new(),
            all: terminal
                .then(|| MultiProgress::with_draw_target(ProgressDrawTarget::stderr_with_hz(10))),
        }
    }

    /// What a line says now.
    pub fn say(&mut self, name: &str, message: &str) {
        let Some(all) = &self.all else { return };
        let line = self.lines.entry(name.to_owned()).or_insert_with(|| {
            let line = all.add(ProgressBar::new_spinner());
            let style = ProgressStyle::with_template("{spinner:.cyan} {prefix} {wide_msg}");
            line.set_style(style.unwrap_or_else(|_| ProgressStyle::default_spinner()));
            line.set_prefix(name.to_owned());
            line
        });
        line.set_message(message.replace('\n', " "));
        line.tick();
    }

    /// Moves the spinners; for a regular call.
    pub fn tick(&self) {
        for line in self.lines.values() {
            line.tick();
        }
    }

    /// Takes a line away.
    pub fn end(&mut self, name: &str) {
        if let Some(line) = self.lines.remove(name) {
            line.finish_and_clear();
        }
    }

    /// Takes all lines away.
    pub fn clear(&mut self) {
        for line in std::mem::take(&mut self.lines).into_values() {
            line.finish_and_clear();
        }
    }

    /// Writes something above the lines.
    pub fn above(&self, write: impl FnOnce() -> io::Result<()>) -> io::Result<()> {
        match &self.all {
            Some(all) if !self.lines.is_empty() => all.suspend(write),
            _ => write(),
        }
    }
}
