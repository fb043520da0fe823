//! `__sandbox --configure …`: sets up the links inside a pod's network namespace, then ends.
//!
//! A process of its own, because only one with a single thread can step into a namespace for good.

use std::ffi::OsString;
use std::fs::File;
use std::net::Ipv4Addr;
use std::process::ExitCode;

use nix::sched::{CloneFlags, setns};
use serde::{Deserialize, Serialize};

use crate::entry::failed;
use crate::network;

pub(super) const CONFIGURE: &str = "--configure";

/// What a pod's link should be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Link {
    /// Whose network namespace.
    pub(crate) sandbox: i32,
    /// The link's name now; it becomes `eth0`.
    pub(crate) name: String,
    /// The pod's address.
    pub(crate) ip: Ipv4Addr,
    /// Of the subnet, in bits.
    pub(crate) prefix: u8,
    /// Where everything else is.
    pub(crate) gateway: Ipv4Addr,
}

impl Link {
    /// The arguments for [`run`].
    pub(crate) fn arguments(&self) -> Result<[String; 3], serde_json::Error> {
        Ok([
            super::SANDBOX.to_owned(),
            CONFIGURE.to_owned(),
            serde_json::to_string(self)?,
        ])
    }
}

pub(super) fn run(args: &[OsString]) -> ExitCode {
    let link: Option<Link> = args
        .first()
        .and_then(|text| serde_json::from_str(text.to_str()?).ok());
    let Some(link) = link else {
        return failed("usage: __sandbox --configure LINK");
    };
    match configure(&link) {
        Ok(()) => ExitCode::SUCCESS,
        Err(problem) => failed(problem),
    }
}

fn configure(link: &Link) -> Result<(), String> {
    let path = format!("/proc/{}/ns/net", link.sandbox);
    let namespace = File::open(&path).map_err(|error| format!("cannot open {path}: {error}"))?;
    setns(namespace, CloneFlags::CLONE_NEWNET)
        .map_err(|errno| format!("cannot enter {path}: {}", errno.desc()))?;
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| format!("cannot start a runtime: {error}"))?
        .block_on(network::configure_inside(link))
        .map_err(|error| error.to_string())
}
