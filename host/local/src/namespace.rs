//! The namespaces of the hub: whether this machine grants them, and how a process enters them.
//!
//! One user namespace (this user becomes its root), one mount namespace (private, so nothing that
//! is mounted inside is seen outside) and one network namespace. Everything that needs a single
//! thread happens in a process that was started for it, see [`crate::entry`].

use std::fs;
use std::io;
use std::process::{Command, Stdio};

use nix::errno::Errno;
use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};
use nix::unistd::{getegid, geteuid};

/// How far the replicas of `up` are kept apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Isolation {
    /// Each pod has its own network and each container its own view of the file system.
    Namespaces,
    /// Processes of this machine side by side.
    Plain {
        /// Why there are no namespaces, as a sentence that ends with what would allow them.
        reason: String,
    },
}

/// Namespaces could not be had.
#[derive(Debug, thiserror::Error)]
pub enum NamespaceError {
    /// The kernel refused a call.
    #[error("cannot {doing}: {errno}")]
    Refused {
        /// What was tried, as a verb phrase.
        doing: &'static str,
        /// The kernel's answer.
        errno: Errno,
    },
    /// The map of users or groups could not be written.
    #[error("cannot write {file}: {source}")]
    Map {
        /// The file under `/proc/self`.
        file: &'static str,
        /// Why.
        source: io::Error,
    },
}

impl NamespaceError {
    fn errno(&self) -> Errno {
        match self {
            Self::Refused { errno, .. } => *errno,
            Self::Map { source, .. } => source.raw_os_error().map_or(Errno::EIO, Errno::from_raw),
        }
    }
}

/// What the probing child says when all went well; anything else is a reason.
pub(crate) const GRANTED: &str = "outrigger: namespaces granted";
/// What it writes before a reason.
pub(crate) const REFUSED: &str = "outrigger: namespaces refused: ";

/// Tries in a child process whether the hub's namespaces, a bridge and a veth pair can be had.
///
/// Blocks for some milliseconds. *Assumes* that this program's `main` hands `__probe` to
/// [`crate::entry::run`]; otherwise the answer is [`Isolation::Plain`].
pub fn probe() -> Isolation {
    let output = Command::new(crate::entry::OWN_PROGRAM)
        .arg(crate::entry::PROBE)
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .output();
    let reason = match output {
        Ok(output) => {
            let said = String::from_utf8_lossy(&output.stdout);
            let said = said.trim();
            if output.status.success() && said == GRANTED {
                return Isolation::Namespaces;
            }
            said.strip_prefix(REFUSED).map_or_else(
                || {
                    format!(
                        "the process that tried them ended early ({})",
                        output.status
                    )
                },
                str::to_owned,
            )
        }
        Err(error) => format!("the process that tries them did not start: {error}"),
    };
    Isolation::Plain { reason }
}

/// Enters new user, mount and network namespaces.
///
/// *Guarantees*: inside, this user and group are root; supplementary groups cannot be changed;
/// no mount made later is seen outside. *Assumes* a single-threaded process.
pub fn enter_hub() -> Result<(), NamespaceError> {
    let (user, group) = (geteuid(), getegid());
    unshare(CloneFlags::CLONE_NEWUSER | CloneFlags::CLONE_NEWNS | CloneFlags::CLONE_NEWNET)
        .map_err(|errno| NamespaceError::Refused {
            doing: "create user, mount and network namespaces",
            errno,
        })?;
    map_ids((0, user.as_raw()), (0, group.as_raw()))?;
    make_mounts_private()
}

/// Maps one user and one group of the outer namespace to ones of the inner: `(inside, outside)`.
pub(crate) fn map_ids(user: (u32, u32), group: (u32, u32)) -> Result<(), NamespaceError> {
    let write = |file: &'static str, text: &str| {
        fs::write(file, text).map_err(|source| NamespaceError::Map { file, source })
    };
    write("/proc/self/setgroups", "deny")?;
    write("/proc/self/uid_map", &format!("{} {} 1", user.0, user.1))?;
    write("/proc/self/gid_map", &format!("{} {} 1", group.0, group.1))
}

/// Keeps later mounts of this mount namespace to itself.
pub(crate) fn make_mounts_private() -> Result<(), NamespaceError> {
    mount(
        None::<&str>,
        "/",
        None::<&str>,
        MsFlags::MS_REC | MsFlags::MS_PRIVATE,
        None::<&str>,
    )
    .map_err(|errno| NamespaceError::Refused {
        doing: "make the mounts private",
        errno,
    })
}

/// What of this machine decides over namespaces, as far as it can be read.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(crate) struct Facts {
    max_user_namespaces: Option<u64>,
    max_net_namespaces: Option<u64>,
    unprivileged_clone: Option<u64>,
    apparmor_restricts: Option<u64>,
    seccomp_filter: bool,
}

impl Facts {
    pub(crate) fn read() -> Self {
        let number = |path: &str| fs::read_to_string(path).ok()?.trim().parse().ok();
        let seccomp_filter = fs::read_to_string("/proc/self/status").is_ok_and(|status| {
            status.lines().any(|line| {
                line.strip_prefix("Seccomp:")
                    .is_some_and(|v| v.trim() == "2")
            })
        });
        Self {
            max_user_namespaces: number("/proc/sys/user/max_user_namespaces"),
            max_net_namespaces: number("/proc/sys/user/max_net_namespaces"),
            unprivileged_clone: number("/proc/sys/kernel/unprivileged_userns_clone"),
            apparmor_restricts: number("/proc/sys/kernel/apparmor_restrict_unprivileged_userns"),
            seccomp_filter,
        }
    }

    /// The sentence for [`Isolation::Plain`]: what was refused, why, and what allows it.
    pub(crate) fn explain(&self, error: &NamespaceError) -> String {
        let remedy = if self.max_user_namespaces == Some(0) {
            "user namespaces are switched off; `sudo sysctl -w user.max_user_namespaces=1000` \
             allows them"
        } else if self.max_net_namespaces == Some(0) {
            "network namespaces are switched off; `sudo sysctl -w user.max_net_namespaces=1000` \
             allows them"
        } else if error.errno() == Errno::ENOSPC {
            "too many namespaces exist already; `sudo sysctl -w user.max_user_namespaces=10000` \
             allows more"
        } else if self.unprivileged_clone == Some(0) {
            "users may not create namespaces; \
             `sudo sysctl -w kernel.unprivileged_userns_clone=1` allows it"
        } else if self.apparmor_restricts.is_some_and(|value| value != 0) {
            "AppArmor keeps users from namespaces; \
             `sudo sysctl -w kernel.apparmor_restrict_unprivileged_userns=0` allows them"
        } else if self.seccomp_filter {
            "a seccomp filter, perhaps that of a container, forbids it; \
             `docker run --security-opt seccomp=unconfined` allows it"
        } else {
            "`unshare --user --map-root-user --mount --net true` tells whether this machine \
             allows them"
        };
        format!("{error}: {remedy}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(errno: Errno) -> NamespaceError {
        NamespaceError::Refused {
            doing: "create user, mount and network namespaces",
            errno,
        }
    }

    #[test]
    fn a_reason_names_the_command_that_would_allow_namespaces() {
        let cases = [
            (
                "switched off",
                Errno::ENOSPC,
                Facts {
                    max_user_namespaces: Some(0),
                    ..Facts::default()
                },
                "user.max_user_namespaces=1000",
            ),
            (
                "used up",
                Errno::ENOSPC,
                Facts {
                    max_user_namespaces: Some(5),
                    ..Facts::default()
                },
                "user.max_user_namespaces=10000",
            ),
            (
                "Debian",
                Errno::EPERM,
                Facts {
                    unprivileged_clone: Some(0),
                    ..Facts::default()
                },
                "kernel.unprivileged_userns_clone=1",
            ),
            (
                "Ubuntu",
                Errno::EACCES,
                Facts {
                    apparmor_restricts: Some(1),
                    ..Facts::default()
                },
                "kernel.apparmor_restrict_unprivileged_userns=0",
            ),
            (
                "Docker",
                Errno::EPERM,
                Facts {
                    seccomp_filter: true,
                    ..Facts::default()
                },
                "seccomp=unconfined",
            ),
            ("unknown", Errno::EPERM, Facts::default(), "unshare --user"),
        ];
        for (name, errno, facts, command) in cases {
            let told = facts.explain(&refused(errno));
            assert!(told.contains(command), "{name}: {told}");
            assert!(told.starts_with("cannot create user"), "{name}: {told}");
        }
    }
}
