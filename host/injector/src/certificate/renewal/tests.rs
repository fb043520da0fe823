//! Single steps, each for its reason. That they fit together is shown by the simulation.

use super::*;
use crate::certificate::apply::{Issuer as _, apply};
use crate::certificate::simulation::Numbers;
use crate::certificate::state::{Authority, Validity};

fn now() -> SystemTime {
    SystemTime::UNIX_EPOCH + 20_000 * DAY
}

#[test]
fn looks_come_often_enough_for_short_lives_and_never_without_a_pause() {
    let policy = Policy::for_names(Vec::new());
    assert_eq!(policy.look_every(), Duration::from_secs(30));
    let short = Policy {
        leaf_life: Duration::from_secs(18),
        settle: Duration::from_secs(6),
        ..policy
    };
    assert_eq!(short.look_every(), Duration::from_millis(1500));
    let none = Policy {
        settle: Duration::ZERO,
        ..short
    };
    assert_eq!(none.look_every(), Duration::from_millis(100));
}

struct Case {
    policy: Policy,
    numbers: Numbers,
    bundle: Option<Bundle>,
    trust: Trust,
}

impl Case {
    fn new() -> Self {
        Self {
            policy: Policy::for_names(vec!["b.svc".to_owned(), "a.svc".to_owned()]),
            numbers: Numbers::default(),
            bundle: Some(Bundle {
                clean: true,
                ..Bundle::default()
            }),
            trust: Trust::default(),
        }
    }

    fn authority(&self, days: u32) -> Authority {
        self.numbers
            .authority(Validity {
                from: now() - DAY,
                until: now() + days * DAY,
            })
            .unwrap()
    }

    /// A record with a fresh leaf, trusted for long.
    fn record(&mut self) -> State {
        let Step::Begin(_) = self.step(None, None) else {
            panic!("it begins")
        };
        let record = self.after(&Step::Begin(Vec::new()), None);
        self.trusts(&[&record.signing.certificate], self.policy.settle);
        record
    }

    fn trusts(&mut self, who: &[&CaCertificate], held: Duration) {
        let trusted = who.iter().map(|one| (*one).clone()).collect();
        let bundle = Bundle {
            trusted,
            clean: true,
            ..Bundle::default()
        };
        self.trust
            .note(Some(&bundle), Duration::ZERO, self.policy.settle);
        self.trust.note(Some(&bundle), held, self.policy.settle);
        self.bundle = Some(bundle);
    }

    fn seen<'a>(&'a self, record: Option<&'a State>, remembered: Option<&'a State>) -> Seen<'a> {
        Seen {
            now: now(),
            bundle: self.bundle.as_ref(),
            record,
            remembered,
            trust: &self.trust,
        }
    }

    fn step(&self, record: Option<&State>, remembered: Option<&State>) -> Step {
        step(&self.policy, &self.seen(record, remembered))
    }

    fn after(&self, step: &Step, record: Option<&State>) -> State {
        apply(step, &self.policy, &self.seen(record, None), &self.numbers)
            .unwrap()
            .unwrap()
    }
}

#[test]
fn a_first_leaf_is_for_all_names_and_nothing_is_left_to_do() {
    let mut case = Case::new();
    let record = case.record();
    assert_eq!(record.leaf.names, ["a.svc", "b.svc"]);
    assert_eq!(case.step(Some(&record), None), Step::Rest);
}

#[test]
fn a_lost_record_that_nobody_remembers_waits_for_somebody_who_does() {
    let mut case = Case::new();
    let stranger = case.authority(100).certificate;
    case.trusts(&[&stranger], Duration::from_secs(59));
    assert_eq!(case.step(None, None), Step::Rest);
    case.trusts(&[&stranger], Duration::from_secs(61));
    let step = case.step(None, None);
    assert_eq!(step, Step::Begin(vec![stranger.clone()]));
    let record = case.after(&step, None);
    assert_eq!(
        record.trusted(now()).last(),
        Some(&stranger),
        "somebody may still serve its leaf"
    );
}

#[test]
fn an_authority_that_the_record_does_not_know_is_kept_for_the_life_of_a_leaf() {
    let mut case = Case::new();
    let record = case.record();
    let (stranger, expired) = (
        case.authority(100).certificate,
        case.authority(0).certificate,
    );
    case.trusts(
        &[&record.signing.certificate, &stranger, &expired],
        HOUR / 12,
    );
    let step = case.step(Some(&record), None);
    assert_eq!(step, Step::Adopt(vec![stranger.clone()]));
    let record = case.after(&step, Some(&record));
    assert_eq!(record.trusted(now()).count(), 2);
    assert_eq!(record.trusted(now() + 11 * DAY).count(), 1);
    // And no more of them than there is room for.
    let many: Vec<CaCertificate> = (0..20).map(|_| case.authority(100).certificate).collect();
    case.trusts(&many.iter().collect::<Vec<_>>(), HOUR / 12);
    let Step::Adopt(kept) = case.step(Some(&record), None) else {
        panic!("they are kept")
    };
    assert_eq!(kept.len(), RETIRED_MAX - 1);
}

#[test]
fn a_leaf_is_renewed_at_two_thirds_of_its_life_or_for_another_name() {
    let mut case = Case::new();
    let record = case.record();
    let mut due = record.clone();
    due.leaf.validity.until = now() + case.policy.leaf_life / 3;
    assert_eq!(case.step(Some(&due), None), Step::RenewLeaf);
    case.policy.names = vec!["a.svc".to_owned()];
    assert_eq!(
        case.step(Some(&record), None),
        Step::Rest,
        "it may be for more names"
    );
    case.policy.names.push("c.svc".to_owned());
    assert_eq!(case.step(Some(&record), None), Step::RenewLeaf);
}

#[test]
fn a_new_authority_signs_only_after_its_bundle_was_there_long_enough() {
    let mut case = Case::new();
    let mut record = case.record();
    record.signing.certificate.validity.until = now() + case.policy.ca_life / 3;
    case.trusts(&[&record.signing.certificate], HOUR / 12);
    assert_eq!(case.step(Some(&record), None), Step::Introduce);
    let record = case.after(&Step::Introduce, Some(&record));
    let both = [
        &record.signing.certificate,
        &record.next.as_ref().unwrap().certificate,
    ];
    assert_eq!(
        case.step(Some(&record), None),
        Step::Trust(both.map(Clone::clone).to_vec())
    );
    case.trusts(&both, Duration::from_secs(299));
    assert_eq!(case.step(Some(&record), None), Step::Rest);
    case.trusts(&both, Duration::from_mins(5));
    assert_eq!(case.step(Some(&record), None), Step::Promote);
    let after = case.after(&Step::Promote, Some(&record));
    assert_eq!(
        after.leaf.issuer,
        record.next.unwrap().certificate.fingerprint
    );
    assert_eq!(
        after.retired[0].until,
        record.leaf.validity.until + case.policy.margin
    );
}

#[test]
fn a_leaf_that_is_not_good_is_replaced_without_waiting() {
    let mut case = Case::new();
    let mut record = case.record();
    record.leaf.validity.until = now();
    assert_eq!(case.step(Some(&record), None), Step::RenewLeaf);
    record.signing.certificate.validity.until = now();
    assert_eq!(case.step(Some(&record), None), Step::Replace);
    record.next = Some(case.authority(100));
    assert_eq!(case.step(Some(&record), None), Step::Promote);
}

#[test]
fn without_a_webhook_configuration_leaves_are_renewed_and_authorities_stay() {
    let mut case = Case::new();
    let mut record = case.record();
    case.bundle = None;
    assert_eq!(case.step(Some(&record), None), Step::Rest);
    record.leaf.validity.until = now() + DAY;
    assert_eq!(case.step(Some(&record), None), Step::RenewLeaf);
}

#[test]
fn a_long_gap_between_looks_begins_the_wait_anew() {
    let mut case = Case::new();
    let one = case.authority(100).certificate;
    case.trusts(&[&one], Duration::from_secs(200));
    let bundle = case.bundle.clone();
    case.trust
        .note(bundle.as_ref(), Duration::from_mins(10), case.policy.settle);
    assert_eq!(case.trust.held(&one.fingerprint), Some(Duration::ZERO));
    case.trust
        .note(None, Duration::from_secs(601), case.policy.settle);
    assert_eq!(case.trust.held(&one.fingerprint), None);
}
