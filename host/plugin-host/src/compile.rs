//! From a component to compiled code: in this process for build scripts and tests, in a short-lived
//! child with limits otherwise.

use std::ffi::OsString;
use std::io::{self, Read as _, Write as _};
use std::os::unix::process::ExitStatusExt as _;
use std::process::Stdio;

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _};

use crate::engine;
use crate::error::CompileError;
use crate::limits::{
    COMPILE_CPU_SECONDS_MAX, COMPILE_MEMORY_BYTES_MAX, COMPILE_WALL_MAX, COMPILED_BYTES_MAX,
    COMPONENT_BYTES_MAX,
};

/// Bytes of the child's error text that are kept.
const ERROR_BYTES_MAX: u64 = 8 << 10;

/// The status with which the child says that the component is not valid.
const STATUS_INVALID: u8 = 1;

/// The status with which the child says that it could not do its work.
const STATUS_FAULT: u8 = 2;

/// Compiles a component in this process. Takes a megabyte or more per kilobyte of component at times:
/// the sidecar uses the child.
pub fn compile(component: &[u8]) -> Result<Vec<u8>, CompileError> {
    let invalid = |error: wasmtime::Error| CompileError::Invalid(one_line(&format!("{error:#}")));
    engine::engine()
        .and_then(|engine| engine.precompile_component(component))
        .map_err(invalid)
}

/// What the compile child does: limits itself, reads a component from stdin to its end, writes
/// compiled code to stdout. What goes wrong is one line on stderr. Returns the exit status: 0, 1 for
/// a component that is not valid, 2 for a fault of the surroundings.
///
/// The limits are [`crate::limits::COMPILE_MEMORY_BYTES_MAX`] of address space,
/// [`crate::limits::COMPILE_CPU_SECONDS_MAX`] of CPU time, and no core dump.
pub fn compile_child() -> u8 {
    let (status, message) = match limit_self().and_then(|()| read_component()) {
        Err(error) => (STATUS_FAULT, one_line(&error.to_string())),
        Ok(component) => match compile(&component) {
            Err(CompileError::Invalid(message)) => (STATUS_INVALID, message),
            Err(error) => (STATUS_FAULT, one_line(&error.to_string())),
            Ok(compiled) => match write_all(&compiled) {
                Err(error) => (STATUS_FAULT, one_line(&error.to_string())),
                Ok(()) => return 0,
            },
        },
    };
    // Nobody is left to tell if stderr is closed; the status tells it all the same.
    let _told = writeln!(io::stderr(), "{message}").is_ok();
    status
}

fn limit_self() -> io::Result<()> {
    let limits = [
        (Resource::RLIMIT_AS, COMPILE_MEMORY_BYTES_MAX),
        (Resource::RLIMIT_CPU, COMPILE_CPU_SECONDS_MAX),
        (Resource::RLIMIT_CORE, 0),
    ];
    for (resource, most) in limits {
        // Only lowered: raising needs a capability that nobody gives us.
        let (soft, hard) = getrlimit(resource)?;
        setrlimit(resource, soft.min(most), hard.min(most))?;
    }
    Ok(())
}

fn read_component() -> io::Result<Vec<u8>> {
    let mut component = Vec::new();
    let most = COMPONENT_BYTES_MAX as u64 + 1;
    io::stdin().lock().take(most).read_to_end(&mut component)?;
    if component.len() > COMPONENT_BYTES_MAX {
        return Err(io::Error::other(format!(
            "the component has more than {COMPONENT_BYTES_MAX} bytes"
        )));
    }
    Ok(component)
}

fn write_all(compiled: &[u8]) -> io::Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(compiled)?;
    out.flush()
}

/// Compiles a component in a child process: `command` is the program and its arguments.
///
/// The child gets an empty environment, so that nothing of ours leaks into it.
///
/// # Cancel safety
/// When the future is dropped the child is killed.
pub(crate) async fn compile_in_child(
    command: &[OsString],
    component: &[u8],
) -> Result<Vec<u8>, CompileError> {
    let (program, arguments) = command.split_first().ok_or_else(|| CompileError::Run {
        program: String::new(),
        source: io::Error::new(io::ErrorKind::InvalidInput, "no program is given"),
    })?;
    let cannot_run = |source| CompileError::Run {
        program: program.to_string_lossy().into_owned(),
        source,
    };
    let mut child = tokio::process::Command::new(program)
        .args(arguments)
        .env_clear()
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .map_err(cannot_run)?;
    let (Some(mut stdin), Some(stdout), Some(stderr)) =
        (child.stdin.take(), child.stdout.take(), child.stderr.take())
    else {
        return Err(cannot_run(io::Error::other("a pipe is missing")));
    };
    let exchange = async {
        let feed = async {
            // A child that gives up early closes the pipe; its status says why.
            let _fed = stdin.write_all(component).await.is_ok();
            drop(stdin);
        };
        let (compiled, message, ()) = tokio::join!(
            read_at_most(stdout, COMPILED_BYTES_MAX as u64),
            read_at_most(stderr, ERROR_BYTES_MAX),
            feed,
        );
        let status = child.wait().await?;
        io::Result::Ok((status, compiled?, message?))
    };
    let (status, compiled, message) = tokio::time::timeout(COMPILE_WALL_MAX, exchange)
        .await
        .map_err(|_| CompileError::Timeout(COMPILE_WALL_MAX))?
        .map_err(cannot_run)?;
    let message = one_line(&String::from_utf8_lossy(&message));
    if compiled.len() > COMPILED_BYTES_MAX {
        return Err(CompileError::TooLarge(COMPILED_BYTES_MAX));
    }
    match (status.code(), status.signal()) {
        (Some(0), _) if compiled.is_empty() => Err(cannot_run(io::Error::other(
            "it ended well without any compiled code",
        ))),
        (Some(0), _) => Ok(compiled),
        (Some(code), _) if code == i32::from(STATUS_INVALID) => Err(CompileError::Invalid(message)),
        (_, Some(signal)) => Err(CompileError::Killed { signal, message }),
        (code, _) => Err(cannot_run(io::Error::other(format!(
            "it ended with status {}: {message}",
            code.unwrap_or_default()
        )))),
    }
}

/// Reads one byte more than `most` at most, so that too much is seen as such; the pipe is closed
/// then, which ends the writer.
async fn read_at_most(from: impl AsyncRead + Unpin, most: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    from.take(most + 1).read_to_end(&mut bytes).await?;
    Ok(bytes)
}

/// A text of several lines as one, bounded.
pub(crate) fn one_line(text: &str) -> String {
    let words: Vec<&str> = text.split_whitespace().collect();
    crate::types::cut(&words.join(" "), crate::limits::MESSAGE_BYTES_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn run(script: &str) -> Result<Vec<u8>, CompileError> {
        let command = ["/bin/sh", "-c", script].map(OsString::from);
        compile_in_child(&command, b"component").await
    }

    #[tokio::test]
    async fn what_the_child_writes_is_the_compiled_code() {
        assert_eq!(run("cat").await.unwrap(), b"component");
    }

    #[tokio::test]
    async fn each_end_of_the_child_is_told_apart() {
        let told = |result: Result<Vec<u8>, CompileError>| match result.unwrap_err() {
            CompileError::Run { source, .. } => source.to_string(),
            error => error.to_string(),
        };
        assert_eq!(
            [
                told(run("echo 'bad\n  magic' >&2; exit 1").await),
                told(run("echo out of memory >&2; kill -9 $$").await),
                told(run("echo no such limit >&2; exit 2").await),
                told(run("exit 0").await),
            ],
            [
                "the component is not valid: bad magic",
                "the compiler was ended by signal 9: out of memory",
                "it ended with status 2: no such limit",
                "it ended well without any compiled code",
            ]
        );
    }

    #[tokio::test]
    async fn the_child_sees_no_variable_of_ours() {
        let seen = run("/usr/bin/env | grep -c CARGO || true").await.unwrap();
        assert_eq!(seen, b"0\n");
    }

    #[tokio::test]
    async fn a_program_that_is_not_there_is_named() {
        let command = [OsString::from("/no/such/program")];
        let error = compile_in_child(&command, b"").await.unwrap_err();
        assert_eq!(
            error.to_string(),
            "the compiler `/no/such/program` cannot be run"
        );
    }

    #[test]
    fn what_is_no_component_is_invalid() {
        let error = compile(b"\0asm\x0d\0\x01\0\xff").unwrap_err();
        assert!(matches!(error, CompileError::Invalid(_)), "{error}");
    }
}
