//! Files of granted volumes. The work is done by threads that may block: a volume whose server hangs
//! holds up its own call, until the deadline, and nobody else's.

use std::path::PathBuf;

use crate::bindings::imports::files;
use crate::bindings::wit;
use crate::call_state::{CallState, HostFault};
use crate::imports::failure;
use crate::limits::{FILE_READ_BYTES_MAX, FILE_WRITE_BYTES_MAX};
use crate::volume::{FileError, Volume};

impl files::Host for CallState {
    async fn read(
        &mut self,
        volume: String,
        path: String,
        max: u32,
    ) -> wasmtime::Result<Result<Vec<u8>, wit::Failure>> {
        let max = max.min(FILE_READ_BYTES_MAX);
        self.within(&volume, false, move |volume| volume.read(&path, max.into()))
            .await
    }

    async fn write(
        &mut self,
        volume: String,
        path: String,
        content: Vec<u8>,
    ) -> wasmtime::Result<Result<(), wit::Failure>> {
        if content.len() > FILE_WRITE_BYTES_MAX {
            let message = format!(
                "a file of {} bytes, the most is {FILE_WRITE_BYTES_MAX}",
                content.len()
            );
            return Ok(Err(failure(wit::FailureKind::Limit, message)));
        }
        self.within(&volume, true, move |volume| volume.write(&path, &content))
            .await
    }

    async fn entries(
        &mut self,
        volume: String,
        path: String,
    ) -> wasmtime::Result<Result<Vec<String>, wit::Failure>> {
        self.within(&volume, false, move |volume| volume.entries(&path))
            .await
    }

    async fn usage(
        &mut self,
        volume: String,
    ) -> wasmtime::Result<Result<files::FsUsage, wit::Failure>> {
        self.within(&volume, false, |volume| {
            let usage = volume.usage()?;
            Ok(files::FsUsage {
                total: usage.total,
                available: usage.available,
                inodes_free: usage.inodes_free,
            })
        })
        .await
    }
}

impl CallState {
    async fn within<T: Send + 'static>(
        &self,
        volume: &str,
        writes: bool,
        act: impl FnOnce(&Volume) -> Result<T, FileError> + Send + 'static,
    ) -> wasmtime::Result<Result<T, wit::Failure>> {
        let folder = match self.granted_folder(volume, writes) {
            Ok(folder) => folder,
            Err(failure) => return Ok(Err(failure)),
        };
        let done = tokio::task::spawn_blocking(move || act(&Volume::open(&folder)?))
            .await
            .map_err(|error| HostFault(format!("the volume's thread ended: {error}")))?;
        Ok(done.map_err(|error| {
            let kind = match error {
                FileError::Path(_) | FileError::Leaves | FileError::NotAFile => {
                    wit::FailureKind::Denied
                }
                FileError::TooLong(_) | FileError::TooMany(_) => wit::FailureKind::Limit,
                FileError::Io(_) => wit::FailureKind::Unavailable,
            };
            failure(kind, error.to_string())
        }))
    }

    fn granted_folder(&self, volume: &str, writes: bool) -> Result<PathBuf, wit::Failure> {
        let denied = |reason: String| failure(wit::FailureKind::Denied, reason);
        let grant = self.shared.grants.volume(volume).map_err(denied)?;
        if writes && !grant.write {
            return Err(denied(format!(
                "the profile grants the volume `{volume}` for reading only"
            )));
        }
        self.shared.volumes.get(volume).cloned().ok_or_else(|| {
            failure(
                wit::FailureKind::Unavailable,
                format!("the volume `{volume}` is not mounted beside the sidecar"),
            )
        })
    }
}
