//! `__probe`: tries the hub's namespaces, a bridge and a veth pair, and says how it went.

use std::io::Write as _;
use std::process::ExitCode;

use nix::errno::Errno;

use crate::namespace::{self, Facts, NamespaceError};
use crate::network::{Network, Subnet};

pub(super) fn run() -> ExitCode {
    let said = match attempt() {
        Ok(()) => namespace::GRANTED.to_owned(),
        Err(reason) => format!("{}{reason}", namespace::REFUSED),
    };
    match writeln!(std::io::stdout(), "{said}") {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}

fn attempt() -> Result<(), String> {
    namespace::enter_hub().map_err(|error| Facts::read().explain(&error))?;
    // A mount of our own: AppArmor lets the namespaces be made and then refuses this.
    nix::mount::mount(
        Some("outrigger"),
        "/tmp",
        Some("tmpfs"),
        nix::mount::MsFlags::empty(),
        None::<&str>,
    )
    .map_err(|errno| {
        Facts::read().explain(&NamespaceError::Refused {
            doing: "mount a file system in the new namespaces",
            errno,
        })
    })?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| format!("cannot start a runtime: {error}"))?;
    runtime.block_on(async {
        let network = Network::create(Subnet::default())
            .await
            .map_err(|error| format!("{error}: `sudo modprobe bridge` provides what is missing"))?;
        network.try_pair().await.map_err(|error| {
            let errno = error.errno().unwrap_or(Errno::EIO);
            format!("{error} ({errno}): `sudo modprobe veth` provides what is missing")
        })
    })
}
