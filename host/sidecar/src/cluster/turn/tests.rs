use std::sync::Mutex as StdMutex;
use std::sync::atomic::AtomicU32;

use axum::http::StatusCode;
use outrigger_api_server::stand_in::StandIn;
use outrigger_shutdown::Shutdown;

use super::*;
use crate::fixture;

const LEASE: &str = "/apis/coordination.k8s.io/v1/namespaces/default/leases/outrigger-db";

/// The turns of one replica.
struct Replica {
    turns: LeaseTurns,
    timeline: Timeline,
    tasks: Tasks,
}

fn replica(api: &StandIn, ordinal: u32) -> Replica {
    let timeline = Timeline::in_memory();
    let tasks = Tasks::new(Shutdown::new());
    let stateful_set = watch::channel(Known::default()).1;
    let identity = fixture::peers_of(ordinal, 3).identity;
    let turns = LeaseTurns::new(
        api.api(),
        identity,
        stateful_set,
        timeline.clone(),
        tasks.clone(),
    );
    Replica {
        turns,
        timeline,
        tasks,
    }
}

impl Replica {
    fn told(&self) -> Vec<String> {
        let entries = self.timeline.since(0);
        entries.iter().map(|entry| entry.message.clone()).collect()
    }
}

fn holder(api: &StandIn) -> Option<String> {
    let lease = api.get(LEASE)?;
    lease["spec"]["holderIdentity"].as_str().map(str::to_owned)
}

/// What has no holder any more within a minute of the test's clock.
async fn until_free(api: &StandIn) {
    for _ in 0..60 {
        if holder(api).is_none() {
            return;
        }
        tokio::time::advance(Duration::from_secs(1)).await;
        tokio::task::yield_now().await;
    }
    panic!("{:?} has it still", holder(api));
}

#[tokio::test(start_paused = true)]
async fn a_turn_is_taken_renewed_and_given_back() {
    let api = StandIn::new();
    let [zero, one] = [replica(&api, 0), replica(&api, 1)];
    let turn = zero.turns.acquire().await.unwrap();
    assert!(turn.coordinated);
    assert_eq!(holder(&api).as_deref(), Some("db-0"));
    // For as long as it is held, nobody else has one.
    let waited = tokio::time::timeout(Duration::from_mins(10), one.turns.acquire()).await;
    assert!(waited.is_err());
    assert_eq!(holder(&api).as_deref(), Some("db-0"));
    turn.release().await.unwrap();
    assert_eq!(holder(&api), None);
    let turn = one.turns.acquire().await.unwrap();
    assert_eq!(holder(&api).as_deref(), Some("db-1"));
    turn.release().await.unwrap();
    let waits = "this replica waits for its turn to restart, db-0 has it";
    assert_eq!(one.told(), [waits]);
}

#[tokio::test(start_paused = true)]
async fn a_holder_that_is_gone_is_replaced_when_its_lease_has_run_out() {
    let api = StandIn::new();
    let [zero, one] = [replica(&api, 0), replica(&api, 1)];
    let turn = zero.turns.acquire().await.unwrap();
    // Its process dies: nothing is given back, nothing is renewed.
    zero.tasks.shutdown().trigger("the test says so");
    zero.tasks
        .finish(outrigger_shutdown::Deadline::after(Duration::ZERO))
        .await;
    std::mem::forget(turn);
    let began = Instant::now();
    let turn = one.turns.acquire().await.unwrap();
    assert!(began.elapsed() >= DURATION, "{:?}", began.elapsed());
    assert!(began.elapsed() <= DURATION + SLACK + LOOK_EVERY);
    turn.release().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_sidecar_that_was_restarted_takes_up_its_own_turn_at_once() {
    let api = StandIn::new();
    let turn = replica(&api, 0).turns.acquire().await.unwrap();
    std::mem::forget(turn);
    let again = replica(&api, 0);
    let began = Instant::now();
    let turn = again.turns.acquire().await.unwrap();
    assert!(began.elapsed() < Duration::from_secs(1));
    turn.release().await.unwrap();
    assert_eq!(holder(&api), None);
}

#[tokio::test(start_paused = true)]
async fn a_turn_that_is_dropped_is_given_back() {
    let api = StandIn::new();
    let zero = replica(&api, 0);
    drop(zero.turns.acquire().await.unwrap());
    until_free(&api).await;
}

#[tokio::test(start_paused = true)]
async fn without_the_role_every_turn_is_granted_and_it_is_told_once() {
    let api = StandIn::new();
    api.forbid("/apis/coordination.k8s.io");
    let zero = replica(&api, 0);
    for _ in 0..3 {
        let turn = zero.turns.acquire().await.unwrap();
        assert!(!turn.coordinated);
    }
    let told = zero.told();
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(
        told[0].contains("manifests/components/sidecar-access"),
        "{told:?}"
    );
    api.allow("/apis/coordination.k8s.io");
    assert!(zero.turns.acquire().await.unwrap().coordinated);
}

#[tokio::test(start_paused = true)]
async fn an_api_server_that_is_away_is_waited_for_unless_it_was_never_there() {
    let api = StandIn::new();
    api.set_away(true);
    let never = replica(&api, 0);
    assert!(!never.turns.acquire().await.unwrap().coordinated);
    api.set_away(false);
    let turn = never.turns.acquire().await.unwrap();
    turn.release().await.unwrap();
    api.set_away(true);
    let waited = tokio::time::timeout(Duration::from_mins(5), never.turns.acquire()).await;
    assert!(waited.is_err());
    let error = never.turns.acquire().await.unwrap_err();
    assert!(error.is_passing(), "{error}");
}

/// A number by chance that is the same in each run.
fn draw(seed: &StdMutex<u64>, below: u64) -> u64 {
    let mut seed = seed.lock().unwrap();
    *seed = seed
        .wrapping_mul(6_364_136_223_846_793_005)
        .wrapping_add(1_442_695_040_888_963_407);
    (*seed >> 33) % below
}

/// Three replicas that want turns again and again, give up at any moment, drop what they have, and are
/// told of conflicts and faults by an API server that has its moods.
#[tokio::test(start_paused = true)]
async fn whatever_happens_at_most_one_replica_has_a_turn() {
    for first in 0..40 {
        let api = StandIn::new();
        let seed = Arc::new(StdMutex::new(first));
        let [now, most, turns] = [(); 3].map(|()| Arc::new(AtomicU32::new(0)));
        let mut rivals = tokio::task::JoinSet::new();
        for ordinal in 0..3 {
            let (api, seed) = (api.clone(), Arc::clone(&seed));
            let (now, most, turns) = (Arc::clone(&now), Arc::clone(&most), Arc::clone(&turns));
            rivals.spawn(async move {
                let replica = replica(&api, ordinal);
                for _ in 0..6 {
                    let moods = [StatusCode::CONFLICT, StatusCode::INTERNAL_SERVER_ERROR];
                    if draw(&seed, 3) == 0 {
                        let mood = usize::try_from(draw(&seed, 2)).unwrap();
                        api.refuse("/apis/coordination.k8s.io", moods[mood]);
                    }
                    let patience = Duration::from_millis(draw(&seed, 60_000));
                    let asked = tokio::time::timeout(patience, replica.turns.acquire()).await;
                    let Ok(Ok(turn)) = asked else {
                        continue;
                    };
                    if !turn.coordinated {
                        // The very first answer was none.
                        continue;
                    }
                    most.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                    turns.fetch_add(1, Ordering::SeqCst);
                    tokio::time::sleep(Duration::from_millis(draw(&seed, 90_000))).await;
                    now.fetch_sub(1, Ordering::SeqCst);
                    if draw(&seed, 2) == 0 {
                        drop(turn.release().await);
                    } else {
                        drop(turn);
                    }
                }
                // What is given back in the background ends.
                tokio::time::sleep(Duration::from_mins(1)).await;
                replica
            });
        }
        let replicas = rivals.join_all().await;
        assert!(most.load(Ordering::SeqCst) <= 1, "seed {first}");
        assert!(
            turns.load(Ordering::SeqCst) > 0,
            "seed {first}: nobody ever had a turn"
        );
        assert_eq!(holder(&api), None, "seed {first}");
        drop(replicas);
    }
}
