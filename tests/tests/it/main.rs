//! Real agdb servers under `outrigger up`, driven as a user drives them.

mod cluster;
mod pods;
mod refusals;
mod reload;
mod scaling;
