use std::time::{Duration, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hyper::StatusCode;
use serde_json::json;

use super::*;
use outrigger_api_server::ApiError;
use outrigger_api_server::stand_in::StandIn;

/// 2026-06-01.
const NOW: Duration = Duration::from_hours(494_520);

/// A certificate for a name that holds for so many days.
fn certificate(name: &str, days: u64) -> String {
    let key = rcgen::KeyPair::generate().unwrap();
    let mut params = rcgen::CertificateParams::new(vec![name.to_owned()]).unwrap();
    let now = UNIX_EPOCH + NOW;
    params.not_before = (now - Duration::from_hours(24)).into();
    params.not_after = (now + Duration::from_hours(24 * days)).into();
    params.self_signed(&key).unwrap().pem()
}

fn configuration(bundle: &str) -> Value {
    json!({"webhooks": [{
        "name": "inject.outrigger.dev",
        "failurePolicy": "Fail",
        "clientConfig": {
            "service": {"namespace": "outrigger-system", "name": "outrigger-webhook"},
            "caBundle": STANDARD.encode(bundle),
        },
    }]})
}

fn deployment() -> Value {
    json!({
        "spec": {"replicas": 2, "template": {"spec": {
            "serviceAccountName": "outrigger-webhook",
            "containers": [{
                "args": ["webhook", "--image=$(OUTRIGGER_IMAGE)"],
                "env": [{"name": "OUTRIGGER_IMAGE", "value": "outrigger:2"}],
            }],
        }}},
        "status": {"readyReplicas": 2},
    })
}

fn pod(name: &str, sidecar: Option<&str>) -> SeenPod {
    let mut object = json!({
        "metadata": {
            "namespace": "shop",
            "name": name,
            "ownerReferences": [{
                "apiVersion": "apps/v1", "kind": "StatefulSet", "name": "db", "uid": "1", "controller": true,
            }],
        },
        "spec": {"containers": [{"name": "db"}]},
    });
    if let Some(image) = sidecar {
        object["spec"]["initContainers"] = json!([{"name": "outrigger", "image": image}]);
        let status = json!({
            "version": "0.1.0", "workload": "db", "profile": "p", "profileDigest": "d", "hash": "h",
        });
        object["metadata"]["annotations"] = json!({"outrigger.dev/status": status.to_string()});
    }
    SeenPod::read(&object)
}

/// An installation in which everything is right.
fn seen() -> Seen {
    Seen {
        installation: Installation::in_namespace("outrigger-system"),
        version: Ok((1, 36)),
        configuration: Ok(Some(configuration(&certificate("ca", 365)))),
        deployment: Ok(Some(deployment())),
        endpoints: Ok(Some(2)),
        certificate: Ok(Some(
            certificate("outrigger-webhook.outrigger-system.svc", 30).into_bytes(),
        )),
        rehearsal: Rehearsal::Reached,
        rights: RIGHTS.iter().map(|right| (*right, Ok(true))).collect(),
        pods: Ok(vec![pod("db-0", Some("outrigger:2"))]),
        profiles: Ok(Vec::new()),
    }
}

fn told(seen: &Seen) -> String {
    let remarks = evaluate(seen, UNIX_EPOCH + NOW);
    let lines: Vec<String> = remarks.iter().map(Remark::to_string).collect();
    lines.join("\n")
}

/// Makes something wrong.
type Spoil = Box<dyn Fn(&mut Seen)>;

/// What is not as it should be.
fn wrong(seen: &Seen) -> String {
    let remarks = evaluate(seen, UNIX_EPOCH + NOW);
    let wrong = remarks.iter().filter(|one| one.standing != Standing::Good);
    let lines: Vec<String> = wrong.map(Remark::to_string).collect();
    lines.join("\n")
}

#[test]
fn an_installation_that_works_is_told_line_by_line() {
    insta::assert_snapshot!(told(&seen()));
}

#[test]
fn each_fault_is_told_with_the_command_that_mends_it() {
    let cases: Vec<(&str, Spoil)> = vec![
        (
            "nothing is installed",
            Box::new(|seen| {
                seen.configuration = Ok(None);
                seen.deployment = Ok(None);
            }),
        ),
        (
            "an old Kubernetes",
            Box::new(|seen| seen.version = Ok((1, 28))),
        ),
        (
            "no configuration",
            Box::new(|seen| seen.configuration = Ok(None)),
        ),
        (
            "failures are ignored",
            Box::new(|seen| {
                let Ok(Some(configuration)) = &mut seen.configuration else {
                    panic!()
                };
                configuration["webhooks"][0]["failurePolicy"] = json!("Ignore");
            }),
        ),
        (
            "another Service",
            Box::new(|seen| {
                let Ok(Some(configuration)) = &mut seen.configuration else {
                    panic!()
                };
                configuration["webhooks"][0]["clientConfig"]["service"]["namespace"] = json!("old");
            }),
        ),
        (
            "no Service but an address",
            Box::new(|seen| {
                let Ok(Some(configuration)) = &mut seen.configuration else {
                    panic!()
                };
                let client = &mut configuration["webhooks"][0]["clientConfig"];
                client["url"] = json!("https://127.0.0.1:8443/inject");
                client["service"].take();
            }),
        ),
        (
            "no bundle",
            Box::new(|seen| seen.configuration = Ok(Some(configuration("")))),
        ),
        (
            "a bundle that is none",
            Box::new(|seen| seen.configuration = Ok(Some(configuration("x")))),
        ),
        (
            "no replica",
            Box::new(|seen| {
                let Ok(Some(deployment)) = &mut seen.deployment else {
                    panic!()
                };
                deployment["status"] = json!({});
                seen.endpoints = Ok(Some(0));
            }),
        ),
        (
            "one replica alone",
            Box::new(|seen| {
                let Ok(Some(deployment)) = &mut seen.deployment else {
                    panic!()
                };
                deployment["spec"]["replicas"] = json!(1);
            }),
        ),
        ("no Service", Box::new(|seen| seen.endpoints = Ok(None))),
        (
            "it is not reached",
            Box::new(|seen| {
                seen.rehearsal =
                    Rehearsal::Unreached("failed calling webhook: no route to host".to_owned());
            }),
        ),
        (
            "it is not asked",
            Box::new(|seen| seen.rehearsal = Rehearsal::NotAsked),
        ),
        (
            "a certificate for another name",
            Box::new(|seen| {
                seen.certificate = Ok(Some(certificate("other.svc", 30).into_bytes()));
            }),
        ),
        (
            "a certificate that was not renewed",
            Box::new(|seen| {
                let mut params = rcgen::CertificateParams::new(vec![
                    "outrigger-webhook.outrigger-system.svc".to_owned(),
                ])
                .unwrap();
                let now = UNIX_EPOCH + NOW;
                params.not_before = (now - Duration::from_hours(24 * 29)).into();
                params.not_after = (now + Duration::from_hours(20)).into();
                let key = rcgen::KeyPair::generate().unwrap();
                seen.certificate = Ok(Some(params.self_signed(&key).unwrap().pem().into_bytes()));
            }),
        ),
        (
            "no certificate",
            Box::new(|seen| seen.certificate = Ok(None)),
        ),
        (
            "rights are missing",
            Box::new(|seen| {
                for (right, may) in &mut seen.rights {
                    *may = Ok(right.verb != "watch");
                }
            }),
        ),
        (
            "a broken profile",
            Box::new(|seen| {
                let entry = ProfileEntry::read("p", [("outrigger.yaml", "kind: Profile\n")], []);
                seen.profiles = Ok(vec![("shop".to_owned(), "p".to_owned(), entry)]);
            }),
        ),
        (
            "pods without their sidecar",
            Box::new(|seen| {
                let names = ["db-0", "db-1", "db-2", "db-3"];
                seen.pods = Ok(names.iter().map(|name| pod(name, None)).collect());
            }),
        ),
        (
            "older sidecars",
            Box::new(|seen| {
                seen.pods = Ok(vec![
                    pod("db-0", Some("outrigger:1")),
                    pod("db-1", Some("outrigger:2")),
                ]);
            }),
        ),
        (
            "nothing may be looked at",
            Box::new(|seen| {
                let no = || "the API server answered 403: forbidden".to_owned();
                seen.certificate = Err(no());
                seen.pods = Err(no());
                seen.rehearsal = Rehearsal::Untried(no());
                seen.rights[0].1 = Err(no());
            }),
        ),
    ];
    let mut all = String::new();
    for (name, spoil) in cases {
        let mut seen = seen();
        spoil(&mut seen);
        all = format!("{all}# {name}\n{}\n", wrong(&seen));
    }
    insta::assert_snapshot!(all);
}

#[test]
fn an_expired_certificate_is_an_error() {
    let mut seen = seen();
    let remarks = {
        seen.certificate = Ok(Some(
            certificate("outrigger-webhook.outrigger-system.svc", 2).into_bytes(),
        ));
        let later = UNIX_EPOCH + NOW + Duration::from_hours(72);
        evaluate(&seen, later)
    };
    let remark = remarks
        .iter()
        .find(|one| one.about == "certificate")
        .unwrap();
    assert_eq!(remark.standing, Standing::Bad);
    assert_eq!(remark.told, "it has expired");
}

#[test]
fn whether_a_certificate_should_have_been_renewed_is_a_question_of_its_life() {
    // As the webhook makes them: good from thirty days before, for a week.
    let key = rcgen::KeyPair::generate().unwrap();
    let name = "outrigger-webhook.outrigger-system.svc";
    let mut params = rcgen::CertificateParams::new(vec![name.to_owned()]).unwrap();
    let day = Duration::from_hours(24);
    params.not_before = (UNIX_EPOCH + NOW - 32 * day).into();
    params.not_after = (UNIX_EPOCH + NOW + 5 * day).into();
    let mut seen = seen();
    seen.certificate = Ok(Some(params.self_signed(&key).unwrap().pem().into_bytes()));
    let standing = |seen: &Seen| {
        let all = evaluate(seen, UNIX_EPOCH + NOW);
        let found = all.into_iter().find(|one| one.about == "certificate");
        found.unwrap().standing
    };
    assert_eq!(standing(&seen), Standing::Good);
    // Somebody else's may live for any time.
    let mut mounted = deployment();
    mounted["spec"]["template"]["spec"]["containers"][0]["args"] =
        json!(["--certificates=mounted=/c"]);
    seen.deployment = Ok(Some(mounted));
    assert_eq!(standing(&seen), Standing::Doubtful);
}

#[test]
fn with_a_mounted_certificate_its_objects_need_no_rights() {
    let mut seen = seen();
    let Ok(Some(deployment)) = &mut seen.deployment else {
        panic!()
    };
    deployment["spec"]["template"]["spec"]["containers"][0]["args"] =
        json!(["--certificates=mounted=/c"]);
    for (right, may) in &mut seen.rights {
        *may = Ok(right.on == On::All);
    }
    assert_eq!(wrong(&seen), "");
}

#[test]
fn pods_that_end_are_not_missed() {
    let mut seen = seen();
    let mut ending = pod("db-0", None);
    ending.ending = true;
    seen.pods = Ok(vec![ending]);
    assert_eq!(wrong(&seen), "");
}

/// A pod of somebody other than a StatefulSet; without a kind, of nobody.
fn foreign(name: &str, kind: Option<(&str, &str, &str)>) -> SeenPod {
    let mut object = json!({
        "metadata": {"namespace": "shop", "name": name, "labels": {"pod-template-hash": "5d4f8"}},
        "spec": {"containers": [{"name": "web"}]},
    });
    if let Some((version, kind, owner)) = kind {
        object["metadata"]["ownerReferences"] = json!([
            {"apiVersion": version, "kind": kind, "name": owner, "uid": "1", "controller": true},
        ]);
    }
    SeenPod::read(&object)
}

#[test]
fn labelled_pods_of_which_the_webhook_never_hears_are_told() {
    let mut seen = seen();
    let set = ("apps/v1", "ReplicaSet", "web-5d4f8");
    seen.pods = Ok(vec![
        pod("db-0", Some("outrigger:2")),
        foreign("web-5d4f8-a", Some(set)),
        foreign("web-5d4f8-b", Some(set)),
        foreign("once-x", Some(("batch/v1", "Job", "once"))),
        foreign("agent-x", Some(("apps/v1", "DaemonSet", "agent"))),
        foreign("like-0", Some(("example.com/v1", "StatefulSet", "like"))),
        foreign("alone", None),
    ]);
    insta::assert_snapshot!(
        told(&seen)
            .split_once("pods: ")
            .map_or("", |(_, rest)| rest)
    );
}

#[test]
fn the_answer_to_a_dry_run_tells_whether_the_webhook_was_reached() {
    let refused = |message: &str| {
        let message = message.to_owned();
        look::told(Err(ApiError::Refused {
            code: 500,
            message,
            retry_after: None,
        }))
    };
    assert_eq!(look::told(Ok(())), Rehearsal::NotAsked);
    assert_eq!(
        refused(
            "admission webhook \"inject.outrigger.dev\" denied the request: there is no annotation `outrigger.dev/check`"
        ),
        Rehearsal::Reached
    );
    let unreached = "Internal error occurred: failed calling webhook \"inject.outrigger.dev\": connection refused";
    assert_eq!(
        refused(unreached),
        Rehearsal::Unreached(unreached.to_owned())
    );
    let forbidden = "pods is forbidden";
    assert_eq!(refused(forbidden), Rehearsal::Untried(forbidden.to_owned()));
}

#[tokio::test(start_paused = true)]
async fn what_is_there_is_seen_and_what_is_not_is_not() {
    let stand_in = StandIn::new();
    let api = stand_in.api();
    let installation = Installation::in_namespace("outrigger-system");
    // It keeps what is posted, and reviews are not kept.
    for _ in 0..2 * RIGHTS.len() {
        stand_in.refuse("/apis/authorization.k8s.io", StatusCode::FORBIDDEN);
    }
    let empty = look(&api, installation.clone(), "default").await;
    assert!(matches!(empty.configuration, Ok(None)), "{empty:?}");
    assert!(matches!(empty.endpoints, Ok(None)), "{empty:?}");
    stand_in.put(
        "/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations/outrigger",
        configuration("x"),
    );
    stand_in.put(
        "/apis/apps/v1/namespaces/outrigger-system/deployments/outrigger-webhook",
        deployment(),
    );
    stand_in.put(
        "/api/v1/namespaces/outrigger-system/secrets/outrigger-webhook-tls",
        json!({"data": {"tls.crt": "eA=="}}),
    );
    stand_in.refuse("/api/v1/pods", StatusCode::FORBIDDEN);
    let seen = look(&api, installation, "default").await;
    assert!(matches!(seen.configuration, Ok(Some(_))), "{seen:?}");
    assert!(matches!(seen.deployment, Ok(Some(_))), "{seen:?}");
    assert_eq!(seen.certificate, Ok(Some(b"x".to_vec())));
    assert!(seen.pods.is_err());
}
