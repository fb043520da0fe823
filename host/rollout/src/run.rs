//! A run of a roll: looks, does the next thing, and looks again.

use std::time::Duration;

use outrigger_api_server::{ApiError, ApiServer, Pause};
use serde::de::IgnoredAny;
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::error::RollError;
use crate::look::look;
use crate::next::{Begin, Obstacle, Step, begin, step};
use crate::note::{ANNOTATION, Note};
use crate::progress::{Progress, Stop, Summary};
use crate::seen::{Seen, Strategy};
use crate::turn::Turns;
use crate::why;

/// Who writes, as managed fields show it.
const MANAGER: &str = "outrigger-roll";
/// Between two looks, and four times as long as a look takes.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// Whoever waits hears why at least so often.
const TELL_EVERY: Duration = Duration::from_secs(15);
/// Nobody's wish to be left alone is heeded for longer.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(30);

/// The StatefulSet that is meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
}

impl Target {
    /// Where it is.
    pub(crate) fn path(&self) -> String {
        let Self { namespace, name } = self;
        format!("/apis/apps/v1/namespaces/{namespace}/statefulsets/{name}")
    }

    /// Where its pods are.
    pub(crate) fn pods(&self) -> String {
        format!("/api/v1/namespaces/{}/pods", self.namespace)
    }
}

/// How it is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Options {
    /// How long each replica may take, from when those before it were ready.
    pub timeout: Duration,
    /// Whether what was begun before does not count.
    pub anew: bool,
}

/// Restarts every replica, or goes on with that.
///
/// # Cancel safety
/// Safe at any point: the next run goes on.
pub async fn run(
    api: &ApiServer,
    target: &Target,
    options: &Options,
    tell: &mut dyn FnMut(Progress),
) -> Result<Summary, RollError> {
    let now = Instant::now();
    let mut run = Run {
        api,
        target,
        options,
        tell,
        turns: Turns::of(&target.namespace, &target.name),
        began: now,
        since: now,
        looked_for: Duration::ZERO,
        has_looked: false,
        told: (String::new(), now),
        last: (None, String::new()),
        underway: None,
        note: None,
        stops: Vec::new(),
        pause: Pause::default(),
    };
    if !run.begin().await? {
        return Ok(run.summary());
    }
    run.go_on().await
}

/// The replica that is down by an eviction.
struct Underway {
    ordinal: u32,
    uid: String,
    led: bool,
    /// When it was evicted; none where an earlier run did that.
    evicted: Option<Instant>,
    stopped: Option<Duration>,
}

struct Run<'a> {
    api: &'a ApiServer,
    target: &'a Target,
    options: &'a Options,
    tell: &'a mut dyn FnMut(Progress),
    turns: Turns,
    began: Instant,
    /// When the last replica was back.
    since: Instant,
    /// How long the last look took.
    looked_for: Duration,
    has_looked: bool,
    /// What was told last, and when.
    told: (String, Instant),
    /// What is waited for: the pod, and how it is.
    last: (Option<String>, String),
    underway: Option<Underway>,
    /// As it was seen last.
    note: Option<Note>,
    stops: Vec<Stop>,
    pause: Pause,
}

impl Run<'_> {
    /// Makes sure that there is a note; false where there are no replicas.
    async fn begin(&mut self) -> Result<bool, RollError> {
        loop {
            let seen = self.look().await?;
            if self.turns.is_unknown() {
                (self.tell)(Progress::TurnsUnknown);
            }
            if let (Err(error), false) = (&seen.set.note, self.options.anew) {
                return Err(error.clone().into());
            }
            match begin(&seen, self.options.anew) {
                Begin::Nothing => return Ok(false),
                Begin::Refuse(refusal) => return Err(RollError::Refused(refusal)),
                Begin::Wait(obstacles) => self.wait(&seen, obstacles).await?,
                Begin::GoOn(note) => {
                    self.begun(&seen, &note, Some(note.began.clone()));
                    return Ok(true);
                }
                Begin::Write(note) => {
                    if self.write(&seen, Some(&note)).await? {
                        self.begun(&seen, &note, None);
                        return Ok(true);
                    }
                }
            }
        }
    }

    fn begun(&mut self, seen: &Seen, note: &Note, since: Option<String>) {
        let mut left: Vec<_> = note
            .pods
            .iter()
            .filter_map(|(ordinal, uid)| {
                let pod = seen.pods.get(ordinal)?;
                (pod.uid == *uid).then(|| (pod.restart_place(*ordinal), seen.set.pod(*ordinal)))
            })
            .collect();
        left.sort();
        let leader = left.iter().find(|(place, _)| place.leads());
        let remark = match seen.set.strategy {
            Strategy::OnDelete => {
                Some("each comes back with the newest template (OnDelete)".to_owned())
            }
            Strategy::RollingUpdate { partition: 0 } => None,
            Strategy::RollingUpdate { partition } => Some(format!(
                "those below {} keep the template of before (partition {partition})",
                seen.set.pod(seen.set.start.saturating_add(partition))
            )),
        };
        self.note = Some(note.clone());
        (self.tell)(Progress::Begun {
            name: self.target.name.clone(),
            since,
            total: note.pods.len(),
            leader: leader.map(|(_, name)| name.clone()),
            order: left.into_iter().map(|(_, name)| name).collect(),
            remark,
        });
    }

    /// Until all are new.
    async fn go_on(mut self) -> Result<Summary, RollError> {
        loop {
            let seen = self.look().await?;
            let Some(note) = seen.set.note.clone()? else {
                return self.without_note(&seen);
            };
            self.note = Some(note.clone());
            self.notice(&seen);
            let named = note.named.as_ref().map(|named| &named.uid);
            let down = self.underway.as_ref().map(|underway| &underway.uid);
            if down.is_some() && named != down {
                // Another run has named the next one: all were ready in between.
                self.back(&seen, &note);
            }
            match step(&seen, &note) {
                Step::Wait(obstacles) => {
                    self.found_underway(&seen, &note);
                    self.wait(&seen, obstacles).await?;
                }
                Step::Evict(next) => {
                    self.back(&seen, &note);
                    self.evict(&seen, &next).await?;
                }
                Step::End => {
                    self.back(&seen, &note);
                    if self.write(&seen, None).await? {
                        return Ok(self.summary());
                    }
                }
            }
        }
    }

    /// Another run may have come to the end.
    fn without_note(mut self, seen: &Seen) -> Result<Summary, RollError> {
        let note = self.note.clone();
        let pods = note.iter().flat_map(|note| &note.pods);
        let is_old = |(ordinal, uid): (&u32, &String)| {
            seen.pods.get(ordinal).is_some_and(|pod| pod.uid == *uid)
        };
        if pods.into_iter().any(is_old) {
            return Err(RollError::Withdrawn);
        }
        if let Some(note) = &note {
            self.back(seen, note);
        }
        Ok(self.summary())
    }

    async fn look(&mut self) -> Result<Seen, RollError> {
        loop {
            let began = Instant::now();
            match look(self.api, self.target, &mut self.turns).await {
                Ok(seen) => {
                    self.looked_for = began.elapsed();
                    self.has_looked = true;
                    return Ok(seen);
                }
                Err(error) if error.is(404) => {
                    return Err(RollError::NotFound {
                        namespace: self.target.namespace.clone(),
                        name: self.target.name.clone(),
                    });
                }
                // Whoever has just begun rather hears at once that there is no way.
                Err(error) if !self.has_looked || !passes(&error) => {
                    let what = "reading the StatefulSet and its pods";
                    return Err(RollError::Api {
                        what,
                        source: error,
                    });
                }
                Err(error) => self.away(&error).await?,
            }
        }
    }

    /// Writes the note, or takes it away; false where the StatefulSet is not as it was seen any more, or
    /// nobody knows.
    async fn write(&mut self, seen: &Seen, note: Option<&Note>) -> Result<bool, RollError> {
        let patch = json!({"metadata": {
            "uid": seen.set.uid,
            "resourceVersion": seen.set.version,
            "annotations": {ANNOTATION: note.map(Note::text)},
        }});
        let path = self.target.path();
        let written = self.api.merge_patch::<IgnoredAny>(&path, &patch, MANAGER);
        match written.await {
            Ok(_) => Ok(true),
            Err(error) if error.is(409) => {
                let pause = self.pause.next();
                self.rest(pause).await?;
                Ok(false)
            }
            Err(error) if passes(&error) => {
                self.away(&error).await?;
                Ok(false)
            }
            Err(source) => Err(RollError::Api {
                what: "noting the roll on the StatefulSet",
                source,
            }),
        }
    }

    /// Names a replica, and evicts it.
    async fn evict(&mut self, seen: &Seen, note: &Note) -> Result<(), RollError> {
        let Some(named) = &note.named else {
            return Ok(());
        };
        let Some(pod) = seen.pods.get(&named.ordinal) else {
            return Ok(());
        };
        if !self.write(seen, Some(note)).await? {
            return Ok(());
        }
        let name = seen.set.pod(named.ordinal);
        self.last = (Some(name.clone()), format!("{name} could not be evicted"));
        let eviction = json!({
            "apiVersion": "policy/v1",
            "kind": "Eviction",
            "metadata": {"name": name, "namespace": self.target.namespace},
            "deleteOptions": {"preconditions": {"uid": named.uid, "resourceVersion": pod.version}},
        });
        let path = format!("{}/{name}/eviction", self.target.pods());
        match self.api.create::<Value>(&path, &eviction, MANAGER).await {
            // A refusal that comes as a success: more than one budget is one.
            Ok(answer) if answer.value["status"] == "Failure" => Err(RollError::Eviction {
                pod: name,
                why: answer.value["message"]
                    .as_str()
                    .unwrap_or_default()
                    .to_owned(),
            }),
            Ok(_) => {
                self.pause.reset();
                self.underway = Some(Underway {
                    ordinal: named.ordinal,
                    uid: named.uid.clone(),
                    led: named.leads,
                    evicted: Some(Instant::now()),
                    stopped: None,
                });
                self.say(Progress::Evicted {
                    pod: name,
                    led: named.leads,
                });
                Ok(())
            }
            // It is gone already, or it is not as it was seen.
            Err(error) if error.is(404) || error.is(409) => {
                let pause = self.pause.next();
                self.rest(pause).await
            }
            Err(ApiError::Refused {
                code: 429,
                message,
                retry_after,
            }) => {
                let wish = retry_after.unwrap_or_default().min(RETRY_AFTER_MAX);
                let again = self.pause.next().max(wish);
                let last = format!("{name} could not be evicted ({message})");
                self.last = (Some(name.clone()), last);
                self.repeat(Progress::Held {
                    pod: name,
                    why: message,
                    again,
                });
                self.rest(again).await
            }
            // 500 is what the eviction of a pod with two budgets is answered with.
            Err(error) if passes(&error) && !error.is(500) => self.away(&error).await,
            Err(error) if error.is(403) || error.is(401) => Err(RollError::Api {
                what: "evicting a pod",
                source: error,
            }),
            Err(error) => Err(RollError::Eviction {
                pod: name,
                why: error.chain(),
            }),
        }
    }

    /// Takes note of how the replica that is down is.
    fn notice(&mut self, seen: &Seen) {
        let Some(underway) = &mut self.underway else {
            return;
        };
        let pod = seen.pods.get(&underway.ordinal);
        let is_there = pod.is_some_and(|pod| pod.uid == underway.uid);
        if let (false, None, Some(evicted)) = (is_there, underway.stopped, underway.evicted) {
            let after = evicted.elapsed();
            underway.stopped = Some(after);
            let pod = seen.set.pod(underway.ordinal);
            self.say(Progress::Stopped { pod, after });
        }
    }

    /// An earlier run may have evicted what is waited for.
    fn found_underway(&mut self, seen: &Seen, note: &Note) {
        let (None, Some(named)) = (&self.underway, &note.named) else {
            return;
        };
        let pod = seen.pods.get(&named.ordinal);
        let is_down = pod.is_none_or(|pod| pod.uid != named.uid && !pod.ready || pod.terminating);
        if is_down {
            self.underway = Some(Underway {
                ordinal: named.ordinal,
                uid: named.uid.clone(),
                led: named.leads,
                evicted: None,
                stopped: None,
            });
        }
    }

    /// All are ready: what was down is back.
    fn back(&mut self, seen: &Seen, note: &Note) {
        let replaced = |underway: &mut Underway| {
            let pod = seen.pods.get(&underway.ordinal);
            pod.is_none_or(|pod| pod.uid != underway.uid)
        };
        let Some(underway) = self.underway.take_if(replaced) else {
            return;
        };
        let is_new = |(ordinal, uid): &(&u32, &String)| {
            seen.pods.get(ordinal).is_none_or(|pod| pod.uid != **uid)
        };
        let back = underway.evicted.map(|evicted| evicted.elapsed());
        let pod = seen.set.pod(underway.ordinal);
        self.since = Instant::now();
        self.pause.reset();
        self.say(Progress::Back {
            pod: pod.clone(),
            after: back,
            done: note.pods.iter().filter(is_new).count(),
            total: note.pods.len(),
        });
        self.stops.push(Stop {
            pod,
            led: underway.led,
            stopped: underway.stopped,
            back,
        });
    }

    async fn wait(&mut self, seen: &Seen, obstacles: Vec<Obstacle>) -> Result<(), RollError> {
        let own = self
            .underway
            .as_ref()
            .map(|underway| seen.set.pod(underway.ordinal));
        let told: Vec<String> = obstacles.iter().map(ToString::to_string).collect();
        self.last = (
            obstacles.iter().find_map(Obstacle::pod).map(str::to_owned),
            format!("{}, and that was not over", told.join("; ")),
        );
        // That the one which was evicted is down is no news for a while.
        let is_expected = obstacles.iter().all(|it| it.pod() == own.as_deref());
        if !is_expected || own.is_none() || self.told.1.elapsed() >= TELL_EVERY {
            self.tell_waiting(obstacles).await;
        }
        let pause = LOOK_EVERY.max(self.looked_for * 4);
        self.rest(pause).await
    }

    async fn tell_waiting(&mut self, obstacles: Vec<Obstacle>) {
        let what = format!("{obstacles:?}");
        if !self.is_news(&what) {
            return;
        }
        let unready = obstacles.iter().find_map(|obstacle| match obstacle {
            Obstacle::NotReady(pod, _) => Some(pod.as_str()),
            _ => None,
        });
        let reason = match unready {
            Some(pod) => why::ask_sidecar(self.api, self.target, pod).await,
            None => None,
        };
        self.told = (what, Instant::now());
        (self.tell)(Progress::Waiting { obstacles, reason });
    }

    async fn away(&mut self, error: &ApiError) -> Result<(), RollError> {
        let why = error.chain();
        self.last = (None, format!("the cluster could not be asked ({why})"));
        self.repeat(Progress::Away(why));
        let pause = self.pause.next();
        self.rest(pause).await
    }

    /// Tells what has happened.
    fn say(&mut self, progress: Progress) {
        self.told = (String::new(), Instant::now());
        (self.tell)(progress);
    }

    /// Tells what lasts: at once where it is new, and then now and then.
    fn repeat(&mut self, progress: Progress) {
        let what = match &progress {
            // All but when it is asked again.
            Progress::Held { pod, why, .. } => format!("{pod} {why}"),
            other => other.to_string(),
        };
        if self.is_news(&what) {
            self.told = (what, Instant::now());
            (self.tell)(progress);
        }
    }

    /// Whether something that lasts was not told a moment ago.
    fn is_news(&self, what: &str) -> bool {
        self.told.0 != what || self.told.1.elapsed() >= TELL_EVERY
    }

    /// Waits, but no longer than this replica may take.
    async fn rest(&mut self, pause: Duration) -> Result<(), RollError> {
        let left = self.options.timeout.saturating_sub(self.since.elapsed());
        if left.is_zero() {
            let (pod, last) = std::mem::take(&mut self.last);
            let told = match &pod {
                Some(pod) => why::ask(self.api, self.target, pod).await,
                None => Vec::new(),
            };
            return Err(RollError::Late {
                last,
                told,
                pod,
                timeout: self.options.timeout,
            });
        }
        tokio::time::sleep(pause.min(left)).await;
        Ok(())
    }

    fn summary(self) -> Summary {
        Summary {
            name: self.target.name.clone(),
            total: self.note.map_or(0, |note| note.pods.len()),
            stops: self.stops,
            took: self.began.elapsed(),
        }
    }
}

/// Whether it may be over the next time.
fn passes(error: &ApiError) -> bool {
    match error {
        ApiError::Unreachable(_) | ApiError::BrokeOff(_) | ApiError::TimedOut => true,
        ApiError::Refused { code, .. } => *code >= 500 || *code == 429,
        _ => false,
    }
}

#[cfg(test)]
mod tests;
