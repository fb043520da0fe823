//! Piko's configuration, as far as the stand-in follows it.

use std::fs;
use std::time::Duration;

use saphyr::{LoadableYamlNode as _, Yaml};

use crate::yaml::{at, text};

/// The characters of an ID's random end.
const LETTERS: &[u8] = b"abcdefghijklmnopqrstuvwxyz0123456789";

/// Where a listener is, and what it tells the others.
#[derive(Debug, Clone)]
pub(super) struct Listener {
    pub(super) bind: String,
    pub(super) told: String,
}

#[derive(Debug)]
pub(super) struct Config {
    pub(super) proxy: Listener,
    pub(super) upstream: Listener,
    pub(super) admin: Listener,
    pub(super) gossip: Listener,
    node_id: Option<String>,
    node_id_prefix: String,
    /// Each with a port.
    pub(super) join: Vec<String>,
    pub(super) join_timeout: Duration,
    pub(super) abort_if_join_fails: bool,
}

pub(super) fn read(path: &str) -> Result<Config, String> {
    let text =
        fs::read_to_string(path).map_err(|error| format!("parse config: {path}: {error}"))?;
    let documents = Yaml::load_from_str(&text)
        .map_err(|error| format!("parse config: {path}: yaml: {error}"))?;
    let root = documents
        .first()
        .ok_or_else(|| format!("parse config: {path}: EOF"))?;
    parse(root).map_err(|error| format!("parse config: {path}: {error}"))
}

fn parse(root: &Yaml<'_>) -> Result<Config, String> {
    let listener = |section: &[&str], port: u16| {
        let of = |key| text(root, &[section, &[key]].concat());
        let bind = of("bind_addr").unwrap_or_else(|| format!(":{port}"));
        let told = of("advertise_addr").unwrap_or_else(|| bind.clone());
        Listener { bind, told }
    };
    let gossip = listener(&["cluster", "gossip"], 8003);
    let port = gossip.bind.rsplit(':').next().unwrap_or("8003").to_owned();
    let join = at(root, &["cluster", "join"])
        .and_then(Yaml::as_vec)
        .map(|items| {
            let host = |item: &Yaml<'_>| item.as_str().map(str::to_owned);
            items.iter().filter_map(host).collect::<Vec<_>>()
        })
        .unwrap_or_default()
        .into_iter()
        .map(|host| {
            if host.contains(':') {
                host
            } else {
                format!("{host}:{port}")
            }
        })
        .collect();
    let join_timeout = match at(root, &["cluster", "join_timeout"]) {
        None => Duration::from_mins(1),
        Some(value) => value
            .as_str()
            .and_then(span)
            .ok_or("cannot unmarshal join_timeout into time.Duration")?,
    };
    Ok(Config {
        proxy: listener(&["proxy"], 8000),
        upstream: listener(&["upstream"], 8001),
        admin: listener(&["admin"], 8002),
        gossip,
        node_id: text(root, &["cluster", "node_id"]),
        node_id_prefix: text(root, &["cluster", "node_id_prefix"]).unwrap_or_default(),
        join,
        join_timeout,
        abort_if_join_fails: at(root, &["cluster", "abort_if_join_fails"])
            .and_then(Yaml::as_bool)
            .unwrap_or(true),
    })
}

/// Whole seconds or minutes, as the profiles write them.
fn span(text: &str) -> Option<Duration> {
    let (number, unit) = text.split_at(text.len().checked_sub(1)?);
    let number: u64 = number.parse().ok()?;
    match unit {
        "s" => Some(Duration::from_secs(number)),
        "m" => Some(Duration::from_mins(number)),
        _ => None,
    }
}

impl Config {
    /// The fixed ID, or the prefix and seven characters that no other start has.
    pub(super) fn node_id(&self) -> Result<String, String> {
        if let Some(id) = &self.node_id {
            return Ok(id.clone());
        }
        let mut random = [0; 7];
        getrandom::fill(&mut random).map_err(|error| error.to_string())?;
        let letter = |byte: u8| char::from(LETTERS[usize::from(byte) % LETTERS.len()]);
        let end: String = random.into_iter().map(letter).collect();
        Ok(format!("{}{end}", self.node_id_prefix))
    }
}
