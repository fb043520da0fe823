//! What to do next about the webhook's certificates: a function of what was read and of time.
//!
//! Replicas do not talk to each other. Each reads the webhook configuration, then the shared Secret
//! (in that order), asks [`step`], writes at most one of the two on condition that it has not changed,
//! and begins again. What keeps every handshake good:
//!
//! - An authority is in the Secret before it is in a bundle, and leaves the bundle before it leaves the
//!   Secret. As the bundle is read first, a replica never takes out what another has just put in.
//! - A leaf of a new authority is signed, and served, only once the bundle with that authority has been
//!   there for [`Policy::settle`], by the reader's own monotonic clock. Meanwhile API servers notice.
//! - An authority that signs no more stays in the bundle until its last leaf has run out: whatever
//!   leaf a replica serves, though it has not heard of a new one for days, is still believed.
//! - Times are the API server's: it is the one that verifies. A replica's wall clock decides nothing.
//! - Where nothing good is left to serve, the wait is left out, for it would protect nothing.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use super::state::{Bundle, CaCertificate, Fingerprint, Leaf, State};

/// Old authorities that are kept trusted at a time; beyond that the newest ones are.
pub const RETIRED_MAX: usize = 8;

/// Often enough for lives of days.
const LOOK_EVERY: Duration = Duration::from_secs(30);
const HOUR: Duration = Duration::from_hours(1);
const DAY: Duration = Duration::from_hours(24);

/// For how long things are good and how long to wait.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy {
    /// The DNS names that the leaf must be for, sorted.
    pub names: Vec<String>,
    /// An authority's life. A third before its end the next one is introduced.
    pub ca_life: Duration,
    /// A leaf's life. A third before its end it is renewed.
    pub leaf_life: Duration,
    /// How long before its making a certificate begins to be good: API servers' clocks may differ.
    pub backdate: Duration,
    /// How long a bundle must have been there until each API server is taken to have noticed.
    pub settle: Duration,
    /// How long past its last leaf's end an authority stays trusted: API servers' clocks may differ.
    pub margin: Duration,
}

impl Policy {
    /// A year, a week, thirty days back, five minutes, three days.
    pub fn for_names(mut names: Vec<String>) -> Self {
        names.sort();
        names.dedup();
        Self {
            names,
            ca_life: 365 * DAY,
            leaf_life: 7 * DAY,
            backdate: 30 * DAY,
            settle: HOUR / 12,
            margin: 3 * DAY,
        }
    }

    /// How often everything is to be looked at, whatever watches say: nothing comes up unseen for long.
    pub fn look_every(&self) -> Duration {
        LOOK_EVERY
            .min(self.leaf_life / 12)
            .min(self.settle / 3)
            .max(Duration::from_millis(100))
    }

    /// Whether a leaf can be served at all.
    pub fn usable(&self, leaf: &Leaf, now: SystemTime) -> bool {
        leaf.validity.holds(now)
    }

    fn leaf_due(&self, leaf: &Leaf, now: SystemTime) -> bool {
        leaf.validity.left(now) <= self.leaf_life / 3
            || self
                .names
                .iter()
                .any(|name| leaf.names.binary_search(name).is_err())
    }

    /// Whether leaves that are worth their while can be signed by it.
    fn can_sign(&self, authority: &CaCertificate, now: SystemTime) -> bool {
        authority.validity.holds(now) && authority.validity.left(now) > self.leaf_life / 3
    }
}

/// What to do next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// There is no record and nothing is remembered: make an authority and a leaf. Whatever the bundle
    /// trusts stays trusted for the life of a leaf, since somebody may serve one.
    Begin(Vec<CaCertificate>),
    /// The record is gone but remembered: write it again, with a new authority to come, since whoever
    /// deletes it may want just that.
    Restore,
    /// Keep authorities that the bundle trusts and the record does not know.
    Adopt(Vec<CaCertificate>),
    /// Nothing is good any more: a new authority and a leaf of it, at once.
    Replace,
    /// A new leaf of the authority that signs.
    RenewLeaf,
    /// A new authority, to be trusted first and to sign later.
    Introduce,
    /// The next authority signs from now on: a leaf of it; the one before retires.
    Promote,
    /// Write this bundle.
    Trust(Vec<CaCertificate>),
    /// Old authorities that no bundle holds any more leave the record.
    Forget,
    /// Nothing, until something changes or time has passed.
    Rest,
}

impl Step {
    /// For the log.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Begin(_) => "begin",
            Self::Restore => "restore",
            Self::Adopt(_) => "adopt",
            Self::Replace => "replace",
            Self::RenewLeaf => "renew-leaf",
            Self::Introduce => "introduce",
            Self::Promote => "promote",
            Self::Trust(_) => "trust",
            Self::Forget => "forget",
            Self::Rest => "rest",
        }
    }
}

/// What was read, in this order: the bundle, then the record.
#[derive(Debug, Clone, Copy)]
pub struct Seen<'a> {
    /// The time by the API server's clock.
    pub now: SystemTime,
    /// None where there is no such webhook configuration.
    pub bundle: Option<&'a Bundle>,
    /// None where the Secret is absent, empty or broken.
    pub record: Option<&'a State>,
    /// The record as this process last knew it.
    pub remembered: Option<&'a State>,
    /// For how long this process has seen the bundle trust whom.
    pub trust: &'a Trust,
}

/// The next step.
pub fn step(policy: &Policy, seen: &Seen<'_>) -> Step {
    let now = seen.now;
    let Some(state) = seen.record else {
        return match seen.remembered {
            Some(_) => Step::Restore,
            None => begin(policy, seen),
        };
    };
    let settled = |authority: &CaCertificate| {
        seen.trust
            .held(&authority.fingerprint)
            .is_some_and(|held| held >= policy.settle)
    };
    let next = state.next.as_ref().map(|next| &next.certificate);
    let signing = &state.signing.certificate;

    // Nobody is served by a leaf that is not good: nothing is worth waiting for.
    if !policy.usable(&state.leaf, now) {
        return match next {
            Some(next) if settled(next) && policy.can_sign(next, now) => Step::Promote,
            _ if policy.can_sign(signing, now) => Step::RenewLeaf,
            Some(next) if policy.can_sign(next, now) => Step::Promote,
            _ => Step::Replace,
        };
    }
    let strangers = unknown(seen, Some(state));
    if !strangers.is_empty() {
        return Step::Adopt(strangers);
    }
    if let Some(bundle) = seen.bundle {
        let wanted: Vec<&CaCertificate> = state.trusted(now).collect();
        let same = bundle.partly.is_empty()
            && bundle.trusted.len() == wanted.len()
            && bundle
                .trusted
                .iter()
                .zip(&wanted)
                .all(|(is, want)| is.fingerprint == want.fingerprint);
        if !bundle.clean || !same {
            return Step::Trust(wanted.into_iter().cloned().collect());
        }
    }
    match next {
        Some(next) if !policy.can_sign(next, now) => return Step::Introduce,
        Some(next) if settled(next) => return Step::Promote,
        None if signing.validity.left(now) <= policy.ca_life / 3 => return Step::Introduce,
        _ => {}
    }
    if policy.leaf_due(&state.leaf, now) && policy.can_sign(signing, now) {
        return Step::RenewLeaf;
    }
    let gone = |old: &super::state::Retired| {
        now >= old.until
            && seen
                .bundle
                .is_some_and(|bundle| !bundle.mentions(&old.certificate.fingerprint))
    };
    if state.retired.iter().any(gone) {
        return Step::Forget;
    }
    Step::Rest
}

/// Where the bundle trusts somebody, another replica may remember the record: it gets time to restore it.
fn begin(policy: &Policy, seen: &Seen<'_>) -> Step {
    let strangers = unknown(seen, None);
    let waited = strangers
        .iter()
        .filter(|one| {
            seen.bundle
                .is_some_and(|bundle| bundle.trusts(&one.fingerprint))
        })
        .all(|one| {
            seen.trust
                .held(&one.fingerprint)
                .is_some_and(|held| held >= policy.settle / 5)
        });
    if waited {
        Step::Begin(strangers)
    } else {
        Step::Rest
    }
}

/// Authorities that the bundle trusts and the record does not know, as many as can be kept, the newest
/// ones first. Those that have run out protect nobody.
fn unknown(seen: &Seen<'_>, state: Option<&State>) -> Vec<CaCertificate> {
    let Some(bundle) = seen.bundle else {
        return Vec::new();
    };
    let room = RETIRED_MAX.saturating_sub(state.map_or(0, |state| state.retired.len()));
    let mut strangers: Vec<CaCertificate> = bundle
        .all()
        .filter(|one| one.validity.holds(seen.now))
        .filter(|one| !state.is_some_and(|state| state.knows(&one.fingerprint)))
        .cloned()
        .collect();
    strangers.sort_by_key(|one| std::cmp::Reverse(one.validity.from));
    strangers.truncate(room);
    strangers
}

/// Whether a replica that serves `serving` takes the leaf that the record offers.
pub fn takes(
    policy: &Policy,
    now: SystemTime,
    serving: Option<&Leaf>,
    offered: &Leaf,
    bundle: Option<&Bundle>,
    trust: &Trust,
) -> bool {
    let Some(serving) = serving else { return true };
    if serving.fingerprint == offered.fingerprint || !policy.usable(offered, now) {
        return false;
    }
    let trusted = |leaf: &Leaf| bundle.is_some_and(|bundle| bundle.trusts(&leaf.issuer));
    // One that was cut off for long has not seen the new bundle for long, but its own leaf runs out.
    let runs_out =
        !policy.usable(serving, now) || serving.validity.left(now) <= policy.leaf_life / 6;
    runs_out
        || serving.issuer == offered.issuer
        || trust
            .held(&offered.issuer)
            .is_some_and(|held| held >= policy.settle)
        || (!trusted(serving) && trusted(offered))
}

/// For how long this process has seen the bundle trust whom, by its monotonic clock.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Trust {
    since: BTreeMap<Fingerprint, Duration>,
    looked: Duration,
}

impl Trust {
    /// Takes note of a bundle that was just read. `uptime` is any monotonic clock. After a gap longer
    /// than `settle` the wait begins anew: who knows what the bundle was meanwhile.
    pub fn note(&mut self, bundle: Option<&Bundle>, uptime: Duration, settle: Duration) {
        if uptime.saturating_sub(self.looked) > settle {
            self.since.clear();
        }
        self.looked = uptime;
        let trusted = bundle.map_or(&[][..], |bundle| &bundle.trusted);
        self.since
            .retain(|held, _| trusted.iter().any(|one| one.fingerprint == *held));
        for one in trusted {
            self.since.entry(one.fingerprint).or_insert(uptime);
        }
    }

    /// For how long; none when it was not trusted at the last look.
    pub fn held(&self, authority: &Fingerprint) -> Option<Duration> {
        self.since
            .get(authority)
            .map(|since| self.looked.saturating_sub(*since))
    }
}

#[cfg(test)]
mod tests;
