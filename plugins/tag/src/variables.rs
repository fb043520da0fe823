//! What TAG would take without a word in the rendered variables: it ignores those that it does not know and
//! values that it cannot read. As of v1.14.0.

use outrigger_plugin_sdk::env::{self, Variable};
use outrigger_plugin_sdk::inspect::Inspection;
use outrigger_plugin_sdk::{Diagnostic, Membership, Severity};

use self::Takes::{Choice, Count, Number, Span, Text};
use crate::faults;
use crate::settings::Settings;

/// What a variable takes.
#[derive(Debug, Clone, Copy)]
enum Takes {
    /// Any text, or what is looked at apart.
    Text,
    /// A whole number above 0.
    Count,
    /// A whole number but 0.
    Number,
    /// A time with its unit, above 0.
    Span,
    /// One of these.
    Choice(&'static [&'static str]),
}

const SWITCH: Takes = Choice(&["true", "false", "1", "0"]);
/// What Go reads as one.
const BOOL: Takes = Choice(&[
    "true", "false", "1", "0", "True", "False", "TRUE", "FALSE", "t", "f", "T", "F",
]);
const POLICY: Takes = Choice(&["lru", "fifo"]);

const ADVERTISE_ADDR: &str = "TAG_CACHE_ADVERTISE_ADDR";
const DISK_PATH: &str = "TAG_CACHE_DISK_PATH";
const GRPC_ADDR: &str = "TAG_CACHE_GRPC_ADDR";
const MAX_DISK_USAGE: &str = "TAG_CACHE_MAX_DISK_USAGE";
const NODE_ID: &str = "TAG_CACHE_NODE_ID";
const SEED_NODES: &str = "TAG_CACHE_SEED_NODES";

const KNOWN: &[(&str, Takes)] = &[
    ("TAG_AUTHZ_CACHE_TTL", Span),
    (ADVERTISE_ADDR, Text),
    ("TAG_CACHE_CLUSTER_ADDR", Text),
    ("TAG_CACHE_DELETE_BATCH_SIZE", Count),
    ("TAG_CACHE_DISABLED", SWITCH),
    (DISK_PATH, Text),
    ("TAG_CACHE_EVICTION_POLICY", POLICY),
    (GRPC_ADDR, Text),
    ("TAG_CACHE_GRPC_AUTH", SWITCH),
    ("TAG_CACHE_MAX_CONCURRENT_WRITES", Count),
    (MAX_DISK_USAGE, Text),
    ("TAG_CACHE_MAX_POPULATE_MEMORY", Number),
    (NODE_ID, Text),
    ("TAG_CACHE_RECOVERY_WORKERS", Count),
    (SEED_NODES, Text),
    ("TAG_CACHE_TTL", Span),
    ("TAG_CACHE_WARM_ON_WRITE", BOOL),
    ("TAG_HTTP_PORT", Count),
    ("TAG_LOG_FORMAT", Text),
    ("TAG_LOG_LEVEL", Text),
    ("TAG_MAX_IDLE_CONNS_PER_HOST", Count),
    ("TAG_MAX_INFLIGHT_REQUESTS", Count),
    ("TAG_PPROF_ENABLED", SWITCH),
    ("TAG_TLS_CERT_FILE", Text),
    ("TAG_TLS_KEY_FILE", Text),
    ("TAG_TRANSPARENT_PROXY", SWITCH),
    ("TAG_UPSTREAM_ENDPOINT", Text),
    ("TAG_UPSTREAM_REGION", Text),
];

struct Checked<'a> {
    env: &'a [Variable],
    now: &'a Membership,
    found: Inspection<'a>,
}

/// What is wrong with the rendered variables, for this replica. `total` is the size of the cache's disk, where
/// it is known. Variables that the manifest sets itself are not among them, so that a missing one is no fault.
pub fn check(
    env: &[Variable],
    settings: &Settings,
    now: &Membership,
    total: Option<f64>,
) -> Vec<Diagnostic> {
    let mut checked = Checked {
        env,
        now,
        found: Inspection::new(env::PATH),
    };
    for variable in env.iter().filter(|one| one.name.starts_with("TAG_")) {
        checked.value(variable);
    }
    checked.cap(total);
    checked.disk_path();
    if settings.cluster {
        checked.identity();
        checked.seeds();
        checked.advertised();
    }
    checked.found.into_diagnostics()
}

impl<'a> Checked<'a> {
    fn get(&self, name: &str) -> Option<&'a Variable> {
        self.env.iter().find(|variable| variable.name == name)
    }

    fn has(&self, name: &str) -> bool {
        self.get(name).is_some_and(|one| !one.value.is_empty())
    }

    fn value(&mut self, variable: &Variable) {
        let Variable { name, value, line } = variable;
        if faults::is_left_open(value) {
            self.found.error(
                *line,
                format!("`{value}` holds a variable, and TAG takes it as it stands"),
                "write the value itself, by `{{ … }}`",
            );
            return;
        }
        let Some((_, takes)) = KNOWN.iter().find(|(known, _)| known == name) else {
            self.unknown(variable);
            return;
        };
        // An empty one is none for TAG.
        let (is_readable, wanted) = match takes {
            _ if value.is_empty() => return,
            Text => return,
            Count => (
                value.parse::<u32>().is_ok_and(|n| n > 0),
                "a number above 0",
            ),
            Number => (
                value.parse::<i64>().is_ok_and(|n| n != 0),
                "a number other than 0",
            ),
            Span => (is_span(value), "a time above 0 such as 90s, 15m or 24h"),
            Choice(words) => {
                if !words.contains(&value.as_str()) {
                    self.found.error(
                        *line,
                        format!(
                            "`{value}` is none of {}, and TAG ends, or takes it for another without a word",
                            words.join(", ")
                        ),
                        "write one of them, in lower case",
                    );
                }
                return;
            }
        };
        if !is_readable {
            self.found.error(
                *line,
                format!("`{value}` is not {wanted}, and TAG ignores it without a word"),
                "write one, or leave the variable out for TAG's default",
            );
        }
    }

    fn unknown(&mut self, variable: &Variable) {
        const IGNORED: &str =
            "is no variable of TAG v1.14.0, which ignores those that it does not know";
        let Variable { name, line, .. } = variable;
        match KNOWN.iter().find(|(known, _)| is_near(name, known)) {
            Some((meant, _)) => {
                let hint = format!("write `{meant}`");
                self.found
                    .error(*line, format!("`{name}` {IGNORED}"), &hint);
            }
            None => self.found.warning(
                *line,
                format!("`{name}` {IGNORED}"),
                "if a later version knows it, all is well",
            ),
        }
    }

    fn cap(&mut self, total: Option<f64>) {
        const USE_THE_OUTPUT: &str = "write `{{ plugin[\"disk-cap\"] }}`";
        let Some(Variable { value, line, .. }) = self.get(MAX_DISK_USAGE) else {
            return;
        };
        if value.is_empty() {
            let why = "the cap is empty, and TAG takes that for none: the disk fills up";
            self.found.error(*line, why, USE_THE_OUTPUT);
        } else if !faults::is_left_open(value)
            && let Some(why) = faults::cap(value, total)
        {
            self.found.error(*line, why, USE_THE_OUTPUT);
        }
    }

    fn disk_path(&mut self) {
        if let Some(Variable { value, line, .. }) = self.get(DISK_PATH)
            && value.is_empty()
        {
            self.found.error(
                *line,
                "the path is empty: TAG would fill /var/cache/tag in its container, not the volume",
                "write `{{ volumes[settings.volume].path }}`",
            );
        }
    }

    fn identity(&mut self) {
        const USE_THE_OUTPUT: &str = "write `{{ plugin[\"node-id\"] }}`";
        let Some(Variable { value, line, .. }) = self.get(NODE_ID) else {
            return;
        };
        if value.is_empty() {
            if self.has(SEED_NODES) {
                let why = "the node ID is empty beside TAG_CACHE_SEED_NODES: TAG runs alone, and says nothing of it";
                self.found.error(*line, why, USE_THE_OUTPUT);
            }
            return;
        }
        match faults::node_id(value, self.now) {
            _ if faults::is_left_open(value) => {}
            None => {}
            Some((Severity::Error, why)) => self.found.error(*line, why, USE_THE_OUTPUT),
            Some((Severity::Warning, why)) => self.found.warning(*line, why, USE_THE_OUTPUT),
        }
    }

    fn seeds(&mut self) {
        if let Some(Variable { value, line, .. }) = self.get(SEED_NODES)
            && value.is_empty()
            && self.now.desired > 1
        {
            self.found.error(
                *line,
                "there are no seeds: TAG runs alone, and says nothing of it",
                "write `{{ plugin[\"seed-nodes\"] }}`, or set the plugin's `cluster: false` where that is meant",
            );
        }
    }

    /// What the others are told: without it the address at which TAG listens for them.
    fn advertised(&mut self) {
        let Some(Variable { value, line, .. }) = self.get(ADVERTISE_ADDR) else {
            return;
        };
        let listens = self.get(GRPC_ADDR).map_or("", |one| one.value.as_str());
        let told = if value.is_empty() { listens } else { value };
        if !faults::is_left_open(told)
            && let Some(why) = faults::advertised(told, self.now)
        {
            let hint = "write `{{ plugin[\"advertise-addr\"] }}`";
            self.found.error(*line, why, hint);
        }
    }
}

/// Whether Go reads it as a duration above 0: numbers, each with its unit.
fn is_span(text: &str) -> bool {
    let mut rest = text.strip_prefix('+').unwrap_or(text);
    let mut is_above_zero = false;
    while !rest.is_empty() {
        let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.');
        let (number, after) = rest.split_at(end.unwrap_or(rest.len()));
        let is_number =
            number.contains(|c: char| c.is_ascii_digit()) && number.matches('.').count() <= 1;
        let unit = ["ns", "us", "µs", "μs", "ms", "s", "m", "h"]
            .into_iter()
            .find(|unit| after.starts_with(unit));
        let (true, Some(unit)) = (is_number, unit) else {
            return false;
        };
        is_above_zero |= number.contains(|c: char| ('1'..='9').contains(&c));
        rest = &after[unit.len()..];
    }
    is_above_zero
}

/// Whether a name is a known one with a slip or two, or with a unit at its end.
fn is_near(name: &str, known: &str) -> bool {
    const SLIPS_MAX: usize = 2;
    let letters = |name: &str| name.replace('_', "");
    name.strip_suffix("_BYTES") == Some(known)
        || slips(&letters(name), &letters(known)) <= SLIPS_MAX
}

/// How many letters have to be put in, taken out or changed to come from one to the other.
fn slips(from: &str, to: &str) -> usize {
    let to: Vec<char> = to.chars().collect();
    let mut row: Vec<usize> = (0..=to.len()).collect();
    for (above, letter) in from.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = above + 1;
        for (at, other) in to.iter().enumerate() {
            let changed = diagonal + usize::from(letter != *other);
            diagonal = row[at + 1];
            row[at + 1] = changed.min(diagonal + 1).min(row[at] + 1);
        }
    }
    row[to.len()]
}

#[cfg(test)]
mod tests;
