//! From the traits to the component's exports.

use std::marker::PhantomData;

use crate::bindings;
use crate::{
    Artifact, Batch, Descriptor, Diagnostic, Discovery, DrainContext, Failure, Handover, Health,
    Lifecycle, Membership, Metrics, Plan, Plugin, Probe, Step, Templating, Verdict,
};

/// The generated guest traits, implemented for whoever implements ours.
#[derive(Debug)]
pub struct Exported<P>(PhantomData<P>);

/// Turns the panics of this call into log lines before they trap.
fn enter() {
    #[cfg(target_arch = "wasm32")]
    {
        static HOOK: std::sync::Once = std::sync::Once::new();
        HOOK.call_once(|| {
            std::panic::set_hook(Box::new(|info| {
                let message = panic_message(info.payload());
                let location = info.location().map_or_else(
                    || "an unknown place".to_owned(),
                    |at| format!("{}:{}:{}", at.file(), at.line(), at.column()),
                );
                crate::log::emit(
                    crate::log::Level::Error,
                    "the plugin panicked",
                    &[("panic", message), ("location", &location)],
                );
            }));
        });
    }
}

/// The text that a panic carries.
#[cfg(any(target_arch = "wasm32", test))]
fn panic_message(payload: &(dyn std::any::Any + Send)) -> &str {
    payload
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| payload.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("a panic without a text")
}

impl<P: Plugin> bindings::plugin::exports::outrigger::plugin::plugin::Guest for Exported<P> {
    fn describe() -> Descriptor {
        enter();
        P::describe()
    }

    fn configure() -> Result<(), Failure> {
        enter();
        P::configure()
    }
}

impl<P: Discovery> bindings::discovery::exports::outrigger::plugin::discovery::Guest
    for Exported<P>
{
    fn resolve(now: Membership) -> Result<Plan, Failure> {
        enter();
        P::resolve(&now)
    }
}

impl<P: Templating> bindings::templating::exports::outrigger::plugin::templating::Guest
    for Exported<P>
{
    fn render(now: Membership, wanted: Vec<String>) -> Result<Vec<Artifact>, Failure> {
        enter();
        P::render(&now, &wanted)
    }

    fn validate(now: Membership, items: Vec<Artifact>) -> Result<Vec<Diagnostic>, Failure> {
        enter();
        P::validate(&now, &items)
    }
}

impl<P: Health> bindings::health::exports::outrigger::plugin::health::Guest for Exported<P> {
    fn evaluate(probe: Probe, now: Membership) -> Result<Verdict, Failure> {
        enter();
        P::evaluate(probe, &now)
    }
}

impl<P: Metrics> bindings::metrics::exports::outrigger::plugin::metrics::Guest for Exported<P> {
    fn derive(now: Membership, scraped: Batch) -> Result<Batch, Failure> {
        enter();
        P::derive(&now, &scraped)
    }

    fn wants() -> Vec<String> {
        enter();
        P::wants()
    }
}

impl<P: Lifecycle> bindings::lifecycle::exports::outrigger::plugin::lifecycle::Guest
    for Exported<P>
{
    fn drain(context: DrainContext) -> Step {
        enter();
        P::drain(&context)
    }
}

impl<P: Handover> bindings::handover::exports::outrigger::plugin::handover::Guest for Exported<P> {
    fn save() -> Vec<u8> {
        enter();
        P::save()
    }

    fn restore(from_version: String, data: Vec<u8>) -> Result<(), Failure> {
        enter();
        P::restore(&from_version, &data)
    }
}

/// Makes a type the plugin of this crate.
///
/// `export!(MyPlugin: health, metrics)` exports the mandatory interface `plugin` and the named ones,
/// and nothing else: the host learns from the component's type which interfaces a plugin has. The names
/// are `discovery`, `templating`, `health`, `metrics`, `lifecycle` and `handover`. On targets other
/// than wasm32 it only checks that the traits are there.
#[macro_export]
macro_rules! export {
    ($plugin:ty $(: $($interface:ident),* $(,)?)?) => {
        const _: () = {
            #[cfg(target_arch = "wasm32")]
            type OutriggerExport = $crate::private::Exported<$plugin>;
            $crate::__export_one!($plugin, plugin);
            $($($crate::__export_one!($plugin, $interface);)*)?
        };
    };
}

/// One interface of [`export!`].
#[doc(hidden)]
#[macro_export]
macro_rules! __export_one {
    ($plugin:ty, plugin) => { $crate::__export_one!(@ $plugin, Plugin, plugin, export_plugin); };
    ($plugin:ty, discovery) => { $crate::__export_one!(@ $plugin, Discovery, discovery, export_discovery); };
    ($plugin:ty, templating) => { $crate::__export_one!(@ $plugin, Templating, templating, export_templating); };
    ($plugin:ty, health) => { $crate::__export_one!(@ $plugin, Health, health, export_health); };
    ($plugin:ty, metrics) => { $crate::__export_one!(@ $plugin, Metrics, metrics, export_metrics); };
    ($plugin:ty, lifecycle) => { $crate::__export_one!(@ $plugin, Lifecycle, lifecycle, export_lifecycle); };
    ($plugin:ty, handover) => { $crate::__export_one!(@ $plugin, Handover, handover, export_handover); };
    (@ $plugin:ty, $trait:ident, $module:ident, $export:ident) => {
        const _: () = {
            const fn implements<P: $crate::$trait>() {}
            implements::<$plugin>();
        };
        #[cfg(target_arch = "wasm32")]
        $crate::bindings::$module::$export!(OutriggerExport with_types_in $crate::bindings::$module);
    };
    ($plugin:ty, $other:ident) => {
        compile_error!(concat!(
            "`", stringify!($other), "` is no interface of Outrigger; there are ",
            "discovery, templating, health, metrics, lifecycle and handover"
        ));
    };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_keeps_its_text_whatever_it_was_made_of() {
        assert_eq!(panic_message(&"literal"), "literal");
        assert_eq!(panic_message(&"formatted".to_owned()), "formatted");
        assert_eq!(panic_message(&7_u8), "a panic without a text");
    }

    #[test]
    fn an_exported_plugin_is_called_through_the_traits() {
        struct Least;
        impl Plugin for Least {
            fn describe() -> Descriptor {
                Descriptor::new("least", "1.2.3", "does nothing")
            }
        }
        impl Handover for Least {}
        crate::export!(Least: handover);

        use bindings::handover::exports::outrigger::plugin::handover::Guest as _;
        use bindings::plugin::exports::outrigger::plugin::plugin::Guest as _;
        assert_eq!(Exported::<Least>::describe().name, "least");
        assert_eq!(Exported::<Least>::configure(), Ok(()));
        assert_eq!(
            Exported::<Least>::restore("1.0.0".to_owned(), vec![]),
            Ok(())
        );
        assert_eq!(Exported::<Least>::save(), Vec::<u8>::new());
    }
}
