//! Where in its life this replica is, as its sidecar sees it.

use std::fmt;

use outrigger_plugin_host::DrainReason;

/// Where in its life this replica is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Phase {
    /// The workload is held back until its configuration is in place.
    #[default]
    Starting,
    /// The workload may run and be in service.
    Running,
    /// It is being taken out of service.
    Draining {
        /// Why.
        reason: DrainReason,
        /// When the drain ends at the latest, in milliseconds since the Unix epoch.
        deadline_unix_ms: u64,
    },
    /// It is out of service; its workload may be stopped.
    Drained {
        /// Why it was drained.
        reason: DrainReason,
    },
    /// The sidecar itself is ending.
    Stopped,
}

impl Phase {
    /// The word that status and metrics use.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Running => "running",
            Self::Draining { .. } => "draining",
            Self::Drained { .. } => "drained",
            Self::Stopped => "stopped",
        }
    }

    /// Whether the replica may be in service at all.
    pub fn may_serve(self) -> bool {
        matches!(self, Self::Starting | Self::Running)
    }

    /// What this phase becomes by an event; none where the event changes nothing.
    pub fn after(self, event: PhaseEvent) -> Option<Self> {
        match (self, event) {
            (Self::Stopped, _) => None,
            (_, PhaseEvent::Stopping) => Some(Self::Stopped),
            (Self::Starting, PhaseEvent::GateOpened) | (_, PhaseEvent::Restarted) => {
                Some(Self::Running)
            }
            (
                Self::Starting | Self::Running,
                PhaseEvent::DrainBegan {
                    reason,
                    deadline_unix_ms,
                },
            ) => Some(Self::Draining {
                reason,
                deadline_unix_ms,
            }),
            (Self::Draining { reason, .. }, PhaseEvent::DrainEnded) => {
                Some(Self::Drained { reason })
            }
            (
                _,
                PhaseEvent::GateOpened | PhaseEvent::DrainBegan { .. } | PhaseEvent::DrainEnded,
            ) => None,
        }
    }
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What moves a replica from one phase to the next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PhaseEvent {
    /// The start gate opened.
    GateOpened,
    /// A drain began.
    DrainBegan {
        /// Why.
        reason: DrainReason,
        /// When it ends at the latest, in milliseconds since the Unix epoch.
        deadline_unix_ms: u64,
    },
    /// The drain is over.
    DrainEnded,
    /// The workload was restarted after a drain: it may serve again.
    Restarted,
    /// The sidecar is ending.
    Stopping,
}

#[cfg(test)]
mod tests {
    use super::*;

    const DRAINING: Phase = Phase::Draining {
        reason: DrainReason::Manual,
        deadline_unix_ms: 9,
    };
    const DRAINED: Phase = Phase::Drained {
        reason: DrainReason::Manual,
    };
    const DRAIN: PhaseEvent = PhaseEvent::DrainBegan {
        reason: DrainReason::Manual,
        deadline_unix_ms: 9,
    };

    #[test]
    fn a_replica_goes_from_start_to_stop_and_back_into_service_after_a_restart() {
        let table = [
            (
                Phase::Starting,
                PhaseEvent::GateOpened,
                Some(Phase::Running),
            ),
            (Phase::Running, PhaseEvent::GateOpened, None),
            (Phase::Starting, DRAIN, Some(DRAINING)),
            (Phase::Running, DRAIN, Some(DRAINING)),
            (DRAINING, DRAIN, None),
            (DRAINED, DRAIN, None),
            (DRAINING, PhaseEvent::DrainEnded, Some(DRAINED)),
            (Phase::Running, PhaseEvent::DrainEnded, None),
            (DRAINED, PhaseEvent::Restarted, Some(Phase::Running)),
            (DRAINED, PhaseEvent::GateOpened, None),
            (DRAINING, PhaseEvent::Stopping, Some(Phase::Stopped)),
            (Phase::Stopped, PhaseEvent::Restarted, None),
        ];
        for (from, event, to) in table {
            assert_eq!(from.after(event), to, "{from} {event:?}");
        }
    }
}
