//! What of WASI is served, and what is only there so that components load.

use wasmtime::component::types::ComponentItem;
use wasmtime::component::{Component, Linker, ResourceType};

use crate::call_state::CallState;

/// The version under which the served interfaces are linked. The engine lets guests of every 0.2.x
/// find them under it.
const VERSION: &str = "@0.2.0";

/// The resources of interfaces that are not served.
struct NotServed;

/// Whether an import is one of WASI 0.2: served, or made to trap when it is called.
pub(crate) fn is_served(import: &str) -> bool {
    import.starts_with("wasi:") && linked_name(import).is_some()
}

/// Defines every function of WASI that the component imports and the host does not serve, as one
/// that traps and says so.
pub(crate) fn stub_the_rest(
    linker: &mut Linker<CallState>,
    component: &Component,
) -> wasmtime::Result<()> {
    let engine = component.engine();
    // An interface that uses another's resource exports it again: the linker wants those left out.
    let mut resources: Vec<ResourceType> = Vec::new();
    for (import, item) in component.component_type().imports(engine) {
        let (Some(name), ComponentItem::ComponentInstance(instance)) =
            (linked_name(import), item.ty)
        else {
            continue;
        };
        if !import.starts_with("wasi:") {
            continue;
        }
        let mut linked = linker.instance(&name)?;
        for (function, item) in instance.exports(engine) {
            // What is there already stays: the linker refuses to define it again.
            let _is_new = match item.ty {
                ComponentItem::ComponentFunc(_) => {
                    let called = format!("{import}#{function}");
                    linked
                        .func_new(function, move |_, _, _, _| {
                            Err(wasmtime::Error::msg(format!(
                                "{called} was called, which this host does not have"
                            )))
                        })
                        .is_ok()
                }
                ComponentItem::Resource(resource) if !resources.contains(&resource) => {
                    resources.push(resource);
                    let ours = ResourceType::host::<NotServed>();
                    linked.resource(function, ours, |_, _| Ok(())).is_ok()
                }
                _ => false,
            };
        }
    }
    Ok(())
}

/// The import's name with the version that is linked; none where it is not of the 0.2 line.
fn linked_name(import: &str) -> Option<String> {
    let (interface, version) = import.split_once('@')?;
    let patch = version.strip_prefix("0.2.")?;
    patch
        .bytes()
        .all(|byte| byte.is_ascii_digit())
        .then(|| format!("{interface}{VERSION}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_stable_line_of_wasi_is_served() {
        assert!(is_served("wasi:cli/stdout@0.2.6"));
        assert!(is_served("wasi:sockets/tcp@0.2.0"));
        for other in [
            "wasi:cli/stdout@0.3.0",
            "wasi:cli/stdout@0.2.0-rc-2023",
            "wasi:cli/stdout",
            "outrigger:plugin/log@0.2.0",
        ] {
            assert!(!is_served(other), "{other}");
        }
    }
}
