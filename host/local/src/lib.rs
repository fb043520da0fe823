//! `outrigger up`: a StatefulSet as processes on one machine.

pub mod dns;
pub mod entry;
pub mod forward;
pub mod namespace;
pub mod network;
pub mod rootfs;
