//! Configurations with which agdb would do harm are refused before it starts, each with what to do.

use std::fmt::Write as _;
use std::path::Path;
use std::time::Duration;

use insta::assert_snapshot;
use outrigger_tests::{Example, Up, eventually};
use serde_json::Value;

/// Time for a sidecar to start and to render.
const SOON: Duration = Duration::from_secs(30);

/// What the sidecars of the first `count` replicas refuse, once each has refused something.
async fn refused(up: &Up, count: usize) -> String {
    let mut told = String::new();
    for ordinal in 0..count {
        let pod = format!("agdb-{ordinal}");
        let findings = eventually(SOON, "a render is refused", async || {
            if up.sidecar_sockets().len() < count {
                return Err(up.stderr());
            }
            let status = up.sidecar(&pod).get("/status").await;
            let status: Value = status.map_err(|error| error.to_string())?.json();
            let findings = status["files"]["refused"].as_array().cloned();
            match findings.filter(|findings| !findings.is_empty()) {
                Some(findings) => Ok(findings),
                None => Err(status.to_string()),
            }
        })
        .await;
        writeln!(told, "{pod}").unwrap();
        for finding in findings {
            writeln!(told, "{}", finding.as_str().unwrap()).unwrap();
        }
    }
    told
}

/// Demands that no agdb runs, that none has run, and that a user of `up` sees why.
async fn agdb_never_started(up: &Up, count: usize) {
    let programs = up.programs();
    let running = |name: &str| programs.iter().filter(|program| *program == name).count();
    assert_eq!(running("agdb_server"), 0, "{programs:?}");
    assert!(running("outrigger") > count, "{programs:?}");

    let pods = eventually(SOON, "`ps` says what to do", async || {
        let ps = up.ps().await?;
        let pods = ps["stateful-sets"][0]["pods"].as_array().cloned();
        let pods = pods.unwrap_or_default();
        let advised = |pod: &&Value| pod["reasons"].to_string().contains("hint: ");
        if pods.iter().filter(advised).count() == count {
            Ok(pods)
        } else {
            Err(ps.to_string())
        }
    })
    .await;
    for pod in pods {
        assert_eq!(pod["phase"], "starting", "{pod}");
        assert_eq!(pod["restarts"], 0, "{pod}");
        let name = pod["name"].as_str().unwrap();
        let claims = up.state().join("default/agdb/claims");
        let claim = claims.join(format!("data-{name}"));
        assert!(claim.is_dir(), "{}", claim.display());
        let written = claim.join("server");
        assert!(!written.exists(), "agdb wrote {}", written.display());
    }
    let logs = up.command(&["logs"]).await.success();
    assert!(logs.contains(" outrigger │ "), "{logs}");
    assert!(!logs.contains(" agdb │ "), "{logs}");
}

/// Says whose data a volume holds, as the plugin does.
fn mark(state: &Path, replica: u32, ordinal: u32) {
    let claim = state.join(format!("default/agdb/claims/data-agdb-{replica}"));
    std::fs::create_dir_all(&claim).unwrap();
    let marker = serde_json::json!({"service": "agdb", "ordinal": ordinal, "index": ordinal, "joined": true});
    std::fs::write(claim.join(".outrigger-identity"), marker.to_string()).unwrap();
}

#[tokio::test]
async fn each_wrong_configuration_is_refused_before_agdb_starts() {
    let example = Example::copy("agdb");
    // Each replica has a fault of its own; the last one's is in its volume.
    example.edit(
        "agdb_server.yaml",
        "address: {{ plugin.address }}",
        "address: {{ plugin.address | replace('agdb-2', 'agdb-1') | replace('agdb-3.', '{id}.') }}",
    );
    example.edit(
        "agdb_server.yaml",
        "cluster: {{ plugin.cluster }}",
        "{% if self.ordinal == 0 %}cluster: []\n\
         {% elif self.ordinal == 1 %}cluster: [{{ replicas[:2] | urls('http', 3000) | join(', ') }}]\n\
         {% elif self.ordinal == 4 %}cluster:\n{% for url in replicas[:2] | urls('http', 3000) %}  - {{ url }}\n{% endfor %}\
         {% else %}cluster: {{ plugin.cluster }}\n{% endif %}",
    );
    example.edit(
        "agdb_server.yaml",
        "log_level: INFO",
        "{% if self.ordinal == 5 %}log_levle{% else %}log_level{% endif %}: INFO",
    );
    let state = tempfile::tempdir().unwrap();
    mark(state.path(), 6, 2);
    let up = Up::start_with(example.path(), state, &["--replicas", "7"]).await;
    assert_snapshot!(refused(&up, 7).await, @r"
    agdb-0
    error: /agdb/agdb_server.yaml:13: `cluster` is empty: agdb would run as a server of its own, though 7 replicas are wanted
      hint: write `cluster: {{ plugin.cluster }}` and `address: {{ plugin.address }}`
    agdb-1
    error: /agdb/agdb_server.yaml:13: `cluster` has 2 of 7 replicas
      hint: write `cluster: {{ plugin.cluster }}` and `address: {{ plugin.address }}`
    agdb-2
    error: /agdb/agdb_server.yaml:3: http://agdb-1.agdb.default.svc.cluster.local:3000 stands at place 1 of `cluster`, and this replica's place is 2: it would take another's identity
      hint: write `cluster: {{ plugin.cluster }}` and `address: {{ plugin.address }}`
    agdb-3
    error: /agdb/agdb_server.yaml:3: `{id}` in `address` was not filled in, and agdb expands nothing itself
      hint: check the `syntax` of the template: jinja takes `{{ … }}`, placeholders `{id}`, env `${…}`
    agdb-4
    error: /agdb/agdb_server.yaml:13: `cluster` is empty: agdb would run as a server of its own, though 7 replicas are wanted
      hint: write `cluster: {{ plugin.cluster }}` and `address: {{ plugin.address }}`
    error: /agdb/agdb_server.yaml:14: agdb takes no block lists
      hint: write the list on one line: `cluster: [http://a:3000, http://b:3000]`
    error: /agdb/agdb_server.yaml:15: agdb takes no block lists
      hint: write the list on one line: `cluster: [http://a:3000, http://b:3000]`
    agdb-5
    error: /agdb/agdb_server.yaml:5: agdb has no key `log_levle`
      hint: did you mean `log_level`?
    agdb-6
    error: /agdb/agdb_server.yaml: the data folder is that of ordinal 2 and this is ordinal 6
      hint: give this replica its own volume; if the data shall be its own, remove `.outrigger-identity` from the volume `data`
    ");
    agdb_never_started(&up, 7).await;
}

#[tokio::test]
async fn a_pepper_that_has_not_16_bytes_is_refused_before_agdb_starts() {
    let example = Example::copy("agdb");
    example.edit(
        "kustomization.yaml",
        "pepper=0123456789abcdef",
        "pepper=0123456789",
    );
    let up = Up::start(example.path(), &["--replicas", "1"]).await;
    assert_snapshot!(refused(&up, 1).await, @r"
    agdb-0
    error: /agdb/agdb_server.yaml:9: the pepper has 10 bytes and agdb takes exactly 16
      hint: put exactly 16 bytes into the file; losing or changing it makes all passwords invalid
    ");
    agdb_never_started(&up, 1).await;
}
