//! Single braces around a name: `{ordinal}`. What is in braces and is no name stays as it is, so JSON
//! and the like need no care; `{{name}}` writes `{name}`. Names of the file's own go before the ones here.

use std::collections::BTreeMap;

use outrigger_peers::PeerSet;
use outrigger_profile::{Finding, did_you_mean};

/// The values of the placeholders for this replica, and the file's own; one that has no value yet is none.
pub(super) fn values<'a>(
    set: &PeerSet,
    own_names: &'a BTreeMap<String, String>,
) -> BTreeMap<&'a str, Option<String>> {
    let own = set.own();
    let identity = &set.identity;
    let ip = identity.ip.or_else(|| own.addresses.first().copied());
    let mut values = BTreeMap::from([
        ("id", Some(own.ordinal.to_string())),
        ("ordinal", Some(own.ordinal.to_string())),
        ("host", Some(own.host.clone())),
        ("name", Some(own.name.clone())),
        ("namespace", Some(identity.namespace.clone())),
        ("service", Some(identity.service.clone())),
        ("ip", ip.map(|ip| ip.to_string())),
        ("replicas", Some(set.desired.to_string())),
    ]);
    for (name, value) in own_names {
        values.insert(name, Some(value.clone()));
    }
    values
}

/// Renders a text.
///
/// # Errors
/// Every placeholder that has no value, with its line.
pub(super) fn render(
    text: &str,
    values: &BTreeMap<&str, Option<String>>,
) -> Result<String, Vec<Finding>> {
    let mut out = String::with_capacity(text.len());
    let mut findings = Vec::new();
    let mut line = 1;
    let mut rest = text;
    while let Some(start) = rest.find('{') {
        let (before, from) = rest.split_at(start);
        out.push_str(before);
        line += before.bytes().filter(|byte| *byte == b'\n').count();
        if let Some(name) = from.strip_prefix("{{").and_then(|inner| name(inner, "}}")) {
            out.push('{');
            out.push_str(name);
            out.push('}');
            rest = &from[name.len() + 4..];
            continue;
        }
        let Some(name) = name(&from[1..], "}") else {
            out.push('{');
            rest = &from[1..];
            continue;
        };
        match values.get(name) {
            Some(Some(value)) => out.push_str(value),
            Some(None) => findings.push(
                Finding::error("", format!("`{{{name}}}` has no value yet"))
                    .at_line(line)
                    .hint("this pod has no address yet; set POD_IP from the downward API"),
            ),
            None => findings.push(unknown(name, values).at_line(line)),
        }
        rest = &from[name.len() + 2..];
    }
    out.push_str(rest);
    if findings.is_empty() {
        Ok(out)
    } else {
        Err(findings)
    }
}

/// The name at the start of a text, when `end` follows it.
fn name<'a>(text: &'a str, end: &str) -> Option<&'a str> {
    let len = text
        .find(|c: char| !c.is_ascii_alphanumeric() && c != '_' && c != '-')
        .unwrap_or(text.len());
    let (name, after) = text.split_at(len);
    let is_name = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
    (is_name && after.starts_with(end)).then_some(name)
}

fn unknown(name: &str, values: &BTreeMap<&str, Option<String>>) -> Finding {
    let near = if let Some(near) = did_you_mean(name, values.keys().copied()) {
        format!("you may mean `{{{near}}}`")
    } else {
        let names: Vec<String> = values.keys().map(|name| format!("{{{name}}}")).collect();
        format!("there are {}", names.join(", "))
    };
    let hint = format!("{near}; write `{{{{{name}}}}}` for the text itself");
    Finding::error("", format!("`{{{name}}}` is no placeholder")).hint(hint)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn known() -> BTreeMap<&'static str, Option<String>> {
        BTreeMap::from([
            ("id", Some("2".to_owned())),
            ("host", Some("db-2.db".to_owned())),
            ("ip", None),
        ])
    }

    #[test]
    fn names_in_braces_are_replaced_and_everything_else_stays() {
        let text = "address: http://{host}:3000\nid: {id}\njson: {\"a\": {}, \"b\": [{ id }]}\n{{id}} {% x %} {";
        assert_eq!(
            render(text, &known()).unwrap(),
            "address: http://db-2.db:3000\nid: 2\njson: {\"a\": {}, \"b\": [{ id }]}\n{id} {% x %} {"
        );
    }

    #[test]
    fn every_unknown_name_is_told_with_its_line() {
        let findings = render("{id}\n{hots}\n{ip} {zone}", &known()).unwrap_err();
        let told: Vec<String> = findings.iter().map(ToString::to_string).collect();
        assert_eq!(
            told,
            [
                "error: line 2: `{hots}` is no placeholder\n  hint: you may mean `{host}`; write `{{hots}}` for the text itself",
                "error: line 3: `{ip}` has no value yet\n  hint: this pod has no address yet; set POD_IP from the downward API",
                "error: line 3: `{zone}` is no placeholder\n  hint: there are {host}, {id}, {ip}; write `{{zone}}` for the text itself",
            ]
        );
    }

    proptest! {
        #[test]
        fn texts_without_braces_stay_as_they_are(text in "[^{]{0,60}") {
            prop_assert_eq!(render(&text, &known()).unwrap(), text);
        }

        #[test]
        fn any_text_ends_in_a_result_or_findings(text in "[{}a-z\\n é]{0,60}") {
            if let Err(findings) = render(&text, &known()) {
                prop_assert!(!findings.is_empty());
            }
        }
    }
}
