//! What happens under `up`, one event each: what the display, `--json` and `/v1/events` show.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use outrigger_peers::Phase;
use serde::{Deserialize, Serialize};
use tokio::sync::broadcast;

use crate::log_lines::now_unix_ms;

/// Events that a late listener still gets.
const KEPT: usize = 2000;

/// One thing that happened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "event")]
pub enum Event {
    /// Something to know that is not about one pod.
    Notice {
        /// A sentence.
        message: String,
    },
    /// A pod's phase, role or reasons changed.
    Pod {
        /// Its name.
        pod: String,
        /// Now.
        phase: Phase,
        /// Its role, where its sidecar told one.
        role: Option<String>,
        /// Why it is not ready.
        reasons: Vec<String>,
    },
    /// Something happened to a container.
    Container {
        /// Its pod.
        pod: String,
        /// Its name.
        container: String,
        /// A sentence, such as "ended with exit code 1, starts again in 10 s".
        message: String,
    },
    /// A pod's ports can be reached from this machine.
    Reachable {
        /// The pod.
        pod: String,
        /// Its ports.
        ports: Vec<ReachablePort>,
    },
    /// A pod has ended in order: everything of it has stopped.
    PodStopped {
        /// Its name.
        pod: String,
        /// From the decision to its end, in milliseconds; the grace period is the most.
        #[serde(rename = "took-ms")]
        took_ms: u64,
    },
    /// Every replica that should be there is ready; told anew after each time that this was not so.
    AllReady {
        /// How many.
        replicas: u32,
    },
    /// Every replica was restarted.
    RollDone,
    /// Everything is being stopped.
    Down {
        /// Why.
        reason: String,
    },
}

/// A port and where it can be reached from this machine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct ReachablePort {
    /// The container that listens on it.
    pub container: String,
    /// The port's name.
    pub name: Option<String>,
    /// Its number in the pod.
    pub port: u16,
    /// On this machine.
    pub address: SocketAddr,
}

/// An event and when it happened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Timed {
    /// In milliseconds since the Unix epoch.
    pub unix_ms: u64,
    /// What happened.
    #[serde(flatten)]
    pub event: Event,
}

/// All events. Cheap to clone; all clones are one.
#[derive(Debug, Clone)]
pub struct Events {
    kept: Arc<Mutex<VecDeque<Timed>>>,
    coming: broadcast::Sender<Timed>,
}

impl Default for Events {
    fn default() -> Self {
        Self {
            kept: Arc::default(),
            coming: broadcast::Sender::new(KEPT),
        }
    }
}

impl Events {
    /// Tells everybody.
    pub fn tell(&self, event: Event) {
        let timed = Timed {
            unix_ms: now_unix_ms(),
            event,
        };
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.len() == KEPT {
            kept.pop_front();
        }
        kept.push_back(timed.clone());
        // Nobody need listen.
        let _ignored = self.coming.send(timed);
    }

    /// A sentence for everybody.
    pub fn notice(&self, message: impl Into<String>) {
        let message = message.into();
        self.tell(Event::Notice { message });
    }

    /// What happened so far, and what is to come.
    pub fn follow(&self) -> (Vec<Timed>, broadcast::Receiver<Timed>) {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        (kept.iter().cloned().collect(), self.coming.subscribe())
    }
}
