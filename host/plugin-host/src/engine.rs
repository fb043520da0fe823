//! The engine: one configuration for compiling and for running, and the clock that interrupts guests.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::{self, Thread};

use sha2::{Digest as _, Sha256};
use wasmtime::{Config, Engine, ModuleVersionStrategy, OptLevel};

use crate::error::HostError;
use crate::limits::EPOCH_TICK;

/// Counts changes of [`engine_config`]: compiled code carries it and is refused by another.
const CONFIG_NUMBER: u32 = 1;

/// The engine's version. A test holds it against Cargo.lock.
const ENGINE_VERSION: &str = "48.0.8";

/// The address space that each linear memory gets at once, in bytes. Larger memories move when they
/// grow. It is baked into compiled code.
const MEMORY_RESERVATION_BYTES: u64 = 64 << 20;

/// What compiled code is bound to: the engine's version, in full, and this configuration.
///
/// The engine's own check compares the major version only, and fixes of miscompilations come in
/// patch releases.
pub(crate) fn engine_tag() -> String {
    format!("{ENGINE_VERSION}+outrigger{CONFIG_NUMBER}")
}

/// The engine's configuration, the same for the compile child, the build script and the host.
///
/// The target is named, so that no feature of the CPU at hand is baked in: code compiled when the
/// program was built runs on every CPU of the architecture.
pub(crate) fn engine_config() -> Result<Config, wasmtime::Error> {
    let environment = if cfg!(target_env = "musl") {
        "musl"
    } else {
        "gnu"
    };
    let mut config = Config::new();
    config.target(&format!(
        "{}-unknown-linux-{environment}",
        std::env::consts::ARCH
    ))?;
    config.module_version(ModuleVersionStrategy::Custom(engine_tag()))?;
    config.epoch_interruption(true);
    config.memory_reservation(MEMORY_RESERVATION_BYTES);
    config.memory_reservation_for_growth(0);
    config.memory_guard_size(64 << 10);
    config.max_wasm_stack(512 << 10);
    config.async_stack_size(2 << 20);
    config.wasm_relaxed_simd(false);
    // Smaller compiled code. Nothing here walks guests' stacks.
    config.cranelift_opt_level(OptLevel::SpeedAndSize);
    config.generate_address_map(false);
    config.native_unwind_info(false);
    Ok(config)
}

/// An engine with [`engine_config`].
pub(crate) fn engine() -> Result<Engine, wasmtime::Error> {
    Engine::new(&engine_config()?)
}

/// The part of cached code's name that stands for engine, configuration and architecture.
pub(crate) fn engine_fingerprint() -> String {
    let text = format!("{} {}", engine_tag(), std::env::consts::ARCH);
    hex(&Sha256::digest(text.as_bytes()))
        .chars()
        .take(16)
        .collect()
}

/// Lower-case hexadecimal.
pub(crate) fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").expect("writing to a string cannot fail");
        text
    })
}

/// Advances the engine's epoch while calls are in flight. Its thread is parked otherwise: an idle
/// host wakes nobody.
///
/// It is a thread of the operating system, for a guest that does not give way also holds up the
/// runtime that polls it.
#[derive(Debug)]
pub(crate) struct Ticker {
    shared: Arc<Shared>,
    thread: Thread,
}

#[derive(Debug, Default)]
struct Shared {
    in_flight: AtomicUsize,
    /// Whether the thread is parked or about to be: only then must it be woken.
    parked: AtomicBool,
    stop: AtomicBool,
}

/// The epoch advances while this lives.
#[derive(Debug)]
pub(crate) struct Ticking(Arc<Shared>);

impl Ticker {
    pub(crate) fn start(engine: &Engine) -> Result<Self, HostError> {
        const NAME: &str = "plugin-epoch";
        let shared = Arc::new(Shared::default());
        let engine = engine.clone();
        let theirs = Arc::clone(&shared);
        let handle = thread::Builder::new()
            .name(NAME.to_owned())
            .stack_size(64 << 10)
            .spawn(move || {
                while !theirs.stop.load(Ordering::SeqCst) {
                    theirs.parked.store(true, Ordering::SeqCst);
                    // A call that began before the line above is seen here, a later one unparks.
                    if theirs.in_flight.load(Ordering::SeqCst) == 0 {
                        thread::park();
                    }
                    theirs.parked.store(false, Ordering::SeqCst);
                    // Also where the call is over already: calls in quick succession wake nobody.
                    thread::sleep(EPOCH_TICK);
                    engine.increment_epoch();
                }
            })
            .map_err(|source| HostError::Thread { name: NAME, source })?;
        Ok(Self {
            shared,
            thread: handle.thread().clone(),
        })
    }

    /// A call begins; it ends when the answer is dropped.
    pub(crate) fn enter(&self) -> Ticking {
        self.shared.in_flight.fetch_add(1, Ordering::SeqCst);
        if self.shared.parked.load(Ordering::SeqCst) {
            self.thread.unpark();
        }
        Ticking(Arc::clone(&self.shared))
    }
}

impl Drop for Ticker {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::SeqCst);
        self.thread.unpark();
    }
}

impl Drop for Ticking {
    fn drop(&mut self) {
        self.0.in_flight.fetch_sub(1, Ordering::SeqCst);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn compiled_code_is_bound_to_the_engine_that_is_linked() {
        let lock = include_str!("../../../Cargo.lock");
        let linked = format!("name = \"wasmtime\"\nversion = \"{ENGINE_VERSION}\"\n");
        assert!(
            lock.contains(&linked),
            "set ENGINE_VERSION to the version in Cargo.lock"
        );
    }

    #[test]
    fn the_epoch_stands_still_unless_a_call_is_in_flight() {
        let engine = engine().unwrap();
        let ticker = Ticker::start(&engine).unwrap();
        let first = ticker.enter();
        let second = ticker.enter();
        drop(first);
        assert_eq!(ticker.shared.in_flight.load(Ordering::SeqCst), 1);
        drop(second);
        assert_eq!(ticker.shared.in_flight.load(Ordering::SeqCst), 0);
    }
}
