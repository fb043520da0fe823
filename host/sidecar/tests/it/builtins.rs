//! What the built-in profiles render, for one replica, three and five: the configurations with which
//! these workloads were seen running.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::net::IpAddr;
use std::sync::Arc;

use outrigger_peers::{Identity, Ordinal, PeerSet};
use outrigger_profile::Profile;
use outrigger_profile::builtin::{Builtin, builtin};
use outrigger_sidecar::discovery::{RelatedSet, RelatedSets};
use outrigger_sidecar::secrets::Secrets;
use outrigger_sidecar::template::{Context, RenderedSet, Seed, Seeds, VolumeFacts, render};

/// A StatefulSet, and what its pods have.
struct World {
    builtin: &'static Builtin,
    set: &'static str,
    service: &'static str,
    volumes: &'static [(&'static str, &'static str, &'static str)],
    related: RelatedSets,
}

#[derive(Debug)]
struct NoSeeds;

impl Seeds for NoSeeds {
    fn start(&self) -> Seed {
        [0; 32]
    }

    fn disk(&self, volume: &str) -> Result<Seed, String> {
        Err(format!("nothing is known of the volume `{volume}`"))
    }
}

impl World {
    fn new(workload: &str, set: &'static str, service: &'static str) -> Self {
        Self {
            builtin: builtin(workload).unwrap(),
            set,
            service,
            volumes: &[],
            related: RelatedSets::new(),
        }
    }

    fn profile(&self) -> Profile {
        let files = self.builtin.files;
        let document = files.iter().find(|(name, _)| *name == "outrigger.yaml");
        let (profile, findings) = outrigger_profile::parse(document.unwrap().1, "outrigger.yaml");
        assert_eq!(findings.to_string(), "", "{}", self.builtin.name);
        profile.unwrap()
    }

    /// Replicas of which all have an address but those that `missing` names.
    fn peers(&self, ordinal: u32, replicas: u32, missing: &[u32]) -> PeerSet {
        let address = |ordinal: u32| IpAddr::from([10, 0, 0, 10 + u8::try_from(ordinal).unwrap()]);
        let identity = Identity {
            stateful_set: self.set.into(),
            ordinal: Ordinal(ordinal),
            namespace: "default".into(),
            service: self.service.into(),
            cluster_domain: "cluster.local".into(),
            ip: Some(address(ordinal)),
            uid: String::new(),
        };
        let mut set = PeerSet::expected(identity, Ordinal(0), replicas);
        for (ordinal, replica) in &mut set.replicas {
            if !missing.contains(&ordinal.0) {
                replica.addresses = vec![address(ordinal.0)];
            }
        }
        set
    }

    fn render_with(&self, profile: &Profile, peers: PeerSet) -> Result<RenderedSet, Vec<String>> {
        let templates = self.builtin.files.iter();
        let templates = templates.map(|(name, text)| ((*name).to_owned(), (*text).to_owned()));
        let volumes = self.volumes.iter().map(|(name, path, size)| {
            let facts = VolumeFacts {
                path: (*path).to_owned(),
                bytes: Some(size.parse::<outrigger_profile::ByteSize>().unwrap().0),
                free: None,
            };
            ((*name).to_owned(), facts)
        });
        let context = Context {
            related: Arc::new(self.related.clone()),
            peers: Arc::new(peers),
            role: None,
            volumes: volumes.collect(),
            env: BTreeMap::new(),
            settings: profile.template_settings(),
            secrets: Arc::new(Secrets::from_values(BTreeMap::new())),
            plugin: BTreeMap::new(),
            seeds: Arc::new(NoSeeds),
        };
        render(profile, &templates.collect(), &context, &BTreeMap::new())
            .map_err(|findings| findings.iter().map(ToString::to_string).collect())
    }

    /// Everything that the first and the last of so many replicas get, as one text.
    fn shown(&self, replicas: u32) -> String {
        let mut text = String::new();
        let mut ordinals = vec![0, replicas - 1];
        ordinals.dedup();
        for ordinal in ordinals {
            let set = self.render_with(&self.profile(), self.peers(ordinal, replicas, &[]));
            writeln!(text, "## {}-{ordinal} of {replicas}", self.set).unwrap();
            text.push_str(&files(&set.unwrap()));
        }
        text
    }

    fn check(&self) {
        for replicas in [1, 3, 5] {
            let name = format!("{}_{replicas}", self.builtin.name);
            insta::assert_snapshot!(name, self.shown(replicas));
        }
    }
}

fn files(set: &RenderedSet) -> String {
    let mut text = String::new();
    for file in &set.files {
        writeln!(text, "# {} {:o}", file.path.display(), file.mode).unwrap();
        text.push_str(std::str::from_utf8(&file.content).unwrap());
    }
    if let Some(env) = &set.env {
        text.push_str("# environment\n");
        text.push_str(env);
    }
    text
}

#[test]
fn piko_gets_its_addresses_and_the_other_servers_to_join() {
    World::new("piko", "piko", "piko").check();
}

#[test]
fn piko_is_given_no_name_that_does_not_resolve() {
    let piko = World::new("piko", "piko", "piko");
    let set = piko.render_with(&piko.profile(), piko.peers(0, 3, &[2]));
    let text = files(&set.unwrap());
    let join = text.lines().find(|line| line.contains(" join:")).unwrap();
    assert_eq!(join, r#"  join: ["piko-1.piko.default.svc.cluster.local"]"#);
}

#[test]
fn tag_gets_its_environment_with_the_cap_in_bytes() {
    let mut tag = World::new("tag", "tag", "tag-headless");
    tag.volumes = &[("cache-data", "/data/cache", "400Gi")];
    tag.check();
}

#[test]
fn tag_does_not_start_without_a_cap() {
    let tag = World::new("tag", "tag", "tag-headless");
    let findings = tag.render_with(&tag.profile(), tag.peers(0, 3, &[]));
    let findings = findings.unwrap_err().join("\n");
    assert!(
        findings.contains("spec.env.TAG_CACHE_MAX_DISK_USAGE"),
        "{findings}"
    );
}

#[test]
fn an_oxia_server_gets_where_its_data_lies() {
    let mut server = World::new("oxia-server", "oxia", "oxia");
    server.volumes = &[("data", "/data", "8Gi")];
    server.check();
}

/// The coordinator of so many servers, and what it renders or why it does not.
fn coordinator(servers: u32, replicas: u32) -> Result<String, String> {
    let mut coordinator = World::new("oxia-coordinator", "oxia-coordinator", "oxia-coordinator");
    coordinator.volumes = &[("metadata", "/metadata", "1Gi")];
    let theirs = World::new("oxia-server", "oxia", "oxia").peers(0, servers, &[1]);
    let known = RelatedSet::Known(Arc::new(theirs));
    coordinator.related.insert("servers".into(), known);
    let profile = coordinator.profile();
    let set = coordinator.render_with(&profile, coordinator.peers(0, replicas, &[]));
    set.as_ref()
        .map(files)
        .map_err(|findings| findings.join("\n"))
}

#[test]
fn the_oxia_coordinator_gets_every_server_by_its_own_name() {
    for servers in [3, 5] {
        let name = format!("oxia_coordinator_of_{servers}");
        insta::assert_snapshot!(name, coordinator(servers, 1).unwrap());
    }
}

#[test]
fn fewer_oxia_servers_than_copies_are_refused() {
    insta::assert_snapshot!(coordinator(2, 1).unwrap_err());
}

#[test]
fn a_second_oxia_coordinator_is_refused() {
    insta::assert_snapshot!(coordinator(3, 2).unwrap_err());
}

#[test]
fn an_aistore_proxy_gets_its_identity_and_who_is_primary() {
    World::new("aistore-proxy", "ais-proxy", "ais-proxy").check();
}

#[test]
fn an_aistore_target_gets_its_mountpaths_from_its_claims() {
    let mut target = World::new("aistore-target", "ais-target", "ais-target");
    target.volumes = &[
        ("state", "/etc/ais", "1Gi"),
        ("ais-data-0", "/data/0", "1Ti"),
        ("ais-data-1", "/data/1", "1Ti"),
    ];
    target.check();
}

#[test]
fn an_aistore_target_without_a_mountpath_is_refused() {
    let mut target = World::new("aistore-target", "ais-target", "ais-target");
    target.volumes = &[("state", "/etc/ais", "1Gi")];
    let findings = target.render_with(&target.profile(), target.peers(0, 3, &[]));
    let findings = findings.unwrap_err().join("\n");
    assert!(findings.contains("no volume is a mountpath"), "{findings}");
}
