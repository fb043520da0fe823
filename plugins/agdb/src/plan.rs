//! What templates are told of the cluster.

use outrigger_plugin_sdk::{Membership, Plan, quorum};

use crate::settings::Settings;

/// The values for templates; the start is allowed. An address that is not known (this replica not among
/// the replicas) is the host's fault and gives an empty text.
pub fn plan(settings: &Settings, now: &Membership) -> Plan {
    let own = now.own();
    let cluster = settings.cluster(now);
    let mut plan = Plan::ready()
        .output(
            "address",
            own.map(|own| settings.address(own)).unwrap_or_default(),
        )
        .output("url", own.map(|own| settings.url(own)).unwrap_or_default())
        .output("cluster", inline(&cluster))
        .output(
            "index",
            now.self_ordinal.saturating_sub(now.start).to_string(),
        )
        .output("quorum", quorum(now.desired).to_string());
    plan.seeds = now
        .wanted()
        .filter(|r| r.ordinal != now.self_ordinal)
        .map(|r| r.host.clone())
        .collect();
    plan
}

/// A list as agdb takes it: on one line.
pub fn inline(items: &[String]) -> String {
    format!("[{}]", items.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::membership;

    #[test]
    fn the_list_holds_every_wanted_replica_in_ordinal_order_and_no_other() {
        let mut now = membership(1, 3);
        now.replicas
            .extend(membership(0, 5).replicas.into_iter().skip(3));
        let plan = plan(&Settings::default(), &now);
        let output = |key: &str| {
            plan.outputs
                .iter()
                .find(|(k, _)| k == key)
                .unwrap()
                .1
                .clone()
        };
        let url = |i: u32| format!("http://agdb-{i}.agdb.default.svc.cluster.local:3000");
        assert_eq!(output("address"), url(1));
        assert_eq!(
            output("cluster"),
            format!("[{}, {}, {}]", url(0), url(1), url(2))
        );
        assert_eq!([output("index"), output("quorum")], ["1", "2"]);
        assert_eq!(plan.seeds.len(), 2);
        assert!(plan.may_start);
    }

    #[test]
    fn the_base_path_belongs_to_the_list_and_not_to_the_address() {
        let settings = Settings {
            basepath: "/db".to_owned(),
            port: 4000,
            ..Settings::default()
        };
        let plan = plan(&settings, &membership(0, 1));
        assert_eq!(
            plan.outputs[0].1,
            "http://agdb-0.agdb.default.svc.cluster.local:4000"
        );
        assert_eq!(
            plan.outputs[2].1,
            "[http://agdb-0.agdb.default.svc.cluster.local:4000/db]"
        );
    }

    #[test]
    fn the_place_counts_from_the_first_ordinal() {
        let mut now = membership(6, 3);
        now.start = 5;
        assert_eq!(plan(&Settings::default(), &now).outputs[3].1, "1");
    }
}
