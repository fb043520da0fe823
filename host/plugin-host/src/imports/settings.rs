//! The plugin's own block of the profile.

use crate::bindings::imports::settings;
use crate::call_state::CallState;

impl settings::Host for CallState {
    fn get(&mut self, key: String) -> wasmtime::Result<Option<String>> {
        Ok(self.shared.settings.get(&key).cloned())
    }

    fn all(&mut self) -> wasmtime::Result<Vec<(String, String)>> {
        let settings = self.shared.settings.iter();
        Ok(settings
            .map(|(key, value)| (key.clone(), value.clone()))
            .collect())
    }

    fn secret_exists(&mut self, name: String) -> wasmtime::Result<bool> {
        Ok(self.shared.grants.has_secret(&name) && self.shared.secrets.exists(&name))
    }
}
