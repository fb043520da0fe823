//! The plugin's settings, their schema and the grants that follow from them.

use outrigger_plugin_sdk::json::{Error, FromJson, ToJson, Value};
use outrigger_plugin_sdk::{Failure, Membership, Replica, settings};

use crate::config;

/// The name of the endpoint grant.
pub const ENDPOINT: &str = "api";

/// The JSON schema of the settings.
pub const SCHEMA: &str = include_str!("settings.schema.json");

/// Where the pepper lies, for the check of its length.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pepper {
    /// The granted volume.
    pub volume: String,
    /// The file in it.
    pub path: String,
}

/// What the profile sets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// `http` or `https`.
    pub scheme: String,
    /// The port of agdb's API.
    pub port: u16,
    /// agdb's base path, normalised: empty or `/path`.
    pub basepath: String,
    /// How many executed log entries a ready replica may be behind its leader.
    pub lag_limit: u64,
    /// The Secret with the keys `username` and `password` of an admin.
    pub admin_secret: String,
    /// The volume of agdb's data folder.
    pub data_volume: String,
    /// agdb's data folder within that volume; empty = its root.
    pub data_path: String,
    /// Where the pepper lies.
    pub pepper: Option<Pepper>,
    /// Keys of agdb's own configuration for files that are taken `from: plugin`.
    pub server: Vec<(String, String)>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            scheme: "http".to_owned(),
            port: 3000,
            basepath: String::new(),
            lag_limit: 100,
            admin_secret: "agdb-admin".to_owned(),
            data_volume: "data".to_owned(),
            data_path: String::new(),
            pepper: None,
            server: Vec::new(),
        }
    }
}

impl FromJson for Pepper {
    fn from_json(value: &Value) -> Result<Self, Error> {
        Ok(Self {
            volume: value.field("volume")?,
            path: value.field("path")?,
        })
    }
}

/// Keys of agdb's configuration with their values as agdb's file has them.
struct Server(Vec<(String, String)>);

impl FromJson for Server {
    fn from_json(value: &Value) -> Result<Self, Error> {
        let Value::Object(fields) = value else {
            return Err(Error::new("expected keys of agdb's configuration"));
        };
        let scalar = |(key, value): &(String, Value)| match value {
            Value::Number(text) | Value::Text(text) => Ok((key.clone(), text.clone())),
            _ => Err(Error::new(format!("`{key}`: expected a text or a number"))),
        };
        fields
            .iter()
            .map(scalar)
            .collect::<Result<_, _>>()
            .map(Self)
    }
}

impl Settings {
    /// Reads them from the host. Fails with `invalid-config`, naming the setting.
    pub fn load() -> Result<Self, Failure> {
        let default = Self::default();
        let settings = Self {
            scheme: settings::get_or("scheme", default.scheme)?,
            port: settings::get_or("port", default.port)?,
            basepath: config::base_path(&settings::get_or("basepath", default.basepath)?),
            lag_limit: settings::get_or("lag-limit", default.lag_limit)?,
            admin_secret: settings::get_or("admin-secret", default.admin_secret)?,
            data_volume: settings::get_or("data-volume", default.data_volume)?,
            data_path: settings::get_or("data-path", default.data_path)?
                .trim_matches('/')
                .to_owned(),
            pepper: settings::get("pepper")?,
            server: settings::get("server")?.map_or(default.server, |Server(keys)| keys),
        };
        settings.check()
    }

    fn check(self) -> Result<Self, Failure> {
        let refuse = |message: String| Err(Failure::invalid_config(message));
        if self.scheme != "http" && self.scheme != "https" {
            return refuse(format!(
                "setting `scheme`: `{}` is neither http nor https",
                self.scheme
            ));
        }
        if self.port == 0 {
            return refuse("setting `port`: 0 is no port".to_owned());
        }
        for (key, value) in &self.server {
            match key.as_str() {
                "address" | "basepath" | "cluster" => {
                    return refuse(format!(
                        "setting `server.{key}`: the plugin itself sets this key"
                    ));
                }
                "cluster_token" => {
                    return refuse(
                        "setting `server.cluster_token`: settings are no place for secrets; take the \
                         file from a template with `secrets`, or leave the token at agdb's default"
                            .to_owned(),
                    );
                }
                _ => {}
            }
            if let Some(problem) = config::parse(&format!("{key}: {value}")).problems.first() {
                return refuse(format!(
                    "setting `server.{key}`: {}; {}",
                    problem.message, problem.hint
                ));
            }
        }
        Ok(self)
    }

    /// The grants that the plugin asks for, as JSON.
    pub fn requests(&self) -> String {
        let base = &self.basepath;
        let paths = [
            format!("GET {base}/api/v1/status"),
            format!("GET {base}/api/v1/cluster/status"),
            format!("GET {base}/api/v1/admin/status"),
            format!("POST {base}/api/v1/user/login"),
            format!("POST {base}/api/v1/admin/shutdown"),
        ];
        let mut volumes = vec![self.data_volume.as_str()];
        if let Some(pepper) = &self.pepper
            && pepper.volume != self.data_volume
        {
            volumes.push(&pepper.volume);
        }
        let asked = Value::object([
            ("endpoints", Value::object([(ENDPOINT, paths.to_json())])),
            ("volumes", volumes.to_json()),
        ]);
        asked.to_string()
    }

    /// The path of an API call.
    pub fn path(&self, call: &str) -> String {
        format!("{}/api/v1/{call}", self.basepath)
    }

    /// What agdb calls `address` for this replica.
    pub fn address(&self, replica: &Replica) -> String {
        let host = &replica.host;
        if host.contains(':') {
            format!("{}://[{host}]:{}", self.scheme, self.port)
        } else {
            format!("{}://{host}:{}", self.scheme, self.port)
        }
    }

    /// The item of `cluster` that stands for this replica.
    pub fn url(&self, replica: &Replica) -> String {
        format!("{}{}", self.address(replica), self.basepath)
    }

    /// The items of `cluster`: all wanted replicas in ordinal order, which is never to change, because
    /// a server's place in it is its identity.
    pub fn cluster(&self, now: &Membership) -> Vec<String> {
        now.wanted().map(|replica| self.url(replica)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use outrigger_plugin_sdk::fake::FakeHost;

    #[test]
    fn without_settings_the_defaults_of_the_schema_hold() {
        let _host = FakeHost::new();
        assert_eq!(Settings::load(), Ok(Settings::default()));
        let schema: serde_json::Value = serde_json::from_str(SCHEMA).unwrap();
        let default = |key: &str| schema["properties"][key]["default"].clone();
        let settings = Settings::default();
        assert_eq!(default("scheme"), settings.scheme);
        assert_eq!(default("port"), settings.port);
        assert_eq!(default("basepath"), settings.basepath);
        assert_eq!(default("lag-limit"), settings.lag_limit);
        assert_eq!(default("admin-secret"), settings.admin_secret);
        assert_eq!(default("data-volume"), settings.data_volume);
        assert_eq!(default("data-path"), settings.data_path);
    }

    #[test]
    fn the_schema_knows_every_setting_and_no_other() {
        let schema: serde_json::Value = serde_json::from_str(SCHEMA).unwrap();
        assert_eq!(schema["additionalProperties"], false);
        let mut known: Vec<&String> = schema["properties"].as_object().unwrap().keys().collect();
        known.sort();
        let expected = [
            "admin-secret",
            "basepath",
            "data-path",
            "data-volume",
            "lag-limit",
            "pepper",
            "port",
            "scheme",
            "server",
        ];
        assert_eq!(known, expected);
        let server = &schema["properties"]["server"]["properties"];
        let server: Vec<&str> = server
            .as_object()
            .unwrap()
            .keys()
            .map(String::as_str)
            .collect();
        let free = config::keys()
            .filter(|key| !["address", "basepath", "cluster", "cluster_token"].contains(key));
        assert_eq!(server, free.collect::<Vec<_>>());
    }

    #[test]
    fn the_requests_follow_the_settings() {
        let _host = FakeHost::new()
            .setting("basepath", r#""db/""#)
            .setting("data-volume", r#""agdb-data""#)
            .setting("pepper", r#"{"volume":"keys","path":"pepper"}"#);
        let requests = Settings::load().unwrap().requests();
        assert_eq!(
            requests,
            r#"{"endpoints":{"api":["GET /db/api/v1/status","GET /db/api/v1/cluster/status","GET /db/api/v1/admin/status","POST /db/api/v1/user/login","POST /db/api/v1/admin/shutdown"]},"volumes":["agdb-data","keys"]}"#
        );
    }

    #[test]
    fn settings_that_agdb_would_choke_on_are_refused() {
        let message = |key: &str, value: &str| {
            let _host = FakeHost::new().setting(key, value);
            Settings::load().unwrap_err().message
        };
        assert!(message("scheme", r#""ftp""#).contains("neither http nor https"));
        assert!(message("port", "70000").starts_with("setting `port`: expected a whole number"));
        assert!(message("server", r#"{"sync_mode":"always"}"#).contains("no sync_mode `always`"));
        assert!(message("server", r#"{"cluster_token":"x"}"#).contains("no place for secrets"));
        assert!(message("server", r#"{"cluster":"[]"}"#).contains("the plugin itself"));
    }

    #[test]
    fn an_ipv6_host_stands_in_brackets() {
        let settings = Settings {
            basepath: "/db".to_owned(),
            ..Settings::default()
        };
        assert_eq!(
            settings.url(&Replica::new(0, "a-0", "fd00::1")),
            "http://[fd00::1]:3000/db"
        );
    }
}
