//! Which of the optional interfaces a component exports, and whether their types are ours.

use std::collections::BTreeSet;

use wasmtime::Store;
use wasmtime::component::{Component, Instance, InstancePre, Linker};

use crate::bindings::{PACKAGE, VERSION, exports, interface_name};
use crate::call_state::CallState;
use crate::error::LoadError;
use crate::types::Interface;
use crate::wasi;

/// The interfaces of the package that guests may import.
const IMPORTS: &[&str] = &[
    "types", "log", "clock", "settings", "state", "cluster", "endpoint", "files",
];

/// Where the functions of each exported interface are within the component.
#[derive(Clone)]
pub(crate) struct Exports {
    pub(crate) plugin: exports::plugin::GuestIndices,
    pub(crate) discovery: Option<exports::discovery::GuestIndices>,
    pub(crate) templating: Option<exports::templating::GuestIndices>,
    pub(crate) health: Option<exports::health::GuestIndices>,
    pub(crate) metrics: Option<exports::metrics::GuestIndices>,
    pub(crate) lifecycle: Option<exports::lifecycle::GuestIndices>,
    pub(crate) handover: Option<exports::handover::GuestIndices>,
}

/// Refuses components whose imports the host cannot serve, before anything of them runs.
pub(crate) fn check_imports(component: &Component) -> Result<(), LoadError> {
    let names = names(component.component_type().imports(component.engine()));
    let mut unknown = Vec::new();
    for name in names {
        match of_package(&name) {
            Some((interface, version)) if IMPORTS.contains(&interface) => {
                check_version(&name, version)?;
            }
            _ if wasi::is_served(&name) => {}
            _ => unknown.push(name),
        }
    }
    if unknown.is_empty() {
        Ok(())
    } else {
        Err(LoadError::UnknownImports { imports: unknown })
    }
}

/// Refuses components that do not export `plugin`, or that were made for another version of the border.
pub(crate) fn check_exports(component: &Component) -> Result<BTreeSet<Interface>, LoadError> {
    let names = names(component.component_type().exports(component.engine()));
    let mut interfaces = BTreeSet::new();
    let mut is_plugin = false;
    for name in &names {
        let Some((interface, version)) = of_package(name) else {
            continue;
        };
        check_version(name, version)?;
        is_plugin |= interface == "plugin";
        let known = Interface::ALL
            .into_iter()
            .find(|known| known.as_str() == interface);
        interfaces.extend(known);
    }
    if is_plugin {
        Ok(interfaces)
    } else {
        Err(LoadError::NotAPlugin {
            wanted: interface_name("plugin"),
            exports: names,
        })
    }
}

fn names<'a, T>(items: impl Iterator<Item = (&'a str, T)>) -> Vec<String> {
    items.map(|(name, _)| name.to_owned()).collect()
}

/// The interface and the version of a name in our package.
fn of_package(name: &str) -> Option<(&str, &str)> {
    let rest = name.strip_prefix(PACKAGE)?.strip_prefix('/')?;
    Some(rest.split_once('@').unwrap_or((rest, "")))
}

/// Versions are the same border when major and minor are ours.
fn check_version(name: &str, version: &str) -> Result<(), LoadError> {
    let track = |version: &str| {
        let mut parts = version.splitn(3, '.').map(str::to_owned);
        (parts.next(), parts.next())
    };
    if track(version) == track(VERSION) {
        Ok(())
    } else {
        Err(LoadError::OtherVersion {
            found: name.to_owned(),
            supported: format!("{PACKAGE}@{VERSION}"),
        })
    }
}

impl Exports {
    /// Finds the functions of the interfaces that the component exports.
    pub(crate) fn find(
        pre: &InstancePre<CallState>,
        interfaces: &BTreeSet<Interface>,
    ) -> Result<Self, LoadError> {
        macro_rules! optional {
            ($interface:ident, $module:ident) => {
                if interfaces.contains(&Interface::$interface) {
                    let found = exports::$module::GuestIndices::new(pre);
                    Some(found.map_err(differs(stringify!($module)))?)
                } else {
                    None
                }
            };
        }
        Ok(Self {
            plugin: exports::plugin::GuestIndices::new(pre).map_err(differs("plugin"))?,
            discovery: optional!(Discovery, discovery),
            templating: optional!(Templating, templating),
            health: optional!(Health, health),
            metrics: optional!(Metrics, metrics),
            lifecycle: optional!(Lifecycle, lifecycle),
            handover: optional!(Handover, handover),
        })
    }

    /// Whether the types of every function are ours. Only an instance tells.
    pub(crate) fn check_types(
        &self,
        store: &mut Store<CallState>,
        instance: &Instance,
    ) -> Result<(), LoadError> {
        macro_rules! check {
            ($($module:ident),*) => {
                $(if let Some(indices) = &self.$module {
                    indices.load(&mut *store, instance).map_err(differs(stringify!($module)))?;
                })*
            };
        }
        self.plugin
            .load(&mut *store, instance)
            .map_err(differs("plugin"))?;
        check!(discovery, templating, health, metrics, lifecycle, handover);
        Ok(())
    }
}

fn differs(interface: &'static str) -> impl FnOnce(wasmtime::Error) -> LoadError {
    move |error| LoadError::Interface {
        interface: interface.to_owned(),
        problem: format!("{error:#}"),
    }
}

/// The linker of one component: everything that the host serves, and traps for the rest of WASI.
pub(crate) fn link(
    base: &Linker<CallState>,
    component: &Component,
) -> Result<InstancePre<CallState>, wasmtime::Error> {
    let mut linker = base.clone();
    wasi::stub_the_rest(&mut linker, component)?;
    linker.instantiate_pre(component)
}
