//! `spec.drain`: times and declarative steps.

use std::time::Duration;

use super::{Convert, method, signal};
use crate::document::path;
use crate::{Drain, DrainRequest, Method, defaults, raw, show_span};

impl Convert {
    pub(super) fn drain(&mut self, drain: raw::Drain) -> Drain {
        let most = Duration::from_hours(1);
        let range = (Duration::from_millis(100), most);
        let timeout = self.span(
            "spec.drain.timeout",
            drain.timeout.as_ref(),
            defaults::DRAIN_TIMEOUT,
            range,
        );
        let default = defaults::DRAIN_NOTICE.min(timeout / 2);
        let notice = self.span(
            "spec.drain.notice",
            drain.notice.as_ref(),
            default,
            (Duration::ZERO, most),
        );
        if notice >= timeout {
            self.error(
                "spec.drain.notice",
                format!(
                    "the notice of {} uses up the whole drain of {}",
                    show_span(notice),
                    show_span(timeout)
                ),
                "raise spec.drain.timeout, or shorten the notice",
            );
        }
        let http = drain
            .http
            .unwrap_or_default()
            .into_iter()
            .enumerate()
            .map(|(index, step)| {
                let at = path::item("spec.drain.http", index);
                DrainRequest {
                    port: self.port(&path::key(&at, "port"), step.port),
                    method: step.method.map_or(Method::Post, method),
                    path: self.request_path(&path::key(&at, "path"), step.path, ""),
                }
            })
            .collect();
        Drain {
            timeout,
            notice,
            http,
            signal: drain.signal.map(signal),
        }
    }
}
