//! Quantities and spans of time as users write them.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

/// A number of bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct ByteSize(pub u64);

/// Not a quantity of bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ParseByteSizeError {
    /// What was written.
    pub text: String,
}

impl fmt::Display for ParseByteSizeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "`{}` is not a quantity of bytes, such as 64Mi, 400Gi or 1G",
            self.text
        )
    }
}

impl std::error::Error for ParseByteSizeError {}

impl FromStr for ByteSize {
    type Err = ParseByteSizeError;

    /// Kubernetes quantities: decimal digits with at most one point, then nothing, `k`, `M`, `G`, `T`,
    /// `P`, `E` or their binary forms. Fractions of a byte are rounded up, as Kubernetes does.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let fail = || ParseByteSizeError {
            text: text.to_owned(),
        };
        let split = text
            .find(|c: char| !c.is_ascii_digit() && c != '.')
            .unwrap_or(text.len());
        let (number, suffix) = text.split_at(split);
        let scale: u128 = match suffix {
            "" => 1,
            "k" => 1000,
            "M" => 1000_u128.pow(2),
            "G" => 1000_u128.pow(3),
            "T" => 1000_u128.pow(4),
            "P" => 1000_u128.pow(5),
            "E" => 1000_u128.pow(6),
            "Ki" => 1 << 10,
            "Mi" => 1 << 20,
            "Gi" => 1 << 30,
            "Ti" => 1 << 40,
            "Pi" => 1 << 50,
            "Ei" => 1 << 60,
            _ => return Err(fail()),
        };
        let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
        if (whole.is_empty() && fraction.is_empty()) || fraction.contains('.') {
            return Err(fail());
        }
        if fraction.len() > 18 || whole.len() > 20 {
            return Err(fail());
        }
        let parse = |digits: &str| -> Result<u128, ParseByteSizeError> {
            if digits.is_empty() {
                Ok(0)
            } else {
                digits.parse().map_err(|_| fail())
            }
        };
        let tens = 10_u128.pow(u32::try_from(fraction.len()).map_err(|_| fail())?);
        let bytes = parse(whole)? * scale + (parse(fraction)? * scale).div_ceil(tens);
        u64::try_from(bytes).map(Self).map_err(|_| fail())
    }
}

impl fmt::Display for ByteSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let units = [
            (60, "Ei"),
            (50, "Pi"),
            (40, "Ti"),
            (30, "Gi"),
            (20, "Mi"),
            (10, "Ki"),
        ];
        for (shift, unit) in units {
            if self.0 != 0 && self.0.is_multiple_of(1 << shift) {
                return write!(f, "{}{unit}", self.0 >> shift);
            }
        }
        self.0.fmt(f)
    }
}

/// Not a span of time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ParseSpanError {
    /// What was written.
    pub text: String,
}

impl fmt::Display for ParseSpanError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "`{}` is not a span of time with its unit, such as 500ms, 20s or 5m",
            self.text
        )
    }
}

impl std::error::Error for ParseSpanError {}

/// A span of time as Go writes it: `500ms`, `20s`, `1m30s`. A number without a unit is an error
/// (`0` excepted).
pub fn parse_span(text: &str) -> Result<Duration, ParseSpanError> {
    let fail = || ParseSpanError {
        text: text.to_owned(),
    };
    if text == "0" {
        return Ok(Duration::ZERO);
    }
    let mut rest = text;
    let mut total_ms: u64 = 0;
    if rest.is_empty() {
        return Err(fail());
    }
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit()).ok_or_else(fail)?;
        let number: u64 = rest
            .get(..digits)
            .and_then(|d| d.parse().ok())
            .ok_or_else(fail)?;
        rest = rest.get(digits..).ok_or_else(fail)?;
        let unit_len = rest
            .find(|c: char| c.is_ascii_digit())
            .unwrap_or(rest.len());
        let (unit, after) = rest.split_at(unit_len);
        let scale: u64 = match unit {
            "ms" => 1,
            "s" => 1000,
            "m" => 60_000,
            "h" => 3_600_000,
            _ => return Err(fail()),
        };
        total_ms = number
            .checked_mul(scale)
            .and_then(|ms| total_ms.checked_add(ms))
            .ok_or_else(fail)?;
        rest = after;
    }
    Ok(Duration::from_millis(total_ms))
}

/// A span as [`parse_span`] reads it: `500ms`, `1m30s`, `0s`. Less than a millisecond is cut.
pub fn show_span(span: Duration) -> String {
    let mut rest = span.as_millis();
    if rest == 0 {
        return "0s".to_owned();
    }
    let mut text = String::new();
    for (scale, unit) in [(3_600_000, "h"), (60_000, "m"), (1000, "s"), (1, "ms")] {
        if rest >= scale {
            text.push_str(&(rest / scale).to_string());
            text.push_str(unit);
            rest %= scale;
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantities_are_read_as_kubernetes_reads_them() {
        let read = |text: &str| text.parse::<ByteSize>().map(|size| size.0).ok();
        assert_eq!(read("400Gi"), Some(400 << 30));
        assert_eq!(read("1.5Gi"), Some(3 << 29));
        assert_eq!(read("1G"), Some(1_000_000_000));
        assert_eq!(read("128"), Some(128));
        assert_eq!(read("0.3"), Some(1));
        for refused in [
            "",
            "Gi",
            "1g",
            "1GiB",
            "-1",
            "1.2.3",
            "1e3x",
            ".",
            "99999999999999999999Ei",
        ] {
            assert_eq!(read(refused), None, "{refused}");
        }
    }

    #[test]
    fn a_quantity_is_shown_in_its_largest_whole_unit() {
        let shown: Vec<String> = [0, 1000, 1024, 400 << 30]
            .iter()
            .map(|b| ByteSize(*b).to_string())
            .collect();
        assert_eq!(shown, ["0", "1000", "1Ki", "400Gi"]);
    }

    #[test]
    fn spans_carry_their_unit() {
        let read = |text: &str| parse_span(text).map(|span| span.as_millis()).ok();
        assert_eq!(read("500ms"), Some(500));
        assert_eq!(read("1m30s"), Some(90_000));
        assert_eq!(read("0"), Some(0));
        for refused in [
            "",
            "1",
            "s",
            "1d",
            "-1s",
            "1.5s",
            "999999999999999999h",
            "1 s",
        ] {
            assert_eq!(read(refused), None, "{refused}");
        }
    }

    #[test]
    fn spans_are_shown_as_they_are_read() {
        for text in ["0s", "500ms", "20s", "1m30s", "1h1ms", "25h"] {
            assert_eq!(show_span(parse_span(text).unwrap()), text);
        }
    }
}
