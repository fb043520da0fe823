//! The plugin's settings, their schema and the grants that it asks for.

use outrigger_plugin_sdk::json::{Error, FromJson, ToJson, Value};
use outrigger_plugin_sdk::{Failure, settings};

/// The name of the grant for the coordinator's own metrics.
pub const METRICS: &str = "metrics";

/// The name of the grant for the metrics of the coordinator's sidecar; of servers.
pub const COORDINATOR: &str = "coordinator";

/// The name of the grant for this replica's own sidecar; of servers, optional.
pub const SIDECAR: &str = "sidecar";

/// The JSON schema of the settings.
pub const SCHEMA: &str = include_str!("settings.schema.json");

/// What the plugin stands beside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// A data server.
    Server,
    /// The coordinator.
    Coordinator,
}

impl FromJson for Role {
    fn from_json(value: &Value) -> Result<Self, Error> {
        match value {
            Value::Text(text) if text == "server" => Ok(Self::Server),
            Value::Text(text) if text == "coordinator" => Ok(Self::Coordinator),
            _ => Err(Error::new("expected `server` or `coordinator`")),
        }
    }
}

/// What the profile sets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// What it stands beside.
    pub role: Role,
    /// The volume with the status.
    pub volume: String,
    /// The status's path on it.
    pub status_file: String,
    /// The name of the coordinator's list of servers among the files.
    pub cluster_file: String,
    /// The name of a server's configuration among the files.
    pub server_file: String,
    /// The Services by which clients come.
    pub client_services: Vec<String>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            role: Role::Server,
            volume: "metadata".to_owned(),
            status_file: "cluster-status.json".to_owned(),
            cluster_file: "cluster.yaml".to_owned(),
            server_file: "dataserver.yaml".to_owned(),
            client_services: Vec::new(),
        }
    }
}

impl Settings {
    /// Reads them from the host. Fails with `invalid-config`, naming the setting.
    pub fn load() -> Result<Self, Failure> {
        let default = Self::default();
        Ok(Self {
            role: settings::get_or("role", default.role)?,
            volume: settings::get_or("volume", default.volume)?,
            status_file: settings::get_or("status-file", default.status_file)?,
            cluster_file: settings::get_or("cluster-file", default.cluster_file)?,
            server_file: settings::get_or("server-file", default.server_file)?,
            client_services: settings::get_or("client-services", default.client_services)?,
        })
    }

    /// The grants that the plugin asks for, as JSON.
    pub fn requests(&self) -> String {
        let metrics = ["GET /metrics"].to_json();
        match self.role {
            Role::Coordinator => Value::object([
                ("endpoints", Value::object([(METRICS, metrics)])),
                ("volumes", [self.volume.as_str()].to_json()),
            ]),
            Role::Server => {
                let own = ["GET /ready", "GET /live"].to_json();
                let endpoints = Value::object([(COORDINATOR, metrics), (SIDECAR, own)]);
                Value::object([("endpoints", endpoints)])
            }
        }
        .to_string()
    }

    /// Whether an artifact is the one that is checked in this role.
    pub fn is_checked(&self, path: &str) -> bool {
        let checked = match self.role {
            Role::Coordinator => &self.cluster_file,
            Role::Server => &self.server_file,
        };
        path.rsplit('/').next() == Some(checked)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use outrigger_plugin_sdk::fake::FakeHost;

    #[test]
    fn without_settings_the_defaults_of_the_schema_hold() {
        let _host = FakeHost::new();
        let settings = Settings::default();
        assert_eq!(Settings::load(), Ok(settings.clone()));
        let schema: serde_json::Value = serde_json::from_str(SCHEMA).unwrap();
        assert_eq!(schema["additionalProperties"], false);
        let expected = serde_json::json!({
            "role": "server",
            "volume": settings.volume,
            "status-file": settings.status_file,
            "cluster-file": settings.cluster_file,
            "server-file": settings.server_file,
            "client-services": settings.client_services,
        });
        let properties = schema["properties"].as_object().unwrap();
        assert_eq!(properties.len(), expected.as_object().unwrap().len());
        for (key, property) in properties {
            assert_eq!(property["default"], expected[key], "{key}");
        }
    }

    #[test]
    fn each_role_asks_for_its_own_grants() {
        let host = FakeHost::new();
        assert_eq!(
            Settings::load().unwrap().requests(),
            r#"{"endpoints":{"coordinator":["GET /metrics"],"sidecar":["GET /ready","GET /live"]}}"#
        );
        let host = host.setting("role", r#""coordinator""#);
        assert_eq!(
            Settings::load().unwrap().requests(),
            r#"{"endpoints":{"metrics":["GET /metrics"]},"volumes":["metadata"]}"#
        );
        let _host = host.setting("role", r#""proxy""#);
        assert_eq!(
            Settings::load().unwrap_err().message,
            "setting `role`: expected `server` or `coordinator`"
        );
    }
}
