//! The timeline's file: one JSON object a line, appended by a thread of its own, in two generations
//! that are bounded together.

use std::collections::VecDeque;
use std::fs::{File, OpenOptions};
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::time::Duration;

use tracing::warn;

use super::Entry;
use crate::limits;

/// How many entries may wait for the disk.
const QUEUE: usize = 256;

enum Work {
    Append(Arc<Entry>),
    Flush(SyncSender<()>),
}

/// The writing end. The thread ends when this is dropped.
#[derive(Debug)]
pub(super) struct Journal {
    queue: SyncSender<Work>,
    unwritten: Arc<AtomicU64>,
}

impl Journal {
    pub(super) fn open(file: &Path) -> io::Result<Self> {
        let mut writer = Writer::open(file)?;
        let unwritten = Arc::new(AtomicU64::new(0));
        let lost = Arc::clone(&unwritten);
        let (queue, work) = sync_channel::<Work>(QUEUE);
        std::thread::Builder::new()
            .name("timeline".to_owned())
            .spawn(move || {
                let mut failing = false;
                for work in work {
                    match work {
                        Work::Append(entry) => match writer.append(&entry) {
                            Ok(()) => failing = false,
                            Err(error) => {
                                lost.fetch_add(1, Ordering::Relaxed);
                                if !failing {
                                    warn!(path = %writer.path.display(), %error, "The timeline cannot be written");
                                }
                                failing = true;
                            }
                        },
                        Work::Flush(done) => drop(done),
                    }
                }
            })?;
        Ok(Self { queue, unwritten })
    }

    pub(super) fn append(&self, entry: &Arc<Entry>) {
        if let Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) =
            self.queue.try_send(Work::Append(Arc::clone(entry)))
        {
            self.unwritten.fetch_add(1, Ordering::Relaxed);
        }
    }

    pub(super) fn unwritten(&self) -> u64 {
        self.unwritten.load(Ordering::Relaxed)
    }

    pub(super) fn flush(&self) {
        let (done, wait) = sync_channel(0);
        if self.queue.try_send(Work::Flush(done)).is_ok() {
            match wait.recv_timeout(Duration::from_secs(1)) {
                // The answer is the other end's drop.
                Ok(()) | Err(RecvTimeoutError::Disconnected) => {}
                Err(RecvTimeoutError::Timeout) => warn!("The timeline's file is slow"),
            }
        }
    }
}

struct Writer {
    path: PathBuf,
    file: File,
    bytes: u64,
}

impl Writer {
    fn open(path: &Path) -> io::Result<Self> {
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder)?;
        }
        let mut file = OpenOptions::new()
            .create(true)
            .read(true)
            .append(true)
            .open(path)?;
        let mut bytes = file.metadata()?.len();
        if bytes > 0 {
            // A process that was killed may have left half a line.
            file.seek(SeekFrom::Start(bytes - 1))?;
            let mut last = [0];
            file.read_exact(&mut last)?;
            if last != *b"\n" {
                file.write_all(b"\n")?;
                bytes += 1;
            }
        }
        Ok(Self {
            path: path.to_owned(),
            file,
            bytes,
        })
    }

    fn append(&mut self, entry: &Entry) -> io::Result<()> {
        let mut line = serde_json::to_vec(entry)?;
        line.push(b'\n');
        let length = line.len() as u64;
        if self.bytes > 0 && self.bytes + length > limits::TIMELINE_FILE_BYTES_MAX {
            std::fs::rename(&self.path, older(&self.path))?;
            *self = Self::open(&self.path)?;
        }
        // One write for the line: a kill leaves it whole or not at all.
        self.file.write_all(&line)?;
        self.bytes += length;
        Ok(())
    }
}

/// Where the generation before goes: `timeline.jsonl` to `timeline.1.jsonl`.
fn older(path: &Path) -> PathBuf {
    path.with_extension("1.jsonl")
}

/// The newest entries of both generations. Lines that are no entries are passed over.
pub(super) fn read(file: &Path) -> VecDeque<Arc<Entry>> {
    let mut ring = VecDeque::new();
    let mut newest = 0;
    for path in [older(file), file.to_owned()] {
        let Ok(file) = File::open(&path) else {
            continue;
        };
        // Twice the limit, as no file of ours is longer.
        let bounded = file.take(2 * limits::TIMELINE_FILE_BYTES_MAX);
        for line in BufReader::new(bounded).split(b'\n') {
            let Ok(line) = line else { break };
            let Ok(entry) = serde_json::from_slice::<Entry>(&line) else {
                continue;
            };
            if entry.seq <= newest {
                continue;
            }
            newest = entry.seq;
            if ring.len() == limits::TIMELINE_ENTRIES {
                ring.pop_front();
            }
            ring.push_back(Arc::new(entry));
        }
    }
    ring
}
