//! The same servers as people run them without a sidecar, to see what it changes.

use std::time::Duration;

use tokio::time::Instant;

use super::life::rolled;
use super::replicas::serving;
use crate::scene::Scene;

/// A script as process 1 that puts the ordinal into the configuration, and a probe of what always answers.
const MANIFESTS: &str = r#"
apiVersion: v1
kind: Service
metadata: {name: agdb}
spec:
  clusterIP: None
  publishNotReadyAddresses: true
  selector: {app: agdb}
  ports: [{name: api, port: 3000}]
---
apiVersion: v1
kind: ConfigMap
metadata: {name: agdb}
data:
  pepper: "0123456789abcdef"
  start.sh: |
    sed "s/{id}/${HOSTNAME##*-}/" /start/agdb_server.yaml > /agdb/agdb_server.yaml
    cd /agdb
    agdb_server
  agdb_server.yaml: |
    bind: 0.0.0.0:3000
    address: http://agdb-{id}.agdb.NAMESPACE.svc.cluster.local:3000
    admin: admin
    log_level: INFO
    data_dir: /agdb/data/server
    pepper_path: /start/pepper
    cluster_token: example
    cluster_heartbeat_timeout_ms: 1000
    cluster_term_timeout_ms: 3000
    cluster: [http://agdb-0.agdb.NAMESPACE.svc.cluster.local:3000, http://agdb-1.agdb.NAMESPACE.svc.cluster.local:3000, http://agdb-2.agdb.NAMESPACE.svc.cluster.local:3000]
---
apiVersion: apps/v1
kind: StatefulSet
metadata: {name: agdb}
spec:
  serviceName: agdb
  replicas: 3
  podManagementPolicy: Parallel
  selector: {matchLabels: {app: agdb}}
  template:
    metadata: {labels: {app: agdb}}
    spec:
      terminationGracePeriodSeconds: 30
      securityContext: {runAsUser: 1000, runAsGroup: 1000, fsGroup: 1000}
      containers:
        - name: agdb
          image: agdb-scripted:test
          command: [/bin/sh, /start/start.sh]
          ports: [{name: api, containerPort: 3000}]
          env: [{name: PATH, value: "/usr/local/bin:/bin"}]
          readinessProbe: {httpGet: {path: /api/v1/status, port: 3000}, periodSeconds: 1}
          volumeMounts:
            - {name: start, mountPath: /start}
            - {name: work, mountPath: /agdb}
            - {name: data, mountPath: /agdb/data}
            - {name: tmp, mountPath: /tmp}
      volumes:
        - {name: start, configMap: {name: agdb}}
        - {name: work, emptyDir: {}}
        - {name: tmp, emptyDir: {}}
  volumeClaimTemplates:
    - metadata: {name: data}
      spec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Gi}}}
"#;

pub(super) async fn rollout(scene: Scene) {
    scene.make_namespace().await;
    let began = Instant::now();
    let manifests = MANIFESTS.replace("NAMESPACE", &scene.namespace);
    scene.apply(&manifests).await;
    let before = serving(&scene, 3).await;
    eprintln!("three are ready after {:?}", began.elapsed());
    let (stops, _) = rolled(&scene, &before, 1).await;
    for (pod, stop) in &stops.took {
        assert!(
            *stop > Duration::from_secs(25),
            "{pod} heeds SIGTERM now: {stop:?}"
        );
    }
    scene.end_namespace().await;
}
