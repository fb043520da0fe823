//! What look-ups find.

use super::*;
use proptest::prelude::*;

fn endpoint(ordinal: u8, ready: bool) -> Endpoint {
    Endpoint {
        hostname: Some(format!("agdb-{ordinal}")),
        address: IpAddr::V4(Ipv4Addr::new(10, 77, 0, 10 + ordinal)),
        ready,
    }
}

fn governing(publish: bool) -> Service {
    Service {
        name: "agdb".into(),
        namespace: "default".into(),
        publish_not_ready_addresses: publish,
        ports: vec![
            Port {
                name: Some("http".into()),
                protocol: Protocol::Tcp,
                port: 3000,
            },
            Port {
                name: None,
                protocol: Protocol::Udp,
                port: 9,
            },
        ],
        endpoints: vec![endpoint(0, true), endpoint(1, false), endpoint(2, true)],
    }
}

fn zone(publish: bool) -> Zone {
    Zone::new("cluster.local", &[governing(publish)])
}

/// Addresses that a name has, or why it has none.
fn addresses(zone: &Zone, name: &str) -> String {
    match zone.lookup(name, Kind::A) {
        Answer::Found { records, .. } => records
            .iter()
            .map(|record| match &record.data {
                Data::A(address) => address.to_string(),
                other => format!("{other:?}"),
            })
            .collect::<Vec<_>>()
            .join(" "),
        other => format!("{other:?}"),
    }
}

#[test]
fn the_governing_service_has_the_ready_pods() {
    assert_eq!(
        addresses(&zone(false), "agdb.default.svc.cluster.local."),
        "10.77.0.10 10.77.0.12"
    );
}

#[test]
fn a_pod_that_is_not_ready_has_no_name_unless_it_is_published() {
    let name = "agdb-1.agdb.default.svc.cluster.local";
    assert_eq!(addresses(&zone(false), name), "NoName");
    assert_eq!(addresses(&zone(true), name), "10.77.0.11");
    assert_eq!(
        addresses(&zone(true), "agdb.default.svc.cluster.local"),
        "10.77.0.10 10.77.0.11 10.77.0.12"
    );
}

#[test]
fn letters_of_any_case_name_the_same() {
    assert_eq!(
        addresses(&zone(false), "AGDB-0.Agdb.default.SVC.cluster.LOCAL"),
        "10.77.0.10"
    );
}

#[test]
fn names_that_exist_without_such_records_are_told_from_names_that_do_not() {
    let cases = [
        ("default.svc.cluster.local", "NoData"),
        ("svc.cluster.local", "NoData"),
        ("_tcp.agdb.default.svc.cluster.local", "NoData"),
        ("_http._tcp.agdb.default.svc.cluster.local", "NoData"),
        ("other.default.svc.cluster.local", "NoName"),
        ("agdb-7.agdb.default.svc.cluster.local", "NoName"),
        // What a search list makes of an outside name.
        ("example.com.default.svc.cluster.local", "NoName"),
        ("example.com", "Outside"),
        ("notcluster.local", "Outside"),
        ("", "Outside"),
    ];
    for (name, expected) in cases {
        assert_eq!(addresses(&zone(false), name), expected, "{name}");
    }
    assert_eq!(
        zone(false).lookup("agdb-0.agdb.default.svc.cluster.local", Kind::Aaaa),
        Answer::NoData,
        "an IPv4 pod asked for IPv6 exists"
    );
}

#[test]
fn a_service_without_ready_pods_exists() {
    let mut service = governing(false);
    service.endpoints.clear();
    let zone = Zone::new("cluster.local", &[service]);
    assert_eq!(addresses(&zone, "agdb.default.svc.cluster.local"), "NoData");
    assert_eq!(
        zone.lookup("_http._tcp.agdb.default.svc.cluster.local", Kind::Srv),
        Answer::NoData
    );
}

#[test]
fn a_named_port_leads_to_each_ready_pod_with_its_address() {
    let Answer::Found {
        records,
        additional,
    } = zone(false).lookup("_http._tcp.agdb.default.svc.cluster.local", Kind::Srv)
    else {
        panic!("no SRV records");
    };
    let told: Vec<_> = records.iter().map(|record| record.data.clone()).collect();
    let srv = |ordinal: u8| {
        Data::Srv(Srv {
            weight: 50,
            port: 3000,
            target: format!("agdb-{ordinal}.agdb.default.svc.cluster.local"),
        })
    };
    assert_eq!(told, [srv(0), srv(2)]);
    assert_eq!(additional.len(), 2);
    assert_eq!(additional[1].data, Data::A(Ipv4Addr::new(10, 77, 0, 12)));
}

#[test]
fn an_address_has_the_name_of_its_pod() {
    let Answer::Found { records, .. } = zone(false).lookup("12.0.77.10.in-addr.arpa", Kind::Ptr)
    else {
        panic!("no name");
    };
    assert_eq!(
        records[0].data,
        Data::Ptr("agdb-2.agdb.default.svc.cluster.local".into())
    );
    assert_eq!(
        zone(false).lookup("11.0.77.10.in-addr.arpa", Kind::Ptr),
        Answer::NoName
    );
}

#[test]
fn pods_without_a_host_name_are_named_by_address() {
    let mut service = governing(false);
    service.endpoints = vec![Endpoint {
        hostname: None,
        address: "fd00::a".parse().unwrap(),
        ready: true,
    }];
    let zone = Zone::new("cluster.local", &[service]);
    assert!(matches!(
        zone.lookup("fd00--a.agdb.default.svc.cluster.local", Kind::Aaaa),
        Answer::Found { .. }
    ));
}

#[test]
fn the_search_list_is_that_of_a_pod() {
    assert_eq!(
        Zone::search_list("cluster.local", "db"),
        ["db.svc.cluster.local", "svc.cluster.local", "cluster.local"]
    );
}

proptest! {
    #[test]
    fn any_name_has_one_answer(name in "\\PC{0,80}") {
        zone(false).lookup(&name, Kind::Any);
    }

    #[test]
    fn every_name_above_an_existing_one_exists(ordinal in 0u8..3, cut in 0usize..5) {
        let zone = zone(true);
        let name = format!("agdb-{ordinal}.agdb.default.svc.cluster.local");
        let above = name.splitn(cut + 1, '.').last().unwrap();
        let answer = zone.lookup(above, Kind::A);
        let outside = !below(above, "cluster.local");
        prop_assert_eq!(matches!(answer, Answer::NoName), false);
        prop_assert_eq!(matches!(answer, Answer::Outside), outside);
    }
}
