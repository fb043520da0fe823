//! The plan, checked by a model of what the kernel makes of its steps.

use std::collections::BTreeMap;
use std::ffi::OsString;

use proptest::prelude::*;

use super::*;

/// A machine in memory.
#[derive(Debug, Clone, Default)]
struct Machine(BTreeMap<PathBuf, Entry>);

impl Machine {
    /// `/a/` is a folder, `/a` a file, `/a -> /b` a link. Folders above come with them.
    fn of(lines: &[&str]) -> Self {
        let mut machine = Self::default();
        for line in lines {
            let (path, entry) = match line.split_once(" -> ") {
                Some((path, to)) => (path, Entry::Link(to.into())),
                None if line.ends_with('/') => (*line, Entry::Directory),
                None => (*line, Entry::File),
            };
            machine.put(Path::new(path.trim_end_matches('/')), entry);
        }
        machine
    }

    /// Unless something else than a folder is in the way.
    fn put(&mut self, path: &Path, entry: Entry) {
        let blocked = path
            .ancestors()
            .skip(1)
            .any(|above| self.0.get(above).is_some_and(|e| *e != Entry::Directory));
        if blocked || self.0.contains_key(path) || path.parent().is_none() {
            return;
        }
        for above in path.ancestors().skip(1).filter(|a| a.parent().is_some()) {
            self.0.insert(above.to_path_buf(), Entry::Directory);
        }
        self.0.insert(path.to_path_buf(), entry);
    }
}

impl Host for Machine {
    fn entry(&self, path: &Path) -> Option<Entry> {
        if path == Path::new("/") {
            return Some(Entry::Directory);
        }
        self.0.get(path).cloned()
    }

    fn names(&self, folder: &Path) -> Vec<OsString> {
        self.0
            .keys()
            .filter(|path| path.parent() == Some(folder))
            .filter_map(|path| path.file_name().map(OsString::from))
            .collect()
    }
}

/// What is mounted somewhere.
#[derive(Debug, Clone)]
enum Layer {
    Machine(PathBuf),
    Memory(BTreeMap<PathBuf, Entry>),
    Other,
}

/// What the kernel would have after some steps.
struct Model<'a> {
    machine: &'a Machine,
    /// Made in sources.
    points: Machine,
    layers: Vec<(PathBuf, Layer)>,
}

impl<'a> Model<'a> {
    fn new(machine: &'a Machine) -> Self {
        Self {
            machine,
            points: machine.clone(),
            layers: vec![("/".into(), Layer::Memory(BTreeMap::new()))],
        }
    }

    /// The mount that a path is in: the last one at it or above it.
    fn layer(&self, path: &Path) -> usize {
        self.layers
            .iter()
            .rposition(|(at, _)| path.starts_with(at))
            .expect("the root is above everything")
    }

    fn entry(&self, path: &Path) -> Option<Entry> {
        let (at, layer) = &self.layers[self.layer(path)];
        match layer {
            Layer::Memory(_) if path == at => Some(Entry::Directory),
            Layer::Memory(made) => made.get(path).cloned(),
            Layer::Machine(source) => {
                let rest = path.strip_prefix(at).unwrap();
                let real = if rest.as_os_str().is_empty() {
                    source.clone()
                } else {
                    source.join(rest)
                };
                self.points.entry(&real)
            }
            Layer::Other => Some(Entry::Directory),
        }
    }

    fn make(&mut self, at: &Path, entry: Entry) {
        assert_eq!(self.entry(at), None, "{} is made twice", at.display());
        let index = self.layer(at);
        assert_eq!(
            self.entry(at.parent().unwrap()),
            Some(Entry::Directory),
            "nothing above {}",
            at.display()
        );
        match &mut self.layers[index].1 {
            Layer::Memory(made) => made.insert(at.to_path_buf(), entry),
            other => panic!("{} would be made in {other:?}", at.display()),
        };
    }

    fn mount(&mut self, at: &Path, layer: Layer, directory: bool) {
        let found = self.entry(at);
        let fits = match &found {
            Some(Entry::Directory) => directory,
            Some(Entry::File) => !directory,
            Some(Entry::Link(_)) | None => false,
        };
        assert!(fits, "{layer:?} at {}, which is {found:?}", at.display());
        self.layers.push((at.to_path_buf(), layer));
    }

    fn take(&mut self, step: &Step) {
        match step {
            Step::Memory { at, .. } => self.mount(at, Layer::Memory(BTreeMap::new()), true),
            Step::Directory { at } => self.make(at, Entry::Directory),
            Step::File { at } => self.make(at, Entry::File),
            Step::Link { at, to } => self.make(at, Entry::Link(to.clone())),
            Step::Bind { source, at, .. } => {
                let entry = self.machine.entry(source).expect("the source exists");
                assert!(!matches!(entry, Entry::Link(_)));
                let directory = entry == Entry::Directory;
                self.mount(at, Layer::Machine(source.clone()), directory);
            }
            Step::Text { at, .. } => self.mount(at, Layer::Other, false),
            Step::MountPoint { source, directory } => {
                let entry = if *directory {
                    Entry::Directory
                } else {
                    Entry::File
                };
                assert_eq!(self.points.entry(source), None);
                self.points.put(source, entry.clone());
                assert_eq!(self.points.entry(source), Some(entry));
            }
            Step::Processes { at } => self.mount(at, Layer::Other, true),
        }
    }
}

fn mount(source: &str, target: &str) -> Mount {
    Mount {
        source: source.into(),
        target: target.into(),
        read_only: false,
    }
}

/// Plans and checks what holds of every plan; gives it in short.
fn check(machine: &Machine, mounts: &[Mount], kept: &[&str]) -> Result<Vec<Step>, PlanError> {
    let kept: Vec<PathBuf> = kept.iter().map(PathBuf::from).collect();
    let steps = plan(machine, mounts, &EtcFiles::default(), &kept)?;
    let mut model = Model::new(machine);
    for step in &steps {
        model.take(step);
    }
    let required: Vec<(&PathBuf, &PathBuf)> = steps
        .iter()
        .filter_map(|step| match step {
            Step::Bind {
                source,
                at,
                required: true,
                ..
            } => Some((source, at)),
            _ => None,
        })
        .collect();
    assert_eq!(required.len(), mounts.len(), "each mount exactly once");
    for (source, at) in &required {
        let (top, layer) = &model.layers[model.layer(at)];
        assert_eq!(top, *at, "the mount at {} is covered", at.display());
        assert!(matches!(layer, Layer::Machine(path) if path == *source));
    }
    // What the machine has and nothing covers is there as before.
    for path in machine.0.keys() {
        let covered = required.iter().any(|(_, at)| path.starts_with(at))
            || path.starts_with("/proc")
            || path.starts_with("/tmp");
        if !covered {
            assert!(model.entry(path).is_some(), "{} is lost", path.display());
        }
    }
    Ok(steps)
}

fn usual() -> Machine {
    Machine::of(&[
        "/bin -> usr/bin",
        "/etc/hostname",
        "/etc/hosts",
        "/etc/passwd",
        "/etc/resolv.conf -> ../run/systemd/resolve/stub-resolv.conf",
        "/proc/",
        "/run/systemd/resolve/stub-resolv.conf",
        "/src/file",
        "/src/rendered/agdb.yaml",
        "/src/volume/",
        "/tmp/other/",
        "/usr/bin/sh",
        "/var/run -> /run",
        "/version",
    ])
}

/// The steps other than those of a container without mounts.
fn added(machine: &Machine, mounts: &[Mount]) -> Vec<Step> {
    let without = check(machine, &[], &[]).unwrap();
    let mut steps = check(machine, mounts, &[]).unwrap();
    steps.retain(|step| !without.contains(step));
    steps
}

#[test]
fn a_container_without_mounts_has_the_machines_entries_its_own_names_and_processes() {
    let steps = check(&usual(), &[], &[]).unwrap();
    assert!(steps.contains(&Step::Link {
        at: "/bin".into(),
        to: "usr/bin".into()
    }));
    assert!(steps.contains(&Step::File {
        at: "/version".into()
    }));
    assert!(steps.contains(&Step::Processes { at: "/proc".into() }));
    // Behind the machine's link, which stays as it is.
    assert!(steps.contains(&Step::Text {
        at: "/run/systemd/resolve/stub-resolv.conf".into(),
        text: String::new()
    }));
}

#[test]
fn a_mount_point_that_the_machine_lacks_is_made_in_memory() {
    assert_eq!(
        added(&usual(), &[mount("/src/volume", "/agdb/data")]),
        [
            Step::Directory { at: "/agdb".into() },
            Step::Directory {
                at: "/agdb/data".into()
            },
            Step::Bind {
                source: "/src/volume".into(),
                at: "/agdb/data".into(),
                read_only: false,
                required: true
            },
        ]
    );
}

#[test]
fn a_folder_of_the_machine_is_copied_only_where_a_mount_point_is_missing() {
    let steps = added(&usual(), &[mount("/src/file", "/usr/bin/agdb")]);
    assert_eq!(
        steps[..3],
        [
            Step::Memory {
                at: "/usr/bin".into(),
                shared: false
            },
            Step::File {
                at: "/usr/bin/sh".into()
            },
            Step::Bind {
                source: "/usr/bin/sh".into(),
                at: "/usr/bin/sh".into(),
                read_only: false,
                required: false
            },
        ]
    );
    let existing = added(&usual(), &[mount("/src/file", "/usr/bin/sh")]);
    assert_eq!(
        existing.len(),
        1,
        "what exists is mounted over: {existing:?}"
    );
}

#[test]
fn a_mount_inside_another_has_its_mount_point_in_that_ones_source() {
    let steps = added(
        &usual(),
        &[
            mount("/src/volume", "/agdb/data"),
            mount("/src/rendered", "/agdb"),
        ],
    );
    assert!(steps.contains(&Step::MountPoint {
        source: "/src/rendered/data".into(),
        directory: true
    }));
    assert!(!steps.contains(&Step::Directory {
        at: "/agdb/data".into()
    }));
}

#[test]
fn links_on_the_way_to_a_target_are_followed() {
    let steps = added(&usual(), &[mount("/src/volume", "/var/run/outrigger")]);
    assert!(steps.iter().any(|step| {
        matches!(step, Step::Bind { at, required: true, .. } if at == Path::new("/run/outrigger"))
    }));
}

#[test]
fn a_mount_at_the_containers_own_names_wins() {
    let steps = check(&usual(), &[mount("/src/file", "/etc/hosts")], &[]).unwrap();
    let texts = steps.iter().filter(|s| matches!(s, Step::Text { .. }));
    assert_eq!(texts.count(), 2);
}

#[test]
fn tmp_is_shared_only_when_the_program_is_in_it() {
    let has_own = |kept: &[&str]| {
        check(&usual(), &[mount("/tmp/other", "/tmp/target")], kept)
            .unwrap()
            .contains(&Step::Memory {
                at: "/tmp".into(),
                shared: true,
            })
    };
    assert!(has_own(&["/usr/bin/sh"]));
    assert!(!has_own(&["/tmp/other/program"]));
}

#[test]
fn mounts_that_cannot_be_are_refused_with_the_path() {
    let refused = [
        (
            vec![mount("/src/volume", "data")],
            "data is not an absolute path without `..`",
        ),
        (
            vec![mount("/src/volume", "/a/../b")],
            "/a/../b is not an absolute path without `..`",
        ),
        (
            vec![mount("/src/volume", "/")],
            "nothing can be mounted at /",
        ),
        (
            vec![mount("/src/volume", "/proc/sys")],
            "nothing can be mounted at /proc/sys",
        ),
        (
            vec![mount("/src/volume", "/a"), mount("/src/rendered", "/a")],
            "two mounts have the same target /a",
        ),
        (
            vec![mount("/src/none", "/a")],
            "the source /src/none of the mount at /a does not exist",
        ),
        (
            vec![mount("/src/volume", "/version")],
            "/version is a file, but its mount is a folder",
        ),
        (
            vec![mount("/src/volume", "/version/a")],
            "/version/a cannot be reached: /version is not a folder",
        ),
        (
            vec![mount("/src/file", "/a"), mount("/src/volume", "/a/b")],
            "/a/b cannot be reached: /a is not a folder",
        ),
    ];
    for (mounts, expected) in refused {
        let error = check(&usual(), &mounts, &[]).unwrap_err();
        assert_eq!(error.to_string(), expected);
    }
}

#[test]
fn links_that_lead_in_a_circle_are_refused() {
    let mut machine = usual();
    machine.put(Path::new("/one"), Entry::Link("/two".into()));
    machine.put(Path::new("/two"), Entry::Link("one".into()));
    let error = check(&machine, &[mount("/src/volume", "/one/data")], &[]).unwrap_err();
    assert!(matches!(error, PlanError::Link { .. }), "{error}");
}

fn path(most: usize) -> impl Strategy<Value = PathBuf> {
    let name = prop::sample::select(vec!["a", "b", "c", "etc", "hosts", "tmp", "proc"]);
    prop::collection::vec(name, 1..=most)
        .prop_map(|names| Path::new("/").join(names.into_iter().collect::<PathBuf>()))
}

prop_compose! {
    fn machine()(
        entries in prop::collection::vec((path(4), 0..6_u8, path(3)), 0..12),
        held in prop::collection::vec((0..4_usize, path(3), any::<bool>()), 0..4),
    ) -> Machine {
        let mut machine = Machine::of(&["/src/0/", "/src/1/", "/src/2/", "/src/3/", "/src/4"]);
        for (source, inside, directory) in held {
            let at = Path::new("/src").join(source.to_string());
            let inside = at.join(inside.strip_prefix("/").unwrap());
            machine.put(&inside, if directory { Entry::Directory } else { Entry::File });
        }
        for (at, kind, to) in entries {
            machine.put(&at, match kind {
                0 => Entry::File,
                1 => Entry::Link(to),
                2 => Entry::Link(to.strip_prefix("/").unwrap().to_path_buf()),
                _ => Entry::Directory,
            });
        }
        machine
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, ..ProptestConfig::default() })]

    #[test]
    fn every_target_is_mounted_once_below_what_it_lies_in_and_never_covered(
        machine in machine(),
        targets in prop::collection::vec(path(4), 0..5),
        shared in any::<bool>(),
    ) {
        let mounts: Vec<Mount> = targets
            .iter()
            .enumerate()
            .map(|(index, target)| Mount {
                source: Path::new("/src").join(index.to_string()),
                target: target.clone(),
                read_only: false,
            })
            .collect();
        let kept: &[&str] = if shared { &["/tmp/program"] } else { &[] };
        // A refusal is an answer; a plan must hold.
        let _refused = check(&machine, &mounts, kept);
    }
}
