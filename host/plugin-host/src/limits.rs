//! Every limit of the host that is not a setting of the profile, each with where it comes from.

use std::time::Duration;

/// The largest component that is read, in bytes. Python components, the largest seen, have 18 MB.
pub const COMPONENT_BYTES_MAX: usize = 32 << 20;

/// The most compiled code that is taken from the compile child or the cache, in bytes. Compiled code
/// was at most four times the component in all languages measured.
pub const COMPILED_BYTES_MAX: usize = 128 << 20;

/// How long a compilation may take on the wall. The largest component seen took 6.5 s.
pub const COMPILE_WALL_MAX: Duration = Duration::from_secs(90);

/// How much CPU time the compile child gives itself, in seconds.
pub const COMPILE_CPU_SECONDS_MAX: u64 = 60;

/// How much address space the compile child gives itself, in bytes. The largest component seen
/// peaked at 390 MB.
pub const COMPILE_MEMORY_BYTES_MAX: u64 = 1 << 30;

/// How many compiled components the cache keeps; the ones unused for longest go first.
pub const CACHE_ENTRIES_MAX: usize = 8;

/// How long one tick of the epoch is: CPU deadlines are checked this often.
pub const EPOCH_TICK: Duration = Duration::from_millis(5);

/// How many calls may wait for the plugin thread; more are refused as overload.
pub const QUEUE_MAX: usize = 64;

/// How many calls run at the same time on the plugin thread, taking turns at each tick.
pub const CALLS_AT_ONCE_MAX: usize = 8;

/// How much one call may hand over to the host at once (arguments of one import or its answer), in bytes.
pub const LIFT_BYTES_MAX: usize = 16 << 20;

/// Entries in one table of a guest.
pub const TABLE_ENTRIES_MAX: usize = 20_000;

/// Tables, memories and core instances of one component instance. A component made by a language
/// runtime with adapters has about ten core instances.
pub const INSTANCES_MAX: usize = 40;

/// The most that a message of a plugin keeps, in bytes; what is longer is cut.
pub const MESSAGE_BYTES_MAX: usize = 2048;

/// Reasons in a verdict.
pub const REASONS_MAX: usize = 32;

/// Pairs in any list of keys and values of an answer.
pub const PAIRS_MAX: usize = 256;

/// Bytes of a key in an answer.
pub const KEY_BYTES_MAX: usize = 256;

/// Bytes of a value in an answer (templates' outputs may be long).
pub const VALUE_BYTES_MAX: usize = 64 << 10;

/// Seeds in a plan.
pub const SEEDS_MAX: usize = 1024;

/// Artifacts in one render.
pub const ARTIFACTS_MAX: usize = 64;

/// Bytes of all artifacts of one render.
pub const ARTIFACT_BYTES_MAX: usize = 4 << 20;

/// Diagnostics that are kept of one validation.
pub const DIAGNOSTICS_MAX: usize = 256;

/// Samples in a derived batch.
pub const SAMPLES_MAX: usize = 50_000;

/// Families in a derived batch.
pub const FAMILIES_MAX: usize = 1000;

/// Names that `wants` may list.
pub const WANTS_MAX: usize = 256;

/// Bytes handed over between two generations.
pub const HANDOVER_BYTES_MAX: usize = 64 << 10;

/// Bytes of one log line of a guest; what is longer is cut.
pub const LOG_LINE_BYTES_MAX: usize = 4096;

/// Fields of one log line.
pub const LOG_FIELDS_MAX: usize = 32;

/// Log lines per second of one plugin, after a burst of [`LOG_BURST`].
pub const LOG_LINES_PER_SECOND: u32 = 50;

/// Log lines that a plugin may write at once.
pub const LOG_BURST: u32 = 200;

/// Keys in a plugin's store.
pub const STATE_KEYS_MAX: usize = 64;

/// Bytes of a key in a plugin's store.
pub const STATE_KEY_BYTES_MAX: usize = 128;

/// Bytes of a value in a plugin's store.
pub const STATE_VALUE_BYTES_MAX: usize = 64 << 10;

/// Bytes of all keys and values in a plugin's store.
pub const STATE_BYTES_MAX: usize = 256 << 10;

/// Headers of a request.
pub const HEADERS_MAX: usize = 64;

/// Bytes of all headers of a request.
pub const HEADER_BYTES_MAX: usize = 16 << 10;

/// Bytes of a request's path and query.
pub const PATH_BYTES_MAX: usize = 8 << 10;

/// Bytes of a request's body.
pub const REQUEST_BODY_BYTES_MAX: usize = 1 << 20;

/// Bytes of a response's body.
pub const RESPONSE_BODY_BYTES_MAX: usize = 4 << 20;

/// Requests in one `send-all`.
pub const REQUESTS_AT_ONCE_MAX: usize = 64;

/// Requests of one call that are on their way at the same time.
pub const REQUESTS_IN_FLIGHT_MAX: usize = 8;

/// Requests of one call altogether.
pub const REQUESTS_PER_CALL_MAX: u32 = 512;

/// Bytes that `files.read` returns at most.
pub const FILE_READ_BYTES_MAX: u32 = 4 << 20;

/// Bytes that `files.write` takes at most.
pub const FILE_WRITE_BYTES_MAX: usize = 64 << 10;

/// Names that `files.entries` returns at most.
pub const FILE_ENTRIES_MAX: usize = 4096;

/// Bytes of a path within a volume.
pub const FILE_PATH_BYTES_MAX: usize = 1024;

/// Consecutive faults of one function that quarantine it.
pub const QUARANTINE_AFTER: u32 = 3;

/// The first quarantine; each further fault doubles it.
pub const QUARANTINE_FIRST: Duration = Duration::from_secs(1);

/// The longest quarantine.
pub const QUARANTINE_MAX: Duration = Duration::from_mins(1);
