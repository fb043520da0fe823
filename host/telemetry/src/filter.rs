//! Which log lines are kept, changeable while the process runs.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use tracing::Subscriber;
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::{EnvFilter, reload};

/// How long a filter may be, in bytes: some thirty modules.
const FILTER_BYTES_MAX: usize = 2048;

/// The filter cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum FilterError {
    /// It cannot be read.
    #[error("`{filter}` is no log filter")]
    Unreadable {
        /// As given.
        filter: String,
        /// Why.
        #[source]
        source: tracing_subscriber::filter::ParseError,
    },
    /// It is too long.
    #[error("the log filter has {bytes} bytes, {FILTER_BYTES_MAX} are allowed")]
    TooLong {
        /// How long it is.
        bytes: usize,
    },
    /// Logs are no longer there.
    #[error("logs have ended")]
    Ended,
}

type Replace = dyn Fn(EnvFilter) -> bool + Send + Sync;

/// The filter of a running process. Cheap to clone; all clones are one.
#[derive(Clone)]
pub struct LogHandle {
    replace: Arc<Replace>,
    current: Arc<Mutex<String>>,
}

impl fmt::Debug for LogHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LogHandle")
            .field("filter", &self.current())
            .finish_non_exhaustive()
    }
}

impl LogHandle {
    /// One that filters nothing, for tests and for parts that run without logs.
    pub fn detached() -> Self {
        Self {
            replace: Arc::new(|_| true),
            current: Arc::default(),
        }
    }

    /// Puts another filter in place. The old one stays on any error.
    pub fn set(&self, filter: &str) -> Result<(), FilterError> {
        let parsed = parse(filter)?;
        if !(self.replace)(parsed) {
            return Err(FilterError::Ended);
        }
        filter.clone_into(&mut self.current.lock().unwrap_or_else(PoisonError::into_inner));
        Ok(())
    }

    /// The filter in place, as it was given.
    pub fn current(&self) -> String {
        self.current
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}

fn parse(filter: &str) -> Result<EnvFilter, FilterError> {
    if filter.len() > FILTER_BYTES_MAX {
        return Err(FilterError::TooLong {
            bytes: filter.len(),
        });
    }
    EnvFilter::builder()
        .parse(filter)
        .map_err(|source| FilterError::Unreadable {
            filter: filter.to_owned(),
            source,
        })
}

pub(crate) fn reloadable<S>(
    filter: &str,
) -> Result<(reload::Layer<EnvFilter, S>, LogHandle), FilterError>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
{
    let (layer, handle) = reload::Layer::new(parse(filter)?);
    let log = LogHandle {
        replace: Arc::new(move |filter| handle.reload(filter).is_ok()),
        current: Arc::new(Mutex::new(filter.to_owned())),
    };
    Ok((layer, log))
}

#[cfg(test)]
mod tests {
    use tracing_subscriber::layer::SubscriberExt as _;

    use super::*;

    #[test]
    fn another_filter_takes_effect_at_once_and_a_wrong_one_leaves_the_old() {
        let (layer, handle) = reloadable("warn").unwrap();
        let subscriber = tracing_subscriber::registry().with(layer);
        tracing::subscriber::with_default(subscriber, || {
            let debug = || tracing::enabled!(tracing::Level::DEBUG);
            assert!(!debug());
            handle.set("outrigger_telemetry=debug").unwrap();
            assert!(debug());
            let error = handle.set("outrigger_telemetry=loud").unwrap_err();
            assert_eq!(
                error.to_string(),
                "`outrigger_telemetry=loud` is no log filter"
            );
            assert!(debug());
            assert_eq!(handle.current(), "outrigger_telemetry=debug");
        });
    }

    #[test]
    fn an_endless_filter_is_refused() {
        let error = LogHandle::detached()
            .set(&"a=info,".repeat(1000))
            .unwrap_err();
        assert_eq!(
            error.to_string(),
            "the log filter has 7000 bytes, 2048 are allowed"
        );
    }
}
