//! Durations as people write them: `2h`, `90m`, `1h30m`, `45s`, `1d`.

use std::time::Duration;

use thiserror::Error;

/// A text that is not a duration.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{found:?} is not a duration: whole numbers with d, h, m or s, such as 2h, 1h30m or 0s")]
pub struct DurationError {
    /// The text as it came.
    pub found: String,
}

/// Reads a duration: one or more of `d` (24 h), `h`, `m`, `s`, each at most once, in this order, without blanks.
///
/// # Errors
/// When the text has another form, or is longer than 100 years.
pub fn parse_duration(text: &str) -> Result<Duration, DurationError> {
    read(text).map(Duration::from_secs).ok_or_else(|| DurationError { found: text.to_owned() })
}

/// Writes a duration so that [`parse_duration`] reads it; fractions of a second are left out.
#[must_use]
pub fn format_duration(duration: Duration) -> String {
    let mut rest = duration.as_secs();
    let mut text = String::new();
    for (unit, seconds) in UNITS {
        let count = rest / seconds;
        // A day is rarely what people write for a window: 36h rather than 1d12h.
        if count > 0 && (unit != 'd' || rest.is_multiple_of(seconds)) {
            text.push_str(&format!("{count}{unit}"));
            rest %= seconds;
        }
    }
    if text.is_empty() { "0s".to_owned() } else { text }
}

const UNITS: [(char, u64); 4] = [('d', 86_400), ('h', 3600), ('m', 60), ('s', 1)];
const LONGEST: u64 = 100 * 366 * 86_400;

fn read(text: &str) -> Option<u64> {
    let mut units = UNITS.iter();
    let mut total: u64 = 0;
    let mut rest = text;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit())?;
        let (number, tail) = rest.split_at_checked(digits)?;
        let unit = tail.chars().next()?;
        let (_, seconds) = units.by_ref().find(|(name, _)| *name == unit)?;
        total = total.checked_add(number.parse::<u64>().ok()?.checked_mul(*seconds)?)?;
        rest = tail.get(unit.len_utf8()..)?;
    }
    (!text.is_empty() && total <= LONGEST).then_some(total)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn reads_what_people_write() {
        for (text, seconds) in
            [("2h", 7200), ("90m", 5400), ("30s", 30), ("1d", 86_400), ("0s", 0), ("1h30m", 5400), ("1d2h3m4s", 93_784)]
        {
            assert_eq!(parse_duration(text).unwrap(), Duration::from_secs(seconds), "{text}");
        }
        for text in ["", "2", "h", "2 h", "-2h", "2h2h", "30m1h", "1.5h", "2ü", "2H", "99999999999999999999s", "40000d"]
        {
            assert!(parse_duration(text).is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(seconds in 0..LONGEST) {
            let duration = Duration::from_secs(seconds);
            prop_assert_eq!(parse_duration(&format_duration(duration)).unwrap(), duration);
        }
    }
}
