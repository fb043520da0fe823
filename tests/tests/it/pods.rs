//! What the tests ask of a running `up`: which replicas are ready, who leads, where they answer.

use std::time::Duration;

use outrigger_tests::{Agdb, Up, eventually};
pub(crate) use outrigger_tests::{Pod, pods, probe, told};

/// From nothing to ready: agdb's own election takes up to four seconds, the rest is processes.
pub(crate) const READY: Duration = Duration::from_mins(1);

/// Waits until exactly `count` replicas exist, all are ready and one leads; gives them.
pub(crate) async fn all_ready(up: &Up, count: usize) -> Vec<Pod> {
    eventually(
        READY,
        &format!("{count} replicas are ready and one leads"),
        async || {
            let pods = pods(up).await?;
            let leaders = pods
                .iter()
                .filter(|pod| pod.role.as_deref() == Some("leader"))
                .count();
            if pods.len() == count && pods.iter().all(|pod| pod.ready) && leaders == 1 {
                Ok(pods)
            } else {
                Err(format!("{pods:?}"))
            }
        },
    )
    .await
}

/// The agdb server of a replica, as the user's shell reaches it.
pub(crate) fn agdb(pod: &Pod) -> Agdb {
    Agdb::at(&pod.address)
}

/// The one that leads.
pub(crate) fn leader(pods: &[Pod]) -> &Pod {
    pods.iter()
        .find(|pod| pod.role.as_deref() == Some("leader"))
        .expect("one leads")
}
