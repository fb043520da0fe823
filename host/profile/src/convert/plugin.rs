//! `spec.plugin`: source, grants, limits.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use super::{Convert, method};
use crate::document::path;
use crate::structure::cut;
use crate::{
    ByteSize, EndpointAt, EndpointGrant, Grants, Method, OnFailure, Plugin, PluginLimits,
    PluginSource, Sha256, Tls, VolumeGrant, defaults, did_you_mean, host_problem, raw, show_span,
};

const MEMORY: (ByteSize, ByteSize) = (ByteSize(1 << 20), ByteSize(256 << 20));
const CPU: (Duration, Duration) = (Duration::from_millis(10), Duration::from_secs(10));
const WALL: (Duration, Duration) = (Duration::from_millis(10), Duration::from_mins(1));
/// The most that a template of a host's name may hold: several names with conditions between them.
const HOST_TEMPLATE_BYTES: usize = 1024;
const ENDPOINT: (Duration, Duration) = (Duration::from_millis(10), Duration::from_secs(30));

impl Convert {
    pub(super) fn plugin(&mut self, plugin: raw::Plugin) -> Plugin {
        let source = self.source(plugin.source, plugin.digest.as_deref());
        let limits = self.limits(&plugin.limits.unwrap_or_default());
        let grants = self.grants(plugin.grants.unwrap_or_default(), limits.wall);
        Plugin {
            source,
            settings: plugin.settings.unwrap_or_default(),
            grants,
            on_failure: match plugin.on_failure.unwrap_or(raw::OnFailure::KeepLast) {
                raw::OnFailure::KeepLast => OnFailure::KeepLast,
                raw::OnFailure::Fail => OnFailure::Fail,
                raw::OnFailure::Ignore => OnFailure::Ignore,
            },
            limits,
        }
    }

    fn source(&mut self, source: Option<String>, digest: Option<&str>) -> PluginSource {
        const AT: &str = "spec.plugin.source";
        const DIGEST: &str = "spec.plugin.digest";
        let nothing = PluginSource::Builtin(String::new());
        let Some(source) = source else { return nothing };
        if let Some(name) = source.strip_prefix("builtin:") {
            let name = self.name(AT, Some(name.to_owned()), 63);
            if digest.is_some() {
                self.warning(
                    DIGEST,
                    "a built-in plugin is pinned by the binary that holds it",
                    "remove the digest",
                );
            }
            return PluginSource::Builtin(name);
        }
        if let Some(file) = source.strip_prefix("file:") {
            if file.is_empty() || file.starts_with("//") || file.contains('\0') {
                self.error(
                    AT,
                    format!("`{}` names no file", cut(&source)),
                    "write file: and a path relative to the profile's folder, such as file:agdb.wasm",
                );
            }
            return PluginSource::File {
                path: PathBuf::from(file),
                digest: self.digest(digest),
            };
        }
        let shown = cut(&source);
        if source.starts_with("oci:") {
            self.error(
                AT,
                "components are not fetched from registries",
                "fetch it first (such as by `oras pull`), put it beside the profile and name it: file:NAME.wasm with its digest",
            );
        } else if source.strip_suffix(".wasm").is_some() {
            self.error(
                AT,
                format!("`{shown}` does not say where it comes from"),
                format!("write file:{shown}"),
            );
        } else {
            let name = shown.rsplit([':', '/']).next().unwrap_or_default();
            let hint = if name.is_empty() {
                "write builtin:NAME or file:PATH".to_owned()
            } else {
                format!(
                    "write builtin:{name} for one that ships with Outrigger, or file:{name}.wasm"
                )
            };
            self.error(
                AT,
                format!("`{shown}` does not say where it comes from"),
                hint,
            );
        }
        nothing
    }

    fn digest(&mut self, digest: Option<&str>) -> Option<Sha256> {
        const AT: &str = "spec.plugin.digest";
        const HINT: &str = "write sha256: and what `sha256sum` says of the file, or any where it is meant to be replaced while running";
        let Some(text) = digest else {
            self.error(AT, "is missing: a component from a file is pinned", HINT);
            return None;
        };
        if text == "any" {
            return None;
        }
        let bytes = text.strip_prefix("sha256:").and_then(hex);
        if bytes.is_none() {
            self.error(
                AT,
                format!("`{}` is neither a SHA-256 digest nor `any`", cut(text)),
                HINT,
            );
        }
        bytes.map(Sha256)
    }

    fn limits(&mut self, limits: &raw::Limits) -> PluginLimits {
        let cpu = self.span(
            "spec.plugin.limits.cpu",
            limits.cpu.as_ref(),
            defaults::PLUGIN_CPU,
            CPU,
        );
        let wall = self.span(
            "spec.plugin.limits.wall",
            limits.wall.as_ref(),
            defaults::PLUGIN_WALL,
            WALL,
        );
        if cpu > wall {
            self.warning(
                "spec.plugin.limits.cpu",
                format!(
                    "{} of CPU time cannot be used within {} of wall time",
                    show_span(cpu),
                    show_span(wall)
                ),
                "raise spec.plugin.limits.wall",
            );
        }
        PluginLimits {
            memory: self.memory(limits.memory.as_ref()),
            cpu,
            wall,
        }
    }

    fn memory(&mut self, memory: Option<&raw::Size>) -> ByteSize {
        const AT: &str = "spec.plugin.limits.memory";
        let Some(raw::Size(text)) = memory else {
            return defaults::PLUGIN_MEMORY;
        };
        match text.parse::<ByteSize>() {
            Ok(size) if size >= MEMORY.0 && size <= MEMORY.1 => size,
            Ok(_) => {
                let problem = format!("{text} is not within {} and {}", MEMORY.0, MEMORY.1);
                self.error(
                    AT,
                    problem,
                    format!("the default is {}", defaults::PLUGIN_MEMORY),
                );
                defaults::PLUGIN_MEMORY
            }
            Err(error) => {
                self.error(AT, error.to_string(), "units are Ki, Mi, Gi, k, M and G");
                defaults::PLUGIN_MEMORY
            }
        }
    }

    fn grants(&mut self, grants: raw::Grants, wall: Duration) -> Grants {
        let mut endpoints = BTreeMap::new();
        for (name, endpoint) in grants.endpoints.unwrap_or_default() {
            let at = path::key("spec.plugin.grants.endpoints", &name);
            let endpoint = self.endpoint(&at, endpoint, wall);
            endpoints.insert(name, endpoint);
        }
        Grants {
            endpoints,
            volumes: self.volumes(grants.volumes),
        }
    }

    fn endpoint(&mut self, at: &str, endpoint: raw::Endpoint, wall: Duration) -> EndpointGrant {
        let key = |key: &str| path::key(at, key);
        let port = match endpoint.port {
            Some(raw::PortRef::Name(name))
                if endpoint.host.is_some() && !self.declared.ports.contains(&name) =>
            {
                self.error(
                    key("port"),
                    format!("`{}` is no port of the workload's", cut(&name)),
                    "write the number that the other service listens at",
                );
                0
            }
            port => self.port(&key("port"), port),
        };
        let place = self.endpoint_at(at, endpoint.host, endpoint.peers);
        let tls = self.tls(at, endpoint.scheme, endpoint.ca_secret, &place);
        let is_workload = matches!(place, EndpointAt::Workload { .. });
        if is_workload && port != 0 && !self.ports.values().any(|known| *known == port) {
            self.error(
                key("port"),
                format!("port {port} is not among the workload's"),
                format!("add it to spec.workload.ports, such as `api: {port}`"),
            );
        }
        let mut methods: Vec<Method> = endpoint.methods.map_or_else(
            || vec![Method::Get],
            |all| all.into_iter().map(method).collect(),
        );
        if methods.is_empty() {
            self.error(
                key("methods"),
                "no method is granted",
                "write [GET], or remove the endpoint",
            );
        }
        methods.sort_unstable();
        methods.dedup();
        let given = endpoint.paths.is_some();
        let paths = endpoint.paths.unwrap_or_default();
        if given && paths.is_empty() {
            self.error(
                key("paths"),
                "no path is granted",
                "write patterns such as [\"/api/**\"], or remove the endpoint",
            );
        }
        for (index, pattern) in paths.iter().enumerate() {
            self.pattern(&path::item(&key("paths"), index), pattern);
        }
        if let Some(secret) = &endpoint.secret {
            self.declared_secret(key("secret"), secret);
        }
        let default = defaults::ENDPOINT_TIMEOUT.min(wall);
        let timeout = self.span(
            &key("timeout"),
            endpoint.timeout.as_ref(),
            default,
            ENDPOINT,
        );
        if timeout > wall {
            self.warning(
                key("timeout"),
                format!(
                    "a call of the plugin ends after {}, before this exchange may",
                    show_span(wall)
                ),
                "raise spec.plugin.limits.wall, or shorten this",
            );
        }
        EndpointGrant {
            at: place,
            tls,
            port,
            methods,
            paths,
            secret: endpoint.secret,
            timeout,
        }
    }

    fn endpoint_at(&mut self, at: &str, host: Option<String>, peers: Option<bool>) -> EndpointAt {
        let Some(host) = host else {
            let peers = peers.unwrap_or(true);
            return EndpointAt::Workload { peers };
        };
        if peers == Some(true) {
            self.error(
                path::key(at, "peers"),
                "another service has no peers",
                "remove it, or `host`",
            );
        }
        let at = path::key(at, "host");
        if host.len() > HOST_TEMPLATE_BYTES {
            self.error(
                at,
                format!("the text has more than {HOST_TEMPLATE_BYTES} bytes"),
                "names have at most 253",
            );
        } else if !host.contains('{') {
            // What a template gives is known when it is rendered.
            self.findings.extend(host_problem(&at, &host));
        }
        EndpointAt::Host(host)
    }

    /// How TLS is spoken, where it is.
    fn tls(
        &mut self,
        at: &str,
        scheme: Option<raw::Scheme>,
        ca_secret: Option<String>,
        place: &EndpointAt,
    ) -> Option<Tls> {
        if scheme != Some(raw::Scheme::Https) {
            if ca_secret.is_some() {
                self.error(
                    path::key(at, "ca-secret"),
                    "has a meaning for `scheme: https` alone",
                    "remove it, or write scheme: https",
                );
            }
            return None;
        }
        if matches!(place, EndpointAt::Workload { .. }) {
            self.error(
                path::key(at, "scheme"),
                "the workload is spoken to by plain HTTP",
                "remove it, or name another service by `host`",
            );
        }
        if let Some(secret) = &ca_secret {
            self.declared_secret(path::key(at, "ca-secret"), secret);
        }
        Some(Tls { ca_secret })
    }

    /// Refuses a secret that `spec.secrets` does not have.
    fn declared_secret(&mut self, at: String, secret: &str) {
        let declared = || self.declared.secrets.iter().map(String::as_str);
        if declared().any(|name| name == secret) {
            return;
        }
        let hint = match did_you_mean(secret, declared()) {
            Some(meant) => format!("did you mean `{meant}`?"),
            None => format!("add `{}` to spec.secrets", cut(secret)),
        };
        self.error(at, format!("there is no secret `{}`", cut(secret)), hint);
    }

    fn pattern(&mut self, at: &str, pattern: &str) {
        let shown = cut(pattern);
        if !pattern.starts_with('/') {
            self.error(
                at,
                format!("the pattern `{shown}` does not begin with a slash"),
                format!("write /{shown}"),
            );
        } else if pattern.contains(['?', '#', '\\'])
            || !pattern.bytes().all(|b| b.is_ascii_graphic())
        {
            self.error(
                at,
                format!("the pattern `{shown}` holds a character that paths do not have"),
                "patterns are matched against the path alone, without the query",
            );
        } else if pattern
            .split('/')
            .skip(1)
            .any(|segment| segment == "." || segment == "..")
        {
            self.error(
                at,
                format!("the pattern `{shown}` goes up or stays"),
                "write the path without `.` and `..`",
            );
        }
    }

    fn volumes(&mut self, volumes: Option<raw::Volumes>) -> BTreeMap<String, VolumeGrant> {
        const AT: &str = "spec.plugin.grants.volumes";
        let mut granted = BTreeMap::new();
        match volumes {
            None => {}
            Some(raw::Volumes::Names(names)) => {
                for (index, name) in names.into_iter().enumerate() {
                    let at = path::item(AT, index);
                    let name = self.name(&at, Some(name), 63);
                    if granted.insert(name, VolumeGrant { write: false }).is_some() {
                        self.error(at, "this volume stands twice", "remove one of the two");
                    }
                }
            }
            Some(raw::Volumes::Grants(map)) => {
                for (name, volume) in map {
                    let name = self.name(&path::key(AT, &name), Some(name), 63);
                    let write = volume.unwrap_or_default().write.unwrap_or(false);
                    granted.insert(name, VolumeGrant { write });
                }
            }
        }
        granted
    }
}

/// 64 hexadecimal digits.
fn hex(text: &str) -> Option<[u8; 32]> {
    if text.len() != 64 || !text.bytes().all(|b| b.is_ascii_hexdigit()) {
        return None;
    }
    let mut bytes = [0; 32];
    for (index, byte) in bytes.iter_mut().enumerate() {
        *byte = u8::from_str_radix(text.get(2 * index..2 * index + 2)?, 16).ok()?;
    }
    Some(bytes)
}
