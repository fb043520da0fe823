//! The plugin's settings, their schema and the grants that it asks for.

use outrigger_plugin_sdk::json::{Error, FromJson, ToJson, Value};
use outrigger_plugin_sdk::{Failure, Replica, settings};

/// The name of the grant for TAG's own port.
pub const ENDPOINT: &str = "http";

/// The name of the grant for the upstream; optional.
pub const UPSTREAM: &str = "upstream";

/// The JSON schema of the settings.
pub const SCHEMA: &str = include_str!("settings.schema.json");

/// What the profile sets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// The volume of the disk cache.
    pub volume: String,
    /// Percent of it that the cache may fill.
    pub disk_share: u8,
    /// What it may fill instead, as it was written.
    pub disk_cap: Option<String>,
    /// Whether the replicas are one cache.
    pub cluster: bool,
    /// Between nodes.
    pub grpc_port: u16,
    /// For gossip.
    pub cluster_port: u16,
    /// The name of the file that is checked.
    pub config_file: String,
    /// What the upstream is asked for.
    pub upstream_path: String,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            volume: "cache-data".to_owned(),
            disk_share: 90,
            disk_cap: None,
            cluster: true,
            grpc_port: 9000,
            cluster_port: 7000,
            config_file: "config.yaml".to_owned(),
            upstream_path: "/".to_owned(),
        }
    }
}

/// A number or a text, as it was written.
struct Written(String);

impl FromJson for Written {
    fn from_json(value: &Value) -> Result<Self, Error> {
        match value {
            Value::Number(text) | Value::Text(text) => Ok(Self(text.clone())),
            _ => Err(Error::new("expected bytes or a quantity such as 400Gi")),
        }
    }
}

impl Settings {
    /// Reads them from the host. Fails with `invalid-config`, naming the setting.
    pub fn load() -> Result<Self, Failure> {
        let default = Self::default();
        let settings = Self {
            volume: settings::get_or("volume", default.volume)?,
            disk_share: settings::get_or("disk-share", default.disk_share)?,
            disk_cap: settings::get("disk-cap")?.map(|Written(text)| text),
            cluster: settings::get_or("cluster", default.cluster)?,
            grpc_port: settings::get_or("grpc-port", default.grpc_port)?,
            cluster_port: settings::get_or("cluster-port", default.cluster_port)?,
            config_file: settings::get_or("config-file", default.config_file)?,
            upstream_path: settings::get_or("upstream-path", default.upstream_path)?,
        };
        if !(1..=100).contains(&settings.disk_share) {
            return Err(Failure::invalid_config(format!(
                "setting `disk-share`: {} is no share of a hundred",
                settings.disk_share
            )));
        }
        if !settings.upstream_path.starts_with('/') {
            return Err(Failure::invalid_config(format!(
                "setting `upstream-path`: `{}` does not begin with a slash",
                settings.upstream_path
            )));
        }
        // What is understood at all is told when the settings are taken, not at the first render.
        if let Some(cap) = &settings.disk_cap {
            crate::disk::bytes(cap)
                .map_err(|why| Failure::invalid_config(format!("setting `disk-cap`: {why}")))?;
        }
        Ok(settings)
    }

    /// The grants that the plugin asks for, as JSON.
    pub fn requests(&self) -> String {
        let own = ["GET /health", "GET /metrics"].to_json();
        let upstream = [format!("HEAD {}", self.upstream_path)].to_json();
        Value::object([
            (
                "endpoints",
                Value::object([(ENDPOINT, own), (UPSTREAM, upstream)]),
            ),
            ("volumes", [self.volume.as_str()].to_json()),
        ])
        .to_string()
    }

    /// Whether an artifact is TAG's configuration.
    pub fn is_config(&self, path: &str) -> bool {
        path.rsplit('/').next() == Some(self.config_file.as_str())
    }
}

/// The governing Service's name, under which every replica is found: the replica's without its first part.
pub fn service_host(replica: &Replica) -> Option<&str> {
    replica.host.strip_prefix(&replica.name)?.strip_prefix('.')
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
            "volume": settings.volume,
            "disk-share": settings.disk_share,
            "disk-cap": null,
            "cluster": settings.cluster,
            "grpc-port": settings.grpc_port,
            "cluster-port": settings.cluster_port,
            "config-file": settings.config_file,
            "upstream-path": settings.upstream_path,
        });
        let properties = schema["properties"].as_object().unwrap();
        assert_eq!(properties.len(), expected.as_object().unwrap().len());
        for (key, property) in properties {
            let default = property.get("default").unwrap_or(&serde_json::Value::Null);
            assert_eq!(default, &expected[key], "{key}");
        }
    }

    #[test]
    fn a_cap_that_is_not_understood_is_refused_when_it_is_set() {
        let message = |value: &str| {
            let _host = FakeHost::new().setting("disk-cap", value);
            Settings::load().map_err(|failure| failure.message)
        };
        assert_eq!(
            message(r#""400GiB""#),
            Err(
                "setting `disk-cap`: `400GiB` is neither bytes nor a quantity such as 400Gi"
                    .to_owned()
            )
        );
        assert!(message("true").is_err());
        assert_eq!(
            message("429496729600").unwrap().disk_cap.as_deref(),
            Some("429496729600")
        );
        assert_eq!(
            message(r#""400Gi""#).unwrap().disk_cap.as_deref(),
            Some("400Gi")
        );
    }

    #[test]
    fn the_requests_follow_the_settings() {
        let _host = FakeHost::new()
            .setting("volume", r#""fast""#)
            .setting("upstream-path", r#""/health""#);
        assert_eq!(
            Settings::load().unwrap().requests(),
            r#"{"endpoints":{"http":["GET /health","GET /metrics"],"upstream":["HEAD /health"]},"volumes":["fast"]}"#
        );
    }

    #[test]
    fn the_services_name_is_the_replicas_without_its_own() {
        let named = Replica::new(0, "tag-0", "tag-0.tag-headless.default.svc.cluster.local");
        assert_eq!(
            service_host(&named),
            Some("tag-headless.default.svc.cluster.local")
        );
        assert_eq!(service_host(&Replica::new(0, "tag-0", "10.0.0.1")), None);
    }
}
