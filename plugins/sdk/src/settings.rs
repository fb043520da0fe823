//! The plugin's own `settings:` of the profile.

#[cfg(target_arch = "wasm32")]
use crate::bindings::host::outrigger::plugin::settings as host;
#[cfg(not(target_arch = "wasm32"))]
use crate::fake::settings as host;

use crate::Failure;
use crate::json::{self, FromJson};

/// One value as JSON text; none when it is not set.
pub fn raw(key: &str) -> Option<String> {
    host::get(key)
}

/// One value, read as `T`; none when it is not set or null. Fails with `invalid-config` when it is
/// something else.
pub fn get<T: FromJson>(key: &str) -> Result<Option<T>, Failure> {
    let Some(text) = raw(key) else {
        return Ok(None);
    };
    json::parse(&text).map_err(|error| Failure::invalid_config(format!("setting `{key}`: {error}")))
}

/// One value, or `default` when it is not set.
pub fn get_or<T: FromJson>(key: &str, default: T) -> Result<T, Failure> {
    Ok(get(key)?.unwrap_or(default))
}

/// All values as JSON texts, in the order of the keys.
pub fn all() -> Vec<(String, String)> {
    host::all()
}

/// Whether a Secret of this name is granted and can be read now. Its values never come here: they
/// are used by name, see [`endpoint::secret`](crate::endpoint::secret).
pub fn secret_exists(name: &str) -> bool {
    host::secret_exists(name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fake::FakeHost;

    #[test]
    fn a_setting_is_read_as_the_type_that_is_asked_for() {
        let _host = FakeHost::new()
            .setting("port", "3000")
            .setting("off", "null");
        assert_eq!(get_or("port", 1_u16), Ok(3000));
        assert_eq!(get_or("off", 7_u16), Ok(7));
        assert_eq!(get_or("absent", 7_u16), Ok(7));
        let failure = get::<String>("port").unwrap_err();
        assert!(
            failure
                .message
                .starts_with("setting `port`: expected a text")
        );
    }
}
