//! Which loopback addresses the replicas get, and whether their ports are free there.

use std::io::ErrorKind;
use std::net::{Ipv4Addr, TcpListener};
use std::path::Path;

use k8s_openapi::api::apps::v1::StatefulSet;
use outrigger_profile::Finding;
use outrigger_profile::document::path;

use super::address;
use crate::controller::REPLICAS_MAX;
use crate::manifest::{INJECT_LABEL, Manifests};
use crate::plan::SIDECAR_PORT;

/// How many values of x are tried.
const TRIES: u8 = 16;

/// A port of the replicas and where the manifest asks for it.
struct Port {
    number: u16,
    place: String,
}

/// The x of the replicas' addresses `127.77.x.y`: the state folder's own, or, where another `up` has taken
/// the same, one of those after it. Without namespaces the workloads know their addresses, so that they must
/// stay what they are: it is the state folder's own or none.
///
/// # Errors
/// With a finding for each port that is taken wherever it could be.
pub(super) fn free(
    manifests: &Manifests,
    replicas: Option<u32>,
    state: &Path,
    plain: bool,
) -> Result<u8, Vec<Finding>> {
    let first = address::salt(state);
    let first_taken = taken(manifests, replicas, first);
    if first_taken.is_empty() {
        return Ok(first);
    }
    let tries = if plain { 0 } else { TRIES };
    (1..tries)
        .map(|step| first.wrapping_add(step))
        .find(|salt| taken(manifests, replicas, *salt).is_empty())
        .ok_or(first_taken)
}

fn taken(manifests: &Manifests, replicas: Option<u32>, salt: u8) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (index, set) in manifests.stateful_sets.iter().enumerate() {
        let spec = &set.object.spec;
        let name = set.object.metadata.name.as_deref().unwrap_or_default();
        let start = spec.ordinals.as_ref().and_then(|ordinals| ordinals.start);
        let start = start
            .and_then(|start| u32::try_from(start).ok())
            .unwrap_or(0);
        let wanted = u32::try_from(spec.replicas.unwrap_or(1)).unwrap_or(0);
        let replicas = replicas.unwrap_or(wanted).min(REPLICAS_MAX);
        for port in ports(&set.object) {
            let in_use: Vec<String> = (0..replicas)
                .map(|replica| {
                    (
                        replica,
                        address::on_loopback(salt, address::offset(index, replica)),
                    )
                })
                .filter(|(_, ip)| is_in_use(*ip, port.number))
                .map(|(replica, ip)| format!("{ip} ({name}-{})", start.saturating_add(replica)))
                .collect();
            if in_use.is_empty() {
                continue;
            }
            let number = port.number;
            let finding = Finding::error(
                port.place,
                format!("the port {number} is in use on {}", in_use.join(", ")),
            )
            .hint(format!(
                "`ss -ltnp 'sport = :{number}'` shows by whom: end that, or give the port another number"
            ));
            findings.push(set.origin.locate(finding));
        }
    }
    findings
}

fn ports(set: &StatefulSet) -> Vec<Port> {
    let template = &set.spec.template;
    let containers = template.spec.iter().flat_map(|pod| &pod.containers);
    let mut all = Vec::new();
    for (index, container) in containers.enumerate() {
        let container_place = path::item("spec.template.spec.containers", index);
        for (index, port) in container.ports.iter().flatten().enumerate() {
            let is_tcp = port
                .protocol
                .as_deref()
                .is_none_or(|protocol| protocol == "TCP");
            if let (true, Ok(number)) = (is_tcp, u16::try_from(port.container_port)) {
                let place = path::item(&path::key(&container_place, "ports"), index);
                all.push(Port {
                    number,
                    place: path::key(&place, "containerPort"),
                });
            }
        }
    }
    let labels = template
        .metadata
        .as_ref()
        .and_then(|metadata| metadata.labels.as_ref());
    if labels.is_some_and(|labels| labels.contains_key(INJECT_LABEL)) {
        all.push(Port {
            number: SIDECAR_PORT,
            place: path::key("spec.template.metadata.labels", INJECT_LABEL),
        });
    }
    all
}

fn is_in_use(ip: Ipv4Addr, port: u16) -> bool {
    TcpListener::bind((ip, port)).is_err_and(|error| error.kind() == ErrorKind::AddrInUse)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn manifests(port: u16) -> Manifests {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("db.yaml");
        let text = format!(
            "apiVersion: apps/v1\nkind: StatefulSet\nmetadata: {{name: db}}\nspec:\n  replicas: 2\n  \
             serviceName: db\n  selector: {{matchLabels: {{app: db}}}}\n  template:\n    metadata: \
             {{labels: {{app: db}}}}\n    spec:\n      containers:\n        - name: db\n          image: \
             db\n          ports: [{{containerPort: {port}}}]\n"
        );
        std::fs::write(&file, text).unwrap();
        crate::manifest::read(&[file])
    }

    fn told(found: &[Finding]) -> Vec<String> {
        let text = |finding: &Finding| {
            let text = finding.to_string();
            let at = text.find("db.yaml").unwrap_or_default();
            text[at..].to_owned()
        };
        found.iter().map(text).collect()
    }

    #[test]
    fn a_port_that_another_up_has_moves_the_addresses_and_in_plain_mode_is_an_error() {
        let state = Path::new("/state/one");
        let salt = address::salt(state);
        let taken =
            TcpListener::bind((address::on_loopback(salt, address::offset(0, 1)), 0)).unwrap();
        let port = taken.local_addr().unwrap().port();
        let manifests = manifests(port);
        assert_eq!(
            free(&manifests, None, state, false),
            Ok(salt.wrapping_add(1))
        );
        let found = free(&manifests, None, state, true).unwrap_err();
        let expected = format!(
            "db.yaml:14: spec.template.spec.containers[0].ports[0].containerPort: the port {port} is in use \
             on 127.77.{salt}.11 (db-1)\n  hint: `ss -ltnp 'sport = :{port}'` shows by whom: end that, or \
             give the port another number"
        );
        assert_eq!(told(&found), [expected]);
        assert_eq!(
            free(&manifests, Some(1), state, true),
            Ok(salt),
            "one replica does not need it"
        );
    }

    #[test]
    fn a_port_that_is_taken_on_all_addresses_is_named_once_with_each_replica() {
        let taken = TcpListener::bind((Ipv4Addr::UNSPECIFIED, 0)).unwrap();
        let port = taken.local_addr().unwrap().port();
        let found = free(&manifests(port), None, Path::new("/state/two"), false).unwrap_err();
        assert_eq!(found.len(), 1);
        assert!(found[0].problem.contains("(db-0), ") && found[0].problem.contains("(db-1)"));
    }
}
