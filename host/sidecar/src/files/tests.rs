//! What readers see of a set, whenever a sidecar is killed.

use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};

use outrigger_profile::OnChange;
use proptest::prelude::*;

use super::*;
use crate::template::RenderedFile;

fn file(path: &str, content: &str) -> RenderedFile {
    RenderedFile {
        path: PathBuf::from(path),
        content: content.as_bytes().to_vec(),
        mode: 0o640,
        owner: None,
        on_change: OnChange::None,
    }
}

fn set(files: &[(&str, &str)], env: Option<&str>) -> RenderedSet {
    RenderedSet {
        files: files.iter().map(|(path, text)| file(path, text)).collect(),
        env: env.map(str::to_owned),
    }
}

fn folders() -> Vec<PathBuf> {
    vec![PathBuf::from("/a"), PathBuf::from("/b/c")]
}

/// What the workload reads.
fn seen(root: &Path, place: &str) -> Option<String> {
    fs::read_to_string(root.join("dirs").join(place)).ok()
}

#[test]
fn a_committed_set_is_read_through_the_links() {
    let root = tempfile::tempdir().unwrap();
    let mut files = Files::open(root.path(), folders()).unwrap();
    let committed = files
        .commit(&set(&[("/a/x", "1"), ("/b/c/y", "2")], Some("K='v'\n")))
        .unwrap();
    assert_eq!((committed.set, committed.new), (1, true));
    assert_eq!(committed.changed, ["/a/x", "/b/c/y", "env"]);
    assert_eq!(seen(root.path(), "0/x").unwrap(), "1");
    assert_eq!(seen(root.path(), "1/y").unwrap(), "2");
    let env = root.path().join("current/env");
    assert_eq!(fs::read_to_string(env).unwrap(), "K='v'\n");
    let link = fs::read_link(root.path().join("dirs/0/x")).unwrap();
    assert_eq!(link, root.path().join("current/0/x"));
}

#[test]
fn who_watches_a_folder_sees_which_of_its_files_changed() {
    let root = tempfile::tempdir().unwrap();
    let mut files = Files::open(root.path(), folders()).unwrap();
    let link = |place: &str| {
        let link = fs::symlink_metadata(root.path().join("dirs").join(place));
        link.unwrap().ino()
    };
    let both = || (link("0/x"), link("0/y"));
    files
        .commit(&set(&[("/a/x", "1"), ("/a/y", "1")], None))
        .unwrap();
    let first = both();
    files
        .commit(&set(&[("/a/x", "2"), ("/a/y", "1")], None))
        .unwrap();
    let second = both();
    assert_ne!(first.0, second.0, "a new entry of the folder");
    assert_eq!(first.1, second.1);
    files.return_to(1).unwrap();
    assert_ne!(second.0, link("0/x"));
    assert_eq!(seen(root.path(), "0/x").unwrap(), "1");
}

#[test]
fn the_same_set_again_is_no_new_one_even_after_a_restart() {
    let root = tempfile::tempdir().unwrap();
    let rendered = set(&[("/a/x", "1")], None);
    Files::open(root.path(), folders())
        .unwrap()
        .commit(&rendered)
        .unwrap();
    let mut files = Files::open(root.path(), folders()).unwrap();
    assert_eq!(files.current(), Some(1));
    let committed = files.commit(&rendered).unwrap();
    assert_eq!((committed.set, committed.new), (1, false));
    let mut other = rendered;
    other.files[0].mode = 0o600;
    assert_eq!(files.commit(&other).unwrap().changed, ["/a/x"]);
}

#[test]
fn modes_do_not_depend_on_the_umask() {
    let root = tempfile::tempdir().unwrap();
    let mut rendered = set(&[("/a/x", "1"), ("/a/y", "2")], None);
    rendered.files[0].mode = 0o666;
    rendered.files[1].mode = 0o400;
    Files::open(root.path(), folders())
        .unwrap()
        .commit(&rendered)
        .unwrap();
    let mode = |place: &str| {
        let metadata = fs::metadata(root.path().join("dirs").join(place)).unwrap();
        metadata.permissions().mode() & 0o7777
    };
    assert_eq!((mode("0/x"), mode("0/y")), (0o666, 0o400));
    assert_eq!(mode("0"), 0o755);
}

#[test]
fn an_owner_is_set_or_the_whole_set_is_refused() {
    let root = tempfile::tempdir().unwrap();
    let mut files = Files::open(root.path(), folders()).unwrap();
    let mut rendered = set(&[("/a/x", "1")], None);
    rendered.files[0].owner = Some(outrigger_profile::Owner {
        uid: 4242,
        gid: 4242,
    });
    match files.commit(&rendered) {
        Ok(_) => {
            let metadata = fs::metadata(root.path().join("dirs/0/x")).unwrap();
            assert_eq!((metadata.uid(), metadata.gid()), (4242, 4242));
        }
        Err(error) => {
            assert!(error.hint().contains("only root"), "{error}");
            assert!(!root.path().join("current").exists());
            assert!(!root.path().join("sets/1").exists());
        }
    }
}

#[test]
fn a_file_that_is_no_longer_rendered_vanishes_and_the_workloads_own_stay() {
    let root = tempfile::tempdir().unwrap();
    let mut files = Files::open(root.path(), folders()).unwrap();
    files
        .commit(&set(&[("/a/x", "1"), ("/a/y", "2")], None))
        .unwrap();
    fs::write(root.path().join("dirs/0/own"), "mine").unwrap();
    let committed = files.commit(&set(&[("/a/x", "1")], None)).unwrap();
    assert_eq!(committed.changed, ["/a/y"]);
    assert_eq!(seen(root.path(), "0/y"), None);
    assert!(!root.path().join("dirs/0/y").is_symlink());
    assert_eq!(seen(root.path(), "0/own").unwrap(), "mine");
}

#[test]
fn the_last_three_sets_are_kept_and_rolled_back_to() {
    let root = tempfile::tempdir().unwrap();
    let mut files = Files::open(root.path(), folders()).unwrap();
    for round in 1..=5 {
        files
            .commit(&set(&[("/a/x", &round.to_string())], None))
            .unwrap();
    }
    let mut kept: Vec<String> = fs::read_dir(root.path().join("sets"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    kept.sort();
    assert_eq!(kept, ["3", "4", "5"]);
    assert_eq!(files.return_to(4).unwrap(), ["/a/x"]);
    assert_eq!(seen(root.path(), "0/x").unwrap(), "4");
    assert_eq!(files.return_to(3).unwrap(), ["/a/x"]);
    assert!(matches!(
        files.return_to(2),
        Err(FilesError::NotKept { set: 2 })
    ));
    let committed = files.commit(&set(&[("/a/x", "new")], None)).unwrap();
    assert_eq!(committed.set, 6);
    assert_eq!(
        Files::open(root.path(), folders()).unwrap().current(),
        Some(6)
    );
}

#[test]
fn a_file_that_is_no_more_returns_with_its_set() {
    let root = tempfile::tempdir().unwrap();
    let mut files = Files::open(root.path(), folders()).unwrap();
    files
        .commit(&set(&[("/a/x", "1"), ("/a/y", "1")], None))
        .unwrap();
    files.commit(&set(&[("/a/x", "2")], None)).unwrap();
    assert_eq!(seen(root.path(), "0/y"), None);
    assert_eq!(files.return_to(1).unwrap(), ["/a/x", "/a/y"]);
    assert_eq!(seen(root.path(), "0/y").unwrap(), "1");
}

#[test]
fn what_was_refused_is_known_after_a_restart_until_it_is_forgotten() {
    let root = tempfile::tempdir().unwrap();
    let refused = Refused {
        profile: Some("p".into()),
        set: "s".into(),
        reason: "it is not ready".into(),
        at_unix_ms: 7,
    };
    let files = Files::open(root.path(), folders()).unwrap();
    assert_eq!(files.refused(), None);
    files.remember_refused(None).unwrap();
    files.remember_refused(Some(&refused)).unwrap();
    let files = Files::open(root.path(), folders()).unwrap();
    assert_eq!(files.refused(), Some(refused));
    files.remember_refused(None).unwrap();
    assert_eq!(files.refused(), None);
}

#[test]
fn a_path_outside_the_mounted_folders_is_refused() {
    let root = tempfile::tempdir().unwrap();
    let mut files = Files::open(root.path(), folders()).unwrap();
    let error = files
        .commit(&set(&[("/elsewhere/x", "1")], None))
        .unwrap_err();
    assert!(matches!(error, FilesError::NoFolder { .. }));
    assert_eq!(files.current(), None);
}

fn any_set() -> impl Strategy<Value = RenderedSet> {
    let names = prop::sample::subsequence(vec!["/a/x", "/a/y", "/b/c/z"], 1..=3);
    (names, "[a-c]{1,3}").prop_map(|(names, tag)| {
        // Every file of a set carries the set's tag, so that a mixture would show.
        let files: Vec<(&str, &str)> = names.iter().map(|name| (*name, tag.as_str())).collect();
        set(&files, Some(&tag))
    })
}

/// The tags of everything that can be read through `current`.
fn tags(root: &Path) -> Vec<String> {
    let current = root.join("current");
    ["env", "0/x", "0/y", "1/z"]
        .iter()
        .filter_map(|place| fs::read_to_string(current.join(place)).ok())
        .collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// A sidecar that is killed after any number of steps leaves the old set or the new one, whole;
    /// the next one finds its way from there.
    #[test]
    fn a_kill_at_any_step_leaves_one_whole_set(old in any_set(), new in any_set(), k in 0_usize..40) {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        let mut files = Files::open(root, folders()).unwrap();
        files.commit(&old).unwrap();
        let manifest = Manifest::of(&new);
        for step in files.steps(2, &new, &manifest).unwrap().iter().take(k) {
            take(step).unwrap();
        }
        drop(files);

        let found = tags(root);
        let of = |set: &RenderedSet| vec![set.env.clone().unwrap(); set.files.len() + 1];
        prop_assert!(found == of(&old) || found == of(&new), "{found:?}");

        let mut next = Files::open(root, folders()).unwrap();
        prop_assert!(next.current().is_some());
        prop_assert_eq!(&tags(root), &found);
        next.commit(&new).unwrap();
        prop_assert_eq!(tags(root), of(&new));
        for file in &new.files {
            let place = next.place(&file.path).unwrap();
            prop_assert_eq!(&fs::read(root.join("dirs").join(place)).unwrap(), &file.content);
        }
    }
}
