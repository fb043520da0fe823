//! What templates give and what is said of wrong ones.

use std::net::IpAddr;
use std::sync::Arc;

use outrigger_peers::{Identity, Ordinal, PeerSet, Phase};
use outrigger_profile::Format;
use serde_json::json;

use super::super::context::VolumeFacts;
use super::super::random::{Seed, Seeds};
use super::*;
use crate::secrets::Secrets;

#[derive(Debug)]
struct FixedSeeds;

impl Seeds for FixedSeeds {
    fn start(&self) -> Seed {
        [1; 32]
    }

    fn disk(&self, volume: &str) -> Result<Seed, String> {
        if volume == "data" {
            Ok([2; 32])
        } else {
            Err(format!("there is no volume `{volume}`"))
        }
    }
}

fn context() -> Context {
    let identity = Identity {
        stateful_set: "db".into(),
        ordinal: Ordinal(6),
        namespace: "prod".into(),
        service: "db".into(),
        cluster_domain: "cluster.local".into(),
        ip: Some(IpAddr::from([10, 0, 0, 6])),
        uid: "u-6".into(),
    };
    let mut set = PeerSet::expected(identity, Ordinal(5), 3);
    for (ordinal, replica) in &mut set.replicas {
        replica.phase = Phase::Ready;
        replica.addresses = vec![IpAddr::from([10, 0, 0, u8::try_from(ordinal.0).unwrap()])];
    }
    let secrets = Secrets::from_values(BTreeMap::from([(
        "admin".to_owned(),
        BTreeMap::from([
            ("password".to_owned(), b"hunter2".to_vec()),
            ("raw".to_owned(), vec![0xff, 0xfe]),
        ]),
    )]));
    Context {
        related: Arc::default(),
        peers: Arc::new(set),
        role: Some("leader".into()),
        volumes: BTreeMap::from([(
            "data".to_owned(),
            VolumeFacts {
                path: "/data".into(),
                bytes: Some(400 << 30),
                free: None,
            },
        )]),
        env: BTreeMap::from([("ZONE".to_owned(), "a".to_owned())]),
        settings: BTreeMap::from([("lag-limit".to_owned(), json!(100))]),
        secrets: Arc::new(secrets),
        plugin: BTreeMap::from([("seed".to_owned(), "db-5".to_owned())]),
        seeds: Arc::new(FixedSeeds),
    }
}

fn file(name: &str, syntax: Syntax, format: Format) -> File {
    File {
        from: FileFrom::Template(name.to_owned()),
        path: PathBuf::from("/etc/db").join(name),
        syntax,
        values: BTreeMap::new(),
        format,
        mode: 0o640,
        owner: None,
        on_change: OnChange::None,
    }
}

fn profile(files: Vec<File>, env: &[(&str, &str)]) -> Profile {
    let text = "apiVersion: outrigger.dev/v1alpha1\nkind: Profile\nmetadata: {name: db}\nspec:\n  workload: {container: db, ports: {api: 3000}}\n";
    let (profile, findings) = outrigger_profile::parse(text, "outrigger.yaml");
    let mut profile = profile.unwrap_or_else(|| panic!("{findings}"));
    profile.files = files;
    profile.env = env
        .iter()
        .map(|(name, template)| {
            let template = (*template).to_owned();
            ((*name).to_owned(), EnvValue { template })
        })
        .collect();
    profile
}

fn texts(templates: &[(&str, &str)]) -> BTreeMap<String, String> {
    templates
        .iter()
        .map(|(name, text)| ((*name).to_owned(), (*text).to_owned()))
        .collect()
}

/// The result of one Jinja template.
fn jinja(source: &str) -> Result<String, Vec<String>> {
    jinja_with(source, &[])
}

fn jinja_with(source: &str, others: &[(&str, &str)]) -> Result<String, Vec<String>> {
    let mut templates = texts(others);
    templates.insert("main".to_owned(), source.to_owned());
    let profile = profile(vec![file("main", Syntax::Jinja, Format::Text)], &[]);
    match render(&profile, &templates, &context(), &BTreeMap::new()) {
        Ok(set) => Ok(String::from_utf8(set.files[0].content.clone()).unwrap()),
        Err(findings) => Err(findings.iter().map(ToString::to_string).collect()),
    }
}

fn refusal(source: &str) -> String {
    jinja(source).unwrap_err().join("\n")
}

#[test]
fn everything_that_the_design_names_is_there() {
    let template = "\
{{ self.name }} {{ self.ordinal }} {{ self.index }} {{ self.host }} {{ self.ip }} {{ self.uid }}
{{ self.namespace }} {{ self.role }} {{ service }} {{ start }} {{ desired }} {{ quorum }}
{{ peers | map(attribute='name') | join(',') }} {{ replicas | hosts | length }}
{{ volumes.data.path }} {{ volumes.data.bytes }} {{ env.ZONE }} {{ settings['lag-limit'] }}
{{ secrets.admin.password }} {{ secrets[\"admin\"][\"password\"] }} {{ plugin.seed }}
";
    assert_eq!(
        jinja(template).unwrap(),
        "\
db-6 6 1 db-6.db.prod.svc.cluster.local 10.0.0.6 u-6
prod leader db 5 3 2
db-5,db-7 3
/data 429496729600 a 100
hunter2 hunter2 db-5
"
    );
}

#[test]
fn loops_leave_no_blank_lines_and_the_last_newline_stays() {
    let template =
        "cluster:\n{% for replica in replicas %}\n  - {{ replica.name }}\n{% endfor %}\n";
    assert_eq!(
        jinja(template).unwrap(),
        "cluster:\n  - db-5\n  - db-6\n  - db-7\n"
    );
}

#[test]
fn the_filters_give_what_stateful_configurations_need() {
    for (source, expected) in [
        ("{{ '400Gi' | bytes }}", "429496729600"),
        ("{{ volumes.data.bytes | quantity }}", "400Gi"),
        ("{{ '1Gi' | share(80) }}", "858993459"),
        ("{{ volumes.data.bytes | share(12.5) }}", "53687091200"),
        (
            "{{ replicas | urls('http', 3000) | join(', ') }}",
            "http://db-5.db.prod.svc.cluster.local:3000, http://db-6.db.prod.svc.cluster.local:3000, http://db-7.db.prod.svc.cluster.local:3000",
        ),
        (
            "{{ self | urls('http', 3000) }}",
            "http://db-6.db.prod.svc.cluster.local:3000",
        ),
        ("{{ 'fd00::1' | urls('http', 80) }}", "http://[fd00::1]:80"),
        ("{{ replicas | quorum }} {{ 5 | quorum }}", "2 3"),
        ("{{ {'a': [1, 'x<y']} | json }}", r#"{"a":[1,"x<y"]}"#),
        ("{{ 'a\nb' | indent(2) }}", "a\n  b"),
    ] {
        assert_eq!(jinja(source).as_deref(), Ok(expected), "{source}");
    }
}

#[test]
fn random_texts_stay_and_differ_by_name_and_kind() {
    let once = jinja(
        "{{ new_per_start(8) }} {{ 'x' | new_per_start(8) }} {{ stable_per_disk('data', 8) }}",
    )
    .unwrap();
    let again = jinja(
        "{{ new_per_start(8) }} {{ 'x' | new_per_start(8) }} {{ stable_per_disk('data', 8) }}",
    )
    .unwrap();
    assert_eq!(once, again);
    let mut parts: Vec<&str> = once.split(' ').collect();
    assert!(parts.iter().all(|part| part.len() == 8));
    parts.dedup();
    assert_eq!(parts.len(), 3);
    assert!(refusal("{{ stable_per_disk('other', 8) }}").contains("there is no volume `other`"));
    assert!(refusal("{{ new_per_start(0) }}").contains("the length 0"));
}

#[test]
fn a_missing_value_is_an_error_that_names_its_line_and_what_is_near() {
    assert_eq!(
        refusal("ok\n{{ self.ordnal }}"),
        "error: main:2: spec.files[0]: `self.ordnal` has no value\n  hint: did you mean `self.ordinal`?"
    );
    assert_eq!(
        refusal("{{ slef.name }}"),
        "error: main:1: spec.files[0]: `slef.name` has no value\n  hint: did you mean `self`?"
    );
    assert!(refusal("{{ volumes.data.free }}").contains("`volumes.data` has path, bytes"));
    assert!(refusal("{{ volumes.dta.path }}").contains("did you mean `volumes.data`?"));
    assert!(refusal("{{ plugin.nothing }}").contains("`plugin` has seed"));
    assert!(refusal("{{ self.nam | upper }}").contains("`self.nam` has no value"));
    assert!(refusal("{{ volumes['data'].fre }}").contains("`volumes['data'].fre` has no value"));
    assert!(refusal("{% for p in pers %}{% endfor %}").contains("did you mean `peers`?"));
    assert!(refusal("{% if self.nam %}{% endif %}").contains("`self.nam` has no value"));
}

#[test]
fn a_missing_secret_is_told_without_any_value() {
    assert!(
        refusal("{{ secrets.admin.pasword }}").contains("the Secret has the keys: password, raw")
    );
    assert!(refusal("{{ secrets.amin.password }}").contains("did you mean `secrets.admin`?"));
    assert!(refusal("{{ secrets.admin.raw }}").contains("its value is not UTF-8 text"));
    let told = refusal("{{ secrets.admin.password | bytes }}");
    assert!(
        told.contains("(hidden)") && !told.contains("hunter2"),
        "{told}"
    );
    for shown in [
        "{{ secrets }}",
        "{{ secrets.admin }}",
        "{{ secrets | list }}",
    ] {
        assert!(!jinja(shown).unwrap().contains("hunter2"), "{shown}");
    }
    assert!(refusal("{{ debug() }}").contains("debug"));
}

#[test]
fn syntax_faults_and_unknown_filters_name_their_line() {
    assert!(refusal("a\nb\n{% for x in %}").contains("main:3"));
    let unknown = refusal("{{ '1Gi' | byts }}");
    assert!(unknown.contains("did you mean `bytes`?"), "{unknown}");
}

#[test]
fn includes_work_and_their_faults_name_the_included_file() {
    let shared = ("part", "x\n{{ self.nope }}\n");
    assert_eq!(
        jinja_with("{% include 'good' %}", &[("good", "{{ self.name }}\n")]).unwrap(),
        "db-6\n"
    );
    let told = jinja_with("a\n{% include 'part' %}", &[shared]).unwrap_err();
    assert!(told[0].starts_with("error: part:2: "), "{told:?}");
    let told = jinja_with("{% include 'prt' %}", &[shared]).unwrap_err();
    assert!(told[0].contains("did you mean `part`?"), "{told:?}");
    let told = jinja_with("{% include 'a' %}", &[("a", "{% include 'main' %}")]).unwrap_err();
    assert!(told[0].contains("main → a → main"), "{told:?}");
}

#[test]
fn a_template_can_refuse_with_its_own_reason() {
    assert_eq!(
        refusal("ok\n{% if desired < 5 %}\n{{ refuse('fewer than 5: ' ~ desired) }}\n{% endif %}"),
        "error: main:3: spec.files[0]: the template refuses: fewer than 5: 3\n  hint: change what the template looks at, such as the profile's settings"
    );
}

#[test]
fn a_template_without_end_is_stopped() {
    let told = refusal(
        "{% for a in range(100000) %}{% for b in range(100000) %}{{ b }}{% endfor %}{% endfor %}",
    );
    assert!(told.contains("more than"), "{told}");
    let told = refusal("{% macro m(n) %}{{ m(n) }}{% endmacro %}{{ m(1) }}");
    assert!(told.contains("recursion"), "{told}");
}

#[test]
fn all_files_findings_come_at_once_each_with_its_place() {
    let profile = profile(
        vec![
            file("one.yaml", Syntax::Jinja, Format::Yaml),
            file("two.json", Syntax::Placeholders, Format::Json),
            file("three", Syntax::Env, Format::Text),
            file("four.toml", Syntax::Verbatim, Format::Toml),
            file("five", Syntax::Jinja, Format::Text),
        ],
        &[("A", "{{ self.nam }}"), ("B", "ok")],
    );
    let templates = texts(&[
        ("one.yaml", "a: [{{ self.name }}"),
        ("two.json", "{\"id\": {ordinl}}"),
        ("three", "x\n${NOWHERE}"),
        ("four.toml", "a = 1\nb ="),
    ]);
    let findings = render(&profile, &templates, &context(), &BTreeMap::new()).unwrap_err();
    let places: Vec<String> = findings
        .iter()
        .map(|f| format!("{} {}:{}", f.path, f.file, f.line))
        .collect();
    assert_eq!(
        places,
        [
            "spec.files[0] /etc/db/one.yaml:1",
            "spec.files[1] two.json:1",
            "spec.files[2] three:2",
            "spec.files[3] /etc/db/four.toml:2",
            "spec.files[4] :0",
            "spec.env.A outrigger.yaml:0",
        ]
    );
}

#[test]
fn one_set_holds_every_syntax_the_plugins_files_and_the_variables() {
    let mut from_plugin = file("p", Syntax::Jinja, Format::Yaml);
    from_plugin.from = FileFrom::Plugin;
    from_plugin.path = PathBuf::from("/etc/db/p");
    let profile = profile(
        vec![
            file("one", Syntax::Jinja, Format::Text),
            file("two", Syntax::Placeholders, Format::Text),
            file("three", Syntax::Env, Format::Text),
            file("four", Syntax::Verbatim, Format::Text),
            from_plugin,
        ],
        &[
            ("ID", "{{ self.ordinal }}"),
            ("SEEDS", "{{ peers | hosts | join(',') }}"),
        ],
    );
    let templates = texts(&[
        ("one", "{{ self.index }}"),
        ("two", "{id} of {replicas}"),
        ("three", "${ZONE}"),
        ("four", "{{ untouched }}"),
    ]);
    let artifacts = BTreeMap::from([(PathBuf::from("/etc/db/p"), b"a: 1".to_vec())]);
    let set = render(&profile, &templates, &context(), &artifacts).unwrap();
    let contents: Vec<&[u8]> = set.files.iter().map(|f| f.content.as_slice()).collect();
    assert_eq!(
        contents,
        [&b"1"[..], b"6 of 3", b"a", b"{{ untouched }}", b"a: 1"]
    );
    assert_eq!(
        set.env.as_deref(),
        Some("ID='6'\nSEEDS='db-5.db.prod.svc.cluster.local,db-7.db.prod.svc.cluster.local'\n")
    );
    let other = render(&profile, &templates, &context(), &artifacts).unwrap();
    assert_eq!(set.digest(), other.digest());
}

#[test]
fn a_files_own_names_are_rendered_for_this_replica_and_go_before_the_others() {
    let mut shell = file("shell", Syntax::Env, Format::Text);
    shell.values = texts(&[
        ("AGDB_REPLICA_INDEX", "{{ self.ordinal }}"),
        ("ZONE", "{{ settings['lag-limit'] }}"),
    ]);
    let mut braces = file("braces", Syntax::Placeholders, Format::Text);
    braces.values = texts(&[
        ("my-index", "{{ self.index }}"),
        ("id", "x{{ plugin.seed }}"),
    ]);
    let profile = profile(vec![shell, braces], &[]);
    let templates = texts(&[
        (
            "shell",
            "db-${AGDB_REPLICA_INDEX} db-$AGDB_REPLICA_INDEX ${ZONE}",
        ),
        ("braces", "{my-index} of {replicas}: {id}"),
    ]);
    let set = render(&profile, &templates, &context(), &BTreeMap::new()).unwrap();
    let contents: Vec<&[u8]> = set.files.iter().map(|f| f.content.as_slice()).collect();
    assert_eq!(contents, [&b"db-6 db-6 100"[..], b"1 of 3: xdb-5"]);
}

#[test]
fn what_is_wrong_with_a_files_own_names_is_told_at_their_place_in_the_profile() {
    let mut shell = file("shell", Syntax::Env, Format::Text);
    shell.values = texts(&[("A", "{{ self.ordnal }}"), ("B", "ok"), ("C", "{{ ")]);
    let mut braces = file("braces", Syntax::Placeholders, Format::Text);
    braces.values = texts(&[("mine", "{{ secrets.admin.raw }}")]);
    let profile = profile(vec![shell, braces], &[]);
    let templates = texts(&[("shell", "${A}"), ("braces", "{mine}{mien}")]);
    let findings = render(&profile, &templates, &context(), &BTreeMap::new()).unwrap_err();
    let told: Vec<String> = findings.iter().map(ToString::to_string).collect();
    assert_eq!(
        told,
        [
            "error: outrigger.yaml: spec.files[0].values.A: `self.ordnal` has no value\n  hint: did you mean `self.ordinal`?",
            "error: outrigger.yaml: spec.files[0].values.C: syntax error: unexpected end of input, expected expression",
            "error: outrigger.yaml: spec.files[1].values.mine: `secrets.admin.raw` has no value\n  hint: its value is not UTF-8 text",
        ]
    );
}

#[test]
fn a_bare_word_of_a_users_own_file_is_filled_in_by_a_template_around_it() {
    let around = "{% filter replace('AGDB_REPLICA_INDEX', self.ordinal) %}{% include 'mine' %}{% endfilter %}";
    let result = jinja_with(
        around,
        &[(
            "mine",
            "address: http://agdb-AGDB_REPLICA_INDEX.agdb:3000\n",
        )],
    );
    assert_eq!(result.unwrap(), "address: http://agdb-6.agdb:3000\n");
}

#[test]
fn contents_show_nowhere_in_debug_output() {
    let profile = profile(
        vec![file("main", Syntax::Jinja, Format::Text)],
        &[("P", "{{ secrets.admin.password }}")],
    );
    let templates = texts(&[("main", "{{ secrets.admin.password }}")]);
    let context = context();
    let set = render(&profile, &templates, &context, &BTreeMap::new()).unwrap();
    assert!(!format!("{set:?} {context:?}").contains("hunter2"));
}
