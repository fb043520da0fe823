//! What a replica costs: cold start of the sidecar, `up` until ready beside agdb's own election, and
//! what an idle sidecar holds and burns.
//!
//! `cargo bench -p outrigger-tests --bench footprint` measures the release build. With `--smoke`
//! everything runs once and briefly, which shows that it works and measures nothing.

#![expect(
    clippy::print_stdout,
    clippy::unwrap_used,
    clippy::panic,
    reason = "a benchmark prints its figures and ends at the first fault"
)]
#![expect(clippy::disallowed_methods, reason = "time is what is measured")]

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use outrigger_tests::{Agdb, Example, Up, agdb_server, eventually, outrigger};

/// How long and how often.
struct Effort {
    starts: usize,
    ups: usize,
    idle: Duration,
}

fn main() {
    let smoke = std::env::args().any(|arg| arg == "--smoke");
    let effort = if smoke {
        Effort {
            starts: 2,
            ups: 1,
            idle: Duration::from_secs(2),
        }
    } else {
        Effort {
            starts: 20,
            ups: 5,
            idle: Duration::from_mins(1),
        }
    };
    let size = fs::metadata(outrigger()).unwrap().len();
    println!("binary                      {:>8.1} MB", megabytes(size));
    cold_start(&effort);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(election(&effort));
    runtime.block_on(up(&effort));
}

/// From the start of the process to its first answered liveness probe, with the agdb plugin.
fn cold_start(effort: &Effort) {
    let example = Example::copy("agdb");
    let mut times = Vec::new();
    for _ in 0..effort.starts {
        let scratch = tempfile::tempdir().unwrap();
        let secrets = scratch.path().join("secrets");
        for (secret, key, value) in [
            ("agdb-admin", "username", "admin"),
            ("agdb-admin", "password", "admin"),
            ("agdb-cluster", "token", "token"),
        ] {
            fs::create_dir_all(secrets.join(secret)).unwrap();
            fs::write(secrets.join(secret).join(key), value).unwrap();
        }
        let address = free_address();
        let begun = Instant::now();
        let mut sidecar = Command::new(outrigger())
            .arg("sidecar")
            .env("POD_NAME", "agdb-0")
            .env("POD_IP", "127.0.0.1")
            .env("OUTRIGGER_REPLICAS", "3")
            .env("OUTRIGGER_POD_MANAGEMENT", "Parallel")
            .env("OUTRIGGER_PROFILE_DIR", example.path())
            .env("OUTRIGGER_SECRETS_DIR", &secrets)
            .env("OUTRIGGER_FILES_DIR", scratch.path().join("files"))
            .env("OUTRIGGER_STATE_DIR", scratch.path().join("state"))
            .env("OUTRIGGER_LISTEN", address.to_string())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        while !answers(address) {
            assert!(sidecar.try_wait().unwrap().is_none(), "the sidecar ended");
            assert!(
                begun.elapsed() < Duration::from_secs(30),
                "no answer from {address}"
            );
        }
        times.push(begun.elapsed());
        end(&mut sidecar);
    }
    print_times("sidecar, start to answer", &mut times);
}

/// agdb's own part of `up`: three servers by hand, from their start to one leader.
async fn election(effort: &Effort) {
    let mut times = Vec::new();
    for round in 0..effort.ups {
        let scratch = tempfile::tempdir().unwrap();
        let octet = 100 + u8::try_from(round).unwrap();
        let hosts: Vec<String> = (1..=3)
            .map(|host| format!("{}:3000", Ipv4Addr::new(127, 31, octet, host)))
            .collect();
        let cluster: Vec<String> = hosts.iter().map(|host| format!("http://{host}")).collect();
        let begun = Instant::now();
        let mut servers: Vec<Child> = hosts
            .iter()
            .map(|host| {
                let folder = scratch.path().join(host);
                fs::create_dir(&folder).unwrap();
                let config = format!(
                    "bind: {host}\naddress: http://{host}\nadmin: admin\ncluster_token: t\ncluster: [{}]\n",
                    cluster.join(", ")
                );
                fs::write(folder.join("agdb_server.yaml"), config).unwrap();
                Command::new(agdb_server())
                    .current_dir(folder)
                    .stdout(Stdio::null())
                    .stderr(Stdio::null())
                    .spawn()
                    .unwrap()
            })
            .collect();
        let client = Agdb::at(&hosts[0]);
        eventually(Duration::from_secs(30), "agdb has a leader", async || {
            client.leader().await
        })
        .await;
        times.push(begun.elapsed());
        servers.iter_mut().for_each(end);
    }
    print_times("agdb alone, start to leader", &mut times);
}

/// From the command to all three ready, everything being built; then the sidecars at rest.
async fn up(effort: &Effort) {
    let example = Example::copy("agdb");
    let mut times = Vec::new();
    for round in 0..effort.ups {
        let begun = Instant::now();
        let up = Up::start(example.path(), &[]).await;
        eventually(
            Duration::from_secs(90),
            "all replicas are ready",
            async || {
                let ps = up.ps().await?;
                let set = &ps["stateful-sets"][0];
                if set["settled"] == true {
                    Ok(())
                } else {
                    Err(ps.to_string())
                }
            },
        )
        .await;
        times.push(begun.elapsed());
        if round + 1 == effort.ups {
            idle(&up, effort).await;
        }
        up.stop().await;
    }
    print_times("up, command to all ready", &mut times);
}

/// Memory and processor time of the sidecars after a while of nothing but their own probes.
async fn idle(up: &Up, effort: &Effort) {
    let sidecars = sidecar_processes(up.state());
    assert_eq!(sidecars.len(), 3, "three sidecars run");
    let before: Vec<u64> = sidecars.iter().map(|pid| processor_ticks(*pid)).collect();
    tokio::time::sleep(effort.idle).await;
    for (pid, before) in sidecars.iter().zip(before) {
        // The kernel counts in hundredths of a second.
        let used = Duration::from_millis((processor_ticks(*pid) - before) * 10);
        println!(
            "sidecar at rest             RSS {:>5.1} MiB  PSS {:>5.1} MiB  CPU {:>6.2} ms/s",
            memory(*pid, "Rss:"),
            memory(*pid, "Pss:"),
            used.as_secs_f64() * 1e3 / effort.idle.as_secs_f64()
        );
    }
}

/// The sidecars of this state folder: `outrigger sidecar` whose environment names it.
fn sidecar_processes(state: &Path) -> Vec<u32> {
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc").unwrap().flatten() {
        let Some(pid) = entry
            .file_name()
            .to_str()
            .and_then(|name| name.parse().ok())
        else {
            continue;
        };
        let line = fs::read(entry.path().join("cmdline")).unwrap_or_default();
        let mut words = line.split(|byte| *byte == 0);
        let is_sidecar = words
            .next()
            .is_some_and(|word| word.ends_with(b"outrigger"))
            && words.next() == Some(b"sidecar");
        let mounts = fs::read_to_string(entry.path().join("mountinfo")).unwrap_or_default();
        if is_sidecar && mounts.contains(state.to_str().unwrap()) {
            found.push(pid);
        }
    }
    found.sort_unstable();
    found
}

/// MiB of one line of the kernel's summary.
fn memory(pid: u32, line: &str) -> f64 {
    let summary = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).unwrap();
    let kib: u32 = summary
        .lines()
        .find_map(|text| text.strip_prefix(line))
        .and_then(|rest| rest.trim().strip_suffix(" kB"))
        .and_then(|number| number.trim().parse().ok())
        .unwrap_or_else(|| panic!("no {line} in {summary}"));
    f64::from(kib) / 1024.0
}

/// User and system time, in ticks of a hundredth of a second.
fn processor_ticks(pid: u32) -> u64 {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let after_name = stat.rsplit_once(") ").unwrap().1;
    after_name
        .split(' ')
        .skip(11)
        .take(2)
        .map(|ticks| ticks.parse::<u64>().unwrap())
        .sum()
}

fn free_address() -> SocketAddr {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
        .unwrap()
        .local_addr()
        .unwrap()
}

fn answers(address: SocketAddr) -> bool {
    let Ok(mut stream) = TcpStream::connect(address) else {
        return false;
    };
    let asked = stream.write_all(b"GET /live HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
    let mut answer = [0; 8];
    asked.is_ok() && stream.read_exact(&mut answer).is_ok() && answer.starts_with(b"HTTP/1.1")
}

fn end(child: &mut Child) {
    child.kill().unwrap();
    child.wait().unwrap();
}

#[expect(clippy::cast_precision_loss, reason = "shown with one digit")]
fn megabytes(bytes: u64) -> f64 {
    bytes as f64 / 1e6
}

fn print_times(what: &str, times: &mut [Duration]) {
    times.sort();
    let ms = |time: Duration| time.as_secs_f64() * 1e3;
    println!(
        "{what:<27} {:>8.1} ms median, {:.1} to {:.1} of {}",
        ms(times[times.len() / 2]),
        ms(times[0]),
        ms(times[times.len() - 1]),
        times.len()
    );
}
