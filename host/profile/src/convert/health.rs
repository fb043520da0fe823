//! `spec.health`: the three probes.

use std::time::Duration;

use super::Convert;
use crate::document::path;
use crate::structure::cut;
use crate::{Check, ClusterReasons, Health, Probe, Start, defaults, raw, show_span};

const HOUR: Duration = Duration::from_hours(1);

impl Convert {
    pub(super) fn health(
        &mut self,
        health: raw::Health,
        start: &Start,
        has_plugin: bool,
    ) -> Health {
        let startup = self.probe("startup", health.startup, Some(start), has_plugin);
        let readiness = self.probe("readiness", health.readiness, None, has_plugin);
        let liveness = self.probe("liveness", health.liveness, None, has_plugin);
        Health {
            cluster_reasons: match health.cluster_reasons.unwrap_or(raw::ClusterReasons::Gate) {
                raw::ClusterReasons::Gate => ClusterReasons::Gate,
                raw::ClusterReasons::Always => ClusterReasons::Always,
            },
            startup,
            readiness,
            liveness,
        }
    }

    fn probe(
        &mut self,
        name: &str,
        probe: Option<raw::Probe>,
        gate: Option<&Start>,
        has_plugin: bool,
    ) -> Probe {
        let at = path::key("spec.health", name);
        let key = |key: &str| path::key(&at, key);
        let probe = probe.unwrap_or_default();
        let mut checks = Vec::new();
        if let Some(http) = probe.http {
            checks.push(self.http_check(&key("http"), http));
        }
        if let Some(tcp) = probe.tcp {
            let port = self.port(&path::key(&key("tcp"), "port"), tcp.port);
            checks.push(Check::Tcp { port });
        }
        if let Some(grpc) = probe.grpc {
            let port = self.port(&path::key(&key("grpc"), "port"), grpc.port);
            let service = grpc.service.unwrap_or_default();
            checks.push(Check::Grpc { port, service });
        }
        if probe.plugin == Some(true) && !has_plugin {
            self.error(
                key("plugin"),
                "there is no plugin to ask",
                "add spec.plugin, or remove this key",
            );
        }
        let initial_delay = self.span(
            &key("initial-delay"),
            probe.initial_delay.as_ref(),
            defaults::PROBE_INITIAL_DELAY,
            (Duration::ZERO, HOUR),
        );
        let period = self.span(
            &key("period"),
            probe.period.as_ref(),
            defaults::PROBE_PERIOD,
            (Duration::from_millis(100), HOUR),
        );
        let default = defaults::PROBE_TIMEOUT.min(period);
        let timeout = self.span(
            &key("timeout"),
            probe.timeout.as_ref(),
            default,
            (Duration::from_millis(10), Duration::from_mins(5)),
        );
        if timeout > period {
            self.warning(
                key("timeout"),
                format!(
                    "a check may take {}, longer than the period of {}",
                    show_span(timeout),
                    show_span(period)
                ),
                "raise the period, or shorten this: checks of one probe never overlap",
            );
        }
        let success_threshold = probe
            .success_threshold
            .map_or(defaults::SUCCESS_THRESHOLD, |times| times.0);
        if name != "readiness" && success_threshold != 1 {
            self.error(
                key("success-threshold"),
                format!("a {name} probe passes with its first success"),
                "remove this key",
            );
        }
        let covers = gate.map(|start| {
            (
                start.cap,
                defaults::startup_failure_threshold(start.cap, initial_delay, period),
            )
        });
        let default = covers.map_or(defaults::FAILURE_THRESHOLD, |(_, times)| times);
        let failure_threshold = probe.failure_threshold.map_or(default, |times| times.0);
        if let Some((cap, times)) = covers
            && failure_threshold < times
        {
            self.warning(
                key("failure-threshold"),
                format!(
                    "the startup probe gives up before the start gate does, whose cap is {}",
                    show_span(cap)
                ),
                format!("remove this key, or write {times} or more"),
            );
        }
        Probe {
            checks,
            plugin: probe.plugin.unwrap_or(has_plugin),
            initial_delay,
            period,
            timeout,
            failure_threshold,
            success_threshold,
        }
    }

    fn http_check(&mut self, at: &str, http: raw::HttpCheck) -> Check {
        let headers: Vec<(String, String)> = http.headers.unwrap_or_default().into_iter().collect();
        for (name, value) in &headers {
            let here = path::key(&path::key(at, "headers"), name);
            let is_token = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b);
            if name.is_empty() || !name.bytes().all(is_token) {
                self.error(
                    here,
                    format!("`{}` is not a header's name", cut(name)),
                    "use letters, digits and dashes",
                );
            } else if value.bytes().any(|b| b.is_ascii_control() && b != b'\t') {
                self.error(
                    here,
                    "the value holds a control character",
                    "write it on one line",
                );
            }
        }
        Check::Http {
            port: self.port(&path::key(at, "port"), http.port),
            path: self.request_path(&path::key(at, "path"), http.path, "/"),
            headers,
        }
    }
}
