//! What happens, as it happens: server-sent events.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures_util::{Stream, stream};
use outrigger_peers::PeerSet;
use outrigger_shutdown::Shutdown;
use serde::Deserialize;
use tokio::sync::{OwnedSemaphorePermit, watch};

use super::Shared;
use super::route::{misread, refused};
use crate::limits;
use crate::timeline::Subscription;

/// Between two signs of life, shorter than proxies' usual patience of half a minute.
const HEARTBEAT: Duration = Duration::from_secs(15);

#[derive(Deserialize)]
pub(super) struct From {
    /// The newest entry that is known already; none = from now on.
    since: Option<u64>,
}

/// `timeline` events with one entry each, and `peers` events with the whole set: the present one
/// first, then each that follows. A browser that connects again goes on where it was.
pub(super) async fn stream(
    State(shared): State<Shared>,
    query: Result<Query<From>, QueryRejection>,
    headers: HeaderMap,
) -> Response {
    let from = match query {
        Ok(Query(from)) => from,
        Err(rejection) => return misread(&rejection, "`since` is the number of an entry"),
    };
    let Ok(permit) = Arc::clone(&shared.streams).try_acquire_owned() else {
        let limit = limits::EVENT_STREAMS_MAX;
        let problem = format!("{limit} event streams are open, which is the limit");
        return refused(StatusCode::SERVICE_UNAVAILABLE, problem);
    };
    let seen = headers
        .get("last-event-id")
        .and_then(|value| value.to_str().ok()?.parse().ok())
        .or(from.since);
    let timeline = &shared.status.rooms.timeline;
    let mut peers = shared.status.rooms.peers.clone();
    peers.mark_changed();
    let events = Events {
        timeline: match seen {
            Some(seq) => timeline.subscribe_after(seq),
            None => timeline.subscribe(),
        },
        peers,
        shutdown: shared.shutdown.clone(),
        ready: VecDeque::new(),
        _permit: permit,
    };
    Sse::new(events.into_stream())
        .keep_alive(KeepAlive::new().interval(HEARTBEAT))
        .into_response()
}

struct Events {
    timeline: Subscription,
    peers: watch::Receiver<Arc<PeerSet>>,
    shutdown: Shutdown,
    ready: VecDeque<Event>,
    _permit: OwnedSemaphorePermit,
}

impl Events {
    fn into_stream(self) -> impl Stream<Item = Result<Event, Infallible>> {
        stream::unfold(self, |mut events| async move {
            let event = events.next().await?;
            Some((Ok(event), events))
        })
    }

    async fn next(&mut self) -> Option<Event> {
        while self.ready.is_empty() {
            tokio::select! {
                biased;
                () = self.shutdown.triggered() => return None,
                changed = self.peers.changed() => {
                    changed.ok()?;
                    let peers = self.peers.borrow_and_update().clone();
                    self.ready.extend(Event::default().event("peers").json_data(&*peers));
                }
                entries = self.timeline.next() => {
                    self.ready.extend(entries.iter().filter_map(|entry| {
                        let event = Event::default().event("timeline").id(entry.seq.to_string());
                        event.json_data(&**entry).ok()
                    }));
                }
            }
        }
        self.ready.pop_front()
    }
}
