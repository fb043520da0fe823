//! Tests with a kubelet: real pods, injected by the webhook in its own pods, with real agdb servers.

mod account;
mod api_server;
mod client;
mod dns;
mod edits;
mod leader;
mod life;
mod neighbours;
mod ordinals;
mod plugin;
mod replicas;
mod roll;
mod stops;
mod webhook;
mod without;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use libtest_mimic::Trial;

use crate::cluster::Cluster;
use crate::installation::NAMESPACE;
use crate::scene::{Scene, trial};

/// Time for pods to come, a loaded machine included.
const READY: Duration = Duration::from_mins(3);

/// Gives the node the images and installs the webhook, as a user of a development cluster does.
pub(crate) fn prepare(cluster: &Arc<Cluster>, images: &[PathBuf]) -> Result<(), String> {
    cluster.load(images)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| error.to_string())?;
    runtime.block_on(install(cluster))
}

async fn install(cluster: &Arc<Cluster>) -> Result<(), String> {
    let scene = Scene::of(cluster, "prepare");
    for args in [
        &["apply", "-k", "manifests/overlays/dev"][..],
        &[
            "rollout",
            "status",
            "deployment/outrigger-webhook",
            "-n",
            NAMESPACE,
            "--timeout=120s",
        ],
    ] {
        let said = scene.kubectl(args).await;
        if !said.success {
            return Err(said.stderr);
        }
    }
    Ok(())
}

/// All of them.
pub(crate) fn trials(cluster: &Arc<Cluster>) -> Vec<Trial> {
    vec![
        trial(
            cluster,
            "a_rollout_stops_each_replica_in_order_and_no_client_sees_it",
            life::rollout,
        ),
        trial(
            cluster,
            "the_same_rollout_without_a_sidecar_kills_each_replica",
            without::rollout,
        ),
        trial(
            cluster,
            "a_roll_goes_through_evictions_and_goes_on_after_it_was_ended",
            roll::through_evictions,
        ),
        trial(
            cluster,
            "a_drained_node_keeps_the_budget_and_its_replicas_stop_in_order",
            roll::drained_node,
        ),
        trial(
            cluster,
            "the_leaders_service_follows_the_leader",
            leader::service,
        ),
        trial(
            cluster,
            "a_scale_is_seen_by_the_replicas_that_run",
            life::scale,
        ),
        trial(
            cluster,
            "a_sidecar_that_is_killed_comes_back_and_its_workload_goes_on",
            life::killed_sidecar,
        ),
        trial(
            cluster,
            "a_workload_that_is_killed_starts_again_beside_its_sidecar",
            life::killed_workload,
        ),
        trial(
            cluster,
            "a_pod_deleted_in_the_middle_of_a_rollout_does_not_end_it",
            life::deleted_mid_rollout,
        ),
        trial(
            cluster,
            "replicas_are_counted_from_five_and_their_claims_outlive_a_scale",
            ordinals::from_five,
        ),
        trial(
            cluster,
            "two_stateful_sets_with_their_own_plugins_do_not_see_each_other",
            neighbours::two_plugins,
        ),
        trial(
            cluster,
            "a_plugin_in_a_config_map_is_replaced_without_a_restart",
            plugin::replaced,
        ),
        trial(
            cluster,
            "a_pod_runs_as_a_user_that_no_image_knows",
            account::strange_user,
        ),
        trial(
            cluster,
            "a_workload_waits_on_a_node_that_cannot_get_the_sidecars_image",
            account::first_pull,
        ),
        trial(cluster, "replicas_serve_on_while_dns_is_away", dns::away),
        trial(
            cluster,
            "an_edited_config_map_is_acted_on_and_a_broken_one_is_refused",
            edits::config_map,
        ),
        trial(
            cluster,
            "labelled_pods_wait_for_a_webhook_that_is_away_and_no_others_do",
            webhook::away,
        ),
        trial(
            cluster,
            "replicas_serve_on_while_the_api_server_is_away",
            api_server::away,
        ),
    ]
}
