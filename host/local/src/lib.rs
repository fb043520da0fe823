//! `outrigger up`: a StatefulSet as processes on one machine.

pub mod controller;
pub mod dns;
pub mod entry;
pub mod events;
pub mod forward;
mod hex;
pub mod hub_api;
pub mod hub_client;
pub mod kubelet_probe;
pub mod log_lines;
pub mod manifest;
pub mod namespace;
pub mod network;
pub mod plan;
pub mod program;
pub mod progress;
pub mod rootfs;
pub mod supervise;
pub mod up;
