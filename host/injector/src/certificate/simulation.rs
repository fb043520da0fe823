//! Years of renewal with several replicas and API servers, in every order that chance finds: replicas
//! race, crash between any two requests, are cut off for weeks; clocks differ and jump.

use std::cell::Cell;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use proptest::prelude::*;

use super::apply::{IssueError, Issuer, apply};
use super::renewal::{Policy, Seen, Step, Trust, step, takes};
use super::state::{
    Authority, Bundle, CaCertificate, Fingerprint, Leaf, PrivateKey, State, Validity,
};

const MINUTE: Duration = Duration::from_mins(1);
const DAY: Duration = Duration::from_hours(24);
/// How far an API server's view of the webhook configuration may lag: less than `Policy::settle`.
const LAG: Duration = Duration::from_mins(4);

/// Numbers instead of keys.
#[derive(Default)]
pub(super) struct Numbers(Cell<u64>);

impl Numbers {
    fn next(&self) -> Fingerprint {
        self.0.set(self.0.get() + 1);
        let mut bytes = [0; 32];
        bytes[..8].copy_from_slice(&self.0.get().to_be_bytes());
        Fingerprint(bytes)
    }
}

impl Issuer for Numbers {
    fn authority(&self, validity: Validity) -> Result<Authority, IssueError> {
        let certificate = CaCertificate {
            fingerprint: self.next(),
            validity,
            pem: Arc::from("ca"),
        };
        Ok(Authority {
            certificate,
            key: PrivateKey(Arc::from("key")),
            signed_until: None,
        })
    }

    fn leaf(
        &self,
        authority: &Authority,
        names: &[String],
        validity: Validity,
    ) -> Result<Leaf, IssueError> {
        Ok(Leaf {
            fingerprint: self.next(),
            issuer: authority.certificate.fingerprint,
            validity,
            names: names.to_vec(),
            pem: Arc::from("leaf"),
            key: PrivateKey(Arc::from("key")),
        })
    }
}

/// What a replica is about to do: one request to the API server each.
#[derive(Debug, Clone, Default)]
enum At {
    #[default]
    ReadBundle,
    ReadRecord(u64, Option<Bundle>),
    WriteRecord(u64, Box<State>),
    WriteBundle(u64, Vec<CaCertificate>),
}

#[derive(Debug, Default)]
struct Replica {
    at: At,
    trust: Trust,
    remembered: Option<State>,
    serving: Option<Leaf>,
    cut_off: bool,
}

/// An object with its version.
#[derive(Debug, Default)]
struct Object<T> {
    version: u64,
    value: T,
}

struct World {
    policy: Policy,
    issuer: Numbers,
    /// Real time, monotonic.
    time: Duration,
    /// What each API server's clock is ahead of real time, in seconds.
    skews: Vec<i64>,
    record: Object<Option<State>>,
    bundle: Object<Vec<CaCertificate>>,
    /// Bundles that some API server may still hold: when each was replaced, and what it was.
    past: Vec<(Duration, Vec<CaCertificate>)>,
    replicas: Vec<Replica>,
    /// Once API servers could first have believed anybody.
    begun: Option<Duration>,
    steps: Vec<Step>,
    rested: u64,
}

impl World {
    fn new(replicas: usize) -> Self {
        Self {
            policy: Policy::for_names(vec!["outrigger.outrigger.svc".to_owned()]),
            issuer: Numbers::default(),
            time: Duration::ZERO,
            skews: vec![0, 0],
            record: Object::default(),
            bundle: Object::default(),
            past: Vec::new(),
            replicas: (0..replicas).map(|_| Replica::default()).collect(),
            begun: None,
            steps: Vec::new(),
            rested: 0,
        }
    }

    fn clock(&self, server: usize) -> SystemTime {
        let base = SystemTime::UNIX_EPOCH + 20_000 * DAY + self.time;
        let skew = self.skews[server % self.skews.len()];
        if skew < 0 {
            base - Duration::from_secs(skew.unsigned_abs())
        } else {
            base + Duration::from_secs(skew.unsigned_abs())
        }
    }

    /// The next request of a replica, answered by an API server. Writes count only on the version that
    /// was read.
    fn act(&mut self, index: usize, server: usize) {
        let now = self.clock(server);
        let replica = &mut self.replicas[index];
        if replica.cut_off {
            return;
        }
        match std::mem::take(&mut replica.at) {
            At::ReadBundle => {
                let bundle = Bundle {
                    trusted: self.bundle.value.clone(),
                    partly: Vec::new(),
                    clean: true,
                };
                replica
                    .trust
                    .note(Some(&bundle), self.time, self.policy.settle);
                replica.at = At::ReadRecord(self.bundle.version, Some(bundle));
            }
            At::ReadRecord(version, bundle) => {
                let record = self.record.value.clone();
                if let Some(record) = &record {
                    if takes(
                        &self.policy,
                        now,
                        replica.serving.as_ref(),
                        &record.leaf,
                        bundle.as_ref(),
                        &replica.trust,
                    ) {
                        replica.serving = Some(record.leaf.clone());
                    }
                    replica.remembered = Some(record.clone());
                }
                let seen = Seen {
                    now,
                    bundle: bundle.as_ref(),
                    record: record.as_ref(),
                    remembered: replica.remembered.as_ref(),
                    trust: &replica.trust,
                };
                let step = step(&self.policy, &seen);
                let state = apply(&step, &self.policy, &seen, &self.issuer).unwrap();
                replica.at = match (&step, state) {
                    (_, Some(state)) => At::WriteRecord(self.record.version, Box::new(state)),
                    (Step::Trust(wanted), None) => At::WriteBundle(version, wanted.clone()),
                    _ => At::ReadBundle,
                };
                match step {
                    Step::Rest => self.rested += 1,
                    step => self.steps.push(step),
                }
            }
            At::WriteRecord(version, state) => {
                if version == self.record.version {
                    self.record = Object {
                        version: version + 1,
                        value: Some(*state),
                    };
                }
            }
            At::WriteBundle(version, wanted) => {
                if version == self.bundle.version {
                    let before = std::mem::replace(&mut self.bundle.value, wanted);
                    self.past.push((self.time, before));
                    self.bundle.version += 1;
                    self.begun.get_or_insert(self.time);
                }
            }
        }
    }

    fn pass(&mut self, time: Duration) {
        self.time += time;
        let oldest = self.time.saturating_sub(LAG);
        self.past.retain(|(replaced, _)| *replaced > oldest);
    }

    /// All replicas that can, look as often as they do; in truth more often than every four minutes.
    fn live(&mut self, time: Duration) {
        let end = self.time + time;
        while self.time < end {
            for index in 0..self.replicas.len() {
                // Until there is nothing left to do for it.
                for turn in 0..12 {
                    let before = self.rested;
                    self.act(index, turn);
                    if self.rested > before || self.replicas[index].cut_off {
                        break;
                    }
                    self.check(false);
                }
            }
            self.check(true);
            self.pass((4 * MINUTE).min(end.saturating_sub(self.time)));
        }
    }

    /// Every leaf that is served verifies at every API server, whichever bundle it may hold. `strict`:
    /// those that see the API server had their turn, so their leaf is good.
    fn check(&self, strict: bool) {
        let Some(begun) = self.begun else { return };
        if self.time < begun + LAG {
            return;
        }
        for replica in &self.replicas {
            let Some(leaf) = &replica.serving else {
                continue;
            };
            for server in 0..self.skews.len() {
                let now = self.clock(server);
                if (replica.cut_off || !strict) && !leaf.validity.holds(now) {
                    continue; // It is not ready: it knows that its leaf has run out.
                }
                assert!(
                    leaf.validity.holds(now),
                    "a leaf that is not good is served"
                );
                let views = self
                    .past
                    .iter()
                    .map(|(_, bundle)| bundle)
                    .chain([&self.bundle.value]);
                for view in views {
                    let issuer = view.iter().find(|one| one.fingerprint == leaf.issuer);
                    let issuer = issuer.unwrap_or_else(|| {
                        panic!("nobody trusts {:?}: {:?}", leaf.issuer, self.steps)
                    });
                    assert!(issuer.validity.holds(now), "the authority has run out");
                }
            }
        }
    }
}

#[derive(Debug, Clone)]
enum Event {
    /// One request of one replica, answered by one API server.
    Act(usize, usize),
    /// Everybody looks as usual for that many minutes.
    Live(u64),
    /// A replica ends wherever it is, and starts again knowing nothing.
    Crash(usize),
    /// Time in which nobody asks for anything.
    Wait(u64),
    /// A replica loses the API server, or finds it again; never the first one.
    CutOff(usize),
    /// Somebody deletes the Secret while everybody remembers it.
    LoseRecord,
    /// An API server's clock is set, by at most four hours.
    Clock(usize, i64),
}

fn events() -> impl Strategy<Value = Vec<Event>> {
    let event = prop_oneof![
        12 => (0..3_usize, 0..2_usize).prop_map(|(replica, server)| Event::Act(replica, server)),
        6 => (1..30_u64).prop_map(Event::Live),
        2 => (60..3000_u64).prop_map(Event::Live),
        2 => (0..3_usize).prop_map(Event::Crash),
        2 => (1..600_u64).prop_map(Event::Wait),
        3 => (1..3_usize).prop_map(Event::CutOff),
        1 => Just(Event::LoseRecord),
        1 => (0..2_usize, -14_400..=14_400_i64).prop_map(|(server, skew)| Event::Clock(server, skew)),
    ];
    proptest::collection::vec(event, 0..60)
}

fn play(world: &mut World, events: &[Event]) {
    let count = world.replicas.len();
    for event in events {
        match *event {
            Event::Act(replica, server) => {
                world.act(replica % count, server);
                world.check(false);
            }
            Event::Live(minutes) => world.live(Duration::from_mins(minutes)),
            Event::Wait(seconds) => world.pass(Duration::from_secs(seconds)),
            Event::Crash(replica) => {
                let cut_off = world.replicas[replica % count].cut_off;
                world.replicas[replica % count] = Replica {
                    cut_off,
                    ..Replica::default()
                };
            }
            Event::CutOff(replica) => {
                if replica < count {
                    world.replicas[replica].cut_off ^= true;
                }
            }
            Event::LoseRecord => {
                let remember = |replica: &Replica| replica.remembered.is_some() && !replica.cut_off;
                if world.replicas.iter().all(remember) {
                    world.record = Object {
                        version: world.record.version + 1,
                        value: None,
                    };
                    world.live(MINUTE);
                }
            }
            Event::Clock(server, skew) => world.skews[server] = skew,
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, max_shrink_iters: 2000, ..ProptestConfig::default() })]

    #[test]
    fn no_handshake_fails_whatever_happens_to_replicas_and_clocks(replicas in 1..=3_usize, ca_days in 5..12_u32, events in events()) {
        let mut world = World::new(replicas);
        // Short lives make many successions fit.
        world.policy.ca_life = ca_days * DAY;
        world.policy.leaf_life = 2 * DAY;
        world.policy.margin = DAY / 2;
        world.live(10 * MINUTE);
        play(&mut world, &events);
        // Left alone, everything heals and nothing piles up.
        for replica in &mut world.replicas {
            replica.cut_off = false;
        }
        world.skews = vec![0, 0];
        world.live(9 * DAY);
        let record = world.record.value.clone().unwrap();
        prop_assert!(record.leaf.validity.left(world.clock(0)) > world.policy.leaf_life / 4);
        prop_assert!(world.bundle.value.len() <= 5, "{:?}", world.bundle.value);
        for replica in &world.replicas {
            prop_assert_eq!(&replica.serving.as_ref().unwrap().fingerprint, &record.leaf.fingerprint);
        }
    }
}

#[test]
fn a_replica_that_was_cut_off_for_most_of_a_leafs_life_takes_the_new_one_before_its_own_runs_out() {
    let mut world = World::new(3);
    world.policy.ca_life = 5 * DAY;
    world.policy.leaf_life = 2 * DAY;
    // Found by chance: the leaf ran out between two looks while the new authority was still settling.
    let events = [
        Event::Live(972),
        Event::LoseRecord,
        Event::CutOff(2),
        Event::Live(1897),
        Event::CutOff(2),
        Event::Act(2, 0),
        Event::Clock(0, -1),
        Event::Live(1),
    ];
    world.live(10 * MINUTE);
    play(&mut world, &events);
}

/// Freezes a replica just before a write, lets the others go on for weeks, and lets it write.
fn frozen_before(is_there: impl Fn(&At) -> bool) {
    let mut world = World::new(2);
    world.policy.ca_life = 9 * DAY;
    world.live(10 * MINUTE);
    'found: loop {
        world.pass(4 * MINUTE);
        for turn in 0..6 {
            world.act(1, turn);
            if is_there(&world.replicas[1].at) {
                break 'found;
            }
        }
        (0..6).for_each(|turn| world.act(0, turn));
    }
    world.replicas[1].cut_off = true;
    world.live(30 * DAY);
    world.replicas[1].cut_off = false;
    world.act(1, 0);
    world.check(false);
    world.live(DAY);
}

#[test]
fn a_write_that_comes_weeks_late_changes_nothing() {
    frozen_before(|at| matches!(at, At::WriteBundle(..)));
    frozen_before(|at| matches!(at, At::WriteRecord(..)));
}

#[test]
fn years_of_three_replicas_renew_in_time_and_in_order() {
    let mut world = World::new(3);
    world.policy.ca_life = 60 * DAY;
    world.live(365 * DAY);
    let count = |kind: fn(&Step) -> bool| world.steps.iter().filter(|step| kind(step)).count();
    let promoted = count(|step| matches!(step, Step::Promote));
    assert!((8..=10).contains(&promoted), "{promoted}");
    assert_eq!(count(|step| matches!(step, Step::Replace)), 0);
    assert!(world.bundle.value.len() <= 2, "old authorities leave");
}
