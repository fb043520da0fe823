//! What a roll tells on its way and at its end.

use std::fmt;
use std::time::Duration;

use crate::next::Obstacle;

/// One thing that happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Progress {
    /// The roll begins, or goes on.
    Begun {
        /// The StatefulSet's name.
        name: String,
        /// When it began, where an earlier run did that.
        since: Option<String>,
        /// How many replicas are restarted in all.
        total: usize,
        /// Those that are still to come, in the order of now.
        order: Vec<String>,
        /// Who leads among them.
        leader: Option<String>,
        /// What is particular about the templates that they come back with.
        remark: Option<String>,
    },
    /// Nobody may read whether replicas restart by themselves.
    TurnsUnknown,
    /// Nothing can be done before these are over.
    Waiting {
        /// What.
        obstacles: Vec<Obstacle>,
        /// What the sidecar of the first pod says that is not ready.
        reason: Option<String>,
    },
    /// A budget, or something else, does not allow the eviction now.
    Held {
        /// Whose.
        pod: String,
        /// Why, as the API server says it.
        why: String,
        /// When it is tried again.
        again: Duration,
    },
    /// The API server cannot be asked.
    Away(String),
    /// A pod was evicted.
    Evicted {
        /// Which.
        pod: String,
        /// Whether it led.
        led: bool,
    },
    /// It has ended.
    Stopped {
        /// Which.
        pod: String,
        /// How long that took.
        after: Duration,
    },
    /// Its successor is ready, and all others are.
    Back {
        /// Which.
        pod: String,
        /// How long after its eviction; none where an earlier run evicted it.
        after: Option<Duration>,
        /// How many are new.
        done: usize,
        /// Of how many.
        total: usize,
    },
}

impl fmt::Display for Progress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Begun {
                name,
                since,
                total,
                order,
                leader,
                remark,
            } => {
                write!(f, "statefulset/{name}: ")?;
                match since {
                    None => write!(f, "{}", replicas(*total))?,
                    Some(since) => write!(
                        f,
                        "goes on with what began at {since}, {} of {total} done",
                        total.saturating_sub(order.len())
                    )?,
                }
                if !order.is_empty() {
                    write!(f, "; one after the other: {}", order.join(", "))?;
                }
                if let Some(leader) = leader {
                    write!(f, " ({leader} leads)")?;
                }
                match remark {
                    Some(remark) => write!(f, "; {remark}"),
                    None => Ok(()),
                }
            }
            Self::TurnsUnknown => f.write_str(
                "Leases may not be read here: replicas that restart by themselves are not waited for",
            ),
            Self::Waiting { obstacles, reason } => {
                let told: Vec<String> = obstacles.iter().map(ToString::to_string).collect();
                write!(f, "waits: {}", told.join("; "))?;
                match reason {
                    Some(reason) => write!(f, "; its sidecar: {reason}"),
                    None => Ok(()),
                }
            }
            Self::Held { pod, why, again } => write!(
                f,
                "{pod}: may not be evicted yet, asked again in {}: {why}",
                Seconds(*again)
            ),
            Self::Away(why) => write!(f, "the cluster cannot be asked, it is tried again: {why}"),
            Self::Evicted { pod, led: false } => write!(f, "{pod}: evicted"),
            Self::Evicted { pod, led: true } => write!(f, "{pod}: evicted, the leader"),
            Self::Stopped { pod, after } => write!(f, "{pod}: stopped in {}", Seconds(*after)),
            Self::Back {
                pod,
                after,
                done,
                total,
            } => {
                write!(f, "{pod}: back")?;
                if let Some(after) = after {
                    write!(f, " after {}", Seconds(*after))?;
                }
                write!(f, ", all are ready ({done} of {total} done)")
            }
        }
    }
}

/// How one replica's restart went.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stop {
    /// Its name.
    pub pod: String,
    /// Whether it led when it was evicted.
    pub led: bool,
    /// From its eviction to its end; none where that was not seen.
    pub stopped: Option<Duration>,
    /// From its eviction to when all were ready again; none where another run evicted it.
    pub back: Option<Duration>,
}

/// How a whole roll went.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Summary {
    /// The StatefulSet's name.
    pub name: String,
    /// How many replicas are new.
    pub total: usize,
    /// Those that this run saw come back, in their order.
    pub stops: Vec<Stop>,
    /// How long this run took.
    pub took: Duration,
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.total == 0 {
            return write!(f, "statefulset/{}: it has no replicas", self.name);
        }
        write!(
            f,
            "statefulset/{}: {} restarted, {} of them by this run, in {}",
            self.name,
            replicas(self.total),
            self.stops.iter().filter(|stop| stop.back.is_some()).count(),
            Seconds(self.took)
        )?;
        for stop in &self.stops {
            write!(f, "\n  {}:", stop.pod)?;
            match (stop.stopped, stop.back) {
                (Some(stopped), Some(back)) => write!(
                    f,
                    " stopped in {}, back after {}",
                    Seconds(stopped),
                    Seconds(back)
                )?,
                (_, Some(back)) => write!(f, " back after {}", Seconds(back))?,
                (_, None) => f.write_str(" evicted by another run")?,
            }
            if stop.led {
                f.write_str(", the leader")?;
            }
        }
        Ok(())
    }
}

fn replicas(count: usize) -> String {
    let plural = if count == 1 { "" } else { "s" };
    format!("{count} replica{plural}")
}

/// A span of time for people.
struct Seconds(Duration);

impl fmt::Display for Seconds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.1} s", self.0.as_secs_f64())
    }
}
