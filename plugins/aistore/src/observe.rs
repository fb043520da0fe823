//! Asking AIStore, its primary, its proxies and its disks.

use outrigger_plugin_sdk::endpoint::{Method, Request, Response, Target, send_all};
use outrigger_plugin_sdk::json::{FromJson, ToJson, Value};
use outrigger_plugin_sdk::{Failure, FailureKind, Membership, files};

use crate::disks::{Content, Disk};
use crate::health::Look;
use crate::settings::{CLUSTER, ENDPOINT, PRIMARY_READY, PROXIES, Role, Settings};
use crate::smap::Map;
use crate::status::NodeStatus;
use crate::vmd;

/// The own node answers in a few milliseconds.
const OWN_TIMEOUT_MS: u32 = 1_000;

/// So does a peer, where it is not gone.
const PEER_TIMEOUT_MS: u32 = 600;

/// The primary asks the others before it answers to a change. What it does after this time is seen in the map.
const CHANGE_TIMEOUT_MS: u32 = 1_200;

const HEALTH: &str = "/v1/health";
const READINESS: &str = "/v1/health?readiness=true";
const STATUS: &str = "/v1/daemon?what=node_status";
const SMAP: &str = "/v1/daemon?what=smap";

/// The identity of a disk, which names a few mountpaths.
const VMD: &str = ".ais.vmd";
const VMD_MAX: u32 = 64 * 1024;

/// Where objects of AIStore's own buckets are.
const OBJECTS: &str = "@ais";

fn get(target: Target, path: &str, timeout: u32) -> Request {
    Request::get(ENDPOINT, target, path).timeout(timeout)
}

fn is_ok(answer: &Result<Response, Failure>) -> bool {
    answer.as_ref().is_ok_and(Response::is_success)
}

fn read<T: FromJson>(answer: Result<Response, Failure>) -> Option<T> {
    answer.ok().filter(Response::is_success)?.json().ok()
}

/// Whether this replica's node answers.
pub fn is_alive() -> bool {
    is_ok(&get(Target::Local, HEALTH, OWN_TIMEOUT_MS).send())
}

/// What the own node says of itself, and the map that it has.
pub fn own() -> (Option<NodeStatus>, Option<Map>) {
    let requests = [STATUS, SMAP].map(|path| get(Target::Local, path, OWN_TIMEOUT_MS));
    let mut given = send_all(&requests).into_iter();
    (given.next().and_then(read), given.next().and_then(read))
}

/// A map from whoever has one: the other replicas of this StatefulSet, then the proxies.
pub fn any_map(now: &Membership) -> Option<Map> {
    let requests: Vec<Request> = now
        .peers()
        .map(|peer| get(Target::Peer(peer.ordinal), SMAP, PEER_TIMEOUT_MS))
        .chain([Request::get(PROXIES, Target::Local, SMAP).timeout(PEER_TIMEOUT_MS)])
        .collect();
    let maps = send_all(&requests).into_iter().filter_map(read::<Map>);
    maps.max_by_key(|map| map.version)
}

/// A look at this node, and at the primary where it is a proxy.
pub fn look(settings: &Settings, now: &Membership) -> Result<Look, Failure> {
    let own = now.require_own()?;
    let requests =
        [HEALTH, READINESS, STATUS, SMAP].map(|path| get(Target::Local, path, OWN_TIMEOUT_MS));
    let mut given = send_all(&requests).into_iter();
    let mut look = Look {
        role: settings.role,
        own: own.clone(),
        alive: given.next().as_ref().is_some_and(is_ok),
        ready: given.next().as_ref().is_some_and(is_ok),
        status: given.next().and_then(read),
        map: given.next().and_then(read),
        started: false,
        mountpaths: u32::try_from(settings.mountpaths.len())
            .ok()
            .filter(|count| *count > 0),
    };
    if let (Role::Proxy, Some(map)) = (settings.role, &look.map) {
        let primary = now.replicas.iter().find(|one| one.name == map.primary);
        // Another than these replicas is asked by way of the own proxy.
        let target = primary
            .filter(|one| one.ordinal != now.self_ordinal)
            .map_or(Target::Local, |one| Target::Peer(one.ordinal));
        look.started = is_ok(&get(target, PRIMARY_READY, OWN_TIMEOUT_MS).send());
    }
    Ok(look)
}

/// Whether a proxy answers; none where the proxies are not granted.
pub fn proxy_answers() -> Option<bool> {
    let request = Request::get(PROXIES, Target::Local, HEALTH).timeout(OWN_TIMEOUT_MS);
    match request.send() {
        Ok(answer) => Some(answer.is_success()),
        Err(failure) if failure.kind == FailureKind::Denied => None,
        Err(_) => Some(false),
    }
}

/// What is on the mountpaths' volumes.
pub fn disks(settings: &Settings) -> Vec<Disk> {
    let disk = |volume: &String| Disk {
        volume: volume.clone(),
        content: content(volume),
    };
    settings.mountpaths.iter().map(disk).collect()
}

fn content(volume: &str) -> Content {
    match files::read(volume, VMD, VMD_MAX) {
        Ok(file) => match vmd::read(&file) {
            Ok(vmd) => Content::Of(vmd),
            Err(why) => Content::Broken(why),
        },
        Err(failure) if failure.kind == FailureKind::Unavailable => {
            match files::entries(volume, "") {
                Ok(names) => Content::Unclaimed {
                    objects: names.iter().any(|name| name == OBJECTS)
                        && files::entries(volume, OBJECTS).is_ok_and(|names| !names.is_empty()),
                },
                Err(failure) => Content::Unseen(failure.message),
            }
        }
        Err(failure) => Content::Unseen(failure.message),
    }
}

/// What a membership may be asked to do with a target.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// Rest, with its objects where they are.
    StartMaintenance,
    /// Take part again.
    StopMaintenance,
    /// Move its objects to the others and leave.
    Decommission,
}

/// Asks a proxy, which passes it to the primary. The error is what AIStore says against it.
pub fn change(change: Change, id: &str) -> Result<(), Failure> {
    let (action, skip_rebalance) = match change {
        Change::StartMaintenance => ("start-maintenance", true),
        Change::StopMaintenance => ("stop-maintenance", true),
        Change::Decommission => ("decommission-node", false),
    };
    let value = Value::object([
        ("sid", id.to_json()),
        ("skip_rebalance", skip_rebalance.to_json()),
        ("rm_user_data", false.to_json()),
        // The sidecar writes it, and would write it again.
        ("keep_initial_config", true.to_json()),
        ("no_shutdown", false.to_json()),
    ]);
    let body = Value::object([("action", action.to_json()), ("value", value)]);
    let answer = Request::new(Method::Put, PROXIES, Target::Local, CLUSTER)
        .json(&body)
        .timeout(CHANGE_TIMEOUT_MS)
        .send()?;
    if answer.is_success() {
        return Ok(());
    }
    let said = answer
        .json::<Value>()
        .and_then(|value| {
            let message = value.field::<String>("message");
            message.map_err(|error| Failure::internal(error.to_string()))
        })
        .unwrap_or_default();
    Err(Failure::new(
        FailureKind::Conflict,
        format!(
            "AIStore refuses {action} with status {}: {said}",
            answer.status
        ),
    ))
}
