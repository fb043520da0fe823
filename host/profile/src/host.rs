//! What may stand for another service: a DNS name or an address, and never one of the machine's own link.

use std::net::IpAddr;

use crate::Finding;
use crate::structure::cut;

/// What is wrong with the name or address of another service, if anything is: a finding at `at`.
pub fn host_problem(at: &str, host: &str) -> Option<Finding> {
    if let Ok(address) = host.parse::<IpAddr>() {
        return is_link_local(address).then(|| {
            Finding::error(at, format!("{address} is {LINK_LOCAL}"))
                .hint("name a service of the cluster, or an address that is routed")
        });
    }
    if is_dns_name(host) {
        return None;
    }
    let hint = if host.contains([':', '/']) {
        "leave scheme, port and path out; the port is `port`"
    } else {
        "write a name such as db.default.svc.cluster.local or an address"
    };
    let problem = format!("`{}` is neither a DNS name nor an address", cut(host));
    Some(Finding::error(at, problem).hint(hint))
}

/// What is said of an address that [`is_link_local`].
pub const LINK_LOCAL: &str = "a link-local address, where clouds hand out credentials";

/// Whether an address is one of 169.254.0.0/16 or `fe80::/10`, also written as IPv6.
pub fn is_link_local(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => address.is_link_local(),
        IpAddr::V6(address) => {
            address.is_unicast_link_local()
                || address
                    .to_ipv4()
                    .is_some_and(|address| address.is_link_local())
        }
    }
}

/// Whether a text is a DNS name, with or without the dot at its end.
pub(crate) fn is_dns_name(text: &str) -> bool {
    let name = text.strip_suffix('.').unwrap_or(text);
    !name.is_empty()
        && name.len() <= 253
        && name.split('.').all(|label| {
            (1..=63).contains(&label.len())
                && label
                    .bytes()
                    .all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_routed_addresses_are_taken_and_nothing_else() {
        for right in [
            "db",
            "db.default.svc.cluster.local",
            "db.",
            "10.0.0.1",
            "fd00::1",
            "127.0.0.1",
        ] {
            assert_eq!(host_problem("at", right), None, "{right}");
        }
        for wrong in [
            "",
            "http://db",
            "db:80",
            "a b",
            "a..b",
            "ä",
            "169.254.169.254",
            "fe80::1",
            "febf::1",
            "::ffff:169.254.1.1",
            "::169.254.1.1",
        ] {
            let told = host_problem("at", wrong);
            assert!(told.is_some(), "{wrong}");
        }
    }
}
