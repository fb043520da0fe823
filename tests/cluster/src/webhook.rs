//! `outrigger webhook` as processes of this machine, which the cluster's API server reaches through the
//! Service of the manifests: there is no node to run the Deployment's pods.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use outrigger_tests::{Http, eventually, outrigger};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::process::{Child, Command};

use crate::installation::NAMESPACE;
use crate::scene::Scene;

/// The first replica's ports for reviews and for probes; the others' follow.
const PORTS: (u16, u16) = (8443, 7071);
/// The file with what they may.
const KUBECONFIG: &str = "kubeconfig";

/// The replicas of the Deployment. Their logs are evidence.
pub(crate) struct Webhooks {
    replicas: Vec<Child>,
    options: Vec<String>,
    /// Where their kubeconfig is.
    folder: TempDir,
    /// This machine, as the cluster sees it.
    address: String,
    evidence: PathBuf,
}

impl Webhooks {
    /// Starts some, with the rights of the webhook's account and no others and with these options beside
    /// those that say where they are, and waits until each of them is ready.
    pub(crate) async fn start(scene: &Scene, count: u16, options: &[&str]) -> Self {
        let (config, address) = account(scene).await;
        let mut webhooks = Self {
            replicas: Vec::new(),
            options: options.iter().map(|&option| option.to_owned()).collect(),
            folder: tempfile::tempdir().unwrap(),
            address,
            evidence: scene.evidence.clone(),
        };
        fs::write(webhooks.folder.path().join(KUBECONFIG), config.to_string()).unwrap();
        fs::create_dir_all(&webhooks.evidence).unwrap();
        for number in 0..count {
            drop(fs::remove_file(log(&webhooks.evidence, number)));
            let replica = webhooks.spawn(number);
            webhooks.replicas.push(replica);
        }
        for number in 0..count {
            webhooks.is_ready(number).await;
            webhooks.tell_endpoint(scene, number, true).await;
        }
        webhooks.are_asked(scene).await;
        webhooks
    }

    fn spawn(&self, number: u16) -> Child {
        let log = fs::File::options()
            .create(true)
            .append(true)
            .open(log(&self.evidence, number))
            .unwrap();
        let place = |port: u16| format!("{}:{}", self.address, port + number);
        Command::new(outrigger())
            .arg("webhook")
            .args(["--listen", &place(PORTS.0)])
            .args(["--metrics", &place(PORTS.1)])
            .args(&self.options)
            .env("KUBECONFIG", self.folder.path().join(KUBECONFIG))
            .env("POD_NAMESPACE", NAMESPACE)
            .env("POD_NAME", format!("outrigger-webhook-{number}"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .kill_on_drop(true)
            .spawn()
            .unwrap()
    }

    async fn is_ready(&self, number: u16) {
        eventually(
            Duration::from_mins(1),
            "the webhook is ready",
            async || match self.admin(number).get("/ready").await {
                Ok(answer) if answer.status == 200 => Ok(()),
                Ok(answer) => Err(format!("{}\n{}", answer.text(), self.log(number))),
                Err(error) => Err(format!("{error}\n{}", self.log(number))),
            },
        )
        .await;
    }

    /// Tells the cluster whether a replica is ready: one slice each, since their ports differ.
    async fn tell_endpoint(&self, scene: &Scene, number: u16, ready: bool) {
        let slice = format!(
            "apiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\n\
             metadata:\n  name: outrigger-webhook-test-{number}\n  namespace: {NAMESPACE}\n\
             \x20 labels: {{kubernetes.io/service-name: outrigger-webhook}}\n\
             addressType: IPv4\nports: [{{name: webhook, port: {}, protocol: TCP}}]\n\
             endpoints: [{{addresses: [\"{}\"], conditions: {{ready: {ready}}}}}]\n",
            PORTS.0 + number,
            self.address
        );
        scene.kubectl_with(&["apply", "-f", "-"], &slice).await.ok();
    }

    /// Puts a new one in the place of each, one after the other, as a Deployment that is updated does: the
    /// one that goes is told to end while the cluster still hears of it.
    pub(crate) async fn replace_all(&mut self, scene: &Scene) {
        for number in 0..u16::try_from(self.replicas.len()).unwrap() {
            let index = usize::from(number);
            let pid = self.replicas[index].id().unwrap().to_string();
            let told = Command::new("kill").args(["-TERM", &pid]).status().await;
            assert!(told.unwrap().success());
            self.tell_endpoint(scene, number, false).await;
            let status = self.replicas[index].wait().await.unwrap();
            assert!(status.success(), "{status}: {}", self.log(number));
            self.replicas[index] = self.spawn(number);
            self.is_ready(number).await;
            self.tell_endpoint(scene, number, true).await;
        }
    }

    /// Waits until the API server, which hears of configurations and endpoints a moment after they are
    /// written, asks one of them.
    async fn are_asked(&self, scene: &Scene) {
        let mut pod = json!({
            "apiVersion": "v1", "kind": "Pod",
            "metadata": {
                "name": "asked-0",
                "labels": {"outrigger.dev/inject": "true"},
                "annotations": {"outrigger.dev/asked": ""},
            },
            "spec": {"containers": [{"name": "main", "image": "none"}]},
        });
        pod["metadata"]["ownerReferences"] = json!([
            {"apiVersion": "apps/v1", "kind": "StatefulSet", "name": "asked", "uid": "0", "controller": true}
        ]);
        let args = ["create", "--dry-run=server", "-n", "default", "-f", "-"];
        let pod = pod.to_string();
        eventually(
            Duration::from_mins(1),
            "the webhook is asked about pods",
            async || {
                let said = scene.kubectl_with(&args, &pod).await;
                if said.stderr.contains("denied the request") {
                    Ok(())
                } else {
                    Err(said.stdout + &said.stderr + &self.log(0))
                }
            },
        )
        .await;
    }

    /// The port for probes and metrics of one of them.
    fn admin(&self, number: u16) -> Http {
        Http::tcp(&format!("{}:{}", self.address, PORTS.1 + number))
    }

    /// A metric, added up over all of them.
    pub(crate) async fn metric(&self, line: &str) -> u64 {
        let mut sum = 0;
        for number in 0..u16::try_from(self.replicas.len()).unwrap() {
            let answer = self.admin(number).get("/metrics").await.unwrap();
            let found = answer.text().lines().find_map(|text| {
                let rest = text.strip_prefix(line)?;
                rest.trim().parse::<u64>().ok()
            });
            sum += found.unwrap_or(0);
        }
        sum
    }

    /// What one of them wrote.
    pub(crate) fn log(&self, number: u16) -> String {
        fs::read_to_string(log(&self.evidence, number)).unwrap_or_default()
    }

    /// The lines of all logs, each of which is an event in JSON.
    pub(crate) fn events(&self) -> Vec<Value> {
        let logs = (0..u16::try_from(self.replicas.len()).unwrap()).map(|number| self.log(number));
        logs.collect::<String>()
            .lines()
            .filter_map(|line| serde_json::from_str(line).ok())
            .collect()
    }

    /// Ends all of them, as a kubelet does that has no patience.
    pub(crate) async fn end(&mut self) {
        for replica in &mut self.replicas {
            replica.kill().await.unwrap();
        }
    }
}

fn log(evidence: &Path, number: u16) -> PathBuf {
    evidence.join(format!("webhook-{number}.log"))
}

/// A kubeconfig with the token of the webhook's account, and this machine's address on the cable to
/// the cluster.
async fn account(scene: &Scene) -> (Value, String) {
    let config = scene
        .kubectl(&["config", "view", "--raw", "-o", "json"])
        .await
        .ok();
    let mut config: Value = serde_json::from_str(&config).unwrap();
    let token = scene
        .kubectl(&["create", "token", "outrigger-webhook", "-n", NAMESPACE])
        .await
        .ok();
    config["users"][0]["user"] = json!({ "token": token.trim_end() });
    let server = config["clusters"][0]["cluster"]["server"].as_str().unwrap();
    // https://10.89.SLOT.2:6443, where this machine is 10.89.SLOT.1.
    let host = server
        .trim_start_matches("https://")
        .split(':')
        .next()
        .unwrap();
    let cable = host.rsplit_once('.').unwrap().0;
    let address = format!("{cable}.1");
    (config, address)
}
