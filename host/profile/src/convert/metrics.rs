//! `spec.metrics`: scrape targets and labels.

use std::time::Duration;

use super::Convert;
use crate::document::path;
use crate::{Metrics, ScrapeTarget, defaults, raw};

impl Convert {
    pub(super) fn metrics(&mut self, metrics: raw::Metrics) -> Metrics {
        const RANGE: (Duration, Duration) = (Duration::from_millis(10), Duration::from_secs(10));
        let labels = metrics.labels.unwrap_or_default();
        let mut scrape: Vec<ScrapeTarget> = Vec::new();
        for (index, target) in metrics.scrape.unwrap_or_default().into_iter().enumerate() {
            let at = path::item("spec.metrics.scrape", index);
            let target = ScrapeTarget {
                port: self.port(&path::key(&at, "port"), target.port),
                path: self.request_path(
                    &path::key(&at, "path"),
                    target.path,
                    defaults::SCRAPE_PATH,
                ),
                timeout: self.span(
                    &path::key(&at, "timeout"),
                    target.timeout.as_ref(),
                    defaults::SCRAPE_TIMEOUT,
                    RANGE,
                ),
                relabel: self.relabel(
                    &path::key(&at, "relabel"),
                    target.relabel.unwrap_or_default(),
                    &labels,
                ),
            };
            if target.port != 0
                && scrape
                    .iter()
                    .any(|other| other.port == target.port && other.path == target.path)
            {
                self.error(
                    at,
                    format!("port {}{} is scraped twice", target.port, target.path),
                    "remove one of the two",
                );
            }
            scrape.push(target);
        }
        for name in labels.keys() {
            let at = path::key("spec.metrics.labels", name);
            if !self.is_label(&at, name) {
                continue;
            }
            if name.starts_with("__") {
                self.error(
                    at,
                    "names with two underscores at the start are Prometheus' own",
                    "choose another name",
                );
            } else if ["le", "quantile"].contains(&name.as_str()) {
                self.error(
                    at,
                    format!("`{name}` has a meaning in histograms and summaries"),
                    "choose another name",
                );
            }
        }
        Metrics { scrape, labels }
    }
}
