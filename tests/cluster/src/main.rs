//! Tests against a real Kubernetes: manifests, rights, admission, as users meet them by `kubectl` and
//! `helm`.
//!
//! `cargo xtask cluster` runs this program; it starts a cluster of its own with the script `cluster`
//! in this folder, and ends it. One test runs after the other, since an installation is the
//! cluster's. Where a test fails, what the cluster knows of it is saved (`evidence`).

#![expect(
    clippy::panic,
    clippy::unwrap_used,
    clippy::print_stderr,
    reason = "all of this is a test program, where a panic is the report"
)]

mod accepted;
mod admission;
mod api;
mod check;
mod cluster;
mod evidence;
mod golden;
mod injection;
mod installation;
mod kubectl;
mod node;
mod objects;
mod policy;
mod rendering;
mod rights;
mod rotation;
mod scene;
mod sidecar_policy;
mod traffic;
mod webhook;

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use libtest_mimic::{Arguments, Trial};

use crate::cluster::Cluster;
use crate::scene::trial;

/// `[--node --image FILE… --] [libtest's arguments]`: with a node, the tests that need one.
struct Asked {
    node: bool,
    images: Vec<PathBuf>,
    tests: Arguments,
}

impl Asked {
    fn read() -> Self {
        let mut all: Vec<OsString> = std::env::args_os().collect();
        let node = all.get(1).is_some_and(|first| first == "--node");
        let end = all.iter().position(|arg| arg == "--");
        let own: Vec<OsString> = match end {
            Some(end) if node => all.drain(1..=end).collect(),
            _ => Vec::new(),
        };
        let images = own
            .windows(2)
            .filter(|pair| pair[0] == "--image")
            .map(|pair| PathBuf::from(&pair[1]))
            .collect();
        let mut tests = Arguments::from_iter(all);
        tests.test_threads = Some(1);
        Self {
            node,
            images,
            tests,
        }
    }
}

fn main() -> ExitCode {
    let asked = Asked::read();
    let cluster = if asked.tests.list {
        Cluster::absent()
    } else {
        match Cluster::start(asked.node) {
            Ok(cluster) => cluster,
            Err(why) => {
                eprintln!("error: there is no cluster to test with: {why}");
                return ExitCode::FAILURE;
            }
        }
    };
    let cluster = Arc::new(cluster);
    let trials = if asked.node {
        if !asked.tests.list
            && let Err(why) = node::prepare(&cluster, &asked.images)
        {
            eprintln!("error: the node has no webhook to test with: {why}");
            return ExitCode::FAILURE;
        }
        node::trials(&cluster)
    } else {
        control_plane(&cluster)
    };
    let conclusion = libtest_mimic::run(&asked.tests, trials);
    // Ends the cluster: the trials, which share it, are gone.
    drop(cluster);
    conclusion.exit_code()
}

/// What needs no pod to run.
fn control_plane(cluster: &Arc<Cluster>) -> Vec<Trial> {
    vec![
        trial(
            cluster,
            "kustomize_and_helm_render_the_same_objects",
            rendering::same_objects,
        ),
        trial(
            cluster,
            "the_chart_is_clean_and_refuses_wrong_values",
            rendering::chart,
        ),
        trial(
            cluster,
            "the_api_server_takes_every_manifest_without_a_warning",
            installation::every_manifest,
        ),
        trial(
            cluster,
            "what_the_webhook_wrote_survives_another_apply",
            installation::apply_twice,
        ),
        trial(
            cluster,
            "helm_installs_upgrades_and_removes_without_a_trace",
            installation::helm,
        ),
        trial(
            cluster,
            "the_webhook_may_do_what_it_needs_and_no_more",
            rights::webhook,
        ),
        trial(
            cluster,
            "only_labelled_pods_of_stateful_sets_wait_for_the_webhook",
            admission::asked_about,
        ),
        trial(
            cluster,
            "a_sidecar_may_label_its_own_pod_and_nothing_else",
            sidecar_policy::own_label,
        ),
        trial(
            cluster,
            "the_api_server_accepts_every_patched_pod",
            accepted::every_patched_pod,
        ),
        trial(
            cluster,
            "the_examples_pods_come_as_their_golden_or_say_why_not",
            injection::example,
        ),
        trial(
            cluster,
            "policies_inject_without_a_webhook",
            policy::without_a_webhook,
        ),
        trial(
            cluster,
            "check_tells_faults_and_what_mends_them",
            check::installation,
        ),
        trial(
            cluster,
            "certificates_rotate_under_traffic_and_no_pod_is_lost",
            rotation::of_certificates,
        ),
        trial(
            cluster,
            "replicas_are_replaced_under_traffic_and_no_pod_is_lost",
            rotation::of_replicas,
        ),
    ]
}
