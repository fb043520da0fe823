//! The end of a container's program: waited for, and told.

use nix::sys::signal::Signal;
use tokio::process::Child;
use tokio::sync::mpsc;

use super::container::ContainerOrder;
use crate::entry;

/// Waits for a program's end, and passes on the signals that come meanwhile: a drain may need them. `last`
/// becomes true when it shall not start again.
pub(super) async fn ended(
    child: &mut Child,
    orders: &mut mpsc::Receiver<ContainerOrder>,
    last: &mut bool,
) -> i32 {
    loop {
        tokio::select! {
            status = child.wait() => return code_of(status),
            Some(order) = orders.recv(), if !*last => match order {
                ContainerOrder::Signal(signal) => {
                    let _ignored = entry::signal(child, signal);
                }
                ContainerOrder::Stop { .. } => *last = true,
                // It is being stopped, which is the most of a restart.
                ContainerOrder::Restart { .. } => {}
            },
        }
    }
}

/// Its exit code as a shell would give it; 255 where it cannot be told.
pub(super) fn code_of(status: std::io::Result<std::process::ExitStatus>) -> i32 {
    status.map_or(255, entry::exit_code)
}

/// What became of it, for people.
pub(super) fn exit_sentence(code: i32) -> String {
    match code {
        0 => "ended".to_owned(),
        128 => "could not be started".to_owned(),
        129..=192 => match Signal::try_from(code - 128) {
            Ok(signal) => format!("was ended by {signal}"),
            Err(_) => format!("ended with exit code {code}"),
        },
        _ => format!("ended with exit code {code}"),
    }
}
