//! Who knows whom: members that tell each other whom they know, in a protocol of our own. What the
//! workloads do with it (who counts, for how long, whether an ID may return) are the rules.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};

use crate::log;

/// Between two rounds in which everybody known is told.
const ROUND: Duration = Duration::from_millis(200);

/// For one exchange.
const EXCHANGE: Duration = Duration::from_millis(500);

/// How long two sides that were split refuse to meet: until everybody has forgotten.
const SPLIT: Duration = Duration::from_secs(3);

/// A member, as it tells of itself.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Record {
    pub(crate) id: String,
    pub(crate) gossip: SocketAddr,
    /// When it was started: tells two of the same ID apart.
    pub(crate) started: u128,
    pub(crate) left: bool,
    /// Whatever else is told: addresses, counts.
    pub(crate) facts: BTreeMap<String, String>,
}

/// What becomes of members.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Rules {
    /// When one that does not answer counts as unreachable.
    pub(crate) unreachable_after: Duration,
    /// When one that left or is unreachable is forgotten; none = never.
    pub(crate) forget_after: Option<Duration>,
    /// Whether one that left may return under its ID.
    pub(crate) id_may_return: bool,
}

/// How a member is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum State {
    Active,
    Unreachable,
    Left,
}

#[derive(Debug, Clone)]
struct Known {
    record: Record,
    state: State,
    silent_since: Option<Instant>,
    gone_since: Option<Instant>,
}

/// What one member holds.
#[derive(Debug)]
struct Table {
    own: Record,
    rules: Rules,
    others: BTreeMap<String, Known>,
    split: Option<(Instant, BTreeSet<String>)>,
    /// Whether one of the same ID was heard of.
    conflict: bool,
}

/// A member. Cheap to copy.
#[derive(Debug, Clone)]
pub(crate) struct Member(Arc<Mutex<Table>>);

#[derive(Debug, Serialize, Deserialize)]
struct Message {
    from: Record,
    others: Vec<Record>,
    /// Who answers wants to be forgotten.
    forget: bool,
}

impl Member {
    pub(crate) fn new(own: Record, rules: Rules) -> Self {
        Self(Arc::new(Mutex::new(Table {
            own,
            rules,
            others: BTreeMap::new(),
            split: None,
            conflict: false,
        })))
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Everybody that it knows, itself included, by ID.
    pub(crate) fn members(&self) -> Vec<(Record, State)> {
        let table = self.table();
        let mut members: Vec<_> = table
            .others
            .values()
            .map(|known| (known.record.clone(), known.state))
            .chain([(table.own.clone(), State::Active)])
            .collect();
        members.sort_by(|a, b| a.0.id.cmp(&b.0.id));
        members
    }

    /// Forgets everybody and is forgotten by them: two clusters that never meet again by themselves.
    pub(crate) fn split(&self) {
        let mut table = self.table();
        let ids = std::mem::take(&mut table.others).into_keys().collect();
        table.split = Some((Instant::now() + SPLIT, ids));
    }

    /// Answers those who call, and calls those that are known, until it is dropped.
    pub(crate) async fn run(self, listener: TcpListener) {
        let mut tasks = JoinSet::new();
        let mut round = tokio::time::interval(ROUND);
        loop {
            tokio::select! {
                Ok((stream, _)) = listener.accept() => {
                    let member = self.clone();
                    tasks.spawn(async move { drop(timeout(EXCHANGE, member.answer(stream)).await) });
                }
                _ = round.tick() => {
                    for address in self.table().called() {
                        let member = self.clone();
                        tasks.spawn(async move { drop(member.call(address).await) });
                    }
                }
                Some(_) = tasks.join_next() => {}
            }
        }
    }

    /// Tells another whom it knows and hears whom that one knows.
    pub(crate) async fn call(&self, address: SocketAddr) -> Result<(), String> {
        let message = self.table().message(false);
        let heard = timeout(EXCHANGE, exchange(address, message))
            .await
            .unwrap_or_else(|_| Err(format!("dial tcp {address}: i/o timeout")));
        let mut table = self.table();
        match heard {
            Ok(message) => {
                table.hear(message);
                Ok(())
            }
            Err(error) => {
                table.miss(address);
                Err(error)
            }
        }
    }

    /// Tells everybody that it leaves.
    pub(crate) async fn leave(&self) {
        let (addresses, message) = {
            let mut table = self.table();
            table.own.left = true;
            (table.called(), table.message(false))
        };
        let text = serde_json::to_string(&message).unwrap_or_default();
        let mut told = JoinSet::new();
        for address in addresses {
            let text = text.clone();
            told.spawn(timeout(EXCHANGE, async move { say(address, &text).await }));
        }
        while told.join_next().await.is_some() {}
    }

    async fn answer(&self, stream: TcpStream) -> Result<(), String> {
        let mut stream = BufReader::new(stream);
        let message = read(&mut stream).await?;
        let reply = {
            let mut table = self.table();
            let refused = table.is_split_from(&message.from.id);
            if !refused {
                table.hear(message);
            }
            table.message(refused)
        };
        let text = serde_json::to_string(&reply).map_err(|error| error.to_string())?;
        write(stream.get_mut(), &text).await
    }
}

async fn exchange(address: SocketAddr, message: Message) -> Result<Message, String> {
    let text = serde_json::to_string(&message).map_err(|error| error.to_string())?;
    let mut stream = BufReader::new(say(address, &text).await?);
    read(&mut stream).await
}

async fn say(address: SocketAddr, text: &str) -> Result<TcpStream, String> {
    let mut stream = TcpStream::connect(address)
        .await
        .map_err(|error| format!("dial tcp {address}: {error}"))?;
    write(&mut stream, text).await?;
    Ok(stream)
}

async fn write(stream: &mut TcpStream, text: &str) -> Result<(), String> {
    let line = format!("{text}\n");
    let written = stream.write_all(line.as_bytes()).await;
    written.map_err(|error| error.to_string())
}

async fn read(stream: &mut BufReader<TcpStream>) -> Result<Message, String> {
    let mut line = String::new();
    let read = stream.read_line(&mut line).await;
    read.map_err(|error| error.to_string())?;
    serde_json::from_str(&line).map_err(|error| error.to_string())
}

impl Table {
    fn message(&self, forget: bool) -> Message {
        // Who is unreachable is everybody's own opinion.
        let told = |known: &&Known| known.state != State::Unreachable;
        Message {
            from: self.own.clone(),
            others: self
                .others
                .values()
                .filter(told)
                .map(|known| known.record.clone())
                .collect(),
            forget,
        }
    }

    /// Where those are that are called now, after forgetting who is gone for long.
    fn called(&mut self) -> Vec<SocketAddr> {
        let forget_after = self.rules.forget_after;
        self.others.retain(|_, known| {
            let gone_for = known.gone_since.map(|since| since.elapsed());
            gone_for
                .zip(forget_after)
                .is_none_or(|(gone, most)| gone < most)
        });
        self.others
            .values()
            .filter(|known| known.state != State::Left)
            .map(|known| known.record.gossip)
            .collect()
    }

    fn is_split_from(&mut self, id: &str) -> bool {
        if self
            .split
            .as_ref()
            .is_some_and(|(until, _)| *until <= Instant::now())
        {
            self.split = None;
        }
        self.split.as_ref().is_some_and(|(_, ids)| ids.contains(id))
    }

    fn hear(&mut self, message: Message) {
        let from = message.from;
        if message.forget {
            self.others.remove(&from.id);
            let (_, ids) = self
                .split
                .get_or_insert_with(|| (Instant::now() + SPLIT, BTreeSet::new()));
            ids.insert(from.id);
            return;
        }
        let spoke = from.id.clone();
        for record in message.others.into_iter().chain([from]) {
            self.learn(record, &spoke);
        }
    }

    fn learn(&mut self, record: Record, spoke: &str) {
        if self.is_split_from(&record.id) {
            return;
        }
        if record.id == self.own.id {
            // Two of the same ID do not see each other, and what the others know is the first one's.
            if record.started != self.own.started && !record.left && !self.conflict {
                self.conflict = true;
                let message = format!(
                    "Conflicting address for {}. Mine: {} Theirs: {}",
                    record.id, self.own.gossip, record.gossip
                );
                log::line("error", &message, &[]);
            }
            return;
        }
        let Some(known) = self.others.get_mut(&record.id) else {
            if !record.left {
                let known = Known {
                    record: record.clone(),
                    state: State::Active,
                    silent_since: None,
                    gone_since: None,
                };
                self.others.insert(record.id, known);
            }
            return;
        };
        let same = record.started == known.record.started;
        if same && record.left && known.state != State::Left {
            known.state = State::Left;
            known.record.left = true;
            known.gone_since = Some(Instant::now());
        } else if same && record.id == spoke && known.state != State::Left {
            known.record = record;
            known.state = State::Active;
            known.silent_since = None;
            known.gone_since = None;
        } else if !same
            && self.rules.id_may_return
            && !record.left
            && (known.state != State::Active
                || known.silent_since.is_some()
                || known.record.gossip == record.gossip)
        {
            *known = Known {
                record,
                state: State::Active,
                silent_since: None,
                gone_since: None,
            };
        }
    }

    fn miss(&mut self, address: SocketAddr) {
        let now = Instant::now();
        for known in self.others.values_mut() {
            if known.record.gossip != address || known.state != State::Active {
                continue;
            }
            let since = *known.silent_since.get_or_insert(now);
            if since.elapsed() >= self.rules.unreachable_after {
                known.state = State::Unreachable;
                known.gone_since = Some(now);
            }
        }
    }
}
