//! Connections of this machine through the front into pods, and what the hub does without the front.

use std::io::{BufRead as _, BufReader, Read as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, ChildStdout, ExitCode, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use outrigger_local::entry;
use outrigger_local::forward::{bind_front, serve_front};

use crate::support::{Test, User, eventually};
use crate::workload::{ask, get};

pub(crate) const TESTS: &[Test] = &[
    ("this_machine_reaches_pods_through_the_front", reach),
    ("the_hub_ends_when_the_front_is_killed", front_killed),
];

/// What the process `front FOLDER HUB-ARGUMENTS…` of these tests does: as `up` does it, it starts the hub,
/// listens for it, and ends with it.
pub(crate) fn run_front(folder: &str, hub: &[&str]) -> ExitCode {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let listener = bind_front(Path::new(folder)).unwrap();
        let mut hub = tokio::process::Command::new(std::env::current_exe().unwrap())
            .args([
                entry::HUB,
                "--parent",
                &std::process::id().to_string(),
                "--",
            ])
            .args(hub)
            .process_group(0)
            .spawn()
            .unwrap();
        let status = tokio::select! {
            status = hub.wait() => status.unwrap(),
            ended = serve_front(listener, folder.into()) => panic!("{ended:?}"),
        };
        ExitCode::from(u8::try_from(status.code().unwrap()).unwrap())
    })
}

fn start(user: User, folder: &Path, taken: u16) -> (Child, BufReader<ChildStdout>) {
    let path = folder.to_str().unwrap();
    let mut child = user
        .command()
        .args(["front", path, "hub", "forward", path, &taken.to_string()])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let said = BufReader::new(child.stdout.take().unwrap());
    (child, said)
}

fn line(said: &mut BufReader<ChildStdout>) -> String {
    let mut line = String::new();
    said.read_line(&mut line).unwrap();
    line.trim_end().to_owned()
}

fn signal(child: &Child, signal: Signal) {
    kill(Pid::from_raw(i32::try_from(child.id()).unwrap()), signal).unwrap();
}

fn reach(user: User) -> Result<(), String> {
    let folder = user.folder();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let (mut front, mut said) = start(user, folder.path(), taken.local_addr().unwrap().port());
    let lines: Vec<String> = (0..6).map(|_| line(&mut said)).collect();
    let addresses: Result<Vec<SocketAddr>, _> = lines.iter().map(|line| line.parse()).collect();
    let Ok(addresses) = addresses else {
        return Err(format!("{lines:?} {:?}", front.wait()));
    };
    let [text, echo, nobody, elsewhere, gone, moved] = addresses[..] else {
        return Err(format!("{addresses:?}"));
    };
    assert_eq!(text.ip().to_string(), "127.77.0.10");
    for address in [text, elsewhere, moved] {
        assert_eq!(get(&address.to_string()).unwrap(), "I am 0");
    }

    // More than any buffer on the way; the answer comes after the end of the question.
    let question: Vec<u8> = (0..3_000_000_u32).map(|n| n.to_le_bytes()[0]).collect();
    assert_eq!(ask(echo, &question).unwrap(), question);

    // A port on which nobody listens: accepted here, then ended.
    let mut refused = TcpStream::connect(nobody).unwrap();
    let ended = refused.read(&mut [0; 8]);
    assert!(matches!(ended, Ok(0) | Err(_)), "{ended:?}");
    assert!(TcpStream::connect(gone).is_err(), "a closed listener");

    signal(&front, Signal::SIGKILL);
    front.wait().unwrap();
    eventually("the listener is gone", || match TcpStream::connect(text) {
        Ok(_) => Err("connected"),
        Err(_) => Ok(()),
    });
    Ok(())
}

fn front_killed(user: User) -> Result<(), String> {
    let folder = user.folder();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let (mut front, mut said) = start(user, folder.path(), taken.local_addr().unwrap().port());
    for _ in 0..7 {
        line(&mut said);
    }
    signal(&front, Signal::SIGKILL);
    front.wait().unwrap();
    // The hub got SIGTERM, not SIGKILL: it still says so. Then everything ends.
    let mut rest = String::new();
    said.read_to_string(&mut rest).unwrap();
    assert_eq!(rest, "terminated\n");
    Ok(())
}
