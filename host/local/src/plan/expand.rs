//! `$(VAR)` in variables, commands and arguments, as the kubelet replaces it.

/// Replaces `$(NAME)` where `value_of` knows the name; `$$` is a dollar. What is not known, or not
/// closed, stays as it is.
pub(super) fn expand(text: &str, value_of: &dyn Fn(&str) -> Option<String>) -> String {
    let mut result = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(dollar) = rest.find('$') {
        result.push_str(&rest[..dollar]);
        rest = &rest[dollar + 1..];
        if let Some(after) = rest.strip_prefix('$') {
            result.push('$');
            rest = after;
        } else if let Some((name, after)) = rest
            .strip_prefix('(')
            .and_then(|inner| inner.split_once(')'))
        {
            if let Some(value) = value_of(name) {
                result.push_str(&value);
            } else {
                result.push_str("$(");
                result.push_str(name);
                result.push(')');
            }
            rest = after;
        } else {
            result.push('$');
        }
    }
    result.push_str(rest);
    result
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_are_replaced_as_the_kubelet_replaces_them() {
        let known = |name: &str| match name {
            "A" => Some("1".to_owned()),
            "B" => Some("$(A)".to_owned()),
            "" => Some("empty".to_owned()),
            _ => None,
        };
        let table = [
            ("$(A)", "1"),
            ("x-$(A)-$(A)", "x-1-1"),
            ("$(UNKNOWN)", "$(UNKNOWN)"),
            ("$$(A)", "$(A)"),
            ("$$$(A)", "$1"),
            ("$A", "$A"),
            ("$(A", "$(A"),
            ("$(B)", "$(A)"),
            ("$", "$"),
            ("$$", "$"),
            ("$()", "empty"),
            ("ü$(A)ü", "ü1ü"),
        ];
        for (text, expected) in table {
            assert_eq!(expand(text, &known), expected, "{text}");
        }
    }
}
