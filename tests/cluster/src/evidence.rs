//! What is saved when a test fails: events, objects, descriptions, and the logs of the cluster itself.

use std::fs;
use std::path::PathBuf;

use crate::scene::Scene;

/// The questions, by the file that gets the answer.
const QUESTIONS: &[(&str, &[&str])] = &[
    (
        "events.txt",
        &[
            "get",
            "events",
            "-A",
            "--sort-by=.metadata.creationTimestamp",
        ],
    ),
    (
        "objects.txt",
        &["get", "all,configmaps,endpointslices", "-A", "-o", "wide"],
    ),
    ("pods.yaml", &["get", "pods", "-A", "-o", "yaml"]),
    ("pods.txt", &["describe", "pods", "-A"]),
    (
        "admission.yaml",
        &[
            "get",
            "mutatingwebhookconfigurations,validatingadmissionpolicies",
            "-o",
            "yaml",
        ],
    ),
];

/// Saves everything beside what the test itself wrote there, and says where.
pub(crate) async fn save(scene: &Scene) {
    let folder = &scene.evidence;
    if let Err(error) = fs::create_dir_all(folder) {
        eprintln!("no evidence can be saved in {}: {error}", folder.display());
        return;
    }
    let write = |name: &str, content: &[u8]| {
        if let Err(error) = fs::write(folder.join(name), content) {
            eprintln!("{name} is not saved: {error}");
        }
    };
    for (name, question) in QUESTIONS {
        let said = scene.kubectl(question).await;
        write(name, (said.stdout + &said.stderr).as_bytes());
    }
    for (name, log) in scene.cluster.logs() {
        write(&format!("{name}.log"), &log);
    }
    eprintln!("what the cluster knows is in {}", folder.display());
}

/// `<target>/cluster-evidence/<test>`.
pub(crate) fn folder(test: &str) -> PathBuf {
    let program = std::env::current_exe().unwrap_or_default();
    let target = program.ancestors().nth(2).map(PathBuf::from);
    target
        .unwrap_or_default()
        .join("cluster-evidence")
        .join(test)
}
