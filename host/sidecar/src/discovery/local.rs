//! The local mode: who is there, as the controller of `outrigger up` writes it into `cluster.json`.

use std::path::{Path, PathBuf};

use outrigger_peers::{Identity, Ordinal, PeerSet, Replica, Source};
use serde::Deserialize;

use crate::limits;

/// The file's name within the folder that `OUTRIGGER_LOCAL` names.
pub(crate) const FILE: &str = "cluster.json";

/// What the file holds.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) struct ClusterFile {
    /// The first ordinal.
    #[serde(default)]
    pub(crate) start: Ordinal,
    /// How many replicas there should be.
    pub(crate) desired: u32,
    /// Those that exist or are about to.
    #[serde(default)]
    pub(crate) replicas: Vec<Replica>,
}

/// Why the file could not be taken.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LocalError {
    /// Reading.
    #[error("could not read {path}")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// Too long.
    #[error("{path} is longer than {} bytes", limits::CLUSTER_FILE_BYTES_MAX)]
    TooLong {
        /// The file.
        path: PathBuf,
    },
    /// Not what it should be.
    #[error("{path} is not a list of replicas")]
    Parse {
        /// The file.
        path: PathBuf,
        /// Why.
        source: serde_json::Error,
    },
    /// More than Outrigger follows.
    #[error("{path} names {count} replicas, more than {}", limits::REPLICAS_MAX)]
    TooMany {
        /// The file.
        path: PathBuf,
        /// How many.
        count: usize,
    },
}

/// Reads the file.
///
/// # Errors
/// Any, with the path; the caller keeps what it knew.
pub(crate) async fn read(folder: &Path) -> Result<ClusterFile, LocalError> {
    let path = folder.join(FILE);
    let fault = |source| LocalError::Read {
        path: path.clone(),
        source,
    };
    let metadata = tokio::fs::metadata(&path).await.map_err(fault)?;
    if metadata.len() > limits::CLUSTER_FILE_BYTES_MAX {
        return Err(LocalError::TooLong { path });
    }
    let text = tokio::fs::read(&path).await.map_err(fault)?;
    parse(&text, &path)
}

fn parse(text: &[u8], path: &Path) -> Result<ClusterFile, LocalError> {
    let file: ClusterFile = serde_json::from_slice(text).map_err(|source| LocalError::Parse {
        path: path.to_owned(),
        source,
    })?;
    let count = file
        .replicas
        .len()
        .max(usize::try_from(file.desired).unwrap_or(usize::MAX));
    if count > limits::REPLICAS_MAX as usize {
        return Err(LocalError::TooMany {
            path: path.to_owned(),
            count,
        });
    }
    Ok(file)
}

/// The snapshot that the file describes. `desired` replaces the file's own count.
pub(crate) fn view(
    file: &ClusterFile,
    identity: Identity,
    desired: Option<u32>,
    now_unix_ms: u64,
) -> PeerSet {
    let mut set = PeerSet::expected(identity, file.start, desired.unwrap_or(file.desired));
    set.source = Source::Local;
    set.confirmed_unix_ms = now_unix_ms;
    for replica in set.replicas.values_mut() {
        replica.phase = outrigger_peers::Phase::Pending;
    }
    for replica in &file.replicas {
        let mut replica = replica.clone();
        replica.addresses.truncate(limits::ADDRESSES_MAX);
        set.replicas.insert(replica.ordinal, replica);
    }
    set
}

#[cfg(test)]
mod tests {
    use outrigger_peers::Phase;

    use super::*;

    const TEXT: &str = r#"{"revision":4,"start":0,"desired":3,"replicas":[
        {"ordinal":0,"name":"db-0","host":"db-0.db.default.svc.cluster.local",
         "addresses":["10.77.0.10"],"phase":"ready","role":"leader"},
        {"ordinal":1,"name":"db-1","host":"db-1.db.default.svc.cluster.local","phase":"starting"}]}"#;

    fn identity() -> Identity {
        Identity {
            stateful_set: "db".into(),
            ordinal: Ordinal(1),
            namespace: "default".into(),
            service: "db".into(),
            cluster_domain: "cluster.local".into(),
            ip: None,
            uid: String::new(),
        }
    }

    #[test]
    fn the_controllers_file_tells_phases_roles_and_who_is_missing() {
        let file = parse(TEXT.as_bytes(), Path::new("cluster.json")).unwrap();
        let set = view(&file, identity(), None, 9);
        assert_eq!(set.desired, 3);
        let phases: Vec<Phase> = set.replicas.values().map(|r| r.phase).collect();
        assert_eq!(phases, [Phase::Ready, Phase::Starting, Phase::Pending]);
        assert_eq!(set.replicas[&Ordinal(0)].role.as_deref(), Some("leader"));
        assert_eq!(set.own().name, "db-1");
    }

    #[test]
    fn the_profiles_count_has_precedence() {
        let file = parse(TEXT.as_bytes(), Path::new("cluster.json")).unwrap();
        assert_eq!(view(&file, identity(), Some(5), 9).desired, 5);
    }

    #[test]
    fn a_broken_file_is_refused_with_its_path() {
        for broken in ["", "{", "[]", r#"{"desired":"3"}"#, r#"{"desired":100000}"#] {
            let error = parse(broken.as_bytes(), Path::new("cluster.json")).unwrap_err();
            assert!(error.to_string().contains("cluster.json"), "{broken}");
        }
    }
}
