//! Which addresses pods have, inside and outside: pure, and the same in each run with the same state.

use std::net::Ipv4Addr;

use sha2::{Digest as _, Sha256};

use crate::controller::REPLICAS_MAX;
use crate::network::Subnet;

/// The first addresses are the gateway's and free.
const FIRST: u32 = 10;

/// The place of a pod among all addresses.
pub(super) fn offset(set: usize, index: u32) -> u32 {
    let set = u32::try_from(set).unwrap_or(u32::MAX);
    FIRST + set.saturating_mul(REPLICAS_MAX) + index
}

/// The pod's address on the bridge.
pub(super) fn in_cluster(offset: u32) -> Option<Ipv4Addr> {
    Subnet::default().address(offset)
}

/// The pod's loopback address: `127.77.x.y`, where x differs from one state folder to the next.
pub(super) fn on_loopback(salt: u8, offset: u32) -> Ipv4Addr {
    let [.., high, low] = offset.to_be_bytes();
    Ipv4Addr::new(127, 77, salt.wrapping_add(high), low)
}

/// The x that a state folder prefers.
pub(super) fn salt(state: &std::path::Path) -> u8 {
    let digest = Sha256::digest(state.as_os_str().as_encoded_bytes());
    digest[0]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_those_of_their_place() {
        assert_eq!(offset(0, 0), 10);
        assert_eq!(offset(2, 3), 213);
        assert_eq!(in_cluster(offset(0, 1)), Some(Ipv4Addr::new(10, 77, 0, 11)));
        assert_eq!(on_loopback(5, 10), Ipv4Addr::new(127, 77, 5, 10));
        assert_eq!(on_loopback(255, 300), Ipv4Addr::new(127, 77, 0, 44));
    }
}
