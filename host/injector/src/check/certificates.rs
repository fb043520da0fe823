//! How long certificates hold, and whether API servers trust them.

use std::time::{Duration, SystemTime};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use super::{Remark, Seen};
use crate::certificate::pem;
use crate::certificate::renewal::Policy;

const DAY: Duration = Duration::from_hours(24);
/// When this part of a certificate's life is left, it should have been renewed.
const LATE: u32 = 6;

pub(super) fn remarks(seen: &Seen, now: SystemTime) -> Vec<Remark> {
    let mut remarks = trusted(seen, now);
    remarks.push(own(seen, now));
    remarks
}

/// Whom API servers trust.
fn trusted(seen: &Seen, now: SystemTime) -> Vec<Remark> {
    const ABOUT: &str = "authority";
    let Ok(Some(configuration)) = &seen.configuration else {
        return Vec::new();
    };
    let webhooks = configuration.get("webhooks").and_then(Value::as_array);
    let mut latest: Option<SystemTime> = None;
    for webhook in webhooks.into_iter().flatten() {
        let bundle = webhook
            .pointer("/clientConfig/caBundle")
            .and_then(Value::as_str);
        let Some(bundle) = bundle.filter(|text| !text.is_empty()) else {
            let told =
                "the webhook configuration has no caBundle: API servers do not trust the webhook";
            return vec![Remark::bad(ABOUT, told).mend(seen.logs())];
        };
        let text = STANDARD.decode(bundle).unwrap_or_default();
        let all = pem::certificates(&text).unwrap_or_default();
        let until = all
            .iter()
            .filter_map(|der| pem::facts(der).ok())
            .map(|facts| facts.validity.until)
            .max();
        let Some(until) = until else {
            let told = "the caBundle of the webhook configuration holds no certificate";
            return vec![Remark::bad(ABOUT, told).mend(seen.logs())];
        };
        latest = Some(latest.map_or(until, |latest| latest.min(until)));
    }
    let Some(until) = latest else {
        return Vec::new();
    };
    vec![match until.duration_since(now) {
        Ok(left) => Remark::good(ABOUT, format!("trusted for {}", days(left))),
        Err(_) => {
            Remark::bad(ABOUT, "every certificate of the caBundle has expired").mend(restart(seen))
        }
    }]
}

/// The webhook's own.
fn own(seen: &Seen, now: SystemTime) -> Remark {
    const ABOUT: &str = "certificate";
    let text = match &seen.certificate {
        Err(why) => return Remark::unknown(ABOUT, why),
        Ok(None) => {
            let told = format!("the Secret {} has no tls.crt", seen.installation.secret);
            return Remark::bad(ABOUT, told).mend(seen.logs());
        }
        Ok(Some(text)) => text,
    };
    let leaf = pem::certificates(text)
        .ok()
        .and_then(|all| pem::facts(all.first()?).ok());
    let Some(leaf) = leaf else {
        let told = format!(
            "tls.crt of the Secret {} holds no certificate",
            seen.installation.secret
        );
        return Remark::bad(ABOUT, told).mend(seen.logs());
    };
    let name = format!(
        "{}.{}.svc",
        seen.installation.service, seen.installation.namespace
    );
    if !leaf.names.contains(&name) {
        let told = format!(
            "it is for {}, and API servers ask {name}",
            leaf.names.join(", ")
        );
        return Remark::bad(ABOUT, told).mend(seen.logs());
    }
    let Ok(left) = leaf.validity.until.duration_since(now) else {
        return Remark::bad(ABOUT, "it has expired").mend(restart(seen));
    };
    // The webhook's own begin to be good long before they are made: its API servers' clocks may differ.
    let life = if seen.is_mounted() {
        let whole = leaf.validity.until.duration_since(leaf.validity.from);
        whole.unwrap_or_default()
    } else {
        Policy::for_names(Vec::new()).leaf_life
    };
    if left < life / LATE {
        let told = format!("it holds for {} and should have been renewed", days(left));
        return Remark::doubtful(ABOUT, told).mend(seen.logs());
    }
    Remark::good(ABOUT, format!("it holds for {}", days(left)))
}

/// The webhook makes or reads its certificate when it starts.
fn restart(seen: &Seen) -> String {
    seen.kubectl(&format!(
        "rollout restart deployment/{}",
        seen.installation.deployment
    ))
}

fn days(span: Duration) -> String {
    match span.as_secs() / DAY.as_secs() {
        0 => format!("{} hours", span.as_secs() / 3600),
        1 => "1 day".to_owned(),
        days => format!("{days} days"),
    }
}
