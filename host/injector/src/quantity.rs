//! Amounts of CPU and memory as Kubernetes writes them, as far as they are compared here.

use outrigger_profile::ByteSize;

/// Thousandths of a CPU: `50m`, `2`, `0.5`. None for what is no such amount, or finer than a thousandth.
pub(crate) fn cpu_milli(text: &str) -> Option<u64> {
    if text.len() > 16 {
        return None;
    }
    let digits = |text: &str| text.bytes().all(|b| b.is_ascii_digit());
    if let Some(milli) = text.strip_suffix('m') {
        return (!milli.is_empty() && digits(milli))
            .then(|| milli.parse().ok())
            .flatten();
    }
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    if whole.is_empty() || !digits(whole) || !digits(fraction) || fraction.len() > 3 {
        return None;
    }
    let whole: u64 = whole.parse().ok()?;
    let mut milli = 0;
    for place in 0..3 {
        let digit = fraction.as_bytes().get(place).map_or(0, |b| b - b'0');
        milli = milli * 10 + u64::from(digit);
    }
    whole.checked_mul(1000)?.checked_add(milli)
}

/// Whether two amounts are the same, however they are written.
pub(crate) fn same(one: &str, other: &str) -> bool {
    if one == other {
        return true;
    }
    if let (Some(one), Some(other)) = (cpu_milli(one), cpu_milli(other)) {
        return one == other;
    }
    let bytes = |text: &str| text.parse::<ByteSize>().ok();
    bytes(one).is_some() && bytes(one) == bytes(other)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_of_cpu_are_read_to_the_thousandth() {
        let table = [
            ("50m", Some(50)),
            ("2", Some(2000)),
            ("0.5", Some(500)),
            ("1.25", Some(1250)),
            ("", None),
            ("m", None),
            (".5", None),
            ("-1", None),
            ("1e3", None),
            ("1.2345", None),
            ("99999999999999999", None),
        ];
        for (text, expected) in table {
            assert_eq!(cpu_milli(text), expected, "{text}");
        }
    }

    #[test]
    fn amounts_are_compared_by_what_they_mean() {
        assert!(same("1", "1000m"));
        assert!(same("1Gi", "1024Mi"));
        assert!(same("1e3", "1e3"));
        assert!(!same("1", "2"));
        assert!(!same("1e3", "1000"));
    }
}
