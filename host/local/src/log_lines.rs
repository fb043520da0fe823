//! What containers write: kept for a while, in files, and told to whoever listens.

use std::collections::{BTreeMap, VecDeque};
use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufReadExt as _, AsyncRead, AsyncReadExt as _, BufReader};
use tokio::sync::broadcast;

/// Lines of one container that can still be asked for.
const KEPT: usize = 2000;
/// Longer lines are cut there: the runtimes of Kubernetes cut at 16 KiB.
const LINE_BYTES: u64 = 16 << 10;
/// A log file is begun anew at this length; the one before is kept.
const FILE_BYTES: u64 = 16 << 20;
/// Lines that a slow listener may be behind.
const BEHIND: usize = 8192;

/// One line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogLine {
    /// When it was read, in milliseconds since the Unix epoch.
    pub unix_ms: u64,
    /// The pod.
    pub pod: String,
    /// The container.
    pub container: String,
    /// The text without the line's end.
    pub line: String,
}

/// All lines. Cheap to clone; all clones are one.
#[derive(Debug, Clone)]
pub struct Logs {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    folder: PathBuf,
    kept: Mutex<BTreeMap<(String, String), Kept>>,
    lines: broadcast::Sender<LogLine>,
}

#[derive(Debug, Default)]
struct Kept {
    lines: VecDeque<LogLine>,
    file: Option<(File, u64)>,
}

impl Logs {
    /// Files are `<folder>/<pod>/<container>.log`.
    pub fn new(folder: PathBuf) -> Self {
        Self {
            inner: Arc::new(Inner {
                folder,
                kept: Mutex::default(),
                lines: broadcast::Sender::new(BEHIND),
            }),
        }
    }

    /// Takes a line.
    pub fn write(&self, pod: &str, container: &str, line: String) {
        let line = LogLine {
            unix_ms: now_unix_ms(),
            pod: pod.to_owned(),
            container: container.to_owned(),
            line,
        };
        {
            let mut all = self
                .inner
                .kept
                .lock()
                .unwrap_or_else(PoisonError::into_inner);
            let kept = all
                .entry((pod.to_owned(), container.to_owned()))
                .or_default();
            if kept.lines.len() == KEPT {
                kept.lines.pop_front();
            }
            kept.lines.push_back(line.clone());
            self.append(kept, &line);
        }
        // Nobody need listen.
        let _ignored = self.inner.lines.send(line);
    }

    fn append(&self, kept: &mut Kept, line: &LogLine) {
        let path = self
            .inner
            .folder
            .join(&line.pod)
            .join(format!("{}.log", line.container));
        if kept
            .file
            .as_ref()
            .is_some_and(|(_, length)| *length >= FILE_BYTES)
        {
            kept.file = None;
            // Without it the file just grows.
            let _ignored = std::fs::rename(&path, path.with_extension("log.1"));
        }
        if kept.file.is_none() {
            let opened = path
                .parent()
                .map_or(Ok(()), std::fs::create_dir_all)
                .and_then(|()| OpenOptions::new().create(true).append(true).open(&path));
            // A full disk costs the file, never the workload; the lines are still shown.
            let Ok(file) = opened else { return };
            let length = file.metadata().map_or(0, |metadata| metadata.len());
            kept.file = Some((file, length));
        }
        if let Some((file, length)) = &mut kept.file {
            let text = format!("{}\n", line.line);
            *length += text.len() as u64;
            if file.write_all(text.as_bytes()).is_err() {
                kept.file = None;
            }
        }
    }

    /// The lines that are kept, of one pod or of all, by time; and those to come.
    pub fn follow(&self, pod: Option<&str>) -> (Vec<LogLine>, broadcast::Receiver<LogLine>) {
        let kept = self
            .inner
            .kept
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let receiver = self.inner.lines.subscribe();
        let mut lines: Vec<LogLine> = kept
            .iter()
            .filter(|((of, _), _)| pod.is_none_or(|pod| pod == of))
            .flat_map(|(_, kept)| kept.lines.iter().cloned())
            .collect();
        lines.sort_by_key(|line| line.unix_ms);
        (lines, receiver)
    }

    /// Reads a stream to its end, line by line.
    pub async fn read(self, pod: String, container: String, stream: impl AsyncRead + Unpin) {
        let mut reader = BufReader::new(stream);
        let mut line = Vec::new();
        loop {
            line.clear();
            match (&mut reader)
                .take(LINE_BYTES)
                .read_until(b'\n', &mut line)
                .await
            {
                Ok(0) | Err(_) => return,
                Ok(_) => {
                    while line
                        .last()
                        .is_some_and(|byte| matches!(byte, b'\n' | b'\r'))
                    {
                        line.pop();
                    }
                    let text = String::from_utf8_lossy(&line).into_owned();
                    self.write(&pod, &container, text);
                }
            }
        }
    }
}

/// The wall clock.
pub(crate) fn now_unix_ms() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .ok()
        .and_then(|since| u64::try_from(since.as_millis()).ok())
        .unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn lines_are_kept_told_and_written_and_long_ones_are_cut() {
        let folder = tempfile::tempdir().unwrap();
        let logs = Logs::new(folder.path().to_path_buf());
        let (past, mut coming) = logs.follow(None);
        assert!(past.is_empty());
        let long = "x".repeat(20_000);
        let text = format!("one\r\n{long}\nlast");
        logs.clone()
            .read("db-0".into(), "db".into(), text.as_bytes())
            .await;
        let (past, _) = logs.follow(Some("db-0"));
        let lengths: Vec<usize> = past.iter().map(|line| line.line.len()).collect();
        assert_eq!(lengths, [3, 16384, 3616, 4]);
        assert_eq!(coming.recv().await.unwrap().line, "one");
        assert!(logs.follow(Some("db-1")).0.is_empty());
        let file = std::fs::read_to_string(folder.path().join("db-0/db.log")).unwrap();
        assert!(file.starts_with("one\n") && file.ends_with("last\n"));
    }
}
