//! The plugin's settings, their schema and the grants that it asks for.

use outrigger_plugin_sdk::{Failure, Membership, Replica, authority, settings};

/// The name of the endpoint grant.
pub const ENDPOINT: &str = "admin";

/// The JSON schema of the settings.
pub const SCHEMA: &str = include_str!("settings.schema.json");

/// The grants that it asks for.
pub const REQUESTS: &str = r#"{"endpoints":{"admin":["GET /health","GET /ready","GET /metrics","GET /status/cluster/nodes","GET /status/cluster/nodes/local"]}}"#;

/// What the profile sets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// For clients.
    pub proxy_port: u16,
    /// For agents.
    pub upstream_port: u16,
    /// For health, status and metrics.
    pub admin_port: u16,
    /// Between servers.
    pub gossip_port: u16,
    /// The name of the file that is checked.
    pub config_file: String,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            proxy_port: 8000,
            upstream_port: 8001,
            admin_port: 8002,
            gossip_port: 8003,
            config_file: "server.yaml".to_owned(),
        }
    }
}

impl Settings {
    /// Reads them from the host. Fails with `invalid-config`, naming the setting.
    pub fn load() -> Result<Self, Failure> {
        let default = Self::default();
        Ok(Self {
            proxy_port: port("proxy-port", default.proxy_port)?,
            upstream_port: port("upstream-port", default.upstream_port)?,
            admin_port: port("admin-port", default.admin_port)?,
            gossip_port: port("gossip-port", default.gossip_port)?,
            config_file: settings::get_or("config-file", default.config_file)?,
        })
    }

    /// The four listeners: the section of Piko's configuration that each stands in, and its port.
    pub fn listeners(&self) -> [(&'static [&'static str], u16); 4] {
        [
            (&["proxy"], self.proxy_port),
            (&["upstream"], self.upstream_port),
            (&["admin"], self.admin_port),
            (&["cluster", "gossip"], self.gossip_port),
        ]
    }

    /// Whether an artifact is Piko's configuration.
    pub fn is_config(&self, path: &str) -> bool {
        path.rsplit('/').next() == Some(self.config_file.as_str())
    }

    /// Those that this replica joins: the others that should exist and have an address, by name. Never
    /// itself, which Piko would take for having joined, and no name that does not resolve, at which it
    /// gives up.
    pub fn join(&self, now: &Membership) -> Vec<String> {
        now.wanted()
            .filter(|replica| replica.ordinal != now.self_ordinal && !replica.addresses.is_empty())
            .map(|replica| authority(&replica.host, self.gossip_port))
            .collect()
    }
}

fn port(key: &str, default: u16) -> Result<u16, Failure> {
    match settings::get_or(key, default)? {
        0 => Err(Failure::invalid_config(format!(
            "setting `{key}`: 0 is no port"
        ))),
        port => Ok(port),
    }
}

/// The beginning of this replica's node IDs.
pub fn id_prefix(replica: &Replica) -> String {
    format!("{}-", replica.name)
}

/// The address that this replica listens on and tells: IPv4 where it has one, since Piko writes an IPv6
/// address that it found itself without brackets.
pub fn address(replica: &Replica) -> Option<&str> {
    let is_v4 = |address: &&String| !address.contains(':');
    replica
        .addresses
        .iter()
        .find(is_v4)
        .or(replica.addresses.first())
        .map(String::as_str)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{membership, with_addresses};
    use outrigger_plugin_sdk::fake::FakeHost;

    #[test]
    fn without_settings_the_defaults_of_the_schema_hold() {
        let _host = FakeHost::new();
        let settings = Settings::default();
        assert_eq!(Settings::load(), Ok(settings.clone()));
        let schema: serde_json::Value = serde_json::from_str(SCHEMA).unwrap();
        let properties = schema["properties"].as_object().unwrap();
        let defaults: Vec<(&str, &serde_json::Value)> = properties
            .iter()
            .map(|(key, property)| (key.as_str(), &property["default"]))
            .collect();
        let expected = serde_json::json!({
            "proxy-port": settings.proxy_port,
            "upstream-port": settings.upstream_port,
            "admin-port": settings.admin_port,
            "gossip-port": settings.gossip_port,
            "config-file": settings.config_file,
        });
        for (key, default) in &defaults {
            assert_eq!(**default, expected[key], "{key}");
        }
        assert_eq!(defaults.len(), expected.as_object().unwrap().len());
        assert_eq!(schema["additionalProperties"], false);
    }

    #[test]
    fn a_port_that_is_none_is_refused() {
        let _host = FakeHost::new().setting("admin-port", "0");
        assert_eq!(
            Settings::load().unwrap_err().message,
            "setting `admin-port`: 0 is no port"
        );
    }

    #[test]
    fn only_others_that_have_an_address_are_joined() {
        let mut now = with_addresses(membership(1, 3));
        now.replicas[2].addresses.clear();
        assert_eq!(
            Settings::default().join(&now),
            ["piko-0.piko.default.svc.cluster.local:8003"]
        );
    }

    #[test]
    fn an_ipv4_address_goes_first() {
        let mut replica = Replica::new(0, "piko-0", "piko-0.piko");
        assert_eq!(address(&replica), None);
        replica.addresses = vec!["fd00::2".to_owned(), "10.0.0.2".to_owned()];
        assert_eq!(address(&replica), Some("10.0.0.2"));
        replica.addresses.pop();
        assert_eq!(address(&replica), Some("fd00::2"));
    }
}
