//! The runtime beside each replica.
