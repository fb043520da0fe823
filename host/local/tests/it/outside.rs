//! Tests that need nothing of this machine's network: each plays a scenario in a hub, or watches
//! hidden processes from outside.

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _};
use std::process::{Command, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::support::{Test, User, well};

pub(crate) const TESTS: &[Test] = &[
    (
        "pods_reach_each_other_on_the_same_port_and_nothing_outside",
        |user| user.play("network", &[]).map(drop),
    ),
    (
        "a_pod_that_comes_back_is_reached_at_its_old_address",
        |user| user.play("replaced", &[]).map(drop),
    ),
    ("names_of_the_cluster_resolve_inside_a_container", |user| {
        user.play("names", &[]).map(drop)
    }),
    (
        "a_container_has_its_files_at_their_paths_and_the_machine_is_unchanged",
        files,
    ),
    ("a_container_has_its_own_tmp", |user| {
        user.play("private-tmp", &[]).map(drop)
    }),
    (
        "a_workload_is_process_1_and_gets_signals_as_in_a_container",
        |user| user.play("first-process", &[]).map(drop),
    ),
    ("a_container_ends_with_its_workloads_code", |user| {
        user.play("exit-codes", &[]).map(drop)
    }),
    (
        "a_workload_sees_itself_as_the_user_it_should_run_as",
        |user| user.play("run-as", &[]).map(drop),
    ),
    ("containers_die_with_a_killed_hub", killed),
    ("plain_containers_are_processes_of_this_machine", plain),
    ("plain_containers_die_with_a_killed_hub", plain_killed),
    (
        "a_hub_without_namespaces_says_what_would_allow_them",
        |user| user.play("no-namespaces", &[]).map(drop),
    ),
];

/// What the machine has that a container could have changed by mistake.
fn machine() -> Vec<String> {
    let mut seen = Vec::new();
    for folder in ["/", "/etc", "/usr/share"] {
        let mut names: Vec<String> = fs::read_dir(folder)
            .unwrap()
            .map(|entry| format!("{folder}: {}", entry.unwrap().file_name().display()))
            .collect();
        names.sort();
        seen.extend(names);
    }
    for file in ["/etc/hosts", "/etc/hostname", "/proc/self/mounts"] {
        seen.push(fs::read_to_string(file).unwrap_or_default());
    }
    seen
}

fn files(user: User) -> Result<(), String> {
    let folder = user.folder();
    let before = machine();
    user.play("files", &[folder.path()])?;
    assert_eq!(before, machine());
    // The mount point inside another mount is the one thing that is made in a source.
    let made: Vec<_> = fs::read_dir(folder.path().join("rendered"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .filter(|name| name != "agdb_server.yaml")
        .collect();
    assert_eq!(made, ["data"]);
    Ok(())
}

fn plain(user: User) -> Result<(), String> {
    let output = user
        .plain_hub("plain")
        .output()
        .map_err(|error| error.to_string())?;
    well(&output).map(drop)
}

fn killed(user: User) -> Result<(), String> {
    dies_with_hub(user.hub("killed", &[]), 2)
}

fn plain_killed(user: User) -> Result<(), String> {
    dies_with_hub(user.plain_hub("plain-killed"), 1)
}

fn dies_with_hub(mut hub: Command, containers: usize) -> Result<(), String> {
    let mut hub = hub
        .stdout(Stdio::piped())
        .spawn()
        .map_err(|error| error.to_string())?;
    let mut said = BufReader::new(hub.stdout.take().unwrap());
    for _ in 0..containers {
        let mut line = String::new();
        said.read_line(&mut line).unwrap();
        assert_eq!(line, "up\n");
    }
    kill(
        Pid::from_raw(i32::try_from(hub.id()).unwrap()),
        Signal::SIGKILL,
    )
    .unwrap();
    // Each process of the containers holds the other end: this returns when all are gone.
    let mut rest = String::new();
    said.read_to_string(&mut rest).unwrap();
    hub.wait().unwrap();
    assert_eq!(rest, "");
    Ok(())
}
