//! What the webhook costs: time and processor per review over TLS, latency at a fixed rate, memory, cold
//! start; and what ten thousand of each hostile review do to it.
//!
//! `cargo bench -p outrigger-tests --bench webhook` measures the release build, without a cluster: the
//! facts come from the agdb example, the certificate from files. With `--smoke` everything runs once and
//! briefly, which shows that it works and measures nothing. Best on two idle cores: the webhook is pinned
//! to the first, its clients to the second.

#![expect(
    clippy::print_stdout,
    clippy::unwrap_used,
    clippy::panic,
    reason = "a benchmark prints its figures and ends at the first fault"
)]
#![expect(clippy::disallowed_methods, reason = "time is what is measured")]

#[path = "webhook/client.rs"]
mod client;
#[path = "webhook/hostile.rs"]
mod hostile;
#[path = "webhook/process.rs"]
mod process;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use client::Client;
use process::Process;

/// As a StatefulSet controller's request arrives: agdb's second replica, about 5 KiB.
pub(crate) const REVIEW: &str = include_str!("../../host/injector/tests/data/review.json");

/// Connections that ask as fast as they can.
const CONNECTIONS: usize = 8;
/// Reviews each second, for the latency.
const RATE: u32 = 200;
/// Connections that share that rate.
const PACED: u32 = 4;

/// How long and how often.
struct Effort {
    runs: usize,
    saturated: Duration,
    paced: Duration,
    starts: usize,
    hostile: usize,
}

fn main() {
    let smoke = std::env::args().any(|arg| arg == "--smoke");
    let effort = if smoke {
        Effort {
            runs: 1,
            saturated: Duration::from_millis(500),
            paced: Duration::from_millis(500),
            starts: 2,
            hostile: 50,
        }
    } else {
        Effort {
            runs: 5,
            saturated: Duration::from_secs(6),
            paced: Duration::from_secs(8),
            starts: 20,
            hostile: 10_000,
        }
    };
    process::pin_clients();
    cold_start(&effort);
    let webhook = Process::start();
    let answer = Client::connect(&webhook).ask(REVIEW.as_bytes());
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert!(answer.text().contains("\"patch\""), "{}", answer.text());
    println!(
        "review and answer           {:>8} and {} bytes",
        REVIEW.len(),
        answer.body.len()
    );
    println!("memory, idle                {:>8.1} MiB", webhook.memory());
    for _ in 0..effort.runs {
        saturated(&webhook, &effort);
    }
    for _ in 0..effort.runs {
        paced(&webhook, &effort);
    }
    println!("memory, after load          {:>8.1} MiB", webhook.memory());
    hostile::run(&webhook, effort.hostile);
}

/// From the start of the process to its first good answer over a connection of its own.
fn cold_start(effort: &Effort) {
    let mut times = Vec::new();
    for _ in 0..effort.starts {
        let begun = Instant::now();
        let webhook = Process::start();
        let answer = Client::connect(&webhook).ask(REVIEW.as_bytes());
        times.push(begun.elapsed());
        assert_eq!(answer.status, 200, "{}", answer.text());
    }
    times.sort();
    println!(
        "start to first answer       {:>8.1} ms median, {:.1} to {:.1} of {}",
        milliseconds(times[times.len() / 2]),
        milliseconds(times[0]),
        milliseconds(times[times.len() - 1]),
        times.len()
    );
}

/// As many as there can be.
fn saturated(webhook: &Process, effort: &Effort) {
    let stop = Arc::new(AtomicBool::new(false));
    let mut clients: Vec<Client> = (0..CONNECTIONS).map(|_| Client::connect(webhook)).collect();
    for client in &mut clients {
        client.ask(REVIEW.as_bytes());
    }
    let (used, begun) = (webhook.processor_time(), Instant::now());
    let threads: Vec<_> = clients
        .into_iter()
        .map(|mut client| {
            let stop = Arc::clone(&stop);
            thread::spawn(move || {
                let mut answered = 0_u32;
                while !stop.load(Ordering::Relaxed) {
                    assert_eq!(client.ask(REVIEW.as_bytes()).status, 200);
                    answered += 1;
                }
                answered
            })
        })
        .collect();
    thread::sleep(effort.saturated);
    stop.store(true, Ordering::Relaxed);
    let answered: u32 = threads
        .into_iter()
        .map(|thread| thread.join().unwrap())
        .sum();
    let (used, time) = (
        webhook.processor_time().saturating_sub(used),
        begun.elapsed(),
    );
    println!(
        "saturated                   {:>8.0} reviews/s, {:.1} µs of processor each, {:.1} MiB",
        f64::from(answered) / time.as_secs_f64(),
        microseconds(used) / f64::from(answered),
        webhook.memory()
    );
}

/// At a fixed rate. Each time counts from when the review should have been sent, so that a stall is not
/// hidden by the reviews that it holds back.
fn paced(webhook: &Process, effort: &Effort) {
    let each = Duration::from_secs(1) * PACED / RATE;
    let (used, begun) = (webhook.processor_time(), Instant::now());
    let threads: Vec<_> = (0..PACED)
        .map(|index| {
            let mut client = Client::connect(webhook);
            client.ask(REVIEW.as_bytes());
            let paced = effort.paced;
            thread::spawn(move || {
                let mut times = Vec::new();
                let mut due = Instant::now() + each * (index + 1) / PACED;
                let end = due + paced;
                while due < end {
                    thread::sleep(due.saturating_duration_since(Instant::now()));
                    assert_eq!(client.ask(REVIEW.as_bytes()).status, 200);
                    times.push(due.elapsed());
                    due += each;
                }
                times
            })
        })
        .collect();
    let mut times: Vec<Duration> = threads
        .into_iter()
        .flat_map(|thread| thread.join().unwrap())
        .collect();
    times.sort();
    let (used, time) = (
        webhook.processor_time().saturating_sub(used),
        begun.elapsed(),
    );
    println!(
        "at {RATE} reviews/s            p50 {:>4.0} µs, p99 {:.0} µs, worst {:.0} µs; {:.2} ms of processor each second",
        microseconds(times[times.len() / 2]),
        microseconds(times[times.len() * 99 / 100]),
        microseconds(times[times.len() - 1]),
        milliseconds(used) / time.as_secs_f64()
    );
}

fn microseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1e6
}

fn milliseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}
