use super::*;

fn messages(entries: &[Arc<Entry>]) -> Vec<&str> {
    entries.iter().map(|entry| entry.message.as_str()).collect()
}

#[test]
fn entries_are_numbered_from_one_and_given_after_a_number() {
    let timeline = Timeline::in_memory();
    timeline.record("test", "first", []);
    let second = timeline.record("test", "second", [("set", 2.into())]);
    timeline.record("test", "third", []);
    assert_eq!(second, 2);
    assert_eq!(messages(&timeline.since(1)), ["second", "third"]);
    assert_eq!(timeline.since(1)[0].fields["set"], 2);
    assert!(timeline.since(3).is_empty());
}

#[test]
fn memory_holds_the_newest_entries_alone() {
    let timeline = Timeline::in_memory();
    for number in 0..limits::TIMELINE_ENTRIES + 5 {
        timeline.record("test", number.to_string(), []);
    }
    let entries = timeline.since(0);
    assert_eq!(entries.len(), limits::TIMELINE_ENTRIES);
    assert_eq!(entries[0].seq, 6);
}

#[test]
fn a_restarted_sidecar_goes_on_where_the_file_ends() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("state/timeline.jsonl");
    let before = Timeline::open(&file);
    before.record("test", "before", [("role", "leader".into())]);
    before.flush();
    drop(before);

    let after = Timeline::open(&file);
    after.record("test", "after", []);
    assert_eq!(messages(&after.since(0)), ["before", "after"]);
    assert_eq!(after.since(0)[0].fields["role"], "leader");
    assert_eq!(after.newest(), 2);
}

#[test]
fn half_a_line_left_by_a_kill_costs_that_line_alone() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("timeline.jsonl");
    let whole = r#"{"seq":7,"unix_ms":1,"kind":"test","message":"whole"}"#;
    std::fs::write(&file, format!("{whole}\n{{\"seq\":8,\"uni")).unwrap();
    let timeline = Timeline::open(&file);
    timeline.record("test", "next", []);
    timeline.flush();
    let again = Timeline::open(&file);
    assert_eq!(messages(&again.since(0)), ["whole", "next"]);
    assert_eq!(again.newest(), 8);
}

#[test]
fn the_files_are_bounded_and_a_restart_reads_both() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("timeline.jsonl");
    let timeline = Timeline::open(&file);
    let long = "x".repeat(limits::TIMELINE_MESSAGE_BYTES_MAX);
    let rounds = 3 * limits::TIMELINE_FILE_BYTES_MAX / long.len() as u64;
    for _ in 0..rounds {
        timeline.record("test", long.clone(), []);
        timeline.flush();
    }
    assert_eq!(timeline.unwritten(), 0);
    let mut sizes: Vec<u64> = std::fs::read_dir(folder.path())
        .unwrap()
        .map(|entry| entry.unwrap().metadata().unwrap().len())
        .collect();
    sizes.sort_unstable();
    assert_eq!(sizes.len(), 2);
    assert!(sizes[1] <= limits::TIMELINE_FILE_BYTES_MAX);
    let again = Timeline::open(&file).since(0);
    assert_eq!(again.last().unwrap().seq, rounds);
    assert!(again.len() as u64 > limits::TIMELINE_FILE_BYTES_MAX / long.len() as u64 / 2);
}

#[test]
fn a_folder_that_cannot_be_used_leaves_a_timeline_in_memory_that_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let blocked = folder.path().join("file");
    std::fs::write(&blocked, "").unwrap();
    let timeline = Timeline::open(&blocked.join("timeline.jsonl"));
    timeline.record("test", "works", []);
    let entries = timeline.since(0);
    assert!(
        entries[0]
            .message
            .starts_with("the timeline is not kept on disk")
    );
    assert_eq!(entries[1].message, "works");
}

#[test]
fn overlong_messages_are_cut_and_overlong_fields_counted() {
    let timeline = Timeline::in_memory();
    let long = "ä".repeat(limits::TIMELINE_FIELDS_BYTES_MAX);
    timeline.record("test", long.clone(), [("a", 1.into()), ("b", long.into())]);
    let entry = &timeline.since(0)[0];
    assert!(entry.message.len() <= limits::TIMELINE_MESSAGE_BYTES_MAX);
    assert!(entry.message.ends_with('…'));
    assert_eq!(
        Value::Object(entry.fields.clone()),
        serde_json::json!({"a": 1, "left-out": 1})
    );
}

#[tokio::test]
async fn a_follower_is_given_what_comes_after_its_number_once() {
    let timeline = Timeline::in_memory();
    timeline.record("test", "old", []);
    let mut all = timeline.subscribe_after(0);
    let mut new = timeline.subscribe();
    assert_eq!(messages(&all.next().await), ["old"]);
    timeline.record("test", "one", []);
    timeline.record("test", "two", []);
    assert_eq!(messages(&all.next().await), ["one", "two"]);
    assert_eq!(messages(&new.next().await), ["one", "two"]);
    let waiting = tokio::time::timeout(std::time::Duration::ZERO, new.next()).await;
    assert!(waiting.is_err());
}
