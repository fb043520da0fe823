//! A client of the example from outside of the cluster, through whichever replicas are ready.

use std::time::Duration;

use outrigger_tests::{Agdb, eventually};
use tokio::time::Instant;

use super::READY;
use crate::scene::Scene;

/// Reaches the ready replicas at a port of the node.
const SERVICE: &str = "apiVersion: v1\nkind: Service\nmetadata: {name: agdb-ready}\n\
    spec: {type: NodePort, selector: {app: agdb}, ports: [{port: 3000, targetPort: api}]}\n";
/// How long one write may take: a new leader is there before that.
const WRITE: Duration = Duration::from_secs(10);
/// Between two writes.
const PACE: Duration = Duration::from_millis(100);

/// A write that failed.
#[derive(Debug)]
pub(super) struct Failed {
    /// When it was begun.
    pub(super) at: Instant,
    /// What came instead of success.
    #[expect(dead_code, reason = "a failed test shows it")]
    pub(super) why: String,
}

/// One that writes one node after the other.
pub(super) struct Client {
    agdb: Agdb,
    pub(super) written: usize,
    pub(super) failed: Vec<Failed>,
}

impl Client {
    /// Logs in and makes a database.
    pub(super) async fn start(scene: &Scene) -> Self {
        scene.apply(SERVICE).await;
        let service = scene
            .get(&["service/agdb-ready", "-n", &scene.namespace])
            .await;
        let port = &service["spec"]["ports"][0]["nodePort"];
        let node = scene.get(&["node/node1"]).await;
        let addresses = node["status"]["addresses"].as_array().unwrap();
        let internal = addresses.iter().find(|it| it["type"] == "InternalIP");
        let address = format!("{}:{port}", internal.unwrap()["address"].as_str().unwrap());
        let agdb = Agdb::at(&address).within(WRITE);
        let agdb = eventually(READY, "a client can log in", async || agdb.login().await).await;
        agdb.create("writes").await.unwrap();
        Self {
            agdb,
            written: 0,
            failed: Vec::new(),
        }
    }

    /// Writes without an end.
    pub(super) async fn write(&mut self) {
        let mut pace = tokio::time::interval(PACE);
        loop {
            pace.tick().await;
            let at = Instant::now();
            let alias = format!("n{}", self.written + self.failed.len());
            match self.agdb.insert("writes", &alias, "value").await {
                Ok(()) => self.written += 1,
                Err(error) => self.failed.push(Failed {
                    at,
                    why: error.to_string(),
                }),
            }
        }
    }
}
