//! What to do next, after one look: pure.

use std::collections::BTreeMap;
use std::fmt;

use crate::note::{Named, Note};
use crate::seen::{PodSeen, Seen, Strategy};

/// So many replicas fit the annotation that keeps the roll.
const REPLICAS_MAX: u32 = 4000;

/// How a run begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Begin {
    /// There are no replicas.
    Nothing,
    /// Nothing may begin.
    Refuse(Refusal),
    /// Nothing may begin for a moment.
    Wait(Vec<Obstacle>),
    /// Write this note.
    Write(Note),
    /// Go on with this one.
    GoOn(Note),
}

/// What a run that has begun does next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Write this note, and then evict the one it names.
    Evict(Note),
    /// Look again.
    Wait(Vec<Obstacle>),
    /// All are new: take the note away.
    End,
}

/// Why nothing may begin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refusal {
    /// The StatefulSet is being deleted.
    Leaving,
    /// Its controller replaces pods by itself, for a new template.
    RollingOut(Vec<String>),
    /// Fewer are ready than there should be.
    NotReady(Vec<Obstacle>),
    /// There are more replicas than a note holds.
    TooMany(u32),
}

/// What has to be over before the next replica is evicted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Obstacle {
    /// The controller has not seen the StatefulSet's last change yet.
    NotObserved,
    /// The controller replaces pods of an older template.
    RollingOut(String),
    /// This pod is not there.
    Missing(String),
    /// It is being deleted.
    Stopping(String),
    /// It is not ready, and why.
    NotReady(String, String),
    /// It is not ready for long enough.
    NotAvailable(String),
    /// It is there beyond the number of replicas.
    Surplus(String),
    /// It restarts its workload for a new configuration.
    Restarting(String),
}

impl Obstacle {
    /// The pod that it is about.
    pub fn pod(&self) -> Option<&str> {
        match self {
            Self::NotObserved => None,
            Self::RollingOut(pod)
            | Self::Missing(pod)
            | Self::Stopping(pod)
            | Self::NotReady(pod, _)
            | Self::NotAvailable(pod)
            | Self::Surplus(pod)
            | Self::Restarting(pod) => Some(pod),
        }
    }
}

impl fmt::Display for Obstacle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotObserved => {
                f.write_str("the StatefulSet controller has not seen its last change")
            }
            Self::RollingOut(pod) => {
                write!(
                    f,
                    "{pod} is of an older template, which its controller replaces"
                )
            }
            Self::Missing(pod) => write!(f, "{pod} is not there"),
            Self::Stopping(pod) => write!(f, "{pod} is stopping"),
            Self::NotReady(pod, why) if why.is_empty() => write!(f, "{pod} is not ready"),
            Self::NotReady(pod, why) => write!(f, "{pod} is not ready: {why}"),
            Self::NotAvailable(pod) => write!(f, "{pod} is not ready for minReadySeconds yet"),
            Self::Surplus(pod) => write!(f, "{pod} is one more than there should be"),
            Self::Restarting(pod) => {
                write!(f, "{pod} restarts its workload for a new configuration")
            }
        }
    }
}

/// How a run begins. `anew`: what was begun before does not count.
pub fn begin(seen: &Seen, anew: bool) -> Begin {
    let set = &seen.set;
    if set.leaving {
        return Begin::Refuse(Refusal::Leaving);
    }
    let before = set.note.as_ref().ok().and_then(Option::as_ref);
    if let (Some(note), false) = (before, anew) {
        return Begin::GoOn(note.clone());
    }
    if set.replicas == 0 {
        return Begin::Nothing;
    }
    if set.replicas > REPLICAS_MAX {
        return Begin::Refuse(Refusal::TooMany(REPLICAS_MAX));
    }
    let obstacles = obstacles(seen);
    let rolling: Vec<String> = obstacles
        .iter()
        .filter(|obstacle| matches!(obstacle, Obstacle::RollingOut(_)))
        .filter_map(|obstacle| obstacle.pod().map(str::to_owned))
        .collect();
    let passes =
        |obstacle: &Obstacle| matches!(obstacle, Obstacle::NotObserved | Obstacle::Restarting(_));
    if !rolling.is_empty() {
        return Begin::Refuse(Refusal::RollingOut(rolling));
    }
    if !obstacles.iter().all(passes) {
        return Begin::Refuse(Refusal::NotReady(obstacles));
    }
    if !obstacles.is_empty() {
        return Begin::Wait(obstacles);
    }
    let pods: BTreeMap<u32, String> = seen
        .pods
        .iter()
        .map(|(ordinal, pod)| (*ordinal, pod.uid.clone()))
        .collect();
    Begin::Write(Note {
        began: outrigger_api_server::second_time(seen.time),
        // Another run may be about to evict the one that was named: it stays named while it is there.
        named: before.and_then(|note| note.named.clone()).filter(|named| {
            pods.get(&named.ordinal)
                .is_some_and(|uid| *uid == named.uid)
        }),
        pods,
    })
}

/// What comes next in the roll of this note, which is the one that was seen.
pub fn step(seen: &Seen, note: &Note) -> Step {
    let obstacles = obstacles(seen);
    if !obstacles.is_empty() {
        return Step::Wait(obstacles);
    }
    let still = |ordinal: u32, uid: &str| {
        let pod = seen.pods.get(&ordinal);
        pod.filter(|pod| pod.uid == uid)
    };
    let attempt = note.named.as_ref().map_or(0, |named| named.attempt);
    let name = |ordinal: u32, uid: &str, pod: &PodSeen, attempt| {
        let mut note = note.clone();
        note.named = Some(Named {
            ordinal,
            uid: uid.to_owned(),
            leads: pod.leads(),
            attempt,
        });
        Step::Evict(note)
    };
    if let Some(named) = &note.named
        && let Some(pod) = still(named.ordinal, &named.uid)
    {
        // One that was chosen as a follower and leads by now gives way, as its pod is not the version any
        // more that whoever chose it would evict. One that was chosen as the leader is the last anyhow.
        let mut again = note.clone();
        if named.leads || !pod.leads() {
            if let Some(named) = &mut again.named {
                named.attempt = attempt.saturating_add(1);
            }
            return Step::Evict(again);
        }
    }
    let next = note
        .pods
        .iter()
        .filter_map(|(ordinal, uid)| Some((*ordinal, uid, still(*ordinal, uid)?)))
        .min_by_key(|(ordinal, _, pod)| pod.restart_place(*ordinal));
    match next {
        Some((ordinal, uid, pod)) => name(ordinal, uid, pod, attempt.saturating_add(1)),
        None => Step::End,
    }
}

/// Everything that is not as it should be, most telling first.
fn obstacles(seen: &Seen) -> Vec<Obstacle> {
    let set = &seen.set;
    let mut found = Vec::new();
    if !set.is_observed {
        found.push(Obstacle::NotObserved);
    }
    for ordinal in set.wanted() {
        let name = || set.pod(ordinal);
        match seen.pods.get(&ordinal) {
            None => found.push(Obstacle::Missing(name())),
            Some(pod) if pod.terminating => found.push(Obstacle::Stopping(name())),
            Some(pod) if !pod.ready => found.push(Obstacle::NotReady(name(), pod.why.clone())),
            Some(pod) if !seen.is_available(pod) => found.push(Obstacle::NotAvailable(name())),
            Some(_) => {}
        }
    }
    let surplus = seen.pods.keys().filter(|it| !set.wanted().contains(it));
    found.extend(surplus.map(|ordinal| Obstacle::Surplus(set.pod(*ordinal))));
    if let Strategy::RollingUpdate { partition } = set.strategy {
        let replaced = set.wanted().skip(partition as usize);
        let older = replaced.filter(|ordinal| {
            let pod = seen.pods.get(ordinal);
            pod.is_some_and(|pod| !set.revision.is_empty() && pod.revision != set.revision)
        });
        found.extend(older.map(|ordinal| Obstacle::RollingOut(set.pod(ordinal))));
    }
    found.extend(seen.turn.clone().map(Obstacle::Restarting));
    found
}

#[cfg(test)]
mod simulation;
#[cfg(test)]
mod tests;
