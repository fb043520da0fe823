//! The front: what the user started and sees.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use outrigger_profile::{Finding, Findings, Severity};
use outrigger_shutdown::{Deadline, Shutdown, Tasks};
use tokio::process::{Child, Command};
use tokio::time::Instant;

use super::display::Display;
use super::setup::Setup;
use super::{HUB_PROCESS, Places, UpEnd, UpError, UpOptions, address, ports, state};
use crate::entry;
use crate::events::{Event, Timed};
use crate::forward::{bind_front, serve_front};
use crate::hub_api::PsAnswer;
use crate::hub_client::{ClientError, HubClient, Lines, RunningUp};
use crate::log_lines::LogLine;
use crate::manifest::{self, Manifests};
use crate::namespace::{self, Isolation};
use crate::program::{self, Programs};

/// How long the hub may take until it answers.
const HUB_START: Duration = Duration::from_secs(20);
/// What the hub itself writes.
const HUB_LOG: &str = "hub.log";
/// As much of its log as is shown when it failed.
const SAID_LINES: usize = 20;

pub(super) fn run(options: &UpOptions, places: &Places) -> Result<UpEnd, UpError> {
    let mut display = Display::new(options.json, options.color, options.terminal);
    let inputs = absolute(&options.inputs)?;
    let state = match &options.state {
        Some(state) => absolute(std::slice::from_ref(state))?.remove(0),
        None => state::folder(&places.state, &inputs),
    };
    let (manifests, programs, salt) = read(options, places, &inputs, &state, &display)?;
    let plain = isolation(options.plain)?;
    for note in notes(&manifests, plain) {
        display.say(&format!("not honoured: {note}"));
    }
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(UpError::Prepare)?;
    let end = runtime.block_on(Box::pin(async {
        for missing in &programs.missing {
            display.say(&format!(
                "installing {}: {}",
                missing.program, missing.command
            ));
            let mut last = Instant::now();
            program::install(missing, |line| {
                // A client tells hundreds of lines: the terminal shows the newest.
                display.progress.say(&missing.program, line);
                if last.elapsed() > Duration::from_secs(10) && !options.terminal {
                    last = Instant::now();
                    display.say(line);
                }
            })
            .await?;
            display.progress.end(&missing.program);
        }
        state::make(&state)?;
        // Only to see whether it is free: the hub takes it for good.
        drop(state::lock(&state, std::process::id())?);
        let setup = Setup {
            name: state::name(&inputs),
            inputs,
            state,
            salt,
            replicas: options.replicas,
            plain,
            pid: std::process::id(),
            path: search_path(&programs, places),
            programs: programs
                .by_image
                .into_iter()
                .map(|(image, program)| (image, program.entry_point))
                .collect(),
            outrigger: places.outrigger.clone(),
            sidecar_env: places.sidecar_env.clone(),
        };
        Box::pin(attend(options, places, &setup, display)).await
    }));
    // A task that is stuck cannot hold the exit.
    runtime.shutdown_background();
    end
}

fn absolute(paths: &[PathBuf]) -> Result<Vec<PathBuf>, UpError> {
    paths
        .iter()
        .map(|path| {
            // Through links, so that one folder has one state.
            std::fs::canonicalize(path)
                .or_else(|_| std::path::absolute(path))
                .map_err(|source| UpError::File {
                    doing: "find",
                    path: path.clone(),
                    source,
                })
        })
        .collect()
}

/// Everything that can be wrong before anything is started, at once.
fn read(
    options: &UpOptions,
    places: &Places,
    inputs: &[PathBuf],
    state: &Path,
    display: &Display,
) -> Result<(Manifests, Programs, u8), UpError> {
    let manifests = manifest::read(inputs);
    let (_, found) = manifest::check(&manifests);
    let (programs, missing) = program::resolve(&manifests, &places.cache, &places.path);
    let mut findings = manifests.findings.clone();
    findings.extend(found);
    findings.extend(missing);
    if !options.install {
        findings.extend(programs.missing.iter().map(|missing| {
            Finding::error(
                "",
                format!(
                    "the program `{}` for the image {} is missing",
                    missing.program, missing.image
                ),
            )
            .hint(format!("install it with `{}`", missing.command))
        }));
    }
    if options
        .replicas
        .is_some_and(|replicas| replicas > crate::controller::REPLICAS_MAX)
    {
        findings.push(Finding::error(
            "--replicas",
            format!(
                "one machine runs at most {} replicas",
                crate::controller::REPLICAS_MAX
            ),
        ));
    }
    // Whoever has the folder has its ports too, and is named later.
    let salt = if state::is_locked(state) {
        Ok(address::salt(state))
    } else {
        ports::free(&manifests, options.replicas, state, options.plain)
    };
    let salt = salt.unwrap_or_else(|in_use| {
        findings.extend(in_use);
        address::salt(state)
    });
    // Paths as the user wrote them are shorter than absolute ones.
    if let Ok(here) = std::env::current_dir() {
        for finding in &mut findings {
            if let Ok(short) = Path::new(&finding.file).strip_prefix(&here) {
                finding.file = short.display().to_string();
            }
        }
    }
    let findings = Findings(findings);
    if findings.has_errors() {
        return Err(UpError::Findings(findings));
    }
    for finding in findings
        .0
        .iter()
        .filter(|finding| finding.severity == Severity::Warning)
    {
        display.say(&finding.to_string());
    }
    Ok((manifests, programs, salt))
}

/// Whether it runs without namespaces.
fn isolation(plain: bool) -> Result<bool, UpError> {
    if plain {
        return Ok(true);
    }
    match namespace::probe() {
        Isolation::Namespaces => Ok(false),
        Isolation::Plain { reason } => Err(UpError::Refused { reason }),
    }
}

fn notes(manifests: &Manifests, plain: bool) -> Vec<String> {
    let mut notes = manifests.notes.clone();
    let services: Vec<_> = manifests
        .services
        .iter()
        .map(|service| &service.object)
        .collect();
    for set in &manifests.stateful_sets {
        for note in manifest::not_honoured(&set.object, &services, plain) {
            if !notes.contains(&note) {
                notes.push(note);
            }
        }
    }
    notes
}

/// `PATH` of the containers: the programs' own folders first.
fn search_path(programs: &Programs, places: &Places) -> String {
    let own: BTreeSet<&Path> = programs
        .by_image
        .values()
        .filter_map(|program| Path::new(program.entry_point.first()?).parent())
        .filter(|folder| folder.starts_with(&places.cache))
        .collect();
    let folders = own
        .into_iter()
        .chain(places.path.iter().map(PathBuf::as_path))
        .filter(|folder| folder.is_absolute());
    let folders: Vec<String> = folders.map(|folder| folder.display().to_string()).collect();
    folders.join(":")
}

/// Starts the hub and stays until it has ended.
async fn attend(
    options: &UpOptions,
    places: &Places,
    setup: &Setup,
    display: Display,
) -> Result<UpEnd, UpError> {
    // Before the hub, so that no Ctrl-C is lost.
    let mut signals = outrigger_shutdown::signals()
        .map_err(|error| UpError::Prepare(std::io::Error::other(error)))?;
    let shutdown = Shutdown::new();
    let tasks = Tasks::new(shutdown.clone());
    let mut hub = start_hub(setup, &tasks)?;
    let client = HubClient::at(&setup.state);
    let up = RunningUp {
        name: setup.name.clone(),
        state: setup.state.clone(),
        pid: setup.pid,
    };
    let _note = state::Note::write(&places.state, &up)?;
    let (events, logs) = tokio::select! {
        streams = reach(&client) => streams?,
        _ = hub.wait() => return Err(UpError::Hub { said: hub_said(&setup.state) }),
        _ = signals.next() => {
            kill(&mut hub).await;
            return Ok(UpEnd::Interrupted);
        }
    };
    let mut session = Session {
        options,
        setup,
        client,
        display,
        began: Instant::now(),
        ready: false,
        asked: None,
        exec: None,
        end: UpEnd::Done,
    };
    let end = Box::pin(session.run(&mut hub, events, logs, &mut signals)).await;
    shutdown.trigger("the hub has ended");
    let _left = tasks
        .finish(Deadline::after(Duration::from_millis(500)))
        .await;
    end
}

fn start_hub(setup: &Setup, tasks: &Tasks) -> Result<Child, UpError> {
    let file_error = |doing, path: &Path, source| UpError::File {
        doing,
        path: path.to_path_buf(),
        source,
    };
    let file = Setup::file(&setup.state);
    let text = serde_json::to_vec_pretty(setup).map_err(std::io::Error::other);
    let text = text.map_err(|error| file_error("write", &file, error))?;
    state::write_private(&file, &text)?;
    let listener = bind_front(&setup.state)?;
    let (folder, over) = (setup.state.clone(), tasks.shutdown().clone());
    tasks.spawn("forwarding", async move {
        tokio::select! {
            _ = serve_front(listener, folder) => {}
            () = over.triggered() => {}
        }
    });
    let log = setup.state.join(HUB_LOG);
    let opened = std::fs::File::create(&log).and_then(|file| Ok((file.try_clone()?, file)));
    let (out, err) = opened.map_err(|error| file_error("write", &log, error))?;
    let arguments = [HUB_PROCESS.into(), file.into_os_string()];
    Command::new(entry::OWN_PROGRAM)
        .arg0("outrigger")
        .args(entry::hub_arguments(setup.plain, &arguments))
        .stdin(Stdio::null())
        .stdout(out)
        .stderr(err)
        // Ctrl-C is the front's: it asks the hub to end in order.
        .process_group(0)
        .spawn()
        .map_err(UpError::Prepare)
}

/// Waits until the hub answers.
async fn reach(client: &HubClient) -> Result<(Lines<Timed>, Lines<LogLine>), ClientError> {
    let deadline = Deadline::after(HUB_START);
    loop {
        match client.events().await {
            Ok(events) => return Ok((events, client.logs(None, true).await?)),
            Err(error) if deadline.passed() => return Err(error),
            Err(_) => tokio::time::sleep(Duration::from_millis(20)).await,
        }
    }
}

/// The end of the hub's log.
fn hub_said(state: &Path) -> String {
    let text = std::fs::read(state.join(HUB_LOG)).unwrap_or_default();
    let text = String::from_utf8_lossy(&text).into_owned();
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(SAID_LINES)..].join("\n")
}

/// Ends the hub at once; everything that it started dies with it.
async fn kill(hub: &mut Child) {
    // One that has ended already is as good.
    let _ignored = hub.kill().await;
}

struct Session<'a> {
    options: &'a UpOptions,
    setup: &'a Setup,
    client: HubClient,
    display: Display,
    began: Instant,
    /// Whether all have been ready.
    ready: bool,
    /// Since when it should end.
    asked: Option<Instant>,
    exec: Option<Child>,
    end: UpEnd,
}

impl Session<'_> {
    async fn run(
        &mut self,
        hub: &mut Child,
        mut events: Lines<Timed>,
        mut logs: Lines<LogLine>,
        signals: &mut outrigger_shutdown::Signals,
    ) -> Result<UpEnd, UpError> {
        let (mut more_events, mut more_logs) = (true, true);
        let in_time = Deadline::after(self.options.timeout);
        let mut late = false;
        let mut tick = tokio::time::interval(Duration::from_millis(100));
        loop {
            tokio::select! {
                status = hub.wait() => {
                    // What it said last is still in the pipe.
                    let over = Deadline::after(Duration::from_millis(200));
                    while more_events && !over.passed() {
                        match tokio::time::timeout(over.remaining(), events.next()).await {
                            Ok(Ok(Some(event))) => self.display.event(&event, false),
                            _ => more_events = false,
                        }
                    }
                    return self.ended(status.is_ok_and(|status| status.success()));
                }
                event = events.next(), if more_events => match event {
                    Ok(Some(event)) => self.event(&event).await?,
                    _ => more_events = false,
                },
                line = logs.next(), if more_logs => match line {
                    Ok(Some(line)) => self.display.log(&line),
                    _ => more_logs = false,
                },
                signal = signals.next() => {
                    if signal.count > 1 || self.asked.is_some() {
                        self.display.say("killed");
                        kill(hub).await;
                        return Ok(UpEnd::Interrupted);
                    }
                    if !self.ready || self.exec.is_some() {
                        self.end = UpEnd::Interrupted;
                    }
                    let reason = format!("{signal}, in order; once more kills");
                    self.down(&reason).await;
                }
                () = in_time.wait(), if !self.ready && !late && self.asked.is_none() => {
                    late = true;
                    self.not_ready().await;
                }
                status = finished(&mut self.exec) => self.exec_ended(status).await,
                _ = tick.tick() => self.display.progress.tick(),
            }
        }
    }

    async fn event(&mut self, event: &Timed) -> Result<(), UpError> {
        let waiting = !self.ready && self.asked.is_none();
        self.display.event(event, waiting);
        if matches!(event.event, Event::AllReady { .. }) && waiting {
            self.ready = true;
            let answer = self.client.ps().await?;
            self.display.ready(&answer, self.began.elapsed());
            if let Some(command) = &self.options.exec {
                self.exec = Some(self.start_exec(command, &answer)?);
            }
        }
        Ok(())
    }

    async fn down(&mut self, reason: &str) {
        if self.asked.is_none() {
            self.asked = Some(Instant::now());
            self.display.progress.clear();
            // A hub that does not answer is ending already, or is killed by the next signal.
            let _ignored = self.client.down_because(reason).await;
        }
    }

    async fn not_ready(&mut self) {
        self.display.progress.clear();
        let state = match self.client.ps().await {
            Ok(answer) => super::display::table(&answer),
            Err(error) => error.to_string(),
        };
        let span = self.options.timeout;
        self.display.say(&format!(
            "not all replicas are ready within {span:?}\n{state}"
        ));
        if self.options.exec.is_some() {
            self.end = UpEnd::NotReady;
            self.down("not all replicas are ready in time").await;
        }
    }

    fn start_exec(&self, command: &str, answer: &PsAnswer) -> Result<Child, UpError> {
        Command::new("/bin/sh")
            .args(["-c", command])
            .envs(variables(answer))
            .env("OUTRIGGER_STATE", &self.setup.state)
            .kill_on_drop(true)
            .spawn()
            .map_err(|source| UpError::File {
                doing: "run",
                path: "/bin/sh".into(),
                source,
            })
    }

    async fn exec_ended(&mut self, status: std::io::Result<std::process::ExitStatus>) {
        self.exec = None;
        let code = status.map_or(255, entry::exit_code);
        if self.end != UpEnd::Interrupted {
            self.end = UpEnd::Exec(u8::try_from(code).unwrap_or(u8::MAX));
        }
        if self.options.keep {
            self.display.say(&format!(
                "the command ended with {code}; Ctrl-C stops everything"
            ));
        } else {
            self.down(&format!("the command ended with {code}")).await;
        }
    }

    fn ended(&mut self, well: bool) -> Result<UpEnd, UpError> {
        self.display.progress.clear();
        if well {
            return Ok(self.end);
        }
        let said = hub_said(&self.setup.state);
        if self.asked.is_none() {
            return Err(UpError::Hub { said });
        }
        self.display.say(&said);
        Ok(match self.end {
            UpEnd::Done => UpEnd::Failed,
            end => end,
        })
    }
}

/// Waits for the end of a command, for ever when there is none.
async fn finished(exec: &mut Option<Child>) -> std::io::Result<std::process::ExitStatus> {
    match exec {
        Some(child) => child.wait().await,
        None => std::future::pending().await,
    }
}

/// What `--exec` finds in its environment: `OUTRIGGER_ADDR_<POD>_<PORT>` for each port of the
/// workloads, and `OUTRIGGER_ADDRS_<PORT>` for all pods' ports of one name with commas.
fn variables(answer: &PsAnswer) -> BTreeMap<String, String> {
    let word = |text: &str| text.to_ascii_uppercase().replace(['-', '.'], "_");
    let mut variables = BTreeMap::new();
    for pod in answer.stateful_sets.iter().flat_map(|set| &set.pods) {
        for port in &pod.reachable {
            let name = port.name.clone().unwrap_or_else(|| port.port.to_string());
            let address = port.address.to_string();
            let all: &mut String = variables
                .entry(format!("OUTRIGGER_ADDRS_{}", word(&name)))
                .or_default();
            if !all.is_empty() {
                all.push(',');
            }
            all.push_str(&address);
            variables.insert(
                format!("OUTRIGGER_ADDR_{}_{}", word(&pod.name), word(&name)),
                address,
            );
        }
    }
    variables
}
