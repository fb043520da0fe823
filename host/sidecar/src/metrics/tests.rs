use std::collections::VecDeque;

use outrigger_api_server::RequestCounts;
use outrigger_peers::{Ordinal, Phase as PeerPhase, Staleness};
use outrigger_plugin_host::{BatchBuilder, CodeOrigin, FunctionInfo, MetricKind};
use outrigger_profile::Profile;
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use super::*;
use crate::fixture::{self, Channels, files, well};
use crate::health::{HealthReport, ProbeReason, ProbeReport, ReasonScope};
use crate::lifecycle::Phase;
use crate::reload::ReloadState;
use crate::template::Gate;

fn info() -> PluginInfo {
    PluginInfo {
        name: "db".into(),
        plugin: "db".into(),
        version: "1.2.3".into(),
        summary: "knows db".into(),
        digest: "abc".into(),
        generation: 2,
        origin: CodeOrigin::Builtin,
        exports: Vec::new(),
        not_granted: Vec::new(),
        calls: 7,
        failures: [("trap", 1)].into(),
        functions: [(
            "health.evaluate(readiness)",
            FunctionInfo {
                calls: 7,
                faults: 0,
                quarantined_ms: None,
            },
        )]
        .into(),
        quarantined_ms: None,
        last_error: None,
        log_lines_dropped: 3,
    }
}

fn peers() -> PeerSet {
    let mut set = fixture::peers(3);
    set.replicas.get_mut(&Ordinal(0)).unwrap().phase = PeerPhase::Ready;
    set.stale = Some(Staleness {
        since_unix_ms: 40_000,
        reason: "no answer".into(),
    });
    set.revision = 4;
    set
}

fn health() -> HealthReport {
    HealthReport {
        readiness: ProbeReport {
            pass: true,
            reasons: vec![ProbeReason {
                scope: ReasonScope::Cluster,
                code: "no-leader".into(),
                message: "x".into(),
                counts: false,
            }],
            checked_unix_ms: Some(1),
        },
        verdict_unix_ms: Some(41_500),
        ..well()
    }
}

#[test]
fn our_own_exposition_is_as_it_was() {
    let recorder = Recorder::new();
    recorder.count(
        names::DRAINS,
        &[("reason", "manual"), ("result", "complete")],
    );
    recorder.set(names::DRAIN_LAST_SECONDS, 1.25);
    for millis in [1, 2, 70_000] {
        recorder.took(
            names::PLUGIN_CALL_SECONDS,
            &[("function", "health.evaluate")],
            Duration::from_millis(millis),
        );
    }
    let mut seen = Seen::default();
    let mut earlier = health();
    earlier.role = Some("leader".into());
    earlier.readiness.reasons[0].code = "no-quorum".into();
    seen.note(&earlier);
    let mut state = files(Gate::Ready, Some(3));
    state.renders = 5;
    state.refused = 1;
    state.commits = 3;
    state.good_unix_ms = 39_500;
    let families = own(&View {
        build: BuildInfo {
            version: "0.1.0",
            revision: "",
            target: "test",
            optimized: false,
        },
        peers: &peers(),
        requests: Some(RequestCounts {
            asked: 9,
            answered: 8,
        }),
        files: &state,
        health: &health(),
        seen: &seen,
        plugin: Some(&info()),
        reload: &ReloadState::default(),
        phase: Phase::Running,
        timeline_entries: 12,
        timeline_unwritten: 0,
        recorded: &recorder.recorded(),
        unix_ms: 42_000,
    });
    for family in &families {
        assert!(family.name.starts_with(names::PREFIX), "{}", family.name);
        assert!(!family.help.is_empty(), "{} has no help", family.name);
    }
    let constant = [("cluster".to_owned(), "prod".to_owned())];
    let open = encode(&families, &constant, Format::OpenMetrics).unwrap();
    insta::assert_snapshot!("openmetrics", open);
    let classic = encode(&families, &constant, Format::Classic).unwrap();
    insta::assert_snapshot!("classic", classic);
}

/// Answers from a script, the last answer for good, and counts.
#[derive(Debug)]
struct Script(Mutex<VecDeque<Result<Batch, CallErrorKind>>>, Mutex<u32>);

impl Derives for Script {
    fn derive(
        &self,
        _now: Arc<PeerSet>,
        scraped: Batch,
    ) -> BoxFuture<'_, Result<Batch, CallError>> {
        *lock(&self.1) += 1;
        let mut script = lock(&self.0);
        let mut answer = if script.len() > 1 {
            script.pop_front().unwrap()
        } else {
            script[0].clone()
        };
        if let Some(sample) = scraped.samples().next()
            && answer.is_ok()
        {
            answer = Ok(series(&[("db_twice", sample.value * 2.0)]));
        }
        Box::pin(async move {
            answer.map_err(|kind| CallError {
                plugin: "db".into(),
                function: "metrics.derive",
                kind,
            })
        })
    }

    fn wants(&self) -> BoxFuture<'_, Result<Vec<String>, CallError>> {
        Box::pin(async { Ok(vec!["db_lag".to_owned()]) })
    }

    fn info(&self) -> Option<PluginInfo> {
        Some(info())
    }
}

fn series(rows: &[(&str, f64)]) -> Batch {
    let mut builder = BatchBuilder::default();
    for (name, value) in rows {
        let family = outrigger_plugin_host::Family {
            name: (*name).to_owned(),
            help: "of the plugin".to_owned(),
            kind: MetricKind::Gauge,
        };
        builder.push(&family, &[], *value);
    }
    builder.finish()
}

fn metrics(
    script: Vec<Result<Batch, CallErrorKind>>,
    change: impl FnOnce(&mut Profile),
) -> (Metrics, Arc<Script>) {
    let channels = Channels::new(change);
    channels.peers.send_replace(Arc::new(peers()));
    channels.health.send_replace(Arc::new(health()));
    let script = Arc::new(Script(Mutex::new(script.into()), Mutex::new(0)));
    let metrics = Metrics::new(MetricsSetup {
        workload_host: "127.0.0.1".to_owned(),
        rooms: channels.rooms(Some(script.clone())),
        recorder: Recorder::new(),
    });
    (metrics, script)
}

async fn exposed(metrics: &Metrics) -> String {
    metrics.expose(Format::OpenMetrics).await.unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_plugins_series_come_with_the_others_and_its_failure_costs_them_alone() {
    let script = vec![
        Ok(series(&[("db_up", 1.0)])),
        Err(CallErrorKind::Trap("unreachable".into())),
        Ok(series(&[("db_up", 1.0), ("outrigger_peers", 9.0)])),
    ];
    let (metrics, _script) = metrics(script, |_| {});
    let text = exposed(&metrics).await;
    assert!(text.contains("\ndb_up 1.0\n") && text.contains("\noutrigger_derive_up 1.0\n"));
    tokio::time::advance(GATHERED_FOR).await;
    let text = exposed(&metrics).await;
    assert!(!text.contains("db_up") && text.contains("\noutrigger_derive_up 0.0\n"));
    assert!(text.contains("outrigger_peers{phase=\"ready\"} 1.0\n"));
    tokio::time::advance(GATHERED_FOR).await;
    let text = exposed(&metrics).await;
    assert!(text.contains("\ndb_up 1.0\n") && text.contains("\noutrigger_derive_up 0.0\n"));
    assert!(!text.contains("outrigger_peers 9.0"));
    tokio::time::advance(GATHERED_FOR).await;
    let text = exposed(&metrics).await;
    assert!(text.contains("outrigger_derive_failures_total{problem=\"call\"} 1.0\n"));
    assert!(text.contains("outrigger_derive_failures_total{problem=\"name\"} 1.0\n"));
}

#[tokio::test(start_paused = true)]
async fn scrapes_that_come_together_cost_one_call() {
    let (metrics, script) = metrics(vec![Ok(series(&[("db_up", 1.0)]))], |_| {});
    let (first, second) = tokio::join!(exposed(&metrics), exposed(&metrics));
    assert_eq!(first, second);
    assert_eq!(*lock(&script.1), 1);
}

#[tokio::test]
async fn the_workloads_series_are_merged_handed_to_the_plugin_and_missed_when_it_is_dead() {
    let app = axum::Router::new().route(
        "/metrics",
        axum::routing::get(|| async { "# TYPE db_lag gauge\ndb_lag 4\n" }),
    );
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let mut tasks = JoinSet::new();
    tasks.spawn(async move { axum::serve(listener, app).await.unwrap() });
    let (metrics, _script) = metrics(vec![Ok(Batch::default())], |profile| {
        profile.metrics.scrape = vec![ScrapeTarget {
            relabel: Vec::new(),
            port,
            path: "/metrics".into(),
            timeout: Duration::from_secs(5),
        }];
    });
    let up = |value: u8| {
        format!("outrigger_upstream_up{{port=\"{port}\",path=\"/metrics\"}} {value}.0\n")
    };
    let text = exposed(&metrics).await;
    assert!(
        text.contains("\ndb_lag 4.0\n") && text.contains("\ndb_twice 8.0\n"),
        "{text}"
    );
    assert!(text.contains(&up(1)));
    tasks.shutdown().await;
    metrics.inner.gathered.lock().await.take();
    let text = exposed(&metrics).await;
    assert!(text.contains(&up(0)) && !text.contains("db_lag"), "{text}");
}
