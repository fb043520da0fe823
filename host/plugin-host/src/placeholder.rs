//! `${secret:KEY}` in headers and bodies: the host puts a secret's value where the guest put its name.

/// How a value is escaped for the place where it stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Escape {
    /// As it is.
    Plain,
    /// For the inside of a JSON string.
    Json,
    /// For a form, percent-encoded.
    Form,
}

impl Escape {
    /// What a body of this content type needs.
    pub(crate) fn of_content_type(content_type: Option<&str>) -> Self {
        let kind = content_type
            .and_then(|text| text.split(';').next())
            .unwrap_or_default()
            .trim()
            .to_ascii_lowercase();
        if kind == "application/json" || kind.ends_with("+json") {
            Self::Json
        } else if kind == "application/x-www-form-urlencoded" {
            Self::Form
        } else {
            Self::Plain
        }
    }

    fn apply(self, value: &[u8], to: &mut Vec<u8>) -> Result<(), &'static str> {
        match self {
            Self::Plain => to.extend_from_slice(value),
            Self::Json => {
                let text = std::str::from_utf8(value)
                    .map_err(|_| "is not UTF-8 and cannot stand in JSON")?;
                let quoted = serde_json::Value::from(text).to_string();
                let inner = quoted
                    .strip_prefix('"')
                    .and_then(|text| text.strip_suffix('"'))
                    .unwrap_or_default();
                to.extend_from_slice(inner.as_bytes());
            }
            Self::Form => {
                for byte in value {
                    if byte.is_ascii_alphanumeric() || b"-._~".contains(byte) {
                        to.push(*byte);
                    } else {
                        to.extend_from_slice(format!("%{byte:02X}").as_bytes());
                    }
                }
            }
        }
        Ok(())
    }
}

const OPEN: &[u8] = b"${secret:";

/// Bytes of a key of a Secret, as Kubernetes limits them.
const KEY_BYTES_MAX: usize = 253;

/// Whether there is a placeholder at all.
pub(crate) fn has_placeholder(text: &[u8]) -> bool {
    next_placeholder(text).is_some()
}

/// Replaces every placeholder by what `read` gives for its key, escaped. Values are not searched for
/// further placeholders. What is not quite a placeholder stays as it is.
pub(crate) fn substitute<E>(
    text: &[u8],
    escape: Escape,
    mut read: impl FnMut(&str) -> Result<Vec<u8>, E>,
    unfit: impl Fn(&str, &'static str) -> E,
) -> Result<Vec<u8>, E> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, key, after)) = next_placeholder(rest) {
        out.extend_from_slice(before);
        let value = read(key)?;
        escape
            .apply(&value, &mut out)
            .map_err(|problem| unfit(key, problem))?;
        rest = after;
    }
    out.extend_from_slice(rest);
    Ok(out)
}

/// What stands before the first placeholder, its key, and what stands after it.
fn next_placeholder(text: &[u8]) -> Option<(&[u8], &str, &[u8])> {
    let mut from = 0;
    loop {
        let start = from
            + text
                .get(from..)?
                .windows(OPEN.len())
                .position(|window| window == OPEN)?;
        let key_start = start + OPEN.len();
        let rest = text.get(key_start..)?;
        let length = rest
            .iter()
            .position(|byte| !(byte.is_ascii_alphanumeric() || b"-._".contains(byte)))
            .unwrap_or(rest.len());
        if rest.get(length) == Some(&b'}') && (1..=KEY_BYTES_MAX).contains(&length) {
            let key = std::str::from_utf8(rest.get(..length)?).ok()?;
            return Some((text.get(..start)?, key, rest.get(length + 1..)?));
        }
        from = key_start;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn replaced(text: &str, escape: Escape) -> Result<String, String> {
        let read = |key: &str| match key {
            "password" => Ok(b"p\"w & x".to_vec()),
            "nested" => Ok(b"${secret:password}".to_vec()),
            "binary" => Ok(vec![0xff]),
            _ => Err(format!("no key {key}")),
        };
        let unfit = |key: &str, problem: &'static str| format!("{key} {problem}");
        substitute(text.as_bytes(), escape, read, unfit)
            .map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
    }

    #[test]
    fn a_value_is_escaped_for_where_it_stands() {
        let text = "a=${secret:password};";
        assert_eq!(replaced(text, Escape::Plain).unwrap(), "a=p\"w & x;");
        assert_eq!(replaced(text, Escape::Json).unwrap(), "a=p\\\"w & x;");
        assert_eq!(replaced(text, Escape::Form).unwrap(), "a=p%22w%20%26%20x;");
    }

    #[test]
    fn a_value_that_looks_like_a_placeholder_is_not_replaced_again() {
        assert_eq!(
            replaced("${secret:nested}", Escape::Plain).unwrap(),
            "${secret:password}"
        );
    }

    #[test]
    fn what_is_not_quite_a_placeholder_stays() {
        for text in [
            "${secret:}",
            "${secret:a b}",
            "${secret:open",
            "${SECRET:a}",
            "$secret:a",
            "${secret:",
        ] {
            assert_eq!(replaced(text, Escape::Plain).unwrap(), text);
            assert!(!has_placeholder(text.as_bytes()));
        }
        assert_eq!(
            replaced("${secret:${secret:password}", Escape::Plain).unwrap(),
            "${secret:p\"w & x"
        );
    }

    #[test]
    fn a_missing_key_and_a_value_that_does_not_fit_are_errors() {
        assert_eq!(
            replaced("${secret:other}", Escape::Plain).unwrap_err(),
            "no key other"
        );
        assert_eq!(
            replaced("${secret:binary}", Escape::Json).unwrap_err(),
            "binary is not UTF-8 and cannot stand in JSON"
        );
    }

    #[test]
    fn the_content_type_says_how_a_body_is_escaped() {
        let of = |text| Escape::of_content_type(Some(text));
        assert_eq!(of("application/json; charset=utf-8"), Escape::Json);
        assert_eq!(of("Application/Problem+JSON"), Escape::Json);
        assert_eq!(of("application/x-www-form-urlencoded"), Escape::Form);
        assert_eq!(of("text/plain"), Escape::Plain);
        assert_eq!(Escape::of_content_type(None), Escape::Plain);
    }

    proptest::proptest! {
        #[test]
        fn no_text_makes_it_panic_and_json_stays_json(value in ".*", noise in "[a${}:secrt]{0,24}") {
            let body = format!("{{\"noise\":{},\"v\":\"${{secret:k}}\"}}", serde_json::Value::from(noise));
            let out = substitute(
                body.as_bytes(), Escape::Json,
                |_| Ok::<_, String>(value.clone().into_bytes()),
                |_, problem| problem.to_owned(),
            ).unwrap();
            let read: serde_json::Value = serde_json::from_slice(&out).unwrap();
            proptest::prop_assert_eq!(read["v"].as_str().unwrap(), value);
        }
    }
}
