//! The pod around its containers.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use k8s_openapi::api::core::v1::{Container, PodSpec};
use outrigger_profile::ByteSize;

use super::container::{self, VolumeFolders};
use super::fields::Fields;
use super::{ContainerPlan, Mode, PlanError, PodInput, PodPlan, Projection, Role, sidecar, volume};
use crate::dns::Zone;
use crate::entry::EtcFiles;
use crate::manifest::namespace_of;

/// The cluster's domain.
pub(crate) const DOMAIN: &str = "cluster.local";

/// The pod with this ordinal.
pub fn pod(input: &PodInput<'_>) -> Result<PodPlan, PlanError> {
    let set_name = input.set.metadata.name.as_deref().unwrap_or_default();
    let name = format!("{set_name}-{}", input.ordinal);
    build(input, set_name, &name).map_err(|problem| PlanError { pod: name, problem })
}

fn build(input: &PodInput<'_>, set_name: &str, name: &str) -> Result<PodPlan, String> {
    let spec = &input.set.spec;
    let template = spec
        .template
        .spec
        .as_ref()
        .ok_or("the template has no spec")?;
    let metadata = spec.template.metadata.clone().unwrap_or_default();
    let namespace = namespace_of(input.set.metadata.namespace.as_deref());
    let service = spec.service_name.as_deref().unwrap_or_default();
    let mut labels = metadata.labels.unwrap_or_default();
    labels.insert("statefulset.kubernetes.io/pod-name".into(), name.into());
    labels.insert(
        "apps.kubernetes.io/pod-index".into(),
        input.ordinal.to_string(),
    );
    let annotations = metadata.annotations.unwrap_or_default();
    let fields = Fields {
        name,
        namespace,
        uid: input.uid,
        ip: input.ip,
        labels: &labels,
        annotations: &annotations,
        service_account: template
            .service_account_name
            .as_deref()
            .unwrap_or("default"),
        machine: input.machine,
    };
    let seconds = template.termination_grace_period_seconds.unwrap_or(30);
    let grace = Duration::from_secs(u64::try_from(seconds).unwrap_or(30));
    let all: Vec<&Container> = template
        .init_containers
        .iter()
        .flatten()
        .chain(&template.containers)
        .collect();

    let mut folders = Vec::new();
    let mut projections = Vec::new();
    let volumes = volumes(
        input,
        set_name,
        name,
        template,
        &fields,
        &all,
        &mut folders,
        &mut projections,
    )?;

    let mut containers = Vec::new();
    for (position, container) in all.iter().enumerate() {
        let init = position < template.init_containers.as_ref().map_or(0, Vec::len);
        let role = match (init, container.restart_policy.as_deref()) {
            (false, _) => Role::Main,
            (true, Some("Always")) => Role::Sidecar,
            (true, _) => Role::Init,
        };
        let env = container::environment(container, input, &fields, &all)?;
        let plan = container::plan(container, role, env, &volumes, input)
            .map_err(|problem| format!("container {}: {problem}", container.name))?;
        containers.push(plan);
    }
    let sidecar = sidecar_parts(
        input,
        name,
        namespace,
        service,
        grace,
        &volumes,
        &mut Parts {
            containers: &mut containers,
            folders: &mut folders,
            projections: &mut projections,
        },
    );
    let mut links = Vec::new();
    let mut late = Vec::new();
    if input.mode == Mode::Plain {
        for container in &mut containers {
            let root = input.folder.join("rootfs").join(&container.name);
            container::into_plain(container, root, &mut late, &mut links);
        }
    }
    folders.extend(late);
    if let Some(sidecar) = sidecar {
        let mains = containers.iter().position(|c| c.role == Role::Main);
        containers.insert(mains.unwrap_or(containers.len()), sidecar);
    }
    let dns = format!("{name}.{service}.{namespace}.svc.{DOMAIN}");
    Ok(PodPlan {
        name: name.to_owned(),
        namespace: namespace.to_owned(),
        ordinal: input.ordinal,
        uid: input.uid.to_owned(),
        host: if input.mode == Mode::Plain {
            input.ip.to_string()
        } else {
            dns.clone()
        },
        ip: input.ip,
        etc: etc(input, name, namespace, &dns, template),
        labels,
        grace,
        folders,
        links,
        projections,
        workload: input.profile.map_or_else(
            || {
                template
                    .containers
                    .first()
                    .map(|c| c.name.clone())
                    .unwrap_or_default()
            },
            |profile| profile.workload.container.clone(),
        ),
        containers,
        folder: input.folder.clone(),
    })
}

/// Finds the folder of each volume, and the files of those that have some.
#[expect(clippy::too_many_arguments, reason = "one step of building a pod")]
fn volumes(
    input: &PodInput<'_>,
    set_name: &str,
    name: &str,
    template: &PodSpec,
    fields: &Fields<'_>,
    all: &[&Container],
    folders: &mut Vec<PathBuf>,
    projections: &mut Vec<Projection>,
) -> Result<VolumeFolders, String> {
    let mut found = VolumeFolders::new();
    for volume in template.volumes.iter().flatten() {
        let folder = input.folder.join("volumes").join(&volume.name);
        folders.push(folder.clone());
        match volume::files(volume, input.manifests, fields, all)? {
            Some(files) => {
                found.insert(volume.name.clone(), (folder.clone(), false));
                projections.push(Projection { folder, files });
            }
            None => {
                found.insert(volume.name.clone(), (folder, true));
            }
        }
    }
    // Claims have precedence over volumes of the same name.
    for claim in input.set.spec.volume_claim_templates.iter().flatten() {
        let claim_name = claim.metadata.name.clone().unwrap_or_default();
        debug_assert!(name.starts_with(set_name));
        let folder = input.claims.join(format!("{claim_name}-{name}"));
        folders.push(folder.clone());
        found.insert(claim_name, (folder, true));
    }
    Ok(found)
}

/// What the sidecar adds to.
struct Parts<'a> {
    containers: &'a mut Vec<ContainerPlan>,
    folders: &'a mut Vec<PathBuf>,
    projections: &'a mut Vec<Projection>,
}

fn sidecar_parts(
    input: &PodInput<'_>,
    name: &str,
    namespace: &str,
    service: &str,
    grace: Duration,
    volumes: &VolumeFolders,
    parts: &mut Parts<'_>,
) -> Option<ContainerPlan> {
    let profile = input.profile?;
    let spec = &input.set.spec;
    let dirs = sidecar::Dirs::below(&input.folder);
    for folder in [&dirs.profile, &dirs.secrets, &dirs.files, &dirs.state] {
        parts.folders.push(folder.clone());
    }
    let annotations = spec.template.metadata.as_ref()?.annotations.as_ref()?;
    let config_map = annotations.get(crate::manifest::PROFILE_ANNOTATION)?;
    if let Some(bundle) = input.manifests.config_map(namespace, config_map) {
        parts.projections.push(Projection {
            folder: dirs.profile.clone(),
            files: volume::whole(bundle),
        });
    }
    for source in profile.secrets.values() {
        if let Some(bundle) = input.manifests.secret(namespace, &source.secret) {
            let folder = dirs.secrets.join(&source.secret);
            parts.folders.push(folder.clone());
            parts.projections.push(Projection {
                folder,
                files: volume::whole(bundle),
            });
        }
    }
    let claims = spec.volume_claim_templates.iter().flatten();
    let sizes: BTreeMap<&str, u64> = claims
        .filter_map(|claim| {
            let requests = claim.spec.as_ref()?.resources.as_ref()?.requests.as_ref()?;
            let size: ByteSize = requests.get("storage")?.0.parse().ok()?;
            Some((claim.metadata.name.as_deref()?, size.0))
        })
        .collect();
    let workload = spec
        .template
        .spec
        .as_ref()?
        .containers
        .iter()
        .find(|container| container.name == profile.workload.container)?;
    let mut told = BTreeMap::new();
    for mount in workload.volume_mounts.iter().flatten() {
        if mount.sub_path.is_some() || mount.sub_path_expr.is_some() {
            continue;
        }
        let seen = match input.mode {
            Mode::Namespaces => PathBuf::from(&mount.mount_path),
            Mode::Plain => volumes.get(&mount.name)?.0.clone(),
        };
        let size = sizes.get(mount.name.as_str()).copied();
        told.entry(mount.name.clone()).or_insert((seen, size));
    }
    let facts = sidecar::Facts {
        pod: name,
        namespace,
        service,
        start: spec
            .ordinals
            .as_ref()
            .and_then(|ordinals| ordinals.start)
            .and_then(|start| u32::try_from(start).ok())
            .unwrap_or(0),
        pod_management: spec
            .pod_management_policy
            .as_deref()
            .unwrap_or("OrderedReady"),
        grace,
        volumes: told,
    };
    let container = parts
        .containers
        .iter_mut()
        .find(|container| container.name == profile.workload.container)?;
    sidecar::into_workload(container, input, profile, &dirs, parts.folders);
    Some(sidecar::plan(input, profile, &facts, &dirs, volumes))
}

fn etc(
    input: &PodInput<'_>,
    name: &str,
    namespace: &str,
    host: &str,
    template: &PodSpec,
) -> EtcFiles {
    let mut hosts =
        String::from("127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n");
    let mut add = |line: String| hosts.push_str(&line);
    add(format!("{}\t{host}\t{name}\n", input.ip));
    for alias in template.host_aliases.iter().flatten() {
        let names: Vec<&str> = alias
            .hostnames
            .iter()
            .flatten()
            .map(String::as_str)
            .collect();
        add(format!("{}\t{}\n", alias.ip, names.join("\t")));
    }
    let resolv_conf = input.name_server.map_or_else(String::new, |server| {
        let search = Zone::search_list(DOMAIN, namespace).join(" ");
        format!("search {search}\nnameserver {server}\noptions ndots:5\n")
    });
    EtcFiles {
        resolv_conf,
        hosts,
        hostname: format!("{name}\n"),
    }
}
