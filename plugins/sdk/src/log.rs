//! Log lines, which appear in the sidecar's log under the plugin's name.

#[cfg(target_arch = "wasm32")]
use crate::bindings::host::outrigger::plugin::log as host;
#[cfg(not(target_arch = "wasm32"))]
use crate::fake::log as host;

pub use crate::bindings::host::outrigger::plugin::log::Level;

/// Whether a line of this level would be kept: ask before building an expensive one.
pub fn enabled(level: Level) -> bool {
    host::enabled(level)
}

/// Writes one line. The message is a sentence without values; values go into the fields.
pub fn emit(level: Level, message: &str, fields: &[(&str, &str)]) {
    let fields: Vec<(String, String)> = fields
        .iter()
        .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
        .collect();
    host::emit(level, message, &fields);
}

/// Writes a line for developers of the plugin: `debug!("message", "key" => value, …)`.
#[macro_export]
macro_rules! debug { ($($line:tt)+) => { $crate::__log!(Debug, $($line)+) }; }

/// Writes a line of information: `info!("message", "key" => value, …)`.
#[macro_export]
macro_rules! info { ($($line:tt)+) => { $crate::__log!(Info, $($line)+) }; }

/// Writes a warning: `warn!("message", "key" => value, …)`.
#[macro_export]
macro_rules! warn { ($($line:tt)+) => { $crate::__log!(Warn, $($line)+) }; }

/// Writes an error, upon which an operator must act: `error!("message", "key" => value, …)`.
#[macro_export]
macro_rules! error { ($($line:tt)+) => { $crate::__log!(Error, $($line)+) }; }

/// Behind the log macros. Values are formatted only if the line would be kept.
#[doc(hidden)]
#[macro_export]
macro_rules! __log {
    ($level:ident, $message:expr $(, $key:literal => $value:expr)* $(,)?) => {
        if $crate::log::enabled($crate::log::Level::$level) {
            $crate::log::emit(
                $crate::log::Level::$level,
                $message,
                &[$(($key, &::std::string::ToString::to_string(&$value))),*],
            );
        }
    };
}

#[cfg(test)]
mod tests {
    use crate::fake::FakeHost;

    #[test]
    fn a_line_below_the_level_is_not_even_formatted() {
        let host = FakeHost::new().log_level(super::Level::Info);
        let mut formatted = 0;
        let mut count = || {
            formatted += 1;
            formatted
        };
        crate::debug!("Hidden", "n" => count());
        crate::info!("Shown", "n" => count());
        assert_eq!(host.log_lines(), ["INFO Shown n=1"]);
    }
}
