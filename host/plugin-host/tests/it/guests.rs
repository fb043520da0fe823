//! The guests, each built when it is first asked for.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use outrigger_plugin_build::{GuestBuild, Target, build};

/// One guest's file, once it is there.
struct Guest {
    example: &'static str,
    target: Target,
    file: OnceLock<PathBuf>,
}

impl Guest {
    const fn new(example: &'static str, target: Target) -> Self {
        Self {
            example,
            target,
            file: OnceLock::new(),
        }
    }

    fn file(&self) -> PathBuf {
        self.file.get_or_init(|| self.build()).clone()
    }

    fn build(&self) -> PathBuf {
        let here = Path::new(env!("CARGO_MANIFEST_DIR"));
        let scratch = Path::new(env!("CARGO_TARGET_TMPDIR"));
        let component = build(&GuestBuild {
            manifest_dir: here.join("../.."),
            package: "outrigger-test-guests".into(),
            example: Some(self.example.into()),
            features: vec!["guest".into()],
            target: self.target,
            profile: Some("guest".into()),
            target_dir: scratch.join("guests"),
        })
        .unwrap_or_else(|error| panic!("{error}"));
        let folder = scratch.join("components");
        std::fs::create_dir_all(&folder).unwrap();
        // By renaming, for another test process may read it just now.
        let file = folder.join(format!("{}.wasm", self.example));
        let part = tempfile::NamedTempFile::new_in(&folder).unwrap();
        std::fs::write(part.path(), component).unwrap();
        part.persist(&file).unwrap();
        file
    }
}

macro_rules! guests {
    ($($name:ident: $target:ident;)*) => {
        $(pub(crate) fn $name() -> PathBuf {
            static GUEST: Guest = Guest::new(stringify!($name), Target::$target);
            GUEST.file()
        })*
    };
}

guests! {
    minimal: Unknown;
    everything: Unknown;
    misbehaving: Unknown;
    other_world: Unknown;
    other_version: Unknown;
    other_types: Unknown;
    std: WasiP2;
}

/// Everything that was logged while `work` ran on this thread and the host's, line by line.
///
/// The subscriber is one for the process, so lines are told apart by the plugin's name.
pub(crate) fn logged(plugin: &str) -> Vec<String> {
    let lines = log_lines();
    let lines = lines.lock().unwrap_or_else(PoisonError::into_inner);
    let mark = format!("plugin.name={plugin}");
    let quoted = format!("plugin.name=\"{plugin}\"");
    let ours = |line: &&String| line.contains(&mark) || line.contains(&quoted);
    lines.iter().filter(ours).cloned().collect()
}

/// Starts to keep log lines. Called before the first host is made.
pub(crate) fn keep_logs() {
    log_lines();
}

fn log_lines() -> Arc<Mutex<Vec<String>>> {
    static LINES: OnceLock<Arc<Mutex<Vec<String>>>> = OnceLock::new();
    let lines = LINES.get_or_init(|| {
        let lines: Arc<Mutex<Vec<String>>> = Arc::default();
        let kept = Arc::clone(&lines);
        tracing_subscriber::fmt()
            .with_ansi(false)
            .with_max_level(tracing_subscriber::filter::LevelFilter::INFO)
            .with_writer(move || Keep(Arc::clone(&kept)))
            .init();
        lines
    });
    Arc::clone(lines)
}

struct Keep(Arc<Mutex<Vec<String>>>);

impl std::io::Write for Keep {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let text = String::from_utf8_lossy(bytes).trim_end().to_owned();
        let mut lines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        lines.push(text);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}
