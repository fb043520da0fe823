//! What templates are told.

use outrigger_plugin_sdk::files::FsUsage;
use outrigger_plugin_sdk::{Failure, Membership, Plan, authority};

use crate::disk;
use crate::settings::{Settings, service_host};

/// The values for templates; the start is allowed. `disk` is the cache's disk, where it can be looked at.
///
/// # Errors
/// A cap that is more than the disk really has, and an own address that is not known yet.
pub fn plan(settings: &Settings, now: &Membership, disk: Option<FsUsage>) -> Result<Plan, Failure> {
    let own = now.require_own()?;
    let is_v4 = |address: &&String| !address.contains(':');
    let ip = own.addresses.iter().find(is_v4).or(own.addresses.first());
    let ip = ip.ok_or_else(|| {
        Failure::unavailable("the address of this replica is not known yet, and its peers need it")
    })?;
    let mut plan = Plan::ready()
        .output("node-id", &own.name)
        .output("advertise-addr", authority(&own.host, settings.grpc_port))
        .output("cluster-addr", authority(ip, settings.cluster_port))
        .output("grpc-addr", authority(ip, settings.grpc_port));
    // The Service's name finds this replica too, so that TAG has somebody to join: without anybody it
    // tries again thousands of times a second.
    if let Some(service) = service_host(own) {
        let seed = authority(service, settings.cluster_port);
        plan = plan.output("seed-nodes", &seed);
        plan.seeds = vec![seed];
    }
    if let Some(cap) = cap(settings, disk)? {
        plan = plan.output("disk-cap", cap.to_string());
    }
    Ok(plan)
}

/// The cap in bytes; none where neither the disk nor a setting tells.
pub fn cap(settings: &Settings, disk: Option<FsUsage>) -> Result<Option<u64>, Failure> {
    let set = settings.disk_cap.as_deref();
    let refuse = |why: String| {
        Failure::invalid_config(format!(
            "the disk cap of the volume `{}`: {why}",
            settings.volume
        ))
    };
    match (disk, set) {
        (Some(usage), _) => disk::cap(usage.total, settings.disk_share, set)
            .map(Some)
            .map_err(refuse),
        (None, Some(set)) => disk::bytes(set).map(Some).map_err(refuse),
        (None, None) => Ok(None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::membership;

    const DISK: FsUsage = FsUsage {
        total: 1_000_000.0,
        available: 500_000.0,
        inodes_free: 1e6,
    };

    #[test]
    fn templates_get_identity_addresses_seed_and_cap() {
        let plan = plan(&Settings::default(), &membership(1, 3), Some(DISK)).unwrap();
        let shown: Vec<String> = plan
            .outputs
            .iter()
            .map(|(k, v)| format!("{k}: {v}"))
            .collect();
        assert_eq!(
            shown,
            [
                "node-id: tag-1",
                "advertise-addr: tag-1.tag-headless.default.svc.cluster.local:9000",
                "cluster-addr: 127.40.0.2:7000",
                "grpc-addr: 127.40.0.2:9000",
                "seed-nodes: tag-headless.default.svc.cluster.local:7000",
                "disk-cap: 900000",
            ]
        );
    }

    #[test]
    fn a_cap_beyond_the_real_disk_is_refused_before_anything_is_rendered() {
        let settings = Settings {
            disk_cap: Some("400Gi".to_owned()),
            ..Settings::default()
        };
        let failure = plan(&settings, &membership(0, 3), Some(DISK)).unwrap_err();
        assert_eq!(
            failure.message,
            "the disk cap of the volume `cache-data`: `400Gi` is more than the 976.5Ki that the volume really has: the disk would be full before TAG evicts anything"
        );
        let unseen = plan(&settings, &membership(0, 3), None).unwrap();
        assert_eq!(unseen.outputs.last().unwrap().1, "429496729600");
    }

    #[test]
    fn without_an_address_of_its_own_nothing_is_rendered() {
        let mut now = membership(0, 3);
        now.replicas[0].addresses.clear();
        assert!(plan(&Settings::default(), &now, None).is_err());
    }
}
