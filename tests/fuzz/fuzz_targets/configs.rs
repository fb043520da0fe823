//! What the plugins find in any text that shall become a configuration is in lines of it, in their order, and says
//! what to do; one that cannot be read is refused by all who read it.
#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use outrigger_fuzz::{members, sound};
use outrigger_plugin_aistore as aistore;
use outrigger_plugin_aistore::disks::{Content, Disk};
use outrigger_plugin_aistore::settings::Role;
use outrigger_plugin_aistore::vmd::Vmd;
use outrigger_plugin_oxia as oxia;
use outrigger_plugin_oxia::status::Status;
use outrigger_plugin_piko as piko;
use outrigger_plugin_sdk::{Diagnostic, Severity, json, yaml};
use outrigger_plugin_tag as tag;

const PATH: &str = "/etc/it/config";

/// What Oxia has while a list is checked.
static STEADY: LazyLock<Status> = LazyLock::new(|| {
    let captured = include_bytes!("../../../plugins/oxia/tests/data/steady.yaml");
    oxia::status::read(captured).unwrap()
});

fn disks() -> Vec<Disk> {
    let identity = Vmd {
        id: "ais-target-1".to_owned(),
        mountpaths: vec!["/data/0".to_owned()],
    };
    let contents = [Content::Of(identity), Content::Unclaimed { objects: false }];
    let named = |(place, content)| Disk {
        volume: format!("data-{place}"),
        content,
    };
    contents.into_iter().enumerate().map(named).collect()
}

fn refuses(found: &[Diagnostic]) -> bool {
    found.iter().any(|one| one.severity == Severity::Error)
}

fuzz_target!(|text: &str| {
    let content = text.as_bytes();
    for own in [1, 3] {
        let services = ["oxia.default.svc.cluster.local".to_owned()];
        let of_yaml = [
            piko::config::check(
                PATH,
                content,
                &piko::settings::Settings::default(),
                &members("piko", own),
            ),
            tag::config::check(
                PATH,
                content,
                &tag::settings::Settings::default(),
                &members("tag", own),
                Some(1e11),
            ),
            oxia::config::check(PATH, content, &services, Some(&STEADY)),
        ];
        let mut target = aistore::settings::Settings::of(Role::Target);
        target.mountpaths = vec!["data-0".to_owned(), "data-1".to_owned()];
        let proxy = aistore::settings::Settings::of(Role::Proxy);
        let of_json = [
            aistore::config::local(
                PATH,
                content,
                &target,
                &members("ais-target", own),
                &disks(),
            ),
            aistore::config::global(PATH, content, &proxy, &members("ais-proxy", own)),
        ];
        for found in &of_yaml {
            sound(found, PATH, text);
            assert!(yaml::parse(text).is_ok() || refuses(found), "{found:?}");
        }
        for found in &of_json {
            sound(found, PATH, text);
            assert!(json::value(text).is_ok() || refuses(found), "{found:?}");
        }
    }
});
