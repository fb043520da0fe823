//! The filters and functions that configurations of stateful systems need, beside Jinja's own.

use std::net::IpAddr;
use std::sync::Arc;

use minijinja::value::ValueKind;
use minijinja::{Environment, Error, ErrorKind, Value};
use outrigger_peers::quorum as majority;
use outrigger_profile::ByteSize;

use super::random::{self, Seeds};

/// Adds those that depend on what they are given alone.
pub(super) fn add(environment: &mut Environment<'_>) {
    environment.add_filter("bytes", |value: Value| bytes(&value));
    environment.add_filter("quantity", |value: Value| {
        bytes(&value).map(|bytes| ByteSize(bytes).to_string())
    });
    environment.add_filter("share", |value: Value, percent: f64| share(&value, percent));
    environment.add_filter("urls", |value: Value, scheme: String, port: u32| {
        urls(&value, &scheme, port)
    });
    environment.add_filter("hosts", |value: Value| hosts(&value));
    environment.add_filter("quorum", |value: Value| quorum(&value));
    environment.add_filter("json", |value: Value| json(&value));
    // Jinja's own name for it, without its HTML escapes.
    environment.add_filter("tojson", |value: Value| json(&value));
    // It would show the Secrets.
    environment.remove_global("debug");

    environment.add_function("refuse", |why: String| Err::<Value, _>(refused(&why)));
}

/// Adds those that give random texts.
pub(super) fn add_random(environment: &mut Environment<'_>, seeds: &Arc<dyn Seeds>) {
    let per_start = Arc::clone(seeds);
    let named = Arc::clone(seeds);
    environment.add_function("new_per_start", move |len: usize| {
        random::text(&per_start.start(), "", len).map_err(fault)
    });
    environment.add_filter("new_per_start", move |name: String, len: usize| {
        random::text(&named.start(), &name, len).map_err(fault)
    });
    let per_disk = Arc::clone(seeds);
    let named = Arc::clone(seeds);
    environment.add_function("stable_per_disk", move |volume: String, len: usize| {
        let seed = per_disk.disk(&volume).map_err(fault)?;
        random::text(&seed, "", len).map_err(fault)
    });
    environment.add_filter(
        "stable_per_disk",
        move |name: String, volume: String, len: usize| {
            let seed = named.disk(&volume).map_err(fault)?;
            random::text(&seed, &name, len).map_err(fault)
        },
    );
}

/// The names of what [`add`] and [`add_random`] add, for did-you-mean.
pub(super) const NAMES: [&str; 10] = [
    "bytes",
    "hosts",
    "indent",
    "json",
    "new_per_start",
    "quantity",
    "quorum",
    "share",
    "stable_per_disk",
    "urls",
];

/// What a reason begins with that a template gave to `refuse`.
pub(super) const REFUSED: &str = "the template refuses: ";

fn fault(problem: impl Into<String>) -> Error {
    Error::new(ErrorKind::InvalidOperation, problem.into())
}

/// `refuse("fewer servers than copies")`: the render fails, with this as its reason.
fn refused(why: &str) -> Error {
    fault(format!("{REFUSED}{why}"))
}

/// `"400Gi" | bytes`: a quantity, or a number of bytes, as a number.
fn bytes(value: &Value) -> Result<u64, Error> {
    if let Some(text) = value.as_str() {
        return text
            .parse::<ByteSize>()
            .map(|size| size.0)
            .map_err(|error| fault(error.to_string()));
    }
    u64::try_from(value.clone()).map_err(|_| {
        fault(format!(
            "{value} is neither a quantity nor a number of bytes"
        ))
    })
}

/// `volumes.data.bytes | share(80)`: so many percent of a quantity, in whole bytes, rounded down.
fn share(value: &Value, percent: f64) -> Result<u64, Error> {
    if !(0.0..=100.0).contains(&percent) {
        return Err(fault(format!(
            "{percent} is not a percentage from 0 to 100"
        )));
    }
    let bytes = u128::from(bytes(value)?);
    // In millionths of a percent: exact for quantities beyond what a float holds.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "the percentage lies between 0 and 100"
    )]
    let millionths = (percent * 1_000_000.0).round() as u128;
    u64::try_from(bytes * millionths / 100_000_000).map_err(|error| fault(error.to_string()))
}

/// `replicas | urls("http", 3000)`: a URL for each host of a list, or the URL of one.
fn urls(value: &Value, scheme: &str, port: u32) -> Result<Value, Error> {
    let port = u16::try_from(port)
        .ok()
        .filter(|port| *port > 0)
        .ok_or_else(|| fault(format!("{port} is not a port from 1 to 65535")))?;
    let url = |host: &str| {
        let bracketed = matches!(host.parse(), Ok(IpAddr::V6(_)));
        if bracketed {
            format!("{scheme}://[{host}]:{port}")
        } else {
            format!("{scheme}://{host}:{port}")
        }
    };
    if is_list(value) {
        let urls: Vec<String> = hosts(value)?.iter().map(|host| url(host)).collect();
        Ok(Value::from(urls))
    } else {
        Ok(Value::from(url(&host(value)?)))
    }
}

/// `replicas | hosts`: the hosts of a list of replicas.
fn hosts(value: &Value) -> Result<Vec<String>, Error> {
    if !is_list(value) {
        return Err(fault(format!("{value} is not a list of replicas")));
    }
    value.try_iter()?.map(|item| host(&item)).collect()
}

fn is_list(value: &Value) -> bool {
    matches!(value.kind(), ValueKind::Seq | ValueKind::Iterable)
}

/// The host of a replica, or a text as it stands.
fn host(value: &Value) -> Result<String, Error> {
    if let Some(text) = value.as_str() {
        return Ok(text.to_owned());
    }
    let host = value.get_attr("host").ok();
    host.and_then(|host| host.as_str().map(str::to_owned))
        .ok_or_else(|| fault(format!("{value} is neither a replica nor a host")))
}

/// `replicas | quorum` or `desired | quorum`: how many make a majority.
fn quorum(value: &Value) -> Result<u32, Error> {
    let members = if is_list(value) {
        value.len().and_then(|len| u32::try_from(len).ok())
    } else {
        u32::try_from(value.clone()).ok()
    };
    members
        .map(majority)
        .ok_or_else(|| fault(format!("{value} is neither a list nor a number of members")))
}

/// `value | json`: as JSON on one line.
fn json(value: &Value) -> Result<String, Error> {
    if value.is_undefined() {
        return Err(Error::from(ErrorKind::UndefinedError));
    }
    serde_json::to_string(value)
        .map_err(|error| fault(format!("it cannot be written as JSON: {error}")))
}
