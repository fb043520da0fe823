//! What is worth one line and not one with every call.

use outrigger_plugin_sdk::{debug, info, state};

/// The state's key of what was said last on a subject.
fn key(subject: &str) -> String {
    format!("said-{subject}")
}

/// Says at info what is left undone and why, and at debug when it is the same as the last time.
/// `subject` is a short word for what it is about.
pub fn say_once(subject: &str, message: &str, reason: &str) {
    let key = key(subject);
    if state::get(&key).as_deref() == Some(reason.as_bytes()) {
        debug!(message, "reason" => reason);
        return;
    }
    info!(message, "reason" => reason);
    if let Err(failure) = state::set(&key, reason.as_bytes()) {
        debug!("It is not kept that this was said", "error" => failure.message);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use outrigger_plugin_sdk::fake::FakeHost;

    #[test]
    fn the_same_is_said_once_and_another_reason_again() {
        let host = FakeHost::new();
        for reason in ["denied", "denied", "unreadable", "unreadable"] {
            say_once("pepper", "The pepper is not checked", reason);
        }
        let levels: Vec<String> = host
            .log_lines()
            .iter()
            .map(|line| line.split(' ').next().unwrap_or_default().to_owned())
            .collect();
        assert_eq!(levels, ["INFO", "DEBUG", "INFO", "DEBUG"]);
    }
}
