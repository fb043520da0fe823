//! The catalog against a stand-in for the API server.

use hyper::StatusCode;
use serde_json::{Value, json};

use super::*;
use outrigger_api_server::stand_in::StandIn;
use outrigger_api_server::{Notice, Reporter, events};

const SECOND: Duration = Duration::from_secs(1);

fn stateful_set(stand_in: &StandIn, name: &str, uid: &str, replicas: u32) {
    let object = json!({
        "metadata": {"namespace": "db", "name": name, "uid": uid},
        "spec": {"replicas": replicas, "serviceName": name, "template": {"spec": {"containers": []}}}
    });
    stand_in.put(
        &format!("/apis/apps/v1/namespaces/db/statefulsets/{name}"),
        object,
    );
}

fn config_map(stand_in: &StandIn, name: &str, data: &Value) {
    let object = json!({"metadata": {"namespace": "db", "name": name, "labels": {"outrigger.dev/profile": "true"}}, "data": data});
    stand_in.put(&format!("/api/v1/namespaces/db/configmaps/{name}"), object);
}

/// Follows the stand-in beside `drive`, until it ends.
async fn following<T>(
    stand_in: &StandIn,
    limits: CatalogLimits,
    drive: impl AsyncFnOnce(ClusterCatalog) -> T,
) -> T {
    let catalog = ClusterCatalog::new(limits);
    let shutdown = Shutdown::new();
    let run = catalog.clone().run(stand_in.api(), shutdown.clone());
    let drive = async {
        let result = drive(catalog).await;
        shutdown.trigger("test");
        result
    };
    tokio::join!(run, drive).1
}

#[tokio::test(start_paused = true)]
async fn what_is_there_comes_in_pages_and_then_each_change() {
    let stand_in = StandIn::new();
    for number in 0..120 {
        stateful_set(&stand_in, &format!("set-{number}"), "u", 3);
    }
    stand_in.put(
        "/api/v1/namespaces/db/services/agdb",
        json!({"metadata": {"namespace": "db", "name": "agdb"}, "spec": {"clusterIP": "None"}}),
    );
    config_map(
        &stand_in,
        "broken",
        &json!({"outrigger.yaml": "kind: Nothing", "t.yaml": "x"}),
    );
    let limits = CatalogLimits::default();
    following(&stand_in, limits, async |catalog| {
        assert_eq!(
            catalog.missing(),
            [
                "the configmaps are not known yet",
                "the statefulsets are not known yet",
                "the services are not known yet"
            ]
        );
        catalog.ready().await;
        assert_eq!(catalog.missing(), Vec::<String>::new());
        assert_eq!(catalog.status().map(|kind| kind.objects), [1, 120, 1]);
        let lists = stand_in
            .asked()
            .iter()
            .filter(|asked| *asked == "GET /apis/apps/v1/statefulsets")
            .count();
        assert_eq!(lists, 3, "pages of fifty");
        let profile = catalog.profile("db", "broken").unwrap();
        assert_eq!(
            (
                profile.profile.is_none(),
                profile.keys.len(),
                catalog.profiles_with_errors()
            ),
            (true, 2, 1)
        );
        assert!(catalog.service("db", "agdb").unwrap().headless);
        assert_eq!(catalog.stateful_set("other", "set-1"), None);

        stateful_set(&stand_in, "set-7", "u", 5);
        stand_in.delete("/apis/apps/v1/namespaces/db/statefulsets/set-8");
        tokio::time::sleep(SECOND).await;
        assert_eq!(catalog.stateful_set("db", "set-7").unwrap().replicas, 5);
        assert_eq!(catalog.stateful_set("db", "set-8"), None);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_kind_that_may_not_be_listed_is_told_with_the_reason() {
    let stand_in = StandIn::new();
    stand_in.refuse("/apis/apps", StatusCode::FORBIDDEN);
    following(&stand_in, CatalogLimits::default(), async |catalog| {
        tokio::time::sleep(SECOND / 10).await;
        assert_eq!(
            catalog.missing(),
            ["the statefulsets are not known yet (the API server answered 403: as the test says)"]
        );
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn what_went_away_while_the_watch_was_gone_is_noticed() {
    let stand_in = StandIn::new();
    stateful_set(&stand_in, "kept", "u", 1);
    stateful_set(&stand_in, "gone", "u", 1);
    following(&stand_in, CatalogLimits::default(), async |catalog| {
        catalog.ready().await;
        tokio::time::sleep(10 * SECOND).await;
        stand_in.refuse("/apis/apps", StatusCode::SERVICE_UNAVAILABLE);
        stand_in.forget();
        stand_in.delete("/apis/apps/v1/namespaces/db/statefulsets/gone");
        tokio::time::sleep(SECOND / 10).await;
        let status = catalog.status()[1].clone();
        let trouble = "the API server answered 503: as the test says";
        assert_eq!(
            (status.trouble.as_deref(), status.objects),
            (Some(trouble), 2),
            "unknown is not absent"
        );
        tokio::time::sleep(10 * SECOND).await;
        assert!(catalog.stateful_set("db", "kept").is_some());
        assert_eq!(catalog.stateful_set("db", "gone"), None);
        let status = catalog.status()[1].clone();
        assert_eq!(
            (status.trouble, status.lists, status.failures),
            (None, 2, 1)
        );
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_watch_that_died_without_a_word_is_given_up_and_seen() {
    let stand_in = StandIn::new();
    following(&stand_in, CatalogLimits::default(), async |catalog| {
        catalog.ready().await;
        stand_in.asked();
        tokio::time::sleep(100 * SECOND).await;
        assert!(
            catalog
                .status()
                .iter()
                .all(|kind| kind.silent >= 99 * SECOND)
        );
        tokio::time::sleep(60 * SECOND).await;
        let watches = stand_in
            .asked()
            .iter()
            .filter(|asked| asked.starts_with("WATCH"))
            .count();
        assert_eq!(watches, 3, "one more of each");
        assert!(
            catalog
                .status()
                .iter()
                .all(|kind| kind.silent < 30 * SECOND && kind.failures == 1)
        );
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn an_owner_that_is_just_made_is_waited_for_and_no_other_of_its_name() {
    let stand_in = StandIn::new();
    stateful_set(&stand_in, "agdb", "old", 3);
    following(&stand_in, CatalogLimits::default(), async |catalog| {
        catalog.ready().await;
        assert!(
            catalog
                .wait_for_owner("db", "agdb", Some("old"), Duration::ZERO)
                .await
        );
        assert!(
            catalog
                .wait_for_owner("db", "agdb", None, Duration::ZERO)
                .await
        );
        let begun = tokio::time::Instant::now();
        let made = async {
            tokio::time::sleep(SECOND / 4).await;
            stateful_set(&stand_in, "agdb", "new", 5);
        };
        let (known, ()) = tokio::join!(
            catalog.wait_for_owner("db", "agdb", Some("new"), SECOND),
            made
        );
        assert!(
            known && begun.elapsed() < SECOND / 2,
            "{:?}",
            begun.elapsed()
        );
        assert!(
            !catalog
                .wait_for_owner("db", "other", Some("new"), SECOND)
                .await
        );
        assert!(!catalog.wait_for_profile("db", "agdb", SECOND).await);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_hostile_number_of_profiles_takes_no_more_than_its_room() {
    let stand_in = StandIn::new();
    for number in 0..50 {
        let document = format!("kind: Profile\n# {}", "x".repeat(10_000));
        config_map(
            &stand_in,
            &format!("profile-{number}"),
            &json!({"outrigger.yaml": document}),
        );
    }
    let limits = CatalogLimits {
        profiles: 500_000,
        ..CatalogLimits::default()
    };
    following(&stand_in, limits, async |catalog| {
        catalog.ready().await;
        let status = catalog.status()[0].clone();
        assert!(
            status.bytes <= 500_000 && status.objects >= 10,
            "{status:?}"
        );
        assert_eq!(
            status.objects + usize::try_from(status.refused).unwrap(),
            50
        );
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn an_event_reaches_the_owners_namespace_and_failures_are_counted() {
    let stand_in = StandIn::new();
    let (sink, sender) = events();
    let shutdown = Shutdown::new();
    let reporter = Reporter {
        controller: "outrigger.dev/webhook",
        instance: "outrigger-0".to_owned(),
    };
    let notice = |message: &str| Notice {
        namespace: "db".to_owned(),
        api_version: "apps/v1".to_owned(),
        kind: "StatefulSet".to_owned(),
        name: "agdb".to_owned(),
        uid: "u-1".to_owned(),
        action: "Inject",
        reason: "SidecarDenied",
        message: message.to_owned(),
        warning: true,
    };
    let drive = async {
        stand_in.refuse("/apis/events.k8s.io", StatusCode::FORBIDDEN);
        sink.tell(notice("one"));
        sink.tell(notice("two"));
        tokio::time::sleep(SECOND).await;
        shutdown.trigger("test");
    };
    tokio::join!(
        sender.run(stand_in.api(), reporter, shutdown.clone()),
        drive
    );
    assert_eq!(
        stand_in.asked(),
        ["POST /apis/events.k8s.io/v1/namespaces/db/events"; 2]
    );
    assert_eq!((sink.counts().sent, sink.counts().failed), (1, 1));
}
