//! What a plugin may really reach: what the profile grants and the plugin asks for.

use std::collections::{BTreeMap, BTreeSet};

use outrigger_profile::{EndpointAt, EndpointGrant, Grants, Method, VolumeGrant};
use serde_json::Value;

use crate::request_path::{matches, path_to_match};

/// What a plugin asks for in its description.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Requests {
    endpoints: BTreeMap<String, Vec<AskedPath>>,
    /// Names; a `*` at the end stands for any rest.
    volumes: Vec<String>,
}

/// `GET /api/**`; without a method, every one.
#[derive(Debug, Clone, PartialEq, Eq)]
struct AskedPath {
    method: Option<Method>,
    pattern: String,
}

impl Requests {
    /// Reads the JSON of `descriptor.requests`. An empty text asks for nothing.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        if text.trim().is_empty() {
            return Ok(Self::default());
        }
        let json: Value = serde_json::from_str(text)
            .map_err(|error| format!("its requests are not JSON: {error}"))?;
        let object = json
            .as_object()
            .ok_or("its requests are not a JSON object")?;
        let mut requests = Self::default();
        for (key, value) in object {
            match key.as_str() {
                "endpoints" => {
                    let endpoints = value
                        .as_object()
                        .ok_or("its requested `endpoints` are not an object")?;
                    for (name, paths) in endpoints {
                        let paths = texts(paths).ok_or_else(|| {
                            format!("its requested endpoint `{name}` is not a list of texts")
                        })?;
                        let asked = paths
                            .into_iter()
                            .map(asked_path)
                            .collect::<Result<_, _>>()?;
                        requests.endpoints.insert(name.clone(), asked);
                    }
                }
                "volumes" => {
                    let names =
                        texts(value).ok_or("its requested `volumes` are not a list of texts")?;
                    requests.volumes = names.into_iter().map(str::to_owned).collect();
                }
                other => {
                    return Err(format!(
                        "its requests have `{other}`; known are `endpoints` and `volumes`"
                    ));
                }
            }
        }
        Ok(requests)
    }
}

fn texts(value: &Value) -> Option<Vec<&str>> {
    value.as_array()?.iter().map(Value::as_str).collect()
}

fn asked_path(text: &str) -> Result<AskedPath, String> {
    let (method, pattern) = match text.split_once(' ') {
        Some((method, pattern)) => {
            let known = METHODS
                .iter()
                .find(|(_, name)| *name == method)
                .ok_or_else(|| format!("its request `{text}` has no known method"))?;
            (Some(known.0), pattern.trim())
        }
        None => (None, text),
    };
    if !pattern.starts_with('/') && !pattern.starts_with('*') {
        return Err(format!(
            "its request `{text}` is not of the form `GET /path/**`"
        ));
    }
    Ok(AskedPath {
        method,
        pattern: pattern.to_owned(),
    })
}

const METHODS: [(Method, &str); 6] = [
    (Method::Get, "GET"),
    (Method::Head, "HEAD"),
    (Method::Post, "POST"),
    (Method::Put, "PUT"),
    (Method::Delete, "DELETE"),
    (Method::Patch, "PATCH"),
];

pub(crate) fn method_name(method: Method) -> &'static str {
    METHODS
        .iter()
        .find(|(known, _)| *known == method)
        .map_or("?", |(_, name)| name)
}

/// What a plugin may reach.
#[derive(Debug, Clone, Default)]
pub(crate) struct EffectiveGrants {
    granted: Grants,
    requested: Requests,
}

impl EffectiveGrants {
    pub(crate) fn new(granted: Grants, requested: Requests) -> Self {
        Self { granted, requested }
    }

    /// What the plugin asks for and the profile does not grant, in sentences' ends such as
    /// `endpoint api`.
    pub(crate) fn not_granted(&self) -> Vec<String> {
        let endpoints = self.requested.endpoints.keys();
        let endpoints = endpoints
            .filter(|name| !self.granted.endpoints.contains_key(*name))
            .map(|name| format!("endpoint {name}"));
        let volumes = self.requested.volumes.iter();
        let volumes = volumes
            .filter(|asked| {
                !self
                    .granted
                    .volumes
                    .keys()
                    .any(|name| is_asked(asked, name))
            })
            .map(|name| format!("volume {name}"));
        endpoints.chain(volumes).collect()
    }

    /// The grant for one request, or why there is none.
    pub(crate) fn endpoint(
        &self,
        name: &str,
        method: Method,
        path_and_query: &str,
        peer: bool,
    ) -> Result<&EndpointGrant, String> {
        let grant = self
            .granted
            .endpoints
            .get(name)
            .ok_or_else(|| format!("the profile grants no endpoint `{name}`"))?;
        let asked = self.requested.endpoints.get(name).ok_or_else(|| {
            format!("the plugin's description does not ask for the endpoint `{name}`")
        })?;
        let path = path_to_match(path_and_query)
            .map_err(|problem| format!("the path is refused: {problem}"))?;
        let verb = method_name(method);
        if !grant.methods.contains(&method) {
            return Err(format!(
                "the profile does not grant {verb} on the endpoint `{name}`"
            ));
        }
        if !grant.paths.iter().any(|pattern| matches(pattern, path)) {
            return Err(format!(
                "the profile does not grant the path {path} on the endpoint `{name}`"
            ));
        }
        let is_asked = |asked: &AskedPath| {
            asked.method.is_none_or(|known| known == method) && matches(&asked.pattern, path)
        };
        if !asked.iter().any(is_asked) {
            return Err(format!(
                "the plugin's description does not ask for {verb} {path} on the endpoint `{name}`"
            ));
        }
        match &grant.at {
            EndpointAt::Workload { peers: false } if peer => Err(format!(
                "the profile grants the endpoint `{name}` for the local workload alone"
            )),
            EndpointAt::Host(host) if peer => Err(format!(
                "the endpoint `{name}` is {host}, which has no peers: ask it as `local`"
            )),
            _ => Ok(grant),
        }
    }

    /// The grant for a volume, or why there is none.
    pub(crate) fn volume(&self, name: &str) -> Result<VolumeGrant, String> {
        let grant = self
            .granted
            .volumes
            .get(name)
            .ok_or_else(|| format!("the profile grants no volume `{name}`"))?;
        if self
            .requested
            .volumes
            .iter()
            .any(|asked| is_asked(asked, name))
        {
            Ok(*grant)
        } else {
            Err(format!(
                "the plugin's description does not ask for the volume `{name}`"
            ))
        }
    }

    /// Whether a secret is of use to one of the granted endpoints.
    pub(crate) fn has_secret(&self, secret: &str) -> bool {
        let endpoints = self.granted.endpoints.iter();
        let names: BTreeSet<&str> = endpoints
            .filter(|(name, _)| self.requested.endpoints.contains_key(*name))
            .filter_map(|(_, grant)| grant.secret.as_deref())
            .collect();
        names.contains(secret)
    }
}

fn is_asked(asked: &str, name: &str) -> bool {
    asked
        .strip_suffix('*')
        .map_or(asked == name, |start| name.starts_with(start))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn grants() -> Grants {
        let api = EndpointGrant {
            at: EndpointAt::Workload { peers: false },
            tls: None,
            port: 3000,
            methods: vec![Method::Get, Method::Post],
            paths: vec!["/api/v1/**".into()],
            secret: Some("admin".into()),
            timeout: Duration::from_secs(2),
        };
        let mut grants = Grants::default();
        grants.endpoints.insert("api".into(), api.clone());
        let other = EndpointGrant {
            at: EndpointAt::Host("metadata".into()),
            ..api.clone()
        };
        grants.endpoints.insert("other".into(), api);
        grants.endpoints.insert("metadata".into(), other);
        grants
            .volumes
            .insert("agdb-data".into(), VolumeGrant { write: true });
        grants
            .volumes
            .insert("logs".into(), VolumeGrant { write: false });
        grants
    }

    fn effective(requests: &str) -> EffectiveGrants {
        EffectiveGrants::new(grants(), Requests::parse(requests).unwrap())
    }

    #[test]
    fn a_request_needs_both_the_profile_and_the_description() {
        let effective = effective(
            r#"{"endpoints": {"api": ["GET /api/**", "POST /api/v1/shutdown"], "metadata": ["/**"], "more": ["/x"]}}"#,
        );
        let told = |name, method, path, peer| match effective.endpoint(name, method, path, peer) {
            Ok(_) => "granted".to_owned(),
            Err(reason) => reason,
        };
        assert_eq!(
            [
                told("api", Method::Get, "/api/v1/db?x=1", false),
                told("api", Method::Post, "/api/v1/shutdown", false),
                told("api", Method::Post, "/api/v1/db", false),
                told("api", Method::Get, "/api/v2/db", false),
                told("api", Method::Delete, "/api/v1/db", false),
                told("api", Method::Get, "/api/v1/../v2", false),
                told("api", Method::Get, "/api/v1/db", true),
                told("metadata", Method::Get, "/api/v1/db", false),
                told("metadata", Method::Get, "/api/v1/db", true),
                told("other", Method::Get, "/api/v1/db", false),
                told("more", Method::Get, "/x", false),
            ],
            [
                "granted",
                "granted",
                "the plugin's description does not ask for POST /api/v1/db on the endpoint `api`",
                "the profile does not grant the path /api/v2/db on the endpoint `api`",
                "the profile does not grant DELETE on the endpoint `api`",
                "the path is refused: it has an empty segment, `.` or `..`",
                "the profile grants the endpoint `api` for the local workload alone",
                "granted",
                "the endpoint `metadata` is metadata, which has no peers: ask it as `local`",
                "the plugin's description does not ask for the endpoint `other`",
                "the profile grants no endpoint `more`",
            ]
        );
        assert_eq!(effective.not_granted(), ["endpoint more"]);
        assert!(effective.has_secret("admin"));
        assert!(!effective.has_secret("root"));
    }

    #[test]
    fn a_plugin_may_ask_for_volumes_by_the_start_of_their_names() {
        let effective = effective(r#"{"volumes": ["agdb-*", "tmp"]}"#);
        assert_eq!(
            effective.volume("agdb-data"),
            Ok(VolumeGrant { write: true })
        );
        assert_eq!(
            effective.volume("logs").unwrap_err(),
            "the plugin's description does not ask for the volume `logs`"
        );
        assert_eq!(
            effective.volume("root").unwrap_err(),
            "the profile grants no volume `root`"
        );
        assert_eq!(effective.not_granted(), ["volume tmp"]);
    }

    #[test]
    fn without_a_description_nothing_is_granted() {
        let effective = effective("");
        assert!(
            effective
                .endpoint("api", Method::Get, "/api/v1/db", false)
                .is_err()
        );
        assert!(effective.volume("logs").is_err());
        assert!(!effective.has_secret("admin"));
    }

    #[test]
    fn requests_that_cannot_be_read_are_refused() {
        let told = |text| Requests::parse(text).unwrap_err();
        assert_eq!(
            [
                told(r#"{"endpoint": {}}"#),
                told(r#"{"endpoints": {"api": ["FETCH /x"]}}"#),
                told(r#"{"endpoints": {"api": ["GET x"]}}"#),
                told(r#"{"volumes": [1]}"#),
                told("[]"),
            ],
            [
                "its requests have `endpoint`; known are `endpoints` and `volumes`",
                "its request `FETCH /x` has no known method",
                "its request `GET x` is not of the form `GET /path/**`",
                "its requested `volumes` are not a list of texts",
                "its requests are not a JSON object",
            ]
        );
    }
}
