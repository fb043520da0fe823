//! The webhook as a process, without a cluster.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use nix::sched::{CpuSet, sched_setaffinity};
use nix::unistd::Pid;
use outrigger_tests::{Example, outrigger};
use rustls::RootCertStore;
use tempfile::TempDir;

/// A running webhook; it ends with the value.
pub(crate) struct Process {
    child: Child,
    pub(crate) address: SocketAddr,
    pub(crate) trust: Arc<RootCertStore>,
    _example: Example,
    _certificates: TempDir,
}

impl Process {
    /// Starts one, and does not wait for it.
    pub(crate) fn start() -> Self {
        let example = Example::copy("agdb");
        let certificates = tempfile::tempdir().unwrap();
        let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
        let write = |name: &str, text: String| {
            fs::write(certificates.path().join(name), text).unwrap();
        };
        write("tls.crt", made.cert.pem());
        write("tls.key", made.signing_key.serialize_pem());
        let mut trust = RootCertStore::empty();
        trust.add(made.cert.der().clone()).unwrap();
        let address = free_address();
        let child = Command::new(outrigger())
            .arg("webhook")
            .arg(format!("--listen={address}"))
            .arg(format!("--metrics={}", free_address()))
            .arg(format!(
                "--certificates=mounted={}",
                certificates.path().display()
            ))
            .arg(format!("--catalog={}", example.path().display()))
            .arg("--image=outrigger:bench")
            .env("OUTRIGGER_LOG_FORMAT", "json")
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        pin(Pid::from_raw(i32::try_from(child.id()).unwrap()), 0);
        Self {
            child,
            address,
            trust: Arc::new(trust),
            _example: example,
            _certificates: certificates,
        }
    }

    /// Fails unless the process runs.
    pub(crate) fn assert_runs(&self) {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.child.id())).unwrap();
        assert!(!stat.contains(") Z "), "the webhook has ended");
    }

    /// Resident memory in MiB, what is shared with others included.
    pub(crate) fn memory(&self) -> f64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let kib: u32 = status
            .lines()
            .find_map(|line| line.strip_prefix("VmRSS:"))
            .and_then(|rest| rest.trim().strip_suffix(" kB"))
            .and_then(|kib| kib.trim().parse().ok())
            .unwrap_or_else(|| panic!("no VmRSS in {status}"));
        f64::from(kib) / 1024.0
    }

    /// What all its threads have used, by the scheduler's own clock.
    pub(crate) fn processor_time(&self) -> Duration {
        let nanoseconds = fs::read_dir(format!("/proc/{}/task", self.child.id()))
            .unwrap()
            .map(|thread| {
                let text = fs::read_to_string(thread.unwrap().path().join("schedstat")).unwrap();
                text.split(' ').next().unwrap().parse::<u64>().unwrap()
            })
            .sum();
        Duration::from_nanos(nanoseconds)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

/// Clients leave the first core to the webhook.
pub(crate) fn pin_clients() {
    pin(Pid::from_raw(0), 1);
}

/// Where there is no such core, the kernel decides.
fn pin(process: Pid, core: usize) {
    let mut cores = CpuSet::new();
    cores.set(core).unwrap();
    if sched_setaffinity(process, &cores).is_err() {
        println!("process {process} is not pinned to core {core}");
    }
}

fn free_address() -> SocketAddr {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
        .unwrap()
        .local_addr()
        .unwrap()
}
