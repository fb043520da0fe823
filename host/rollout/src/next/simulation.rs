//! Several runs at a time against a StatefulSet, stopped and held up wherever that can happen: whatever the
//! order of their requests, no two replicas are down at once, and the leader goes last.

use proptest::prelude::{
    ProptestConfig, Strategy, TestCaseError, prop_assert, prop_assert_eq, prop_oneof, proptest,
};

use super::tests::seen;
use super::{Begin, PodSeen, Seen, Step, begin, step};
use crate::seen::SetSeen;

/// The cluster.
struct World {
    seen: Seen,
    fresh: u32,
    version: u64,
    /// The uids of the roll's beginning.
    old: Vec<String>,
    evictions: u32,
}

/// A run, between two of its requests.
#[derive(Default)]
enum Run {
    #[default]
    Starts,
    /// It has read the StatefulSet, and not yet its pods.
    Reads(SetSeen),
    /// It has read all.
    Decides(Seen),
    /// It has written the note, and not yet evicted the pod of this ordinal, uid and version.
    Evicts(u32, String, String),
}

impl World {
    fn new() -> Self {
        let mut seen = seen("rrr");
        seen.pods.get_mut(&1).unwrap().role = Some("leader".to_owned());
        let old = seen.pods.values().map(|pod| pod.uid.clone()).collect();
        Self {
            seen,
            fresh: 0,
            version: 10,
            old,
            evictions: 0,
        }
    }

    fn next_version(&mut self) -> String {
        self.version += 1;
        self.version.to_string()
    }

    /// One request of a run.
    fn request(&mut self, run: &mut Run) -> Result<(), TestCaseError> {
        *run = match std::mem::take(run) {
            Run::Starts => Run::Reads(self.seen.set.clone()),
            Run::Reads(set) => Run::Decides(Seen {
                set,
                ..self.seen.clone()
            }),
            Run::Decides(seen) => self.decided(&seen),
            Run::Evicts(ordinal, uid, version) => {
                self.evict(ordinal, &uid, &version)?;
                Run::Starts
            }
        };
        Ok(())
    }

    /// The write that a decision begins with.
    fn decided(&mut self, seen: &Seen) -> Run {
        let note = match &seen.set.note {
            Ok(Some(note)) => match step(seen, note) {
                Step::Wait(_) => return Run::Starts,
                Step::Evict(note) => Some(note),
                Step::End => None,
            },
            _ => match begin(seen, false) {
                // The roll was over: the same command again would begin another.
                Begin::Write(_) if self.evictions > 0 => return Run::Starts,
                Begin::Write(note) => Some(note),
                _ => return Run::Starts,
            },
        };
        if seen.set.version != self.seen.set.version {
            return Run::Starts;
        }
        self.seen.set.version = self.next_version();
        let is_begun = self.seen.set.note != Ok(None);
        self.seen.set.note = Ok(note.clone());
        match note.and_then(|note| note.named) {
            Some(named) if is_begun => {
                let version = seen.pods[&named.ordinal].version.clone();
                Run::Evicts(named.ordinal, named.uid, version)
            }
            _ => Run::Starts,
        }
    }

    fn evict(&mut self, ordinal: u32, uid: &str, version: &str) -> Result<(), TestCaseError> {
        let Some(pod) = self.seen.pods.get(&ordinal) else {
            return Ok(());
        };
        if pod.uid != uid || pod.version != version {
            return Ok(());
        }
        let leads = pod.leads();
        let down = |pod: &PodSeen| !pod.ready || pod.terminating;
        let all = self.seen.pods.len() == 3;
        prop_assert!(
            all && !self.seen.pods.values().any(down),
            "two are down: {:?}",
            self.seen.pods
        );
        prop_assert!(self.old.contains(&pod.uid), "{ordinal} is evicted twice");
        let left = self.seen.pods.values();
        let left = left.filter(|pod| self.old.contains(&pod.uid)).count();
        prop_assert!(
            !leads || left == 1,
            "the leader goes before {} others",
            left - 1
        );
        self.evictions += 1;
        let version = self.next_version();
        let pod = self.seen.pods.get_mut(&ordinal).unwrap();
        pod.terminating = true;
        pod.version = version;
        Ok(())
    }

    /// Time passes for one replica: what stops ends, its successor comes and becomes ready.
    fn goes_on(&mut self, ordinal: u32) {
        let version = self.next_version();
        match self.seen.pods.get_mut(&ordinal) {
            Some(pod) if pod.terminating => {
                let led = pod.leads();
                self.seen.pods.remove(&ordinal);
                if led {
                    self.leads((ordinal + 1) % 3);
                }
            }
            Some(pod) if !pod.ready => {
                pod.ready = true;
                pod.version = version;
            }
            Some(_) => {}
            None => {
                self.fresh += 1;
                let pod = PodSeen {
                    uid: format!("new{}", self.fresh),
                    version,
                    revision: "new".to_owned(),
                    ..PodSeen::default()
                };
                self.seen.pods.insert(ordinal, pod);
            }
        }
    }

    /// This one leads now, and all labels say so.
    fn leads(&mut self, leader: u32) {
        for ordinal in 0..3 {
            let version = self.next_version();
            if let Some(pod) = self.seen.pods.get_mut(&ordinal) {
                let role = if ordinal == leader {
                    "leader"
                } else {
                    "follower"
                };
                if pod.role.as_deref() != Some(role) {
                    pod.role = Some(role.to_owned());
                    pod.version = version;
                }
            }
        }
    }
}

#[derive(Debug, Clone)]
enum Event {
    /// A run sends its next request.
    Request(usize),
    /// A run ends, and is started again.
    Ends(usize),
    /// Time passes for a replica.
    GoesOn(u32),
    /// Another replica is elected.
    Leads(u32),
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        12 => (0..3_usize).prop_map(Event::Request),
        1 => (0..3_usize).prop_map(Event::Ends),
        4 => (0..3_u32).prop_map(Event::GoesOn),
        1 => (0..3_u32).prop_map(Event::Leads),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]
    #[test]
    fn no_two_are_down_at_once_and_the_leader_goes_last(
        events in proptest::collection::vec(event(), 0..200)
    ) {
        let mut world = World::new();
        let mut runs: [Run; 3] = Default::default();
        for event in events {
            match event {
                Event::Request(run) => world.request(&mut runs[run])?,
                Event::Ends(run) => runs[run] = Run::Starts,
                Event::GoesOn(ordinal) => world.goes_on(ordinal),
                // Who is down is not elected.
                Event::Leads(leader) => {
                    let pod = world.seen.pods.get(&leader);
                    if pod.is_some_and(|pod| pod.ready && !pod.terminating) {
                        world.leads(leader);
                    }
                }
            }
        }
        // However far it came, one run alone brings it to its end.
        let mut last = Run::Starts;
        for _ in 0..100 {
            world.request(&mut last)?;
            for ordinal in 0..3 {
                world.goes_on(ordinal);
            }
        }
        prop_assert_eq!(&world.seen.set.note, &Ok(None));
        prop_assert_eq!(world.evictions, 3);
        let is_old = |pod: &PodSeen| world.old.contains(&pod.uid);
        prop_assert!(!world.seen.pods.values().any(is_old));
    }
}
