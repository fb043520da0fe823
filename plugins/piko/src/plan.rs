//! What templates are told.

use outrigger_plugin_sdk::json::ToJson;
use outrigger_plugin_sdk::{Failure, Membership, Plan, authority};

use crate::settings::{Settings, address, id_prefix};

/// The values for templates; the start is allowed.
///
/// # Errors
/// While this replica's own address is not known: a file without it would name nobody.
pub fn plan(settings: &Settings, now: &Membership) -> Result<Plan, Failure> {
    let own = now.require_own()?;
    let ip = address(own).ok_or_else(|| {
        Failure::unavailable(
            "the address of this replica is not known yet, and Piko would guess one",
        )
    })?;
    let join = settings.join(now);
    let mut plan = Plan::ready()
        .output("node-id-prefix", id_prefix(own))
        .output("join", join.to_json().to_string())
        .output("proxy-addr", authority(ip, settings.proxy_port))
        .output("upstream-addr", authority(ip, settings.upstream_port))
        .output("admin-addr", authority(ip, settings.admin_port))
        .output("gossip-addr", authority(ip, settings.gossip_port));
    plan.seeds = join;
    Ok(plan)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{membership, with_addresses};

    #[test]
    fn templates_get_the_others_by_name_and_the_own_addresses() {
        let plan = plan(&Settings::default(), &with_addresses(membership(1, 3))).unwrap();
        let shown: Vec<String> = plan
            .outputs
            .iter()
            .map(|(key, value)| format!("{key}: {value}"))
            .collect();
        assert_eq!(
            shown,
            [
                "node-id-prefix: piko-1-",
                r#"join: ["piko-0.piko.default.svc.cluster.local:8003","piko-2.piko.default.svc.cluster.local:8003"]"#,
                "proxy-addr: 127.10.0.2:8000",
                "upstream-addr: 127.10.0.2:8001",
                "admin-addr: 127.10.0.2:8002",
                "gossip-addr: 127.10.0.2:8003",
            ]
        );
        assert!(plan.may_start);
        assert_eq!(plan.seeds.len(), 2);
    }

    #[test]
    fn the_first_of_all_joins_nobody() {
        let mut now = membership(0, 3);
        now.replicas[0].addresses = vec!["10.0.0.1".to_owned()];
        let plan = plan(&Settings::default(), &now).unwrap();
        assert_eq!(plan.outputs[1].1, "[]");
    }

    #[test]
    fn without_an_address_of_its_own_nothing_is_rendered() {
        let failure = plan(&Settings::default(), &membership(0, 3)).unwrap_err();
        assert!(failure.message.starts_with("the address of this replica"));
    }
}
