//! Standard output and error become log lines; standard input is at its end.

use std::time::Duration;

use wasmtime::component::Resource;

use super::WasiState;
use super::resources::{InputStream, OutputStream, Pollable};
use super::wasi::io::streams::{Host, HostInputStream, HostOutputStream, StreamError};
use crate::bindings::imports::log::Level;
use crate::call_state::CallState;
use crate::limits::LOG_LINE_BYTES_MAX;

/// The number of the handle of standard output.
pub(super) const STDOUT: u32 = 1;

/// The number of the handle of standard error.
pub(super) const STDERR: u32 = 2;

/// How much may be written at once: what `check-write` promises.
const WRITE_BYTES_MAX: u64 = 64 << 10;

/// Bytes that wait for the end of their line.
#[derive(Debug, Default)]
pub(super) struct Lines(Vec<u8>);

impl Lines {
    /// Takes bytes, and gives the lines that are complete now. A line beyond the limit is split.
    fn take(&mut self, bytes: &[u8]) -> Vec<String> {
        let mut lines = Vec::new();
        for byte in bytes {
            if *byte == b'\n' {
                lines.extend(self.rest());
                continue;
            }
            self.0.push(*byte);
            if self.0.len() >= LOG_LINE_BYTES_MAX {
                lines.extend(self.rest());
            }
        }
        lines
    }

    /// The line that has no end yet.
    fn rest(&mut self) -> Option<String> {
        let line = std::mem::take(&mut self.0);
        let line = String::from_utf8_lossy(&line);
        let line = line.trim_end();
        (!line.is_empty()).then(|| line.to_owned())
    }
}

impl CallState {
    /// Writes what was printed without the end of a line. Called when the call is over.
    pub(crate) fn finish_lines(&mut self) {
        let output = self.wasi.output.rest();
        let error = self.wasi.error.rest();
        for (line, level) in [(output, Level::Info), (error, Level::Warn)] {
            if let Some(line) = line {
                self.write_line(level, &line, &[]);
            }
        }
    }

    fn print(&mut self, stream: &Resource<OutputStream>, bytes: &[u8]) -> Result<(), StreamError> {
        let (lines, level) = match stream.rep() {
            STDOUT => (self.wasi.output.take(bytes), Level::Info),
            STDERR => (self.wasi.error.take(bytes), Level::Warn),
            _ => return Err(StreamError::Closed),
        };
        for line in lines {
            self.write_line(level, &line, &[]);
        }
        Ok(())
    }
}

impl Host for CallState {}

impl HostInputStream for CallState {
    fn read(
        &mut self,
        _stream: Resource<InputStream>,
        _len: u64,
    ) -> wasmtime::Result<Result<Vec<u8>, StreamError>> {
        Ok(Err(StreamError::Closed))
    }

    fn blocking_read(
        &mut self,
        _stream: Resource<InputStream>,
        _len: u64,
    ) -> wasmtime::Result<Result<Vec<u8>, StreamError>> {
        Ok(Err(StreamError::Closed))
    }

    fn skip(
        &mut self,
        _stream: Resource<InputStream>,
        _len: u64,
    ) -> wasmtime::Result<Result<u64, StreamError>> {
        Ok(Err(StreamError::Closed))
    }

    fn blocking_skip(
        &mut self,
        _stream: Resource<InputStream>,
        _len: u64,
    ) -> wasmtime::Result<Result<u64, StreamError>> {
        Ok(Err(StreamError::Closed))
    }

    fn subscribe(
        &mut self,
        _stream: Resource<InputStream>,
    ) -> wasmtime::Result<Resource<Pollable>> {
        Ok(WasiState::pollable(Duration::ZERO))
    }

    fn drop(&mut self, _stream: Resource<InputStream>) -> wasmtime::Result<()> {
        Ok(())
    }
}

impl HostOutputStream for CallState {
    fn check_write(
        &mut self,
        _stream: Resource<OutputStream>,
    ) -> wasmtime::Result<Result<u64, StreamError>> {
        Ok(Ok(WRITE_BYTES_MAX))
    }

    fn write(
        &mut self,
        stream: Resource<OutputStream>,
        contents: Vec<u8>,
    ) -> wasmtime::Result<Result<(), StreamError>> {
        Ok(self.print(&stream, &contents))
    }

    fn blocking_write_and_flush(
        &mut self,
        stream: Resource<OutputStream>,
        contents: Vec<u8>,
    ) -> wasmtime::Result<Result<(), StreamError>> {
        Ok(self.print(&stream, &contents))
    }

    fn flush(
        &mut self,
        _stream: Resource<OutputStream>,
    ) -> wasmtime::Result<Result<(), StreamError>> {
        Ok(Ok(()))
    }

    fn blocking_flush(
        &mut self,
        _stream: Resource<OutputStream>,
    ) -> wasmtime::Result<Result<(), StreamError>> {
        Ok(Ok(()))
    }

    fn subscribe(
        &mut self,
        _stream: Resource<OutputStream>,
    ) -> wasmtime::Result<Resource<Pollable>> {
        Ok(WasiState::pollable(Duration::ZERO))
    }

    fn drop(&mut self, _stream: Resource<OutputStream>) -> wasmtime::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_become_whole_lines_however_they_arrive() {
        let mut lines = Lines::default();
        assert_eq!(lines.take(b"one\r\n\ntw"), ["one"]);
        assert_eq!(lines.take(b"o\nthree"), ["two"]);
        assert_eq!(lines.rest(), Some("three".to_owned()));
        assert_eq!(lines.rest(), None);
        let long = vec![b'x'; LOG_LINE_BYTES_MAX * 2 + 1];
        assert_eq!(lines.take(&long).len(), 2);
        assert_eq!(lines.rest(), Some("x".to_owned()));
    }
}
