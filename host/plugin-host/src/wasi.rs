//! A small virtual WASI 0.2, so that components of ordinary toolchains load: clocks, random numbers,
//! stdout and stderr as log lines, and an empty world otherwise. No files, no sockets, no environment.
//!
//! There is no table of resources: a handle's number is all that there is to know of it.

mod link;
mod streams;

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::time::Instant;
use wasmtime::component::{HasSelf, Linker, Resource};

use crate::call_state::{CallState, HostFault};

pub(crate) use link::{is_served, stub_the_rest};

/// Host types of the resources.
#[expect(unreachable_pub, reason = "the generated bindings export them again")]
pub(crate) mod resources {
    /// There is none.
    #[derive(Debug)]
    pub enum IoError {}
    /// A point in time; see [`super::WasiState::pollable`].
    #[derive(Debug)]
    pub struct Pollable;
    /// Standard input.
    #[derive(Debug)]
    pub struct InputStream;
    /// Standard output or error.
    #[derive(Debug)]
    pub struct OutputStream;
    /// There is none.
    #[derive(Debug)]
    pub enum Descriptor {}
    /// There is none.
    #[derive(Debug)]
    pub enum Terminal {}
}

mod generated {
    wasmtime::component::bindgen!({
        path: "wit-wasi",
        world: "outrigger:wasi/served",
        imports: {
            "wasi:io/poll": async | trappable,
            default: trappable,
        },
        with: {
            "wasi:io/error.error": super::resources::IoError,
            "wasi:io/poll.pollable": super::resources::Pollable,
            "wasi:io/streams.input-stream": super::resources::InputStream,
            "wasi:io/streams.output-stream": super::resources::OutputStream,
            "wasi:filesystem/types.descriptor": super::resources::Descriptor,
            "wasi:cli/terminal-input.terminal-input": super::resources::Terminal,
            "wasi:cli/terminal-output.terminal-output": super::resources::Terminal,
        },
    });
}

use generated::wasi;
use resources::{Descriptor, InputStream, OutputStream, Pollable, Terminal};

/// Random bytes that a guest may have at once.
const RANDOM_BYTES_MAX: u64 = 64 << 10;

/// Adds what is served.
pub(crate) fn add_to_linker(linker: &mut Linker<CallState>) -> wasmtime::Result<()> {
    generated::Served::add_to_linker::<_, HasSelf<_>>(linker, |state| state)
}

/// A guest ended itself as if it were a program.
#[derive(Debug, thiserror::Error)]
#[error("it ended itself with {}", if *.success { "success" } else { "a failure" })]
pub(crate) struct GuestExit {
    success: bool,
}

/// The WASI of one call.
#[derive(Debug)]
pub(crate) struct WasiState {
    began: Instant,
    output: streams::Lines,
    error: streams::Lines,
}

impl Default for WasiState {
    fn default() -> Self {
        Self {
            began: Instant::now(),
            output: streams::Lines::default(),
            error: streams::Lines::default(),
        }
    }
}

impl WasiState {
    /// A handle that is ready at this time after the call's begin: its number is the time in whole
    /// milliseconds, rounded up.
    fn pollable(at: Duration) -> Resource<Pollable> {
        let millis = at.as_nanos().div_ceil(1_000_000);
        Resource::new_own(u32::try_from(millis).unwrap_or(u32::MAX))
    }

    fn ready_at(&self, pollable: &Resource<Pollable>) -> Instant {
        self.began + Duration::from_millis(pollable.rep().into())
    }
}

impl wasi::io::error::Host for CallState {}

impl wasi::io::error::HostError for CallState {
    fn to_debug_string(
        &mut self,
        _error: Resource<resources::IoError>,
    ) -> wasmtime::Result<String> {
        Err(HostFault("no such handle was given out".to_owned()).into())
    }

    fn drop(&mut self, _error: Resource<resources::IoError>) -> wasmtime::Result<()> {
        Ok(())
    }
}

impl wasi::io::poll::Host for CallState {
    async fn poll(&mut self, handles: Vec<Resource<Pollable>>) -> wasmtime::Result<Vec<u32>> {
        let times: Vec<Instant> = handles
            .iter()
            .map(|handle| self.wasi.ready_at(handle))
            .collect();
        let Some(first) = times.iter().min() else {
            return Err(wasmtime::Error::msg(
                "poll of no handles would wait for ever",
            ));
        };
        tokio::time::sleep_until(*first).await;
        let now = Instant::now();
        let ready = times.iter().zip(0_u32..).filter(|(time, _)| **time <= now);
        Ok(ready.map(|(_, index)| index).collect())
    }
}

impl wasi::io::poll::HostPollable for CallState {
    async fn ready(&mut self, handle: Resource<Pollable>) -> wasmtime::Result<bool> {
        Ok(self.wasi.ready_at(&handle) <= Instant::now())
    }

    async fn block(&mut self, handle: Resource<Pollable>) -> wasmtime::Result<()> {
        tokio::time::sleep_until(self.wasi.ready_at(&handle)).await;
        Ok(())
    }

    async fn drop(&mut self, _handle: Resource<Pollable>) -> wasmtime::Result<()> {
        Ok(())
    }
}

impl wasi::clocks::monotonic_clock::Host for CallState {
    fn now(&mut self) -> wasmtime::Result<u64> {
        Ok(nanos(self.wasi.began.elapsed()))
    }

    fn resolution(&mut self) -> wasmtime::Result<u64> {
        Ok(1)
    }

    fn subscribe_instant(&mut self, when: u64) -> wasmtime::Result<Resource<Pollable>> {
        Ok(WasiState::pollable(Duration::from_nanos(when)))
    }

    fn subscribe_duration(&mut self, when: u64) -> wasmtime::Result<Resource<Pollable>> {
        let at = self
            .wasi
            .began
            .elapsed()
            .saturating_add(Duration::from_nanos(when));
        Ok(WasiState::pollable(at))
    }
}

fn nanos(span: Duration) -> u64 {
    u64::try_from(span.as_nanos()).unwrap_or(u64::MAX)
}

impl wasi::clocks::wall_clock::Host for CallState {
    fn now(&mut self) -> wasmtime::Result<wasi::clocks::wall_clock::Datetime> {
        let since = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        Ok(wasi::clocks::wall_clock::Datetime {
            seconds: since.as_secs(),
            nanoseconds: since.subsec_nanos(),
        })
    }

    fn resolution(&mut self) -> wasmtime::Result<wasi::clocks::wall_clock::Datetime> {
        Ok(wasi::clocks::wall_clock::Datetime {
            seconds: 0,
            nanoseconds: 1,
        })
    }
}

fn random_bytes(len: u64) -> wasmtime::Result<Vec<u8>> {
    if len > RANDOM_BYTES_MAX {
        return Err(wasmtime::Error::msg(format!(
            "{len} random bytes at once, the most is {RANDOM_BYTES_MAX}"
        )));
    }
    let mut bytes = vec![0; usize::try_from(len)?];
    getrandom::fill(&mut bytes).map_err(|error| HostFault(error.to_string()))?;
    Ok(bytes)
}

fn random_u64() -> wasmtime::Result<u64> {
    let mut bytes = [0; 8];
    getrandom::fill(&mut bytes).map_err(|error| HostFault(error.to_string()))?;
    Ok(u64::from_le_bytes(bytes))
}

impl wasi::random::random::Host for CallState {
    fn get_random_bytes(&mut self, len: u64) -> wasmtime::Result<Vec<u8>> {
        random_bytes(len)
    }

    fn get_random_u64(&mut self) -> wasmtime::Result<u64> {
        random_u64()
    }
}

impl wasi::random::insecure::Host for CallState {
    fn get_insecure_random_bytes(&mut self, len: u64) -> wasmtime::Result<Vec<u8>> {
        random_bytes(len)
    }

    fn get_insecure_random_u64(&mut self) -> wasmtime::Result<u64> {
        random_u64()
    }
}

impl wasi::random::insecure_seed::Host for CallState {
    fn insecure_seed(&mut self) -> wasmtime::Result<(u64, u64)> {
        Ok((random_u64()?, random_u64()?))
    }
}

impl wasi::cli::environment::Host for CallState {
    fn get_environment(&mut self) -> wasmtime::Result<Vec<(String, String)>> {
        Ok(Vec::new())
    }

    fn get_arguments(&mut self) -> wasmtime::Result<Vec<String>> {
        Ok(Vec::new())
    }

    fn initial_cwd(&mut self) -> wasmtime::Result<Option<String>> {
        Ok(None)
    }
}

impl wasi::cli::exit::Host for CallState {
    fn exit(&mut self, status: Result<(), ()>) -> wasmtime::Result<()> {
        Err(GuestExit {
            success: status.is_ok(),
        }
        .into())
    }
}

impl wasi::cli::stdin::Host for CallState {
    fn get_stdin(&mut self) -> wasmtime::Result<Resource<InputStream>> {
        Ok(Resource::new_own(0))
    }
}

impl wasi::cli::stdout::Host for CallState {
    fn get_stdout(&mut self) -> wasmtime::Result<Resource<OutputStream>> {
        Ok(Resource::new_own(streams::STDOUT))
    }
}

impl wasi::cli::stderr::Host for CallState {
    fn get_stderr(&mut self) -> wasmtime::Result<Resource<OutputStream>> {
        Ok(Resource::new_own(streams::STDERR))
    }
}

impl wasi::cli::terminal_input::Host for CallState {}

impl wasi::cli::terminal_input::HostTerminalInput for CallState {
    fn drop(&mut self, _handle: Resource<Terminal>) -> wasmtime::Result<()> {
        Ok(())
    }
}

impl wasi::cli::terminal_output::Host for CallState {}

impl wasi::cli::terminal_output::HostTerminalOutput for CallState {
    fn drop(&mut self, _handle: Resource<Terminal>) -> wasmtime::Result<()> {
        Ok(())
    }
}

impl wasi::cli::terminal_stdin::Host for CallState {
    fn get_terminal_stdin(&mut self) -> wasmtime::Result<Option<Resource<Terminal>>> {
        Ok(None)
    }
}

impl wasi::cli::terminal_stdout::Host for CallState {
    fn get_terminal_stdout(&mut self) -> wasmtime::Result<Option<Resource<Terminal>>> {
        Ok(None)
    }
}

impl wasi::cli::terminal_stderr::Host for CallState {
    fn get_terminal_stderr(&mut self) -> wasmtime::Result<Option<Resource<Terminal>>> {
        Ok(None)
    }
}

impl wasi::filesystem::types::Host for CallState {}

impl wasi::filesystem::types::HostDescriptor for CallState {
    fn drop(&mut self, _handle: Resource<Descriptor>) -> wasmtime::Result<()> {
        Ok(())
    }
}

impl wasi::filesystem::preopens::Host for CallState {
    fn get_directories(&mut self) -> wasmtime::Result<Vec<(Resource<Descriptor>, String)>> {
        Ok(Vec::new())
    }
}
