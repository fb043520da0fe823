//! The plugin's settings, their schema and the grants that it asks for.

use outrigger_plugin_sdk::json::{ToJson, Value};
use outrigger_plugin_sdk::{Failure, settings};

/// The name of the grant for AIStore's public port.
pub const ENDPOINT: &str = "http";

/// The name of the grant for the proxies, by their Service; optional, for targets.
pub const PROXIES: &str = "proxies";

/// Where nodes are asked to join, to leave and to rest.
pub const CLUSTER: &str = "/v1/cluster";

/// Whether the cluster has started, as the primary knows it.
pub const PRIMARY_READY: &str = "/v1/health?prr=true";

/// The JSON schema of the settings.
pub const SCHEMA: &str = include_str!("settings.schema.json");

/// What the node is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Redirects requests, and may be primary.
    Proxy,
    /// Keeps objects.
    Target,
}

/// What the profile sets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// What the node is.
    pub role: Role,
    /// The volumes of the mountpaths; empty = not looked at.
    pub mountpaths: Vec<String>,
    /// The volume on which it is kept that a target was put into maintenance.
    pub state_volume: String,
    /// Whether planned stops go through maintenance.
    pub maintenance: bool,
    /// Whether a scale-down decommissions.
    pub decommission: bool,
    /// Whether objects without an identity are taken over.
    pub accept_leftovers: bool,
    /// The name of the node's own configuration among the rendered files.
    pub local_config: String,
    /// The name of the cluster's first configuration among them.
    pub global_config: String,
}

impl Settings {
    /// A node with this role and without anything set.
    pub fn of(role: Role) -> Self {
        Self {
            role,
            mountpaths: Vec::new(),
            state_volume: "state".to_owned(),
            maintenance: false,
            decommission: false,
            accept_leftovers: false,
            local_config: "ais_local.json".to_owned(),
            global_config: "ais.json".to_owned(),
        }
    }

    /// Reads them from the host. Fails with `invalid-config`, naming the setting.
    pub fn load() -> Result<Self, Failure> {
        let role: Option<String> = settings::get("role")?;
        let role = match role.as_deref() {
            Some("proxy") => Role::Proxy,
            Some("target") => Role::Target,
            _ => {
                return Err(Failure::invalid_config(
                    "setting `role`: say `proxy` or `target`",
                ));
            }
        };
        let default = Self::of(role);
        let settings = Self {
            role,
            mountpaths: settings::get_or("mountpaths", default.mountpaths)?,
            state_volume: settings::get_or("state-volume", default.state_volume)?,
            maintenance: settings::get_or("maintenance", default.maintenance)?,
            decommission: settings::get_or("decommission", default.decommission)?,
            accept_leftovers: settings::get_or("accept-leftovers", default.accept_leftovers)?,
            local_config: settings::get_or("local-config", default.local_config)?,
            global_config: settings::get_or("global-config", default.global_config)?,
        };
        if role == Role::Proxy {
            let only = [
                ("mountpaths", !settings.mountpaths.is_empty()),
                ("maintenance", settings.maintenance),
                ("decommission", settings.decommission),
            ];
            if let Some((name, _)) = only.iter().find(|(_, is_set)| *is_set) {
                return Err(Failure::invalid_config(format!(
                    "setting `{name}`: only targets have that, and `role` is `proxy`"
                )));
            }
        }
        Ok(settings)
    }

    /// The grants that the plugin asks for, as JSON.
    pub fn requests(&self) -> String {
        let own = ["GET /v1/health", "GET /v1/daemon"].to_json();
        let proxies = ["GET /v1/health", "GET /v1/daemon", "PUT /v1/cluster"].to_json();
        let mut volumes: Vec<&str> = self.mountpaths.iter().map(String::as_str).collect();
        if self.maintenance {
            volumes.push(&self.state_volume);
        }
        Value::object([
            (
                "endpoints",
                Value::object([(ENDPOINT, own), (PROXIES, proxies)]),
            ),
            ("volumes", volumes.to_json()),
        ])
        .to_string()
    }

    /// Whether an artifact is the node's own configuration.
    pub fn is_local(&self, path: &str) -> bool {
        path.rsplit('/').next() == Some(self.local_config.as_str())
    }

    /// Whether an artifact is the cluster's first configuration.
    pub fn is_global(&self, path: &str) -> bool {
        path.rsplit('/').next() == Some(self.global_config.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use outrigger_plugin_sdk::fake::FakeHost;

    #[test]
    fn without_settings_but_the_role_the_defaults_of_the_schema_hold() {
        let _host = FakeHost::new().setting("role", r#""target""#);
        let settings = Settings::of(Role::Target);
        assert_eq!(Settings::load(), Ok(settings.clone()));
        let schema: serde_json::Value = serde_json::from_str(SCHEMA).unwrap();
        assert_eq!(schema["additionalProperties"], false);
        assert_eq!(schema["required"], serde_json::json!(["role"]));
        let expected = serde_json::json!({
            "role": null,
            "mountpaths": settings.mountpaths,
            "state-volume": settings.state_volume,
            "maintenance": settings.maintenance,
            "decommission": settings.decommission,
            "accept-leftovers": settings.accept_leftovers,
            "local-config": settings.local_config,
            "global-config": settings.global_config,
        });
        let properties = schema["properties"].as_object().unwrap();
        assert_eq!(properties.len(), expected.as_object().unwrap().len());
        for (key, property) in properties {
            let default = property.get("default").unwrap_or(&serde_json::Value::Null);
            assert_eq!(default, &expected[key], "{key}");
        }
    }

    #[test]
    fn a_role_is_needed_and_a_proxy_has_no_disks() {
        let message = |role: &str, other: &str| {
            let _host = FakeHost::new().setting("role", role).setting(other, "true");
            Settings::load().unwrap_err().message
        };
        assert_eq!(
            message("null", "x"),
            "setting `role`: say `proxy` or `target`"
        );
        assert_eq!(
            message(r#""gateway""#, "x"),
            "setting `role`: say `proxy` or `target`"
        );
        assert_eq!(
            message(r#""proxy""#, "decommission"),
            "setting `decommission`: only targets have that, and `role` is `proxy`"
        );
    }

    #[test]
    fn the_requests_follow_the_settings() {
        let _host = FakeHost::new()
            .setting("role", r#""target""#)
            .setting("mountpaths", r#"["ais-data-0"]"#)
            .setting("maintenance", "true");
        assert_eq!(
            Settings::load().unwrap().requests(),
            r#"{"endpoints":{"http":["GET /v1/health","GET /v1/daemon"],"proxies":["GET /v1/health","GET /v1/daemon","PUT /v1/cluster"]},"volumes":["ais-data-0","state"]}"#
        );
    }
}
