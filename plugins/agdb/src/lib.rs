//! agdb's behaviour: templating, health, metrics and drain of a Raft cluster of agdb servers.
