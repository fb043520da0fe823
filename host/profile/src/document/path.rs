//! Places in a document: `spec.files[0].path`, `metadata.labels["app.kubernetes.io/name"]`.

/// The path of a key under `parent`.
pub fn key(parent: &str, key: &str) -> String {
    let simple = !key.is_empty()
        && key
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_');
    match (simple, parent.is_empty()) {
        (true, true) => key.to_owned(),
        (true, false) => format!("{parent}.{key}"),
        (false, _) => format!("{parent}[{}]", serde_json::Value::from(key)),
    }
}

/// The path of a list's item, counted from 0.
pub fn item(parent: &str, index: usize) -> String {
    format!("{parent}[{index}]")
}

/// One step of a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Step {
    /// Into a mapping.
    Key(String),
    /// Into a list.
    Item(usize),
}

/// The steps of a path; what is no path ends it.
pub(super) fn steps(path: &str) -> Vec<Step> {
    let mut steps = Vec::new();
    let mut rest = path;
    while !rest.is_empty() {
        rest = rest.strip_prefix('.').unwrap_or(rest);
        if let Some(inner) = rest.strip_prefix('[') {
            let Some((step, after)) = bracketed(inner) else {
                return steps;
            };
            steps.push(step);
            rest = after;
        } else {
            let end = rest.find(['.', '[']).unwrap_or(rest.len());
            if end == 0 {
                return steps;
            }
            let (word, after) = rest.split_at(end);
            steps.push(Step::Key(word.to_owned()));
            rest = after;
        }
    }
    steps
}

fn bracketed(inner: &str) -> Option<(Step, &str)> {
    if inner.starts_with('"') {
        let mut stream = serde_json::Deserializer::from_str(inner).into_iter::<String>();
        let key = stream.next()?.ok()?;
        let after = inner.get(stream.byte_offset()..)?.strip_prefix(']')?;
        Some((Step::Key(key), after))
    } else {
        let (digits, after) = inner.split_once(']')?;
        Some((Step::Item(digits.parse().ok()?), after))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_read_back_as_it_was_built() {
        let path = key(&item(&key(&key("", "a"), "b.c\"]"), 2), "d-e");
        assert_eq!(path, r#"a["b.c\"]"][2].d-e"#);
        assert_eq!(
            steps(&path),
            [
                Step::Key("a".into()),
                Step::Key("b.c\"]".into()),
                Step::Item(2),
                Step::Key("d-e".into())
            ]
        );
    }

    #[test]
    fn what_is_no_path_ends_it() {
        assert_eq!(steps("a[x].b"), [Step::Key("a".into())]);
        assert_eq!(steps("a[\"x"), [Step::Key("a".into())]);
        assert_eq!(steps("..a"), []);
    }
}
