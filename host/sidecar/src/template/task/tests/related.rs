//! Files that are made of another StatefulSet's replicas.

use outrigger_peers::Identity;

use super::*;

const LIST: &str =
    "{{ related.servers.replicas | hosts | join(',') }} of {{ related.servers.desired }}\n";

/// A pod whose file lists the replicas of the StatefulSet `store`.
fn listing(template: &str) -> Pod {
    let pod = pod("keep-last");
    pod.loaded.send_modify(|loaded| {
        let with = Arc::make_mut(loaded);
        with.templates
            .insert("db.conf".to_owned(), template.to_owned());
        let servers = outrigger_profile::Related {
            stateful_set: "store".to_owned(),
            service: "store".to_owned(),
            port: None,
            replicas: None,
        };
        let profile = Arc::make_mut(&mut with.profile);
        profile.related.insert("servers".to_owned(), servers);
    });
    pod.unknown("the StatefulSet `store` has not been read yet");
    pod
}

impl Pod {
    fn unknown(&self, why: &str) {
        let unknown = RelatedSet::Unknown(why.to_owned());
        let sets = RelatedSets::from([("servers".to_owned(), unknown)]);
        self.related.send_replace(Arc::new(sets));
    }

    fn servers(&self, desired: u32) {
        let identity = Identity {
            stateful_set: "store".into(),
            service: "store".into(),
            ..self.peers.borrow().identity.clone()
        };
        let set = PeerSet::expected(identity, Ordinal(0), desired);
        let known = RelatedSet::Known(Arc::new(set));
        let sets = RelatedSets::from([("servers".to_owned(), known)]);
        self.related.send_replace(Arc::new(sets));
    }
}

fn hosts(count: u32) -> String {
    let all: Vec<String> = (0..count)
        .map(|ordinal| format!("store-{ordinal}.store.default.svc.cluster.local"))
        .collect();
    format!("{} of {count}\n", all.join(","))
}

#[tokio::test(start_paused = true)]
async fn files_wait_for_related_replicas_and_follow_them() {
    let pod = listing(LIST);
    let mut running = pod.run();
    let waits = "the replicas of `related.servers` are not known yet: the StatefulSet `store` has not been read yet";
    let held = |state: &Arc<FilesState>| state.gate == Gate::Waiting(waits.to_owned());
    running.state.wait_for(held).await.unwrap();
    assert_eq!(running.state.borrow().renders, 0, "nothing is guessed");
    assert!(
        pod.told()
            .contains(&format!("files are not rendered yet: {waits}"))
    );
    pod.servers(3);
    running.until_set(1).await;
    assert_eq!(pod.file(), hosts(3));
    pod.servers(5);
    running.until_set(2).await;
    assert_eq!(pod.file(), hosts(5));
}

#[tokio::test(start_paused = true)]
async fn a_file_waits_for_related_replicas_that_only_its_own_names_use() {
    let pod = listing("${SERVERS}\n");
    pod.loaded.send_modify(|loaded| {
        let file = &mut Arc::make_mut(&mut Arc::make_mut(loaded).profile).files[0];
        file.syntax = outrigger_profile::Syntax::Env;
        let value = LIST.trim_end().to_owned();
        file.values.insert("SERVERS".to_owned(), value);
    });
    let mut running = pod.run();
    let names_them = |state: &Arc<FilesState>| matches!(&state.gate, Gate::Waiting(why) if why.contains("`related.servers`"));
    let held = running.state.wait_for(names_them);
    let held = tokio::time::timeout(Duration::from_mins(1), held).await;
    drop(held.expect("it waits for the servers").unwrap());
    assert_eq!(running.state.borrow().refused, 0);
    pod.servers(3);
    running.until_set(1).await;
    assert_eq!(pod.file(), hosts(3));
}

#[tokio::test(start_paused = true)]
async fn a_file_without_related_replicas_waits_for_none() {
    let pod = listing("{{ replicas | length }}\n");
    let mut running = pod.run();
    running.until_set(1).await;
    assert_eq!(pod.file(), "2\n");
}

#[tokio::test(start_paused = true)]
async fn what_is_rendered_stands_after_a_restart_until_the_related_replicas_are_known_again() {
    let pod = listing(LIST);
    pod.servers(3);
    let mut running = pod.run();
    running.until_set(1).await;
    running.shutdown.trigger("the test");
    running.task.await.unwrap();
    pod.unknown("the API server did not answer");
    let mut running = pod.run();
    running
        .state
        .wait_for(|state| state.gate.is_ready())
        .await
        .unwrap();
    assert_eq!(pod.file(), hosts(3));
    pod.servers(4);
    running.until_set(2).await;
    assert_eq!(pod.file(), hosts(4));
}

impl Running {
    async fn until_set(&mut self, set: u64) {
        let stands = |state: &Arc<FilesState>| state.set == Some(set);
        let found = tokio::time::timeout(Duration::from_mins(1), self.state.wait_for(stands)).await;
        let found = found.map(|state| drop(state.unwrap()));
        found.unwrap_or_else(|_| panic!("set {set} never came: {:?}", self.state.borrow()));
    }
}
