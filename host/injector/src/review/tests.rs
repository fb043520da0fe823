use std::sync::Arc;

use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::entropy::FixedEntropy;
use crate::facts::{ProfileEntry, ServiceFacts, StatefulSetFacts};

/// As a StatefulSet controller's request arrives: the pod of agdb's second replica.
const REVIEW: &str = include_str!("../../tests/data/review.json");

#[derive(Debug)]
struct Nothing;

impl Catalog for Nothing {
    fn profile(&self, _: &str, _: &str) -> Option<Arc<ProfileEntry>> {
        None
    }

    fn stateful_set(&self, _: &str, _: &str) -> Option<Arc<StatefulSetFacts>> {
        None
    }

    fn service(&self, _: &str, _: &str) -> Option<Arc<ServiceFacts>> {
        None
    }
}

fn answered(body: &[u8]) -> Result<Answer, ReviewError> {
    answer(body, &Nothing, &Settings::default(), &FixedEntropy(7))
}

/// What the answer holds, after its frame is checked.
fn response(answer: &Answer) -> Value {
    let mut whole: Value = serde_json::from_slice(answer.body()).unwrap();
    assert_eq!(whole["apiVersion"], API_VERSION);
    assert_eq!(whole["kind"], KIND);
    whole["response"].take()
}

/// The realistic review with one thing changed.
fn changed(change: impl FnOnce(&mut Value)) -> Vec<u8> {
    let mut review: Value = serde_json::from_str(REVIEW).unwrap();
    change(&mut review);
    serde_json::to_vec(&review).unwrap()
}

#[test]
fn an_answer_repeats_the_uid_of_its_request() {
    let response = response(&answered(REVIEW.as_bytes()).unwrap());
    assert_eq!(response["uid"], "c1d6a5f0-2b6e-4c0b-9b7e-5a8f1e6f0d11");
}

#[test]
fn what_makes_no_review_is_named() {
    let told = |body: &[u8]| answered(body).unwrap_err().to_string();
    let of = |change: fn(&mut Value)| told(&changed(change));
    let words = [
        told(b""),
        told(b"{"),
        told(b"\xff\xfe"),
        told(b"[]"),
        told(b"{}"),
        told(br#"{"kind":7}"#),
        told(br#"{"kind":"Pod\u0007","apiVersion":"v1"}"#),
        of(|review| review["apiVersion"] = json!("admission.k8s.io/v1beta1")),
        of(|review| {
            review["apiVersion"].take();
        }),
        of(|review| {
            review["request"].take();
        }),
        of(|review| review["request"] = json!({})),
        of(|review| review["request"]["uid"] = json!("")),
        of(|review| review["request"]["uid"] = json!("x".repeat(200))),
        of(|review| review["request"]["uid"] = json!("two words")),
        of(|review| review["request"]["uid"] = json!(5)),
    ];
    insta::assert_snapshot!(words.join("\n"));
}

#[test]
fn what_is_no_pod_is_let_pass_with_a_warning() {
    let changes: [fn(&mut Value); 4] = [
        |review| review["request"]["kind"]["kind"] = json!("Service"),
        |review| {
            review["request"]["kind"] =
                json!({"group": "apps", "version": "v1", "kind": "StatefulSet"});
        },
        |review| review["request"]["subResource"] = json!("ephemeralcontainers"),
        |review| {
            review["request"]["kind"].take();
        },
    ];
    for change in changes {
        let answer = answered(&changed(change)).unwrap();
        assert_eq!(answer.told.reason(), "not-a-pod");
        let response = response(&answer);
        assert_eq!(response["allowed"], true);
        assert_eq!(response["warnings"].as_array().unwrap().len(), 1);
        assert!(response.get("patch").is_none());
    }
}

#[test]
fn an_object_that_is_no_pod_and_an_operation_that_is_none_are_refused() {
    let changes: [fn(&mut Value); 5] = [
        |review| {
            review["request"]["object"].take();
        },
        |review| review["request"]["object"] = json!([]),
        |review| review["request"]["object"] = json!("pod"),
        |review| review["request"]["operation"] = json!("EAT"),
        |review| {
            review["request"]["operation"].take();
        },
    ];
    for change in changes {
        let response = response(&answered(&changed(change)).unwrap());
        assert_eq!(response["allowed"], false);
        assert_eq!(response["status"]["code"], 400);
        let message = response["status"]["message"].as_str().unwrap();
        assert!(message.starts_with("the review"), "{message}");
    }
}

#[test]
fn updates_deletions_and_connections_pass() {
    for operation in ["UPDATE", "DELETE", "CONNECT"] {
        let body = changed(|review| {
            review["request"]["operation"] = json!(operation);
            if operation == "DELETE" {
                review["request"]["oldObject"] = review["request"]["object"].take();
            }
        });
        let answer = answered(&body).unwrap();
        assert_eq!(answer.told.reason(), "not-created");
        assert_eq!(response(&answer)["allowed"], true);
    }
}

#[test]
fn a_pod_without_a_name_goes_by_the_beginning_of_it() {
    let body = changed(|review| {
        review["request"]["name"].take();
        review["request"]["namespace"].take();
        review["request"]["object"]["metadata"]["name"].take();
    });
    let review = Review::read(&body).unwrap();
    assert_eq!((review.namespace(), review.name()), ("default", "agdb-"));
    assert_eq!(review.owner().unwrap().name, "agdb");
    assert_eq!(review.profile(), Some("agdb-outrigger"));
}

#[test]
fn a_pod_of_too_many_values_is_refused_before_they_take_memory() {
    let commas = "0,".repeat(usize::try_from(NODES_MAX).unwrap());
    let body = REVIEW.replacen(
        r#""object":{"#,
        &format!(r#""object":{{"x":[{commas}0],"#),
        1,
    );
    let error = answered(body.as_bytes()).unwrap_err().to_string();
    assert!(error.contains("more than 50000 values"), "{error}");
}

#[test]
fn nesting_without_an_end_is_an_error_and_no_overflow() {
    for open in ["[", r#"{"a":"#] {
        let deep = open.repeat(1_000_000);
        for body in [
            deep.clone(),
            REVIEW.replacen(r#""object":"#, &format!(r#""object":{deep}"#), 1),
            REVIEW.replacen(r#""userInfo":"#, &format!(r#""userInfo":{deep}"#), 1),
        ] {
            assert!(answered(body.as_bytes()).is_err());
        }
    }
}

/// Any byte of a review changed, or its end cut off: an answer with the review's uid, or an error.
fn check(body: &[u8]) {
    if let Ok(answer) = answered(body) {
        let review = Review::read(body).unwrap();
        assert_eq!(response(&answer)["uid"], review.uid());
        assert!(matches!(answer.told.decision(), "inject" | "skip" | "deny"));
    }
}

proptest! {
    #[test]
    fn a_damaged_review_is_answered_or_refused(
        place in 0..REVIEW.len(),
        byte: u8,
        end in 0..REVIEW.len() * 2,
    ) {
        let mut body = REVIEW.as_bytes().to_vec();
        body[place] = byte;
        body.truncate(end);
        check(&body);
    }

    #[test]
    fn garbage_is_refused(body: Vec<u8>) {
        check(&body);
    }

    #[test]
    fn any_value_may_stand_anywhere(place in 0..60usize, value in any_json()) {
        let mut review: Value = serde_json::from_str(REVIEW).unwrap();
        let mut pointers = Vec::new();
        pointers_of(&review, String::new(), &mut pointers);
        let pointer = pointers[place * pointers.len() / 60].clone();
        *review.pointer_mut(&pointer).unwrap() = value;
        check(&serde_json::to_vec(&review).unwrap());
    }
}

fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        ".{0,20}".prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 24, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            prop::collection::vec((".{0,10}", inner), 0..6)
                .prop_map(|entries| Value::Object(entries.into_iter().collect())),
        ]
    })
}

fn pointers_of(value: &Value, here: String, found: &mut Vec<String>) {
    match value {
        Value::Object(map) => {
            for (key, below) in map {
                let key = key.replace('~', "~0").replace('/', "~1");
                pointers_of(below, format!("{here}/{key}"), found);
            }
        }
        Value::Array(list) => {
            for (index, below) in list.iter().enumerate() {
                pointers_of(below, format!("{here}/{index}"), found);
            }
        }
        _ => {}
    }
    found.push(here);
}
