//! The StatefulSet's controller: a pure core that decides, and a shell that looks and acts.

mod backoff;
mod cluster_file;
mod reconcile;
mod run;
mod turns;

pub use backoff::Backoff;
pub(crate) use cluster_file::replace;
pub use cluster_file::{ClusterFile, NAME as CLUSTER_FILE, write as write_cluster_file};
pub use reconcile::{Action, Observed, PodSeen, Policy, Roll, State, reconcile};
pub(crate) use run::REPLICAS_MAX;
pub use run::{
    Controller, ControllerConfig, HostOf, Make, Order, OrderError, SetSnapshot, TurnAnswer,
};
pub use turns::{Turns, Waiting};
