//! agdb's configuration format, read exactly as agdb 0.16 reads it, with line numbers.
//!
//! It looks like YAML and is none: each line is `key: value`, split at the first colon; the text after
//! the *last* `#` is dropped; outer quotes are dropped; lists stand on one line; a line without a colon
//! is ignored; a key that comes twice takes its last value.

/// A line that gives a key a value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// From 1.
    pub line: u32,
    /// Without quotes.
    pub key: String,
    /// Without the comment and the outer quotes.
    pub value: String,
}

/// Something about a line that agdb refuses or, worse, takes otherwise than it looks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// From 1; 0 = the whole file.
    pub line: u32,
    /// Whether agdb could run well all the same.
    pub harmless: bool,
    /// What is wrong.
    pub message: String,
    /// What to do.
    pub hint: String,
}

impl Problem {
    /// A problem that keeps the file from being used.
    pub fn error(line: u32, message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self {
            line,
            harmless: false,
            message: message.into(),
            hint: hint.into(),
        }
    }

    /// One that people should know of.
    pub fn warning(line: u32, message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self {
            harmless: true,
            ..Self::error(line, message, hint)
        }
    }
}

/// A file as agdb understands it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Config {
    /// Its entries, in order.
    pub entries: Vec<Entry>,
    /// What is wrong with single lines.
    pub problems: Vec<Problem>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    Text,
    Number,
    List,
    SyncMode,
    LogLevel,
    TokenExpiry,
}

/// agdb's keys, in the order of the file that it writes itself.
const KEYS: &[(&str, Form)] = &[
    ("bind", Form::Text),
    ("address", Form::Text),
    ("basepath", Form::Text),
    ("static_roots", Form::List),
    ("admin", Form::Text),
    ("log_level", Form::LogLevel),
    ("log_body_limit", Form::Number),
    ("request_body_limit", Form::Number),
    ("data_dir", Form::Text),
    ("pepper_path", Form::Text),
    ("tls_certificate", Form::Text),
    ("tls_key", Form::Text),
    ("tls_root", Form::Text),
    ("cluster_token", Form::Text),
    ("cluster_heartbeat_timeout_ms", Form::Number),
    ("cluster_term_timeout_ms", Form::Number),
    ("cluster_election_factor_ms", Form::Number),
    ("cluster", Form::List),
    ("cluster_max_log_entries", Form::Number),
    ("cluster_max_chunk_size", Form::Number),
    ("cluster_max_append_size", Form::Number),
    ("token_expiry_seconds", Form::TokenExpiry),
    ("sync_mode", Form::SyncMode),
];

/// The names of agdb's keys.
pub fn keys() -> impl Iterator<Item = &'static str> {
    KEYS.iter().map(|(key, _)| *key)
}

const LOG_LEVELS: &[&str] = &["off", "error", "warn", "info", "debug", "trace"];

/// `config_impl.rs` of agdb 0.16: a minute to a day.
const TOKEN_EXPIRY_SECONDS: std::ops::RangeInclusive<u64> = 60..=86_400;

fn unquoted(text: &str) -> &str {
    text.trim().trim_matches(['\'', '"'])
}

/// Reads a file. Never fails: what is wrong stands in `problems`.
pub fn parse(text: &str) -> Config {
    let mut config = Config::default();
    for (index, whole) in text.lines().enumerate() {
        let line = u32::try_from(index + 1).unwrap_or(u32::MAX);
        let trimmed = whole.trim();
        if trimmed.is_empty() || trimmed.starts_with('#') {
            continue;
        }
        if let Some(problem) = block_list_item(line, trimmed) {
            config.problems.push(problem);
            continue;
        }
        let Some((key, rest)) = trimmed.split_once(':') else {
            let message = format!("`{trimmed}` has no colon, so agdb ignores this line");
            let hint = "write `key: value` on one line, or remove it";
            config.problems.push(Problem::error(line, message, hint));
            continue;
        };
        let key = unquoted(key);
        let value = match rest.rsplit_once('#') {
            Some((value, _comment)) => {
                config.problems.extend(cut_value(line, key, value));
                value
            }
            None => rest,
        };
        let entry = Entry {
            line,
            key: key.to_owned(),
            value: unquoted(value).trim().to_owned(),
        };
        config.problems.extend(problems_of(&entry));
        if let Some(first) = config.entry(key) {
            let message = format!(
                "`{key}` already stands in line {}; agdb takes the last",
                first.line
            );
            config
                .problems
                .push(Problem::error(line, message, "keep one of the two lines"));
        }
        config.entries.push(entry);
    }
    config
}

fn block_list_item(line: u32, trimmed: &str) -> Option<Problem> {
    let item = trimmed.strip_prefix('-')?;
    (item.is_empty() || item.starts_with([' ', '\t'])).then(|| {
        Problem::error(
            line,
            "agdb takes no block lists",
            "write the list on one line: `cluster: [http://a:3000, http://b:3000]`",
        )
    })
}

/// Where a `#` is a comment for agdb and does not look like one.
fn cut_value(line: u32, key: &str, before: &str) -> Option<Problem> {
    let cuts_a_word = !before.trim().is_empty() && !before.ends_with([' ', '\t']);
    if cuts_a_word || before.contains('#') {
        let message = format!("agdb cuts `{key}` at the last `#`, quoted or not");
        return Some(Problem::error(
            line,
            message,
            "use a value without `#`, and at most one comment",
        ));
    }
    None
}

fn problems_of(entry: &Entry) -> Vec<Problem> {
    let mut problems = Vec::new();
    let Entry { line, key, value } = entry;
    let Some((_, form)) = KEYS.iter().find(|(known, _)| known == key) else {
        let hint = match closest(key) {
            Some(known) => format!("did you mean `{known}`?"),
            None => "remove the line; agdb does not start with it".to_owned(),
        };
        return vec![Problem::error(
            *line,
            format!("agdb has no key `{key}`"),
            hint,
        )];
    };
    if let Some(placeholder) = placeholder(value) {
        problems.push(Problem::error(
            *line,
            format!("`{placeholder}` in `{key}` was not filled in, and agdb expands nothing itself"),
            "check the `syntax` of the template: jinja takes `{{ … }}`, placeholders `{id}`, env `${…}`",
        ));
        return problems;
    }
    match form {
        Form::Text => {}
        Form::List => problems.extend(list_problem(entry)),
        Form::Number => problems.extend(number_problem(entry, 0..=u64::MAX)),
        Form::TokenExpiry => problems.extend(number_problem(entry, TOKEN_EXPIRY_SECONDS)),
        Form::SyncMode if value == "none" || value == "commit" => {}
        Form::SyncMode => problems.push(Problem::error(
            *line,
            format!("agdb has no sync_mode `{value}`"),
            "use `none` or `commit`",
        )),
        Form::LogLevel
            if LOG_LEVELS
                .iter()
                .any(|level| level.eq_ignore_ascii_case(value)) => {}
        Form::LogLevel => problems.push(Problem::error(
            *line,
            format!("agdb has no log_level `{value}`"),
            format!("use one of {}", LOG_LEVELS.join(", ")),
        )),
    }
    problems
}

fn number_problem(entry: &Entry, range: std::ops::RangeInclusive<u64>) -> Option<Problem> {
    let Entry { line, key, value } = entry;
    match value.parse::<u64>() {
        Ok(number) if range.contains(&number) => None,
        Ok(number) => Some(Problem::error(
            *line,
            format!(
                "`{key}` is {number}, and agdb takes {} to {}",
                range.start(),
                range.end()
            ),
            "choose a value in this range",
        )),
        Err(_) => Some(Problem::error(
            *line,
            format!("`{key}` takes a whole number, not `{value}`"),
            "write digits alone, without a unit",
        )),
    }
}

fn list_problem(entry: &Entry) -> Option<Problem> {
    let Entry { line, key, value } = entry;
    let (opens, closes) = (value.starts_with('['), value.ends_with(']'));
    if opens != closes {
        let message = format!("the list of `{key}` does not open and close on this line");
        return Some(Problem::error(
            *line,
            message,
            "agdb reads one line only: write `[a, b, c]` on it",
        ));
    }
    let broken = list(value).into_iter().find(|item| {
        item.contains(|c: char| c.is_whitespace() || matches!(c, '[' | ']' | '"' | '\''))
    })?;
    let message = format!("`{broken}` in `{key}` is not one item");
    Some(Problem::error(
        *line,
        message,
        "separate items by commas, without inner brackets or quotes",
    ))
}

/// The items of a list value, as agdb splits it.
pub fn list(value: &str) -> Vec<String> {
    value
        .trim_start_matches('[')
        .trim_end_matches(']')
        .trim()
        .split(',')
        .map(unquoted)
        .filter(|item| !item.is_empty())
        .map(str::to_owned)
        .collect()
}

/// What of a template was left in a value.
fn placeholder(value: &str) -> Option<&str> {
    for (open, close) in [
        ("{{", "}}"),
        ("{%", "%}"),
        ("${", "}"),
        ("$(", ")"),
        ("{", "}"),
    ] {
        if let Some(start) = value.find(open) {
            let rest = &value[start..];
            let end = rest.find(close).map_or(rest.len(), |end| end + close.len());
            return rest.get(..end);
        }
    }
    None
}

impl Config {
    /// The entry that counts for this key: the last.
    pub fn entry(&self, key: &str) -> Option<&Entry> {
        self.entries.iter().rev().find(|entry| entry.key == key)
    }

    fn value(&self, key: &str) -> Option<&str> {
        self.entry(key).map(|entry| entry.value.as_str())
    }

    /// This server's own URL, as agdb compares it with the items of `cluster`: the address without a
    /// path, then the base path.
    pub fn server_url(&self) -> String {
        let address = self.value("address").unwrap_or("http://localhost:3000");
        let (scheme, rest) = match address.split_once("://") {
            Some((scheme, rest)) => (format!("{scheme}://"), rest),
            None => (String::new(), address),
        };
        let authority = rest
            .split_once('/')
            .map_or(rest, |(authority, _path)| authority);
        format!(
            "{scheme}{authority}{}",
            base_path(self.value("basepath").unwrap_or_default())
        )
    }

    /// The items of `cluster`.
    pub fn cluster(&self) -> Vec<String> {
        self.value("cluster").map(list).unwrap_or_default()
    }

    /// The path of the pepper file; none when it is not set.
    pub fn pepper_path(&self) -> Option<&str> {
        self.value("pepper_path").filter(|path| !path.is_empty())
    }

    /// A number, or agdb's default.
    pub fn number(&self, key: &str, default: u64) -> u64 {
        self.value(key)
            .and_then(|value| value.parse().ok())
            .unwrap_or(default)
    }
}

/// A base path as agdb normalises it: with a leading slash, without a trailing one.
pub fn base_path(value: &str) -> String {
    let rooted = if value.is_empty() || value.starts_with('/') {
        value.to_owned()
    } else {
        format!("/{value}")
    };
    rooted.trim_end_matches('/').to_owned()
}

/// The known key that was probably meant: at most a third of its letters differ.
fn closest(word: &str) -> Option<&'static str> {
    let (distance, key) = keys().map(|key| (distance(word, key), key)).min()?;
    (distance * 3 <= key.len().max(3)).then_some(key)
}

/// How many letters must be put in, taken out or changed.
fn distance(left: &str, right: &str) -> usize {
    let right: Vec<char> = right.chars().collect();
    let mut row: Vec<usize> = (0..=right.len()).collect();
    for (i, l) in left.chars().enumerate() {
        let mut diagonal = i;
        let mut previous = i + 1;
        for (slot, r) in row.iter_mut().skip(1).zip(&right) {
            let cost = (diagonal + usize::from(l != *r))
                .min(*slot + 1)
                .min(previous + 1);
            diagonal = *slot;
            *slot = cost;
            previous = cost;
        }
        row[0] = i + 1;
    }
    row.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problems(text: &str) -> Vec<(u32, String)> {
        let config = parse(text);
        config
            .problems
            .into_iter()
            .map(|p| (p.line, p.message))
            .collect()
    }

    #[test]
    fn the_file_that_agdb_writes_itself_has_no_problems() {
        let config = parse(include_str!("../tests/data/default.yaml"));
        assert_eq!(config.problems, []);
        assert_eq!(config.entries.len(), KEYS.len());
        assert!(config.entries.iter().map(|e| e.key.as_str()).eq(keys()));
    }

    #[test]
    fn a_clusters_file_is_read_as_agdb_reads_it() {
        let config = parse(include_str!("../tests/data/agdb-0.yaml"));
        assert_eq!(config.problems, []);
        assert_eq!(
            config.server_url(),
            "http://agdb-0.agdb.default.svc.cluster.local:3000"
        );
        assert_eq!(config.cluster().len(), 3);
        assert_eq!(config.cluster()[0], config.server_url());
        assert_eq!(config.pepper_path(), Some("/agdb/pepper/pepper"));
    }

    #[test]
    fn the_own_url_is_the_address_without_its_path_and_then_the_base_path() {
        let url = |text| parse(text).server_url();
        assert_eq!(
            url("address: http://a:3000/x/y\nbasepath: api/"),
            "http://a:3000/api"
        );
        assert_eq!(url("address: a:3000/"), "a:3000");
        assert_eq!(url(""), "http://localhost:3000");
    }

    #[test]
    fn quotes_and_one_comment_are_dropped_as_agdb_drops_them() {
        let config = parse("\"admin\": 'root' # the owner\ncluster: [\"http://a\", 'http://b',]");
        assert_eq!(config.problems, []);
        assert_eq!(config.entry("admin").unwrap().value, "root");
        assert_eq!(config.cluster(), ["http://a", "http://b"]);
    }

    #[test]
    fn what_agdb_refuses_is_refused_with_its_line() {
        let text = include_str!("../tests/data/refused.yaml");
        let found = problems(text);
        let expected = [
            (2, "agdb has no key `adress`"),
            (
                3,
                "`cluster_term_timeout_ms` takes a whole number, not `3s`",
            ),
            (4, "agdb has no sync_mode `always`"),
            (5, "agdb has no log_level `loud`"),
            (6, "`token_expiry_seconds` is 5, and agdb takes 60 to 86400"),
            (8, "agdb takes no block lists"),
            (9, "agdb takes no block lists"),
            (
                10,
                "`{id}` in `address` was not filled in, and agdb expands nothing itself",
            ),
            (
                11,
                "`${POD_NAME}` in `bind` was not filled in, and agdb expands nothing itself",
            ),
            (
                12,
                "`{{ name }}` in `admin` was not filled in, and agdb expands nothing itself",
            ),
            (13, "`log_body_limit` takes a whole number, not `-1`"),
        ];
        let expected: Vec<(u32, String)> = expected.map(|(n, m)| (n, m.to_owned())).into();
        assert_eq!(found, expected);
    }

    #[test]
    fn what_agdb_takes_otherwise_than_it_looks_is_refused() {
        let cases = [
            (
                "cluster_token: se#cret",
                "agdb cuts `cluster_token` at the last `#`, quoted or not",
            ),
            (
                "cluster_token: \"se#cret\"",
                "agdb cuts `cluster_token` at the last `#`, quoted or not",
            ),
            (
                "admin: a # b # c",
                "agdb cuts `admin` at the last `#`, quoted or not",
            ),
            (
                "cluster: [http://a,\n",
                "the list of `cluster` does not open and close on this line",
            ),
            (
                "cluster: [http://a http://b]",
                "`http://a http://b` in `cluster` is not one item",
            ),
            (
                "just words",
                "`just words` has no colon, so agdb ignores this line",
            ),
        ];
        for (text, message) in cases {
            assert_eq!(problems(text), [(1, message.to_owned())], "{text}");
        }
        let twice = problems("admin: a\nadmin: b");
        assert_eq!(
            twice,
            [(
                2,
                "`admin` already stands in line 1; agdb takes the last".to_owned()
            )]
        );
    }

    #[test]
    fn a_misspelt_key_is_answered_with_the_one_that_was_meant() {
        let hint = |text: &str| parse(text).problems.remove(0).hint;
        assert_eq!(hint("adress: x"), "did you mean `address`?");
        assert_eq!(
            hint("cluster_hearbeat_timeout: 1"),
            "did you mean `cluster_heartbeat_timeout_ms`?"
        );
        assert_eq!(
            hint("foo: x"),
            "remove the line; agdb does not start with it"
        );
    }
}
