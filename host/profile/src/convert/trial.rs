//! `spec.trial`: how long changes are watched.

use std::time::Duration;

use super::Convert;
use crate::{Trial, defaults, raw};

impl Convert {
    pub(super) fn trial(&mut self, trial: &raw::Trial) -> Trial {
        let range = (Duration::ZERO, Duration::from_hours(1));
        Trial {
            files: self.span(
                "spec.trial.files",
                trial.files.as_ref(),
                defaults::TRIAL_FILES,
                range,
            ),
            plugin: self.span(
                "spec.trial.plugin",
                trial.plugin.as_ref(),
                defaults::TRIAL_PLUGIN,
                range,
            ),
        }
    }
}
