//! Rendered variables, which a plugin sees beside the files.

use outrigger_profile::EnvValue;

use super::*;

/// A pod with the variables `CLUSTER`, of two lines, and `NODE`.
fn pod_with(node: &str) -> Pod {
    let pod = pod("keep-last");
    pod.loaded.send_replace(variables(node, 2));
    pod
}

fn variables(node: &str, revision: u32) -> Arc<Loaded> {
    let mut loaded = loaded(TEMPLATE, "keep-last", revision);
    let with = Arc::make_mut(&mut loaded);
    let profile = Arc::make_mut(&mut with.profile);
    for (name, template) in [("CLUSTER", "one\ntwo"), ("NODE", node)] {
        let template = template.to_owned();
        profile.env.insert(name.to_owned(), EnvValue { template });
    }
    with.digest = crate::reload::read::digest([("node", node.as_bytes())]);
    loaded
}

impl Pod {
    fn env(&self) -> String {
        std::fs::read_to_string(self.root.path().join("run/current/env")).unwrap()
    }
}

#[tokio::test]
async fn a_variable_that_the_plugin_refuses_is_named_and_the_old_set_stands() {
    const STANDS: &str = "CLUSTER='one\ntwo'\nNODE='db-0'\n";
    let pod = pod_with("{{ self.name }}");
    let mut running = pod.run();
    running.until(|state| state.gate.is_ready()).await;
    assert_eq!(pod.env(), STANDS);
    pod.loaded.send_replace(variables("", 3));
    let state = running.until(|state| state.refusal.is_some()).await;
    assert_eq!(
        state.refusal.as_ref().unwrap().findings.to_string(),
        "error: outrigger.yaml: spec.env.NODE: the value is empty\n  hint: write the pod's name"
    );
    assert_eq!((state.set, pod.env().as_str()), (Some(1), STANDS));
    pod.loaded.send_replace(variables("db-9", 4));
    let state = running.until(|state| state.refusal.is_none()).await;
    assert_eq!(state.set, Some(2));
    assert!(pod.env().ends_with("NODE='db-9'\n"), "{}", pod.env());
    running.end().await;
}
