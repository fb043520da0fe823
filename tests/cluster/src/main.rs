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
mod objects;
mod policy;
mod rendering;
mod rights;
mod rotation;
mod scene;
mod sidecar_policy;
mod traffic;
mod webhook;

use std::process::ExitCode;
use std::sync::Arc;

use libtest_mimic::Arguments;

use crate::cluster::Cluster;
use crate::scene::trial;

fn main() -> ExitCode {
    let mut arguments = Arguments::from_args();
    arguments.test_threads = Some(1);
    let cluster = if arguments.list {
        Cluster::absent()
    } else {
        match Cluster::start() {
            Ok(cluster) => cluster,
            Err(why) => {
                eprintln!("error: there is no cluster to test with: {why}");
                return ExitCode::FAILURE;
            }
        }
    };
    let cluster = Arc::new(cluster);
    let trials = vec![
        trial(
            &cluster,
            "kustomize_and_helm_render_the_same_objects",
            rendering::same_objects,
        ),
        trial(
            &cluster,
            "the_chart_is_clean_and_refuses_wrong_values",
            rendering::chart,
        ),
        trial(
            &cluster,
            "the_api_server_takes_every_manifest_without_a_warning",
            installation::every_manifest,
        ),
        trial(
            &cluster,
            "what_the_webhook_wrote_survives_another_apply",
            installation::apply_twice,
        ),
        trial(
            &cluster,
            "helm_installs_upgrades_and_removes_without_a_trace",
            installation::helm,
        ),
        trial(
            &cluster,
            "the_webhook_may_do_what_it_needs_and_no_more",
            rights::webhook,
        ),
        trial(
            &cluster,
            "only_labelled_pods_of_stateful_sets_wait_for_the_webhook",
            admission::asked_about,
        ),
        trial(
            &cluster,
            "a_sidecar_may_label_its_own_pod_and_nothing_else",
            sidecar_policy::own_label,
        ),
        trial(
            &cluster,
            "the_api_server_accepts_every_patched_pod",
            accepted::every_patched_pod,
        ),
        trial(
            &cluster,
            "the_examples_pods_come_as_their_golden_or_say_why_not",
            injection::example,
        ),
        trial(
            &cluster,
            "policies_inject_without_a_webhook",
            policy::without_a_webhook,
        ),
        trial(
            &cluster,
            "check_tells_faults_and_what_mends_them",
            check::installation,
        ),
        trial(
            &cluster,
            "certificates_rotate_under_traffic_and_no_pod_is_lost",
            rotation::of_certificates,
        ),
        trial(
            &cluster,
            "replicas_are_replaced_under_traffic_and_no_pod_is_lost",
            rotation::of_replicas,
        ),
    ];
    let conclusion = libtest_mimic::run(&arguments, trials);
    // Ends the cluster: the trials, which share it, are gone.
    drop(cluster);
    conclusion.exit_code()
}
