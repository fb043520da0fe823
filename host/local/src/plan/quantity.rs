//! Kubernetes quantities in thousandths, for `resourceFieldRef`.

/// A quantity in thousandths: `250m` is 250, `1Gi` is 2^30 * 1000.
pub(super) fn milli(text: &str) -> Option<u128> {
    let split = text
        .find(|c: char| !c.is_ascii_digit() && c != '.')
        .unwrap_or(text.len());
    let (number, suffix) = text.split_at(split);
    // Scale as a fraction of a thousandth.
    let (times, by): (u128, u128) = match suffix {
        "n" => (1, 1_000_000),
        "u" => (1, 1000),
        "m" => (1, 1),
        "" => (1000, 1),
        "k" => (1000_u128.pow(2), 1),
        "M" => (1000_u128.pow(3), 1),
        "G" => (1000_u128.pow(4), 1),
        "T" => (1000_u128.pow(5), 1),
        "P" => (1000_u128.pow(6), 1),
        "E" => (1000_u128.pow(7), 1),
        "Ki" => (1000 << 10, 1),
        "Mi" => (1000 << 20, 1),
        "Gi" => (1000 << 30, 1),
        "Ti" => (1000 << 40, 1),
        "Pi" => (1000 << 50, 1),
        "Ei" => (1000 << 60, 1),
        exponent => {
            let power: u32 = exponent.strip_prefix(['e', 'E'])?.parse().ok()?;
            (1000 * 10_u128.checked_pow(power.min(18))?, 1)
        }
    };
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if whole.len() + fraction.len() == 0 || whole.len() > 15 || fraction.len() > 9 {
        return None;
    }
    let digits: u128 = format!("{whole}{fraction}").parse().ok()?;
    let tens = 10_u128.pow(u32::try_from(fraction.len()).ok()?);
    digits
        .checked_mul(times)
        .map(|value| value.div_ceil(tens * by))
}

/// A quantity in units of a divisor, rounded up, as the downward API tells it.
pub(super) fn in_units(value_milli: u128, divisor: Option<&str>) -> Option<String> {
    let divisor = match divisor {
        None | Some("" | "0") => 1000,
        Some(text) => milli(text).filter(|value| *value > 0)?,
    };
    Some(value_milli.div_ceil(divisor).to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantities_are_told_in_units_of_the_divisor_rounded_up() {
        let table = [
            ("250m", None, "1"),
            ("250m", Some("1m"), "250"),
            ("1500m", Some("1"), "2"),
            ("1Gi", Some("1Mi"), "1024"),
            ("1Gi", Some("0"), "1073741824"),
            ("0.5", Some("1m"), "500"),
            ("2e3", None, "2000"),
            ("1.5Gi", Some("1Gi"), "2"),
        ];
        for (value, divisor, expected) in table {
            let value = milli(value).unwrap();
            assert_eq!(in_units(value, divisor).as_deref(), Some(expected));
        }
        for refused in ["", "x", "1.2.3", "1Zi", "-1", "."] {
            assert_eq!(milli(refused), None, "{refused}");
        }
    }
}
