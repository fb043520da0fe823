//! Reviews that nobody should send, thousands of each.

use std::io::Write as _;
use std::net::TcpStream;
use std::time::{Duration, Instant};

use super::REVIEW;
use super::client::Client;
use super::process::Process;

/// What memory may grow by. A body of 3 MiB is held while it is read, and so is what is read from it.
const GROWTH_MIB_MAX: f64 = 24.0;

/// What is wrong, the body, and the right status.
type Case = (&'static str, Vec<u8>, u16);

fn cases() -> Vec<Case> {
    let changed = |from: &str, to: &str| {
        let body = REVIEW.replacen(from, to, 1);
        assert_ne!(body, REVIEW, "{from} is in the review");
        body.into_bytes()
    };
    let deep = "[".repeat(100_000);
    let many = format!(r#""object":{{"x":[{}0],"#, "0,".repeat(1_400_000));
    let garbage = (0_u32..5000).map(|n| u8::try_from(n * 31 % 251).unwrap());
    vec![
        (
            "no request",
            br#"{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview"}"#.to_vec(),
            400,
        ),
        ("wrong uid", changed(r#""uid":"c1d6"#, r#""uid":" "#), 400),
        (
            "deep nesting",
            changed(r#""object":"#, &format!(r#""object":{deep}"#)),
            400,
        ),
        ("garbage", garbage.collect(), 400),
        (
            "cut off",
            REVIEW.as_bytes()[..REVIEW.len() / 2].to_vec(),
            400,
        ),
        (
            "no pod",
            changed(r#""kind":"Pod""#, r#""kind":"Node""#),
            200,
        ),
        (
            "no object",
            changed(r#""object":"#, r#""object":null,"x":"#),
            200,
        ),
        ("too many values", changed(r#""object":{"#, &many), 400),
    ]
}

/// Sends all of it and looks at memory and at the next good review.
pub(crate) fn run(webhook: &Process, each: usize) {
    let before = webhook.memory();
    for (name, body, status) in cases() {
        // A large body takes longer, and shows no more the ten-thousandth time.
        let count = if body.len() > 1 << 20 {
            each.div_ceil(20)
        } else {
            each
        };
        let begun = Instant::now();
        let mut client = Client::connect(webhook);
        for _ in 0..count {
            let answer = client.ask(&body);
            assert_eq!(answer.status, status, "{name}: {}", answer.text());
        }
        report(webhook, name, count, begun);
    }
    large(webhook, each);
    slow(webhook, each);
    let grown = webhook.memory() - before;
    assert!(grown < GROWTH_MIB_MAX, "memory has grown by {grown:.1} MiB");
    assert_eq!(Client::connect(webhook).ask(REVIEW.as_bytes()).status, 200);
}

/// Bodies of 100 MB: each is refused at its head, on a connection of its own.
fn large(webhook: &Process, each: usize) {
    let body = vec![b' '; 100_000_000];
    let begun = Instant::now();
    // The first few send all of it; the others stop when they are told.
    for round in 0..each {
        let mut client = Client::connect(webhook);
        let answer = if round < 5 {
            client.try_ask(&body)
        } else {
            client.announce(body.len())
        };
        assert_eq!(answer.unwrap().status, 413);
    }
    report(webhook, "100 MB", each, begun);
}

/// Connections that begin something and go silent: they are let go of, and meanwhile others are served.
fn slow(webhook: &Process, each: usize) {
    let begun = Instant::now();
    let mut silent = std::collections::VecDeque::new();
    for _ in 0..each {
        let mut socket = TcpStream::connect(webhook.address).unwrap();
        // A TLS record's first byte.
        drop(socket.write_all(&[22]));
        silent.push_back(socket);
        // Fewer than the limit, so that good ones come in beside them.
        if silent.len() > 200 {
            silent.pop_front();
        }
    }
    assert_eq!(Client::connect(webhook).ask(REVIEW.as_bytes()).status, 200);
    report(webhook, "slow senders", each, begun);
}

fn report(webhook: &Process, name: &str, count: usize, begun: Instant) {
    webhook.assert_runs();
    println!(
        "hostile: {name:<18} {count:>8} in {:.1} s, then {:.1} MiB",
        begun.elapsed().max(Duration::from_nanos(1)).as_secs_f64(),
        webhook.memory()
    );
}
