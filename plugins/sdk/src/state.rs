//! A small store of this plugin and this replica, which outlives calls, swaps and restarts of the
//! sidecar's container.

#[cfg(target_arch = "wasm32")]
use crate::bindings::host::outrigger::plugin::state as host;
#[cfg(not(target_arch = "wasm32"))]
use crate::fake::state as host;

use crate::Failure;
use crate::json::{self, FromJson, ToJson};

/// The bytes under this key.
pub fn get(key: &str) -> Option<Vec<u8>> {
    host::get(key)
}

/// Stores bytes. Fails with `limit` when a bound would be crossed; nothing is stored then.
pub fn set(key: &str, value: &[u8]) -> Result<(), Failure> {
    host::set(key, value)
}

/// Removes a key; removing what is not there is no error.
pub fn delete(key: &str) {
    host::delete(key);
}

/// Stores bytes if the present ones equal `expect` (none = absent). True if they were stored.
pub fn compare_and_set(key: &str, expect: Option<&[u8]>, value: &[u8]) -> Result<bool, Failure> {
    host::compare_and_set(key, expect, value)
}

/// The value under this key, kept as JSON. What another version wrote and this one cannot read is none.
pub fn load<T: FromJson>(key: &str) -> Option<T> {
    json::parse(std::str::from_utf8(&get(key)?).ok()?).ok()
}

/// Keeps a value as JSON.
pub fn store<T: ToJson + ?Sized>(key: &str, value: &T) -> Result<(), Failure> {
    set(key, value.to_json().to_string().as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fake::FakeHost;

    #[test]
    fn what_another_version_wrote_and_this_one_cannot_read_is_none() {
        let _host = FakeHost::new();
        store("n", "text").unwrap();
        assert_eq!(load::<String>("n").as_deref(), Some("text"));
        assert_eq!(load::<u32>("n"), None);
    }

    #[test]
    fn a_value_is_replaced_only_when_it_is_the_expected_one() {
        let _host = FakeHost::new();
        assert_eq!(compare_and_set("k", Some(b"1"), b"2"), Ok(false));
        assert_eq!(compare_and_set("k", None, b"1"), Ok(true));
        assert_eq!(compare_and_set("k", Some(b"1"), b"2"), Ok(true));
        assert_eq!(get("k"), Some(b"2".to_vec()));
    }
}
