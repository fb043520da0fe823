use std::path::Path;

use super::*;

fn from(variables: &[(&str, &str)]) -> Result<Config, Findings> {
    let variables: BTreeMap<String, String> = variables
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect();
    Config::from_env(&|name| variables.get(name).cloned())
}

#[test]
fn a_pod_name_alone_is_enough() {
    let config = from(&[("POD_NAME", "agdb-2")]).unwrap();
    assert_eq!(config.identity.ordinal, Ordinal(2));
    assert_eq!(
        config.identity.host_of(Ordinal(0)),
        "agdb-0.agdb.default.svc.cluster.local"
    );
    assert_eq!(config.desired, None);
    assert_eq!(config.pod_management, PodManagement::OrderedReady);
    assert_eq!(config.grace_period, Duration::from_secs(30));
    assert_eq!(config.workload_host, "127.0.0.1");
    assert_eq!(config.listen.to_string(), "[::]:7070");
    assert_eq!(
        config.dirs.profile_file(),
        Path::new("/etc/outrigger/profile/outrigger.yaml")
    );
}

#[test]
fn everything_that_is_set_is_taken() {
    let config = from(&[
        ("POD_NAME", "db-7"),
        ("POD_NAMESPACE", "prod"),
        ("POD_IP", "fd00::7"),
        ("POD_UID", "u-1"),
        ("OUTRIGGER_SERVICE", "db-headless"),
        ("OUTRIGGER_CLUSTER_DOMAIN", "k8s.example"),
        ("OUTRIGGER_REPLICAS", "3"),
        ("OUTRIGGER_ORDINALS_START", "5"),
        ("OUTRIGGER_POD_MANAGEMENT", "Parallel"),
        ("OUTRIGGER_GRACE_PERIOD", "1m30s"),
        (
            "OUTRIGGER_VOLUMES",
            r#"{"data":{"path":"/data","sidecar-path":"/volumes/data","bytes":1073741824},"tmp":{"path":"/tmp"}}"#,
        ),
        ("OUTRIGGER_LISTEN", "127.0.0.1:9000"),
        ("OUTRIGGER_LOG_FORMAT", "json"),
    ])
    .unwrap();
    assert_eq!(config.start, Ordinal(5));
    assert_eq!(config.desired, Some(3));
    assert_eq!(config.pod_management, PodManagement::Parallel);
    assert_eq!(config.grace_period, Duration::from_secs(90));
    assert_eq!(config.workload_host, "fd00::7");
    assert_eq!(config.volumes["data"].bytes, Some(1 << 30));
    assert_eq!(config.volumes["tmp"].sidecar_path, PathBuf::from("/tmp"));
    assert_eq!(
        config.identity.service_host(),
        "db-headless.prod.svc.k8s.example"
    );
    assert_eq!(config.env["OUTRIGGER_REPLICAS"], "3");
}

#[test]
fn all_problems_are_told_at_once_each_with_its_variable_and_a_hint() {
    let findings = from(&[
        ("POD_NAMESPACE", "Prod_1"),
        ("POD_IP", "ten"),
        ("OUTRIGGER_REPLICAS", "5000"),
        ("OUTRIGGER_POD_MANAGEMENT", "parallel"),
        ("OUTRIGGER_GRACE_PERIOD", "30"),
        ("OUTRIGGER_FILES_DIR", "run"),
        (
            "OUTRIGGER_VOLUMES",
            r#"{"data":{"path":"data"},"more":{"path":"/m","size":1}}"#,
        ),
        ("OUTRIGGER_LISTEN", "7070"),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "collector:4317"),
    ])
    .unwrap_err();
    let places: Vec<&str> = findings.0.iter().map(|f| f.path.as_str()).collect();
    assert_eq!(
        places,
        [
            "POD_NAME",
            "POD_NAMESPACE",
            "POD_IP",
            "OUTRIGGER_REPLICAS",
            "OUTRIGGER_POD_MANAGEMENT",
            "OUTRIGGER_GRACE_PERIOD",
            "OUTRIGGER_FILES_DIR",
            "OUTRIGGER_VOLUMES",
            "OUTRIGGER_VOLUMES",
            "OUTRIGGER_LISTEN",
            "OTEL_EXPORTER_OTLP_ENDPOINT",
        ]
    );
    assert!(findings.0.iter().all(|finding| finding.hint.is_some()));
}

#[test]
fn a_start_above_the_own_ordinal_is_refused() {
    let findings = from(&[("POD_NAME", "db-1"), ("OUTRIGGER_ORDINALS_START", "5")]).unwrap_err();
    assert_eq!(
        findings.0[0].problem,
        "the first ordinal is 5, above this pod's own, db-1"
    );
}

#[test]
fn the_token_shows_neither_in_debug_output_nor_among_the_variables_of_templates() {
    let config = from(&[
        ("POD_NAME", "db-0"),
        ("OUTRIGGER_PRE_STOP_TOKEN", "hush-hush"),
    ])
    .unwrap()
    .with_env([
        (
            "OUTRIGGER_PRE_STOP_TOKEN".to_owned(),
            "hush-hush".to_owned(),
        ),
        ("ZONE".to_owned(), "a".to_owned()),
        ("POD_NAME".to_owned(), "other-9".to_owned()),
    ]);
    assert!(!format!("{config:?}").contains("hush-hush"));
    assert_eq!(config.env["ZONE"], "a");
    assert_eq!(config.env["POD_NAME"], "db-0");
    let token = config.pre_stop_token.unwrap();
    assert!(token.matches("hush-hush"));
    for wrong in ["", "hush-hus", "hush-hush!", "Hush-hush"] {
        assert!(!token.matches(wrong), "{wrong}");
    }
}

#[test]
fn a_built_in_profile_stands_in_for_the_folder() {
    let config = from(&[
        ("POD_NAME", "agdb-0"),
        ("OUTRIGGER_PROFILE", "builtin:agdb"),
    ]);
    assert_eq!(config.unwrap().dirs.profile, Path::new("builtin:agdb"));
    for (text, problem, hint) in [
        (
            "builtin:agbd",
            "there is no built-in profile `agbd`",
            "did you mean `agdb`?",
        ),
        (
            "agdb",
            "`agdb` is no built-in profile",
            "write `builtin:` and a name, such as `builtin:agdb`",
        ),
    ] {
        let found = from(&[("POD_NAME", "agdb-0"), ("OUTRIGGER_PROFILE", text)]).unwrap_err();
        assert_eq!(found.0[0].problem, problem);
        assert_eq!(found.0[0].hint.as_deref(), Some(hint));
    }
}
