//! What is wrong with a value, whether it stands in a file or in a variable. Pure.

use outrigger_plugin_sdk::{Membership, Severity};

use crate::disk;

/// What is wrong with a cap; `total` is the size of the cache's disk, where it is known.
pub fn cap(text: &str, total: Option<f64>) -> Option<String> {
    let Ok(bytes) = text.parse::<u64>() else {
        return Some(format!(
            "`{text}` is no number of bytes, and TAG takes nothing else: there would be no cap"
        ));
    };
    disk::cap(total.unwrap_or(f64::MAX), 100, Some(&bytes.to_string())).err()
}

/// What is wrong with a node ID in this replica.
pub fn node_id(id: &str, now: &Membership) -> Option<(Severity, String)> {
    if now.own().is_some_and(|own| own.name == id) {
        return None;
    }
    Some(if now.peers().any(|peer| peer.name == id) {
        let why = "is another replica's: of two with the same ID one is no member";
        (Severity::Error, format!("`{id}` {why}"))
    } else {
        let why = "is not the pod's name: is it another one in each replica?";
        (Severity::Warning, format!("`{id}` {why}"))
    })
}

/// What is wrong with the address that the others are given of this replica.
pub fn advertised(told: &str, now: &Membership) -> Option<String> {
    let host = told.rsplit_once(':').map_or("", |(host, _)| host);
    let is_of =
        |address: &String| address.trim_matches(['[', ']']) == host.trim_matches(['[', ']']);
    let of_another = now
        .peers()
        .any(|peer| peer.host == host || peer.addresses.iter().any(is_of));
    if matches!(host, "" | "0.0.0.0" | "[::]") {
        Some(format!(
            "`{told}` names no host: the others could not reach this replica"
        ))
    } else if of_another {
        Some(format!("`{told}` is another replica's"))
    } else {
        None
    }
}

/// Whether somebody else was to fill a value in: nobody does.
pub fn is_left_open(text: &str) -> bool {
    text.contains("${") || text.contains("$(")
}
