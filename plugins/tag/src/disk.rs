//! The disk: how much of it the cache may fill, and how much is left. Pure.

use outrigger_plugin_sdk::files::FsUsage;

/// Below this share of the volume, in percent, what is free is told: TAG evicts at its cap alone, and
/// runs out of disk where that lies beyond.
const FREE_MIN_PERCENT: f64 = 3.0;

/// Bytes as they are written: a number, or a number with a suffix as Kubernetes knows them. TAG itself takes
/// a number alone, and anything else for no cap at all.
pub fn bytes(text: &str) -> Result<u64, String> {
    let no = || format!("`{text}` is neither bytes nor a quantity such as 400Gi");
    let end = text
        .find(|c: char| !c.is_ascii_digit() && c != '.')
        .unwrap_or(text.len());
    let (number, suffix) = text.split_at(end);
    let factor: u64 = match suffix {
        "" => 1,
        "k" => 1_000,
        "M" => 1_000_000,
        "G" => 1_000_000_000,
        "T" => 1_000_000_000_000,
        "P" => 1_000_000_000_000_000,
        "Ki" => 1 << 10,
        "Mi" => 1 << 20,
        "Gi" => 1 << 30,
        "Ti" => 1 << 40,
        "Pi" => 1 << 50,
        _ => return Err(no()),
    };
    let bytes = match number.split_once('.') {
        None => number
            .parse::<u64>()
            .ok()
            .and_then(|number| number.checked_mul(factor)),
        // Half a Ti is understood, half a byte is not.
        Some((whole, part)) if factor > 1 && part.len() <= 3 => {
            let whole = whole
                .parse::<u64>()
                .ok()
                .and_then(|n| n.checked_mul(factor));
            let thousandths = format!("{part:0<3}").parse::<u64>().ok();
            let part = thousandths
                .and_then(|part| part.checked_mul(factor))
                .map(|part| part / 1000);
            whole
                .zip(part)
                .and_then(|(whole, part)| whole.checked_add(part))
        }
        Some(_) => None,
    };
    match bytes {
        Some(0) => Err("0 is no cap at all for TAG".to_owned()),
        Some(bytes) => Ok(bytes),
        None => Err(no()),
    }
}

/// How many bytes the cache may fill of a volume with so many: what was set, or a share of it.
pub fn cap(total: f64, share: u8, set: Option<&str>) -> Result<u64, String> {
    let total = whole(total);
    let Some(text) = set else {
        return Ok(total / 100 * u64::from(share) + total % 100 * u64::from(share) / 100);
    };
    let wanted = bytes(text)?;
    if wanted > total {
        return Err(format!(
            "`{text}` is more than the {} that the volume really has: the disk would be full before TAG evicts anything",
            quantity(total)
        ));
    }
    Ok(wanted)
}

/// What there is to say of what is left.
pub fn headroom(usage: FsUsage) -> Option<String> {
    let percent = usage.available / usage.total.max(1.0) * 100.0;
    (percent < FREE_MIN_PERCENT).then(|| {
        format!(
            "{} of {} are free on the cache's disk: is the cap beyond what it has, or does something else fill it?",
            quantity(whole(usage.available)),
            quantity(whole(usage.total))
        )
    })
}

/// Sizes of volumes are whole numbers below 2^53.
fn whole(bytes: f64) -> u64 {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "not negative, and a part of a byte is none"
    )]
    let whole = bytes.max(0.0) as u64;
    whole
}

/// For people: the largest unit in which it is a whole number of tenths.
fn quantity(bytes: u64) -> String {
    for (unit, name) in [
        (1_u64 << 40, "Ti"),
        (1 << 30, "Gi"),
        (1 << 20, "Mi"),
        (1 << 10, "Ki"),
    ] {
        if bytes >= unit {
            let tenths = u128::from(bytes) * 10 / u128::from(unit);
            return match tenths % 10 {
                0 => format!("{}{name}", tenths / 10),
                tenth => format!("{}.{tenth}{name}", tenths / 10),
            };
        }
    }
    format!("{bytes} bytes")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const GI: u64 = 1 << 30;

    #[test]
    fn quantities_are_understood_and_what_is_none_is_refused() {
        for (text, expected) in [
            ("429496729600", 400 * GI),
            ("400Gi", 400 * GI),
            ("400G", 400_000_000_000),
            ("1.5Ti", 3 << 39),
            ("2Ki", 2048),
        ] {
            assert_eq!(bytes(text), Ok(expected), "{text}");
        }
        for text in [
            "",
            "Gi",
            "400GiB",
            "400 Gi",
            "-1",
            "1e9",
            "0.5",
            "90%",
            "99999999999Pi",
            "1.2345Gi",
        ] {
            assert!(bytes(text).is_err(), "{text}");
        }
        assert_eq!(bytes("0Gi"), Err("0 is no cap at all for TAG".to_owned()));
    }

    #[test]
    fn the_cap_is_a_share_of_the_real_disk_or_what_was_set() {
        assert_eq!(cap(1000.0, 90, None), Ok(900));
        assert_eq!(cap(99.0, 90, None), Ok(89));
        assert_eq!(cap(1e15, 100, None), Ok(1_000_000_000_000_000));
        assert_eq!(
            cap(500.0 * 1024.0 * 1024.0 * 1024.0, 90, Some("400Gi")),
            Ok(400 * GI)
        );
    }

    #[test]
    fn a_cap_beyond_the_disk_is_refused() {
        // Ten terabytes on a disk of 80 GB, as TAG was seen to accept.
        let refused = cap(80e9, 90, Some("10T")).unwrap_err();
        assert_eq!(
            refused,
            "`10T` is more than the 74.5Gi that the volume really has: the disk would be full before TAG evicts anything"
        );
    }

    #[test]
    fn a_disk_that_is_nearly_full_is_told() {
        let usage = |available: f64| FsUsage {
            total: 100.0 * 1024.0,
            available,
            inodes_free: 1e6,
        };
        assert_eq!(headroom(usage(4.0 * 1024.0)), None);
        assert!(
            headroom(usage(2.0 * 1024.0))
                .unwrap()
                .starts_with("2Ki of 100Ki are free")
        );
    }

    proptest! {
        #[test]
        fn any_text_is_bytes_or_refused(text in ".{0,20}") {
            let _either = bytes(&text);
        }

        #[test]
        fn a_share_is_never_more_than_the_whole(total in 0.0..1e16, share in 1_u8..=100) {
            prop_assert!(cap(total, share, None).unwrap() <= whole(total));
        }
    }
}
