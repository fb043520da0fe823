//! Texts of a profile that are rendered once, when it is taken: what they see stays the same for as
//! long as the pod and the profile do.

use std::collections::BTreeMap;

use outrigger_profile::document::path;
use outrigger_profile::{EndpointAt, Finding, Grants, Profile, host_problem};
use serde_json::{Value as Json, json};

use super::jinja::Jinja;
use crate::config::Config;
use crate::reload::read::DOCUMENT;
use crate::secrets::Secrets;

/// The grants of a profile's plugin, with the hosts that their templates give.
///
/// # Errors
/// One finding for each host that is none, with its place in the profile.
pub(crate) fn grants(profile: &Profile, config: &Config) -> Result<Grants, Vec<Finding>> {
    let Some(plugin) = &profile.plugin else {
        return Ok(Grants::default());
    };
    let mut grants = plugin.grants.clone();
    let seen = seen(profile, config);
    let mut findings = Vec::new();
    for (name, endpoint) in &mut grants.endpoints {
        if let EndpointAt::Host(host) = &mut endpoint.at {
            let at = path::key("spec.plugin.grants.endpoints", name);
            let at = path::key(&at, "host");
            match text(&at, host, &seen) {
                Ok(given) => {
                    findings.extend(host_problem(&at, &given));
                    *host = given;
                }
                Err(finding) => findings.push(finding),
            }
        }
    }
    if findings.is_empty() {
        Ok(grants)
    } else {
        Err(findings)
    }
}

/// What such texts see: this replica, the names of its world, and the profile's settings.
fn seen(profile: &Profile, config: &Config) -> Json {
    let identity = config.identity_under(profile);
    let mut own = json!({
        "name": identity.pod(),
        "ordinal": identity.ordinal.0,
        "index": identity.ordinal.0.saturating_sub(config.start.0),
        "host": identity.host_of(identity.ordinal),
        "namespace": identity.namespace,
    });
    if let (Some(ip), Json::Object(fields)) = (identity.ip, &mut own) {
        fields.insert("ip".into(), ip.to_string().into());
    }
    json!({
        "self": own,
        "namespace": identity.namespace,
        "service": identity.service,
        "service_host": identity.service_host(),
        "domain": identity.cluster_domain,
        "env": config.env,
        "settings": profile.template_settings(),
    })
}

/// One text, which stands in the profile at `at`.
fn text(at: &str, source: &str, seen: &Json) -> Result<String, Finding> {
    let (templates, secrets) = (BTreeMap::new(), Secrets::default());
    let rendered = Jinja::fixed(&templates, &secrets, seen.clone()).text(at, source);
    rendered.map_err(|mut finding| {
        DOCUMENT.clone_into(&mut finding.file);
        finding.line = 0;
        at.clone_into(&mut finding.path);
        finding
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn given(host: &str) -> Result<String, String> {
        let document = format!(
            "apiVersion: outrigger.dev/v1alpha1\nkind: Profile\nmetadata: {{name: db}}\nspec:\n  \
             workload: {{container: db}}\n  settings: {{metadata: {{name: db-metadata}}, hidden: 169.254.169.254}}\n  \
             plugin:\n    source: builtin:db\n    grants:\n      endpoints:\n        \
             meta: {{host: '{host}', port: 8080, paths: [/metrics]}}\n"
        );
        let (profile, findings) = outrigger_profile::parse(&document, DOCUMENT);
        let profile = profile.ok_or_else(|| findings.to_string())?;
        let read = |name: &str| (name == "POD_NAME").then(|| "db-1".to_owned());
        let config = Config::from_env(&read).unwrap();
        let told = |findings: Vec<Finding>| {
            let all: Vec<String> = findings.iter().map(ToString::to_string).collect();
            all.join("\n")
        };
        let grants = grants(&profile, &config).map_err(told)?;
        match &grants.endpoints["meta"].at {
            EndpointAt::Host(host) => Ok(host.clone()),
            EndpointAt::Workload { .. } => Err("the workload".to_owned()),
        }
    }

    #[test]
    fn a_host_is_what_its_template_gives_in_this_pod() {
        for (host, name) in [
            ("10.0.0.7", "10.0.0.7"),
            (
                "{{ settings.metadata.name }}.{{ namespace }}.svc.{{ domain }}",
                "db-metadata.default.svc.cluster.local",
            ),
            (
                "meta-{{ self.ordinal }}.{{ service_host }}",
                "meta-1.db.default.svc.cluster.local",
            ),
        ] {
            assert_eq!(given(host), Ok(name.to_owned()));
        }
    }

    #[test]
    fn a_host_that_is_none_in_this_pod_refuses_the_profile() {
        for (host, told) in [
            (
                "{{ settings.hidden }}",
                "error: spec.plugin.grants.endpoints.meta.host: 169.254.169.254 is a link-local address, where clouds hand out credentials\n  hint: name a service of the cluster, or an address that is routed",
            ),
            (
                "{{ settings.metadata.name }}:80",
                "error: spec.plugin.grants.endpoints.meta.host: `db-metadata:80` is neither a DNS name nor an address\n  hint: leave scheme, port and path out; the port is `port`",
            ),
            (
                "{{ settings.metdata.name }}",
                "error: outrigger.yaml: spec.plugin.grants.endpoints.meta.host: `settings.metdata.name` has no value\n  hint: did you mean `settings.metadata`?",
            ),
            (
                "{{ peers[0].host }}",
                "error: outrigger.yaml: spec.plugin.grants.endpoints.meta.host: `peers[0]` has no value\n  hint: texts that are rendered once see domain, env, namespace, self, service, service_host, settings",
            ),
            (
                "{{ new_per_start(3) }}",
                "error: outrigger.yaml: spec.plugin.grants.endpoints.meta.host: unknown function: new_per_start is unknown",
            ),
        ] {
            assert_eq!(given(host), Err(told.to_owned()), "{host}");
        }
    }
}
