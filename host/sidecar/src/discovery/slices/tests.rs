use super::*;
use crate::fixture;

fn endpoint(pod: &str, uid: &str, address: &str) -> Endpoint {
    Endpoint {
        pod: pod.to_owned(),
        uid: uid.to_owned(),
        addresses: vec![address.parse().unwrap()],
        is_serving: true,
        is_terminating: false,
    }
}

fn slice(version: u64, endpoints: &[Endpoint]) -> Slice {
    Slice {
        version,
        endpoints: endpoints.to_vec(),
    }
}

fn unwell(endpoint: Endpoint) -> Endpoint {
    Endpoint {
        is_serving: false,
        ..endpoint
    }
}

fn leaving(endpoint: Endpoint) -> Endpoint {
    Endpoint {
        is_terminating: true,
        ..endpoint
    }
}

fn fold(view: &mut SliceView, desired: u32, slices: &[Slice]) -> PeerSet {
    view.fold(fixture::peers(desired), slices)
}

fn phases(set: &PeerSet) -> Vec<(u32, Phase)> {
    let replicas = set.replicas.values();
    replicas.map(|r| (r.ordinal.0, r.phase)).collect()
}

fn addresses_of(set: &PeerSet, ordinal: u32) -> Vec<String> {
    let addresses = &set.replicas[&Ordinal(ordinal)].addresses;
    addresses.iter().map(ToString::to_string).collect()
}

#[test]
fn who_was_ready_is_not_ready_and_who_never_was_is_starting() {
    let mut view = SliceView::default();
    let [zero, one] = [
        endpoint("db-0", "a", "10.0.0.1"),
        endpoint("db-1", "b", "10.0.0.2"),
    ];
    let first = fold(
        &mut view,
        3,
        &[slice(1, &[zero.clone(), unwell(one.clone())])],
    );
    assert_eq!(
        phases(&first),
        [(0, Phase::Ready), (1, Phase::Starting), (2, Phase::Pending)]
    );
    let later = [slice(2, &[unwell(zero.clone()), one.clone()])];
    let second = fold(&mut view, 2, &later);
    assert_eq!(phases(&second), [(0, Phase::NotReady), (1, Phase::Ready)]);
    let third = fold(&mut view, 2, &[slice(3, &[zero, leaving(unwell(one))])]);
    assert_eq!(phases(&third), [(0, Phase::Ready), (1, Phase::Terminating)]);
}

#[test]
fn a_new_pod_of_an_old_name_starts_anew() {
    let mut view = SliceView::default();
    let old = endpoint("db-1", "old", "10.0.0.2");
    fold(&mut view, 2, &[slice(1, std::slice::from_ref(&old))]);
    let new = unwell(endpoint("db-1", "new", "10.0.0.7"));
    let both = [slice(1, &[leaving(old)]), slice(2, &[new])];
    let set = fold(&mut view, 2, &both);
    assert_eq!(set.replicas[&Ordinal(1)].phase, Phase::Starting);
    assert_eq!(addresses_of(&set, 1), ["10.0.0.7"]);
}

#[test]
fn both_families_of_two_slices_each_make_one_replica() {
    let slices = [
        slice(1, &[endpoint("db-0", "a", "10.0.0.1")]),
        slice(2, &[endpoint("db-1", "b", "10.0.0.2")]),
        slice(3, &[endpoint("db-0", "a", "fd00::1")]),
        slice(4, &[endpoint("db-1", "b", "fd00::2")]),
    ];
    let set = fold(&mut SliceView::default(), 2, &slices);
    assert_eq!(phases(&set), [(0, Phase::Ready), (1, Phase::Ready)]);
    assert_eq!(addresses_of(&set, 0), ["10.0.0.1", "fd00::1"]);
    assert_eq!(addresses_of(&set, 1), ["10.0.0.2", "fd00::2"]);
    assert_eq!(set.seen(), 2);
}

#[test]
fn a_pod_that_is_moved_between_slices_counts_once_and_the_better_word_counts() {
    let well = endpoint("db-1", "b", "10.0.0.2");
    let moved = [
        slice(7, &[unwell(well.clone())]),
        slice(6, std::slice::from_ref(&well)),
    ];
    let set = fold(&mut SliceView::default(), 2, &moved);
    assert_eq!(set.replicas[&Ordinal(1)].phase, Phase::Ready);
    assert_eq!(addresses_of(&set, 1), ["10.0.0.2"]);
    let other = endpoint("db-1", "b", "10.0.0.9");
    let newest = [slice(7, &[other]), slice(6, &[well])];
    let set = fold(&mut SliceView::default(), 2, &newest);
    assert_eq!(addresses_of(&set, 1), ["10.0.0.9"]);
}

#[test]
fn pods_of_others_are_nobody() {
    let strangers = [
        endpoint("web-0", "x", "10.0.0.8"),
        endpoint("db-x", "y", "10.0.0.9"),
        endpoint("db-4294967295", "z", "10.0.0.10"),
        endpoint("db-extra-1", "z", "10.0.0.11"),
    ];
    let set = fold(&mut SliceView::default(), 1, &[slice(1, &strangers)]);
    assert_eq!(phases(&set), [(0, Phase::Starting)]);
}

#[test]
fn a_replica_beyond_the_wanted_ones_is_there_for_as_long_as_its_pod_is() {
    let mut view = SliceView::default();
    let beyond = leaving(endpoint("db-2", "c", "10.0.0.3"));
    let set = fold(&mut view, 2, &[slice(1, &[beyond])]);
    assert_eq!(set.replicas[&Ordinal(2)].phase, Phase::Terminating);
    let set = fold(&mut view, 2, &[slice(2, &[])]);
    assert_eq!(set.replicas.len(), 2);
}

#[test]
fn this_replica_knows_its_own_address_and_not_its_predecessors() {
    let mut expected = fixture::peers(1);
    expected.identity.uid = "mine".into();
    expected.identity.ip = Some(IpAddr::from([10, 0, 0, 9]));
    let former = [slice(1, &[endpoint("db-0", "former", "10.0.0.1")])];
    let set = SliceView::default().fold(expected, &former);
    assert_eq!(set.own().phase, Phase::Starting);
    assert_eq!(addresses_of(&set, 0), ["10.0.0.9"]);
}

proptest::proptest! {
    /// Whatever slices say: who should exist is there, once, within the limits.
    #[test]
    fn whatever_slices_say_the_set_is_whole(
        mentions in proptest::collection::vec((0_u32..2000, 0_u8..3, 0_u8..255, proptest::bool::ANY, proptest::bool::ANY, 0_usize..4), 0..60)
    ) {
        let mut slices = vec![Vec::new(); 4];
        for (ordinal, uid, last, is_serving, is_terminating, at) in mentions {
            slices[at].push(Endpoint {
                is_serving,
                is_terminating,
                ..endpoint(&format!("db-{ordinal}"), &uid.to_string(), &format!("10.0.0.{last}"))
            });
        }
        let slices: Vec<Slice> = slices.iter().map(|endpoints| slice(1, endpoints)).collect();
        let set = fold(&mut SliceView::default(), 3, &slices);
        for ordinal in 0..3 {
            proptest::prop_assert!(set.replicas.contains_key(&Ordinal(ordinal)));
        }
        for replica in set.replicas.values() {
            proptest::prop_assert!(replica.ordinal.0 < limits::REPLICAS_MAX);
            proptest::prop_assert!(replica.addresses.len() <= limits::ADDRESSES_MAX);
            proptest::prop_assert!(replica.phase != Phase::Unknown);
        }
    }
}
