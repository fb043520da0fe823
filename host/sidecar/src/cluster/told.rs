//! Events on the own pod: what the timeline says that somebody should act on, where `kubectl describe`
//! shows it.

use std::sync::Arc;

use outrigger_api_server::{ApiServer, EventSender, EventSink, Notice, Reporter};
use outrigger_peers::Identity;
use outrigger_shutdown::Shutdown;
use serde_json::Value;

use crate::timeline::{Concern, Entry, Timeline};

/// Tells of the timeline's concerns.
#[derive(Debug)]
pub(crate) struct Teller {
    pub(crate) api: ApiServer,
    pub(crate) identity: Identity,
    pub(crate) timeline: Timeline,
    pub(crate) sink: EventSink,
    pub(crate) sender: EventSender,
}

impl Teller {
    /// Tells until the shutdown, what was last on record included.
    pub(crate) async fn run(self, shutdown: Shutdown) {
        let Self {
            api,
            identity,
            timeline: record,
            sink,
            sender,
        } = self;
        let reporter = Reporter {
            controller: "outrigger.dev/sidecar",
            instance: identity.pod(),
        };
        let tell = |entries: &[Arc<Entry>]| {
            let notices = entries.iter().filter_map(|entry| notice(entry, &identity));
            notices.for_each(|notice| sink.tell(notice));
        };
        let follow = async {
            let mut seen = record.newest();
            let mut timeline = record.subscribe_after(seen);
            loop {
                tokio::select! {
                    entries = timeline.next() => {
                        tell(&entries);
                        seen = entries.last().map_or(seen, |last| last.seq);
                    }
                    () = shutdown.triggered() => {
                        tell(&record.since(seen));
                        return;
                    }
                }
            }
        };
        let send = sender.run(api, reporter, shutdown.clone());
        tokio::join!(biased; follow, send);
    }
}

/// The Event for an entry; none where it concerns nobody, or the pod is not known well enough.
fn notice(entry: &Entry, identity: &Identity) -> Option<Notice> {
    let concern = entry.concern?;
    // Only its uid says which pod an Event is about.
    if identity.uid.is_empty() {
        return None;
    }
    let findings = entry.fields.get("findings").and_then(Value::as_array);
    let mut message = entry.message.clone();
    for finding in findings.into_iter().flatten().filter_map(Value::as_str) {
        message = format!("{message}\n{finding}");
    }
    let (action, reason) = match concern {
        Concern::Refused => ("Configure", "ConfigurationRefused"),
        Concern::RolledBack => ("Configure", "ConfigurationRolledBack"),
        Concern::DrainCutOff => ("Drain", "DrainCutOff"),
    };
    Some(Notice {
        namespace: identity.namespace.clone(),
        api_version: "v1".to_owned(),
        kind: "Pod".to_owned(),
        name: identity.pod(),
        uid: identity.uid.clone(),
        action,
        reason,
        message,
        warning: true,
    })
}

#[cfg(test)]
mod tests {
    use outrigger_api_server::events;
    use outrigger_api_server::stand_in::StandIn;
    use outrigger_shutdown::{Deadline, Tasks};

    use super::*;
    use crate::fixture;

    /// What was told, in order: reason and note.
    fn told(api: &StandIn) -> Vec<(String, String)> {
        let events = api.all("/apis/events.k8s.io/v1/namespaces/default/events");
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let mut told: Vec<_> = events
            .iter()
            .map(|event| {
                assert_eq!(event["regarding"]["uid"], "mine");
                assert_eq!(event["type"], "Warning");
                let version = event["metadata"]["resourceVersion"].as_str();
                let version: u64 = version.unwrap().parse().unwrap();
                (version, text(&event["reason"]), text(&event["note"]))
            })
            .collect();
        told.sort();
        told.into_iter()
            .map(|(_, reason, note)| (reason, note))
            .collect()
    }

    #[tokio::test(start_paused = true)]
    async fn what_somebody_should_act_on_is_an_event_on_the_pod_once_and_the_last_word_too() {
        let api = StandIn::new();
        let timeline = Timeline::in_memory();
        let mut identity = fixture::peers(1).identity;
        identity.uid = "mine".into();
        let (sink, sender) = events();
        let teller = Teller {
            api: api.api(),
            identity,
            timeline: timeline.clone(),
            sink: sink.clone(),
            sender,
        };
        let shutdown = Shutdown::new();
        let tasks = Tasks::new(shutdown.clone());
        tasks.spawn("events", teller.run(shutdown.clone()));
        tokio::task::yield_now().await;
        timeline.record("files", "set 2 of rendered files is in place", []);
        for _ in 0..3 {
            let findings = Value::from(vec!["spec.files[0]: no such value"]);
            let fields = [("findings", findings)];
            timeline.warn(Concern::Refused, "files", "a render is refused", fields);
        }
        tokio::time::sleep(std::time::Duration::from_secs(5)).await;
        timeline.warn(Concern::DrainCutOff, "drain", "the drain has ended", []);
        shutdown.trigger("the test is over");
        let left = tasks.finish(Deadline::after(std::time::Duration::from_secs(2)));
        assert_eq!(left.await, Vec::<String>::new());
        let pair = |reason: &str, note: &str| (reason.to_owned(), note.to_owned());
        assert_eq!(
            told(&api),
            [
                pair(
                    "ConfigurationRefused",
                    "a render is refused\nspec.files[0]: no such value"
                ),
                pair("DrainCutOff", "the drain has ended"),
            ]
        );
        assert_eq!((sink.counts().sent, sink.counts().repeated), (2, 2));
    }
}
