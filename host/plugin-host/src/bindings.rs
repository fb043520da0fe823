//! The engine's view of `wit/`: generated code, and the names of the border's version.

pub(crate) mod from_guest;
pub(crate) mod to_guest;

mod generated {
    wasmtime::component::bindgen!({
        path: "../../wit",
        world: "workload-plugin",
        imports: {
            "outrigger:plugin/endpoint": async | trappable,
            "outrigger:plugin/files": async | trappable,
            "outrigger:plugin/state": async | trappable,
            default: trappable,
        },
        exports: { default: async },
    });
}

pub(crate) use generated::WorkloadPlugin;
pub(crate) use generated::exports::outrigger::plugin as exports;
pub(crate) use generated::outrigger::plugin as imports;
pub(crate) use generated::outrigger::plugin::types as wit;

/// The package, without a version.
pub(crate) const PACKAGE: &str = "outrigger:plugin";

/// The version that this host speaks.
pub(crate) const VERSION: &str = "0.1.0";

/// The full name of one of the package's interfaces, such as `outrigger:plugin/health@0.1.0`.
pub(crate) fn interface_name(interface: &str) -> String {
    format!("{PACKAGE}/{interface}@{VERSION}")
}
