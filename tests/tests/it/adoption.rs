//! Whoever has a configuration with placeholders, and a script that fills them in, gives the sidecar that
//! very file.

use outrigger_tests::{Example, Up};

use crate::pods::{agdb, all_ready};

/// A file for three replicas as people have it; `INDEX` stands for what their script looks for.
const OWN: &str = r#"bind: :::3000
address: http://agdb-INDEX.agdb.default.svc.cluster.local:3000
basepath: ""
static_roots: []
admin: admin
log_level: INFO
data_dir: /agdb/data
pepper_path: /agdb/pepper/pepper
cluster_token: a-token-of-their-own
cluster_heartbeat_timeout_ms: 1000
cluster_term_timeout_ms: 3000
cluster: [http://agdb-0.agdb.default.svc.cluster.local:3000, http://agdb-1.agdb.default.svc.cluster.local:3000, http://agdb-2.agdb.default.svc.cluster.local:3000]
"#;

/// Demands that agdb becomes a cluster with the file as it is, given to the sidecar with these keys.
async fn becomes_a_cluster(placeholder: &str, keys: &str) {
    let example = Example::copy("agdb");
    example.write("agdb_server.yaml", OWN.replace("INDEX", placeholder));
    let template = "    - template: agdb_server.yaml\n";
    example.edit("outrigger.yaml", template, &format!("{template}{keys}"));
    example.edit("outrigger.yaml", "data-path: server", "data-path: ''");
    let up = Up::start(example.path(), &[]).await;
    let replicas = all_ready(&up, 3).await;

    let members = agdb(&replicas[0]).cluster().await.unwrap();
    let told: Vec<(&str, bool)> = members
        .iter()
        .map(|member| (member.address.as_str(), member.status))
        .collect();
    assert_eq!(
        told,
        [
            ("http://agdb-0.agdb.default.svc.cluster.local:3000", true),
            ("http://agdb-1.agdb.default.svc.cluster.local:3000", true),
            ("http://agdb-2.agdb.default.svc.cluster.local:3000", true),
        ]
    );
}

#[tokio::test]
async fn a_file_with_a_variable_for_the_ordinal_is_taken_unchanged() {
    becomes_a_cluster(
        "${AGDB_REPLICA_INDEX}",
        "      syntax: env\n      values: {AGDB_REPLICA_INDEX: \"{{ self.ordinal }}\"}\n",
    )
    .await;
}

#[tokio::test]
async fn a_file_with_the_ordinal_in_braces_is_taken_unchanged() {
    becomes_a_cluster("{id}", "      syntax: placeholders\n").await;
}
