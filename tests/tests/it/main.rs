//! Real agdb servers under `outrigger up`, driven as a user drives them.

mod cluster;
mod components;
mod pods;
mod refusals;
mod reload;
mod scaling;
