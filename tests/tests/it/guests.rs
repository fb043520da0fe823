//! Components that are not built in: the real plugin as a file, and those that are wrong.

use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use outrigger_plugin_build::{GuestBuild, Target, build};

/// The agdb plugin, as the binary has it built in.
pub(crate) fn agdb() -> &'static [u8] {
    static COMPONENT: OnceLock<Vec<u8>> = OnceLock::new();
    COMPONENT.get_or_init(|| guest("outrigger-plugin-agdb", None))
}

/// A plugin that goes wrong as its settings say.
pub(crate) fn misbehaving() -> &'static [u8] {
    static COMPONENT: OnceLock<Vec<u8>> = OnceLock::new();
    COMPONENT.get_or_init(|| guest("outrigger-test-guests", Some("misbehaving")))
}

/// A component that is no plugin.
pub(crate) fn other_world() -> &'static [u8] {
    static COMPONENT: OnceLock<Vec<u8>> = OnceLock::new();
    COMPONENT.get_or_init(|| guest("outrigger-test-guests", Some("other_world")))
}

fn guest(package: &str, example: Option<&str>) -> Vec<u8> {
    build(&GuestBuild {
        manifest_dir: Path::new(env!("CARGO_MANIFEST_DIR")).join(".."),
        package: package.to_owned(),
        example: example.map(str::to_owned),
        features: example.map(|_| "guest".to_owned()).into_iter().collect(),
        target: Target::Unknown,
        profile: Some("guest".to_owned()),
        target_dir: PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("guests"),
    })
    .expect("the guest builds")
}
