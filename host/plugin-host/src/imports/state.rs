//! The plugin's small store. Changes are written by a thread that may block, not by the one that
//! runs the guests.

use std::sync::Arc;

use crate::bindings::imports::state;
use crate::bindings::wit;
use crate::call_state::{CallState, HostFault};
use crate::imports::failure;
use crate::state_store::{StateError, StateStore};

impl state::Host for CallState {
    async fn get(&mut self, key: String) -> wasmtime::Result<Option<Vec<u8>>> {
        Ok(self.shared.state.get(&key))
    }

    async fn set(
        &mut self,
        key: String,
        value: Vec<u8>,
    ) -> wasmtime::Result<Result<(), wit::Failure>> {
        self.change(move |store| store.set(&key, value)).await
    }

    async fn delete(&mut self, key: String) -> wasmtime::Result<()> {
        match self.change(move |store| store.delete(&key)).await? {
            Ok(()) => Ok(()),
            // The function has no failure to answer with.
            Err(failure) => Err(HostFault(failure.message).into()),
        }
    }

    async fn compare_and_set(
        &mut self,
        key: String,
        expect: Option<Vec<u8>>,
        value: Vec<u8>,
    ) -> wasmtime::Result<Result<bool, wit::Failure>> {
        self.change(move |store| store.compare_and_set(&key, expect.as_deref(), value))
            .await
    }
}

impl CallState {
    async fn change<T: Send + 'static>(
        &self,
        act: impl FnOnce(&StateStore) -> Result<T, StateError> + Send + 'static,
    ) -> wasmtime::Result<Result<T, wit::Failure>> {
        let store = Arc::clone(&self.shared.state);
        let done = tokio::task::spawn_blocking(move || act(&store))
            .await
            .map_err(|error| HostFault(format!("the store's thread ended: {error}")))?;
        Ok(done.map_err(|error| match error {
            StateError::Limit { .. } => failure(wit::FailureKind::Limit, error.to_string()),
            StateError::Write(source) => {
                tracing::error!(plugin.name = self.shared.name, error = %source, "Plugin state cannot be written");
                failure(wit::FailureKind::Internal, "the store cannot be written")
            }
        }))
    }
}
