//! What the hubs of the tests do, inside their namespaces.

use std::fs;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::Path;
use std::process::{ExitCode, Stdio};
use std::sync::Arc;

use nix::sys::signal::Signal;
use outrigger_local::dns::{Endpoint, Port, Protocol, Server, Service, Zone};
use outrigger_local::entry::{Mount, RunAs, Sandbox, command, exit_code, signal};
use outrigger_local::forward::{Bound, Wanted, hub};
use outrigger_local::namespace::{Isolation, probe};
use outrigger_local::network::{Network, Subnet};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::Child;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::support::{DEADLINE, container, own_program, run as run_container, workload};
use crate::workload::get;

pub(crate) fn run(scenario: &str, rest: &[&str]) -> ExitCode {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let play = async {
        match (scenario, rest) {
            ("network", []) => network().await,
            ("replaced", []) => replaced().await,
            ("names", []) => names().await,
            ("files", [folder]) => files(Path::new(folder)).await,
            ("private-tmp", []) => private_tmp().await,
            ("first-process", []) => first_process().await,
            ("exit-codes", []) => exit_codes().await,
            ("run-as", []) => run_as().await,
            ("killed", []) => killed().await,
            ("no-namespaces", []) => no_namespaces(),
            ("plain", []) => plain().await,
            ("plain-killed", []) => plain_killed().await,
            ("forward", [folder, port]) => {
                return forward(Path::new(folder), port.parse().unwrap()).await;
            }
            _ => panic!("no such scenario: {scenario} {rest:?}"),
        }
        ExitCode::SUCCESS
    };
    runtime.block_on(async {
        tokio::time::timeout(DEADLINE, Box::pin(play))
            .await
            .expect("the scenario ends before its deadline")
    })
}

fn ip(ordinal: u32) -> Ipv4Addr {
    Subnet::default().address(10 + ordinal).unwrap()
}

async fn pods(count: u32) -> (Network, Vec<Sandbox>) {
    let network = Network::create(Subnet::default()).await.unwrap();
    let mut sandboxes = Vec::new();
    for ordinal in 0..count {
        let name = format!("agdb-{ordinal}");
        let sandbox = Sandbox::start(&name).await.unwrap();
        network
            .attach(sandbox.pid(), ip(ordinal), &name)
            .await
            .unwrap();
        sandboxes.push(sandbox);
    }
    (network, sandboxes)
}

/// Starts a workload and waits until it says that it listens.
async fn start(sandbox: &Sandbox, role: &[&str]) -> Child {
    let mut child = command(&workload(sandbox.pid(), role))
        .unwrap()
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    assert_eq!(first_line(&mut child).await, "listening");
    child
}

async fn first_line(child: &mut Child) -> String {
    let mut line = String::new();
    BufReader::new(child.stdout.as_mut().unwrap())
        .read_line(&mut line)
        .await
        .unwrap();
    line.trim_end().to_owned()
}

async fn network() {
    let (_network, pods) = pods(2).await;
    let mut servers = Vec::new();
    for (ordinal, pod) in pods.iter().enumerate() {
        let role = ["serve", "0.0.0.0:3000", &format!("I am {ordinal}")];
        servers.push(start(pod, &role).await);
    }
    for from in &pods {
        for to in 0..2 {
            let got =
                run_container(&workload(from.pid(), &["get", &format!("{}:3000", ip(to))])).await;
            assert_eq!(got, (0, format!("I am {to}")));
        }
        let own = run_container(&workload(from.pid(), &["get", "127.0.0.1:3000"])).await;
        assert_eq!(own.0, 0, "the loopback of a pod: {}", own.1);
        // TEST-NET-1 of RFC 5737: nobody's.
        let (code, said) = run_container(&workload(from.pid(), &["get", "192.0.2.1:80"])).await;
        assert_eq!(code, 1);
        assert!(
            said.contains("nreachable"),
            "calls outside fail at once: {said}"
        );
    }
    assert_eq!(
        get(&format!("{}:3000", ip(1))).unwrap(),
        "I am 1",
        "the hub"
    );
}

async fn replaced() {
    let (network, mut pods) = pods(2).await;
    let _client = start(&pods[1], &["serve", "0.0.0.0:3000", "first"]).await;
    let address = format!("{}:3000", ip(1));
    let reach = run_container(&workload(pods[0].pid(), &["get", &address])).await;
    assert_eq!(reach, (0, "first".to_owned()));

    // The pod goes and comes back with its address, once with and once without being detached.
    for (round, detach) in [("second", true), ("third", false)] {
        if detach {
            network.detach("agdb-1").await.unwrap();
            network.detach("agdb-1").await.unwrap();
        }
        pods.pop().unwrap().stop().await;
        let again = Sandbox::start("agdb-1").await.unwrap();
        network.attach(again.pid(), ip(1), "agdb-1").await.unwrap();
        let _server = start(&again, &["serve", "0.0.0.0:3000", round]).await;
        let reach = run_container(&workload(pods[0].pid(), &["get", &address])).await;
        assert_eq!(reach, (0, round.to_owned()));
        pods.push(again);
    }
}

fn zone(second_ready: bool) -> Arc<Zone> {
    let endpoint = |ordinal: u32, ready| Endpoint {
        hostname: Some(format!("agdb-{ordinal}")),
        address: IpAddr::V4(ip(ordinal)),
        ready,
    };
    Arc::new(Zone::new(
        "cluster.local",
        &[Service {
            name: "agdb".into(),
            namespace: "default".into(),
            publish_not_ready_addresses: false,
            ports: vec![Port {
                name: Some("http".into()),
                protocol: Protocol::Tcp,
                port: 3000,
            }],
            endpoints: vec![endpoint(0, true), endpoint(1, second_ready)],
        }],
    ))
}

async fn names() {
    let (network, pods) = pods(2).await;
    let gateway = SocketAddr::from((network.subnet().gateway, 53));
    let server = Server::bind(gateway).await.unwrap();
    let (newest, zones) = watch::channel(zone(false));
    let mut tasks = JoinSet::new();
    tasks.spawn(server.serve(zones, CancellationToken::new()));

    let resolve = async |name: &str| {
        let mut spec = workload(pods[0].pid(), &["resolve", name]);
        spec.etc.resolv_conf = format!(
            "nameserver {}\nsearch {}\noptions ndots:5\n",
            network.subnet().gateway,
            Zone::search_list("cluster.local", "default").join(" ")
        );
        run_container(&spec).await
    };
    assert_eq!(resolve("agdb-0.agdb").await, (0, "10.77.0.10".to_owned()));
    assert_eq!(resolve("agdb").await, (0, "10.77.0.10".to_owned()));
    assert_eq!(
        resolve("agdb-0.agdb.default.svc.cluster.local.").await.1,
        "10.77.0.10"
    );
    assert_eq!(resolve("agdb-1.agdb").await.0, 1, "not ready");
    assert_eq!(resolve("example.com").await.0, 1, "outside");

    newest.send_replace(zone(true));
    assert_eq!(resolve("agdb-1.agdb").await, (0, "10.77.0.11".to_owned()));
    assert_eq!(resolve("agdb").await.1, "10.77.0.10 10.77.0.11");
    let hosts = run_container(&container(pods[0].pid(), &["getent", "hosts", "localhost"])).await;
    assert_eq!(hosts.0, 0, "{}", hosts.1);
}

async fn files(folder: &Path) {
    let sandbox = Sandbox::start("agdb-0").await.unwrap();
    let make = |name: &str| {
        let path = folder.join(name);
        fs::create_dir(&path).unwrap();
        path
    };
    let (rendered, volume, secret) = (make("rendered"), make("volume"), make("secret"));
    fs::write(rendered.join("agdb_server.yaml"), "bind: :::3000\n").unwrap();
    fs::write(secret.join("password"), "s3cret").unwrap();
    let mount = |source: &Path, target: &str, read_only| Mount {
        source: source.to_path_buf(),
        target: target.into(),
        read_only,
    };
    let mut spec = container(sandbox.pid(), &["sh", "-c", "
        set -e
        cat /agdb/agdb_server.yaml
        echo written > /agdb/data/file
        cat /etc/outrigger/secrets/db/password; echo
        cat /etc/hostname /usr/share/agdb/new/agdb_server.yaml
        hostname
        test -e /etc/passwd
        if echo no > /etc/outrigger/secrets/db/other; then echo 'written to read-only'; fi 2>/dev/null
        pwd
    "]);
    // Deeper before shallower, to see that the order does not matter.
    spec.mounts = vec![
        mount(&volume, "/agdb/data", false),
        mount(&rendered, "/agdb", false),
        mount(&secret, "/etc/outrigger/secrets/db", true),
        mount(&rendered, "/usr/share/agdb/new", true),
    ];
    spec.etc.hostname = "agdb-0\n".into();
    spec.cwd = Some("/agdb/data".into());
    let (code, said) = run_container(&spec).await;
    assert_eq!(
        (code, said.as_str()),
        (
            0,
            "bind: :::3000\ns3cret\nagdb-0\nbind: :::3000\nagdb-0\n/agdb/data"
        )
    );
    assert_eq!(
        fs::read_to_string(volume.join("file")).unwrap(),
        "written\n"
    );
    assert!(!secret.join("other").exists());
    // Nor does the hub itself see any of it.
    assert!(!Path::new("/agdb").exists());
    assert!(!Path::new("/usr/share/agdb").exists());
}

async fn private_tmp() {
    let sandbox = Sandbox::start("agdb-0").await.unwrap();
    let (code, said) = run_container(&container(
        sandbox.pid(),
        &[
            "sh",
            "-c",
            "ls -A /tmp; echo x > /tmp/mine; stat -c %a /tmp",
        ],
    ))
    .await;
    assert_eq!((code, said.as_str()), (0, "1777"), "its own, and empty");
    assert!(!Path::new("/tmp/mine").exists());
}

async fn first_process() {
    let sandbox = Sandbox::start("agdb-0").await.unwrap();
    let shell = async |script: &str| {
        let mut child = command(&container(sandbox.pid(), &["sh", "-c", script]))
            .unwrap()
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let line = first_line(&mut child).await;
        (child, line)
    };
    let (mut child, line) = shell("echo $$ /proc/[0-9]*").await;
    assert_eq!(line, "1 /proc/1", "it is process 1 and sees no other");
    assert_eq!(exit_code(child.wait().await.unwrap()), 0);

    let until = async |name: &str| start(&sandbox, &["until", name]).await;
    let mut child = until("TERM").await;
    signal(&child, Signal::SIGTERM).unwrap();
    assert_eq!(
        exit_code(child.wait().await.unwrap()),
        15,
        "its own handler"
    );

    let mut child = until("INT").await;
    signal(&child, Signal::SIGTERM).unwrap();
    signal(&child, Signal::SIGHUP).unwrap();
    signal(&child, Signal::SIGINT).unwrap();
    assert_eq!(
        exit_code(child.wait().await.unwrap()),
        2,
        "TERM and HUP without a handler do nothing to process 1"
    );

    let (_, line) = shell("grep SigBlk: /proc/self/status").await;
    assert_eq!(line, "SigBlk:\t0000000000000000");
    let (_, line) = shell("grep SigIgn: /proc/self/status").await;
    let ignored = u64::from_str_radix(line.rsplit('\t').next().unwrap(), 16).unwrap();
    let pipe = 1 << (Signal::SIGPIPE as u32 - 1);
    assert_eq!(ignored & pipe, 0, "SIGPIPE is not ignored");

    let (mut child, _) = shell("echo up; sleep 1000").await;
    signal(&child, Signal::SIGKILL).unwrap();
    assert_eq!(exit_code(child.wait().await.unwrap()), 137);
    assert!(signal(&child, Signal::SIGTERM).is_err());
}

async fn exit_codes() {
    let sandbox = Sandbox::start("agdb-0").await.unwrap();
    for pid_namespace in [true, false] {
        let end = async |argv: &[&str]| {
            let mut spec = container(sandbox.pid(), argv);
            spec.pid_namespace = pid_namespace;
            run_container(&spec).await
        };
        assert_eq!(end(&["true"]).await.0, 0);
        assert_eq!(end(&["sh", "-c", "exit 3"]).await.0, 3);
        let killed = if pid_namespace {
            "kill -9 $$; exit 1"
        } else {
            "kill -9 $$"
        };
        assert_eq!(
            end(&["sh", "-c", killed]).await.0,
            if pid_namespace { 1 } else { 137 },
            "process 1 cannot kill itself"
        );
        let (code, said) = end(&["no-such-program"]).await;
        assert_eq!(code, 127);
        assert!(said.contains("cannot start `no-such-program`"), "{said}");
        let (code, said) = end(&["/etc/passwd"]).await;
        assert_eq!(code, 126, "{said}");
        let mut spec = container(sandbox.pid(), &["true"]);
        spec.mounts = vec![Mount {
            source: "/no/such/source".into(),
            target: "/data".into(),
            read_only: false,
        }];
        let (code, said) = run_container(&spec).await;
        assert_eq!(code, 125);
        assert!(said.contains("/no/such/source"), "{said}");
    }
}

async fn run_as() {
    let sandbox = Sandbox::start("agdb-0").await.unwrap();
    let mut spec = container(sandbox.pid(), &["sh", "-c", "id -u; id -g"]);
    assert_eq!(run_container(&spec).await.1, "0\n0");
    spec.run_as = RunAs {
        user: 1000,
        group: 2000,
    };
    assert_eq!(run_container(&spec).await.1, "1000\n2000");
    // It is nobody's superuser: the pod's network is not its own to change.
    let low = start_low_port(&sandbox).await;
    assert_eq!(low, "listening", "it may listen on port 80");
    let mut spec = container(sandbox.pid(), &["mount", "-t", "tmpfs", "none", "/mnt"]);
    spec.run_as.user = 1000;
    assert_ne!(run_container(&spec).await.0, 0);
}

async fn start_low_port(sandbox: &Sandbox) -> String {
    let mut spec = workload(sandbox.pid(), &["serve", "0.0.0.0:80", "x"]);
    spec.run_as.user = 1000;
    let mut child = command(&spec)
        .unwrap()
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    first_line(&mut child).await
}

/// Starts containers whose stdout is this hub's, then waits for ever.
async fn killed() {
    let (_network, pods) = pods(1).await;
    let mut with = container(
        pods[0].pid(),
        &["sh", "-c", "echo up; sleep 1000 & sleep 1000"],
    );
    let mut without = with.clone();
    with.pid_namespace = true;
    without.pid_namespace = false;
    without.argv[2] = "echo up; exec sleep 1000".into();
    let _first = command(&with)
        .unwrap()
        .stdin(Stdio::null())
        .spawn()
        .unwrap();
    let _second = command(&without)
        .unwrap()
        .stdin(Stdio::null())
        .spawn()
        .unwrap();
    std::future::pending::<()>().await;
}

/// Without namespaces: processes of this machine.
async fn plain() {
    let mut spec = container(0, &["sh", "-c", "echo $WHO; pwd; exit 5"]);
    spec.sandbox = None;
    spec.env.push(("WHO".into(), "me".into()));
    spec.cwd = Some("/usr".into());
    assert_eq!(run_container(&spec).await, (5, "me\n/usr".to_owned()));

    spec.argv[2] = "echo up; exec sleep 1000".into();
    let mut child = command(&spec)
        .unwrap()
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    assert_eq!(first_line(&mut child).await, "up");
    signal(&child, Signal::SIGTERM).unwrap();
    assert_eq!(exit_code(child.wait().await.unwrap()), 143);
}

async fn plain_killed() {
    let mut spec = container(0, &["sh", "-c", "echo up; exec sleep 1000"]);
    spec.sandbox = None;
    let _child = command(&spec)
        .unwrap()
        .stdin(Stdio::null())
        .spawn()
        .unwrap();
    std::future::pending::<()>().await;
}

fn no_namespaces() {
    assert_eq!(
        probe(),
        Isolation::Namespaces,
        "namespaces inside namespaces"
    );
    fs::write("/proc/sys/user/max_user_namespaces", "0").unwrap();
    let Isolation::Plain { reason } = probe() else {
        panic!("namespaces were had although none are allowed");
    };
    assert!(
        reason.contains("sudo sysctl -w user.max_user_namespaces="),
        "{reason}"
    );
}

/// Asks the front for listeners, says where they are, and goes on until SIGTERM; ends with 42.
async fn forward(folder: &Path, taken: u16) -> ExitCode {
    let mut terminate =
        tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate()).unwrap();
    let (_network, pods) = pods(2).await;
    let _text = start(&pods[0], &["serve", "0.0.0.0:3000", "I am 0"]).await;
    let _echo = start(&pods[1], &["echo", "0.0.0.0:3000"]).await;
    let mut tasks = JoinSet::new();
    let listener = hub::bind(folder).unwrap();
    tasks.spawn(hub::serve(listener, CancellationToken::new()));
    let control = hub::Control::connect(folder).await.unwrap();
    // Ports that the kernel picks: tests run at once.
    let any = |ordinal: u8| SocketAddr::from(([127, 77, 0, 10 + ordinal], 0));
    let to = |ordinal: u32, port: u16| SocketAddr::from((ip(ordinal), port));
    let wish = async |listen, to| control.listen(Wanted { listen, to }).await.unwrap();

    let text = wish(any(0), to(0, 3000)).await;
    let echo = wish(any(1), to(1, 3000)).await;
    let nobody = wish(any(2), to(0, 9)).await;
    let elsewhere = wish(SocketAddr::from(([127, 0, 0, 1], taken)), to(0, 3000)).await;
    assert!(
        matches!(&elsewhere, Bound::Elsewhere { at, reason }
            if at.ip().is_loopback() && reason.contains(&taken.to_string())),
        "{elsewhere:?}"
    );
    let far = wish(SocketAddr::from(([0, 0, 0, 0], 0)), to(0, 3000)).await;
    assert!(matches!(far, Bound::Failed { .. }), "{far:?}");
    let gone = wish(any(3), to(0, 3000)).await;
    control.close(any(3)).await.unwrap();
    let moved = wish(any(4), to(0, 9)).await;
    assert_eq!(wish(any(4), to(0, 3000)).await, moved, "the same listener");

    for bound in [&text, &echo, &nobody, &elsewhere, &gone, &moved] {
        println!("{}", bound.address().unwrap());
    }
    println!("{}", own_program().display());
    terminate.recv().await;
    println!("terminated");
    ExitCode::from(42)
}
