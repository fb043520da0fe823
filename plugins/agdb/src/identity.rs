//! The marker in the data folder's volume that says whose data it is.
//!
//! agdb does not notice when it is given another replica's data, nor when two servers claim one place.

use outrigger_plugin_sdk::json::{self, Error, FromJson, ToJson, Value};
use outrigger_plugin_sdk::{FailureKind, Membership, files};

use crate::settings::Settings;

/// The marker's name, in the root of the volume.
pub const FILE: &str = ".outrigger-identity";

const BYTES_MAX: u32 = 4096;

/// What the marker says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// The governing Service.
    pub service: String,
    /// The ordinal whose data this is.
    pub ordinal: u32,
    /// Its place in `cluster`.
    pub index: u32,
    /// Whether it has taken part in the cluster since it was put in (or put in again after a scale-down).
    pub joined: bool,
}

impl FromJson for Identity {
    fn from_json(value: &Value) -> Result<Self, Error> {
        Ok(Self {
            service: value.field("service")?,
            ordinal: value.field("ordinal")?,
            index: value.field("index")?,
            joined: value.field("joined")?,
        })
    }
}

impl ToJson for Identity {
    fn to_json(&self) -> Value {
        Value::object([
            ("service", self.service.to_json()),
            ("ordinal", self.ordinal.to_json()),
            ("index", self.index.to_json()),
            ("joined", self.joined.to_json()),
        ])
    }
}

impl Identity {
    /// This replica's.
    pub fn own(now: &Membership, joined: bool) -> Self {
        Self {
            service: now.service.clone(),
            ordinal: now.self_ordinal,
            index: now.self_ordinal.saturating_sub(now.start),
            joined,
        }
    }
}

/// What is known of the marker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Recorded {
    /// The volume is not granted, or cannot be read.
    Unknown(String),
    /// There is none.
    Nothing {
        /// Whether agdb's own files are there already.
        data: bool,
    },
    /// It says this.
    Identity(Identity),
    /// It is there and says nothing that is understood.
    Broken,
}

/// Reads the marker.
pub fn read(settings: &Settings) -> Recorded {
    match files::read(&settings.data_volume, FILE, BYTES_MAX) {
        Ok(bytes) => std::str::from_utf8(&bytes)
            .ok()
            .and_then(|text| json::parse(text).ok())
            .map_or(Recorded::Broken, Recorded::Identity),
        Err(failure) if failure.kind == FailureKind::Unavailable => Recorded::Nothing {
            data: files::entries(&settings.data_volume, &settings.data_path)
                .is_ok_and(|names| names.iter().any(|name| name.starts_with("agdb_server."))),
        },
        Err(failure) => Recorded::Unknown(failure.message),
    }
}

/// Writes the marker. Where writing is not granted, says so once per call and goes on.
pub fn write(settings: &Settings, identity: &Identity) {
    let content = identity.to_json().to_string();
    if let Err(failure) = files::write(&settings.data_volume, FILE, content.as_bytes()) {
        outrigger_plugin_sdk::debug!(
            "The marker of identity was not written",
            "volume" => settings.data_volume,
            "error" => failure.message,
        );
    }
}

/// Why this replica must not use the data that it was given; none when it may.
pub fn mismatch(recorded: &Recorded, now: &Membership) -> Option<String> {
    match recorded {
        Recorded::Identity(identity) if identity.ordinal != now.self_ordinal => Some(format!(
            "the data folder is that of ordinal {} and this is ordinal {}",
            identity.ordinal, now.self_ordinal
        )),
        _ => None,
    }
}

/// Whether this replica has yet to join the cluster: its data is none, or from before a scale-down.
pub fn is_newcomer(recorded: &Recorded) -> bool {
    match recorded {
        Recorded::Identity(identity) => !identity.joined,
        Recorded::Nothing { data } => !data,
        Recorded::Unknown(_) | Recorded::Broken => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::membership;
    use outrigger_plugin_sdk::fake::FakeHost;

    #[test]
    fn a_marker_is_read_back_as_it_was_written() {
        let host = FakeHost::new().volume("data", true);
        let settings = Settings::default();
        assert_eq!(read(&settings), Recorded::Nothing { data: false });
        let identity = Identity::own(&membership(1, 3), false);
        write(&settings, &identity);
        assert_eq!(read(&settings), Recorded::Identity(identity.clone()));
        assert_eq!(mismatch(&read(&settings), &membership(1, 3)), None);
        assert_eq!(
            mismatch(&Recorded::Identity(identity), &membership(2, 3)).as_deref(),
            Some("the data folder is that of ordinal 1 and this is ordinal 2")
        );
        assert_eq!(
            host.content("data", FILE).as_deref(),
            Some(br#"{"service":"agdb","ordinal":1,"index":1,"joined":false}"#.as_slice())
        );
    }

    #[test]
    fn only_a_replica_without_data_or_back_from_a_scale_down_is_a_newcomer() {
        let settings = Settings::default();
        let _host = FakeHost::new().file("data", "agdb_server.log", "x");
        assert!(!is_newcomer(&read(&settings)));
        let _host = FakeHost::new().volume("data", false);
        assert!(is_newcomer(&read(&settings)));
        let _host = FakeHost::new();
        assert!(
            !is_newcomer(&read(&settings)),
            "what is not granted is unknown"
        );
        let left = Identity::own(&membership(4, 5), false);
        assert!(is_newcomer(&Recorded::Identity(left)));
    }

    #[test]
    fn a_volume_that_is_read_only_is_said_in_the_log() {
        let host = FakeHost::new().volume("data", false);
        write(
            &Settings::default(),
            &Identity::own(&membership(0, 3), true),
        );
        assert_eq!(host.log_lines().len(), 1);
    }
}
