//! Five-field cron patterns in an IANA time zone.
//!
//! Fields and their meaning follow crontab(5): minute, hour, day of month, month, day of week; `*`, numbers, ranges,
//! lists, steps (`*/15`, `1-5/2`), three-letter English names of months and weekdays, 0 and 7 for Sunday. When day of
//! month and day of week are both restricted (neither begins with `*`), either is enough. Whole minutes only.

use jiff::civil::{Date, DateTime, Time};
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan};
use thiserror::Error;

use super::zone::{ZoneError, first_instant, time_zone};

/// What is wrong with a pattern.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum CronError {
    /// Not five fields.
    #[error("a cron pattern has 5 fields (minute, hour, day of month, month, day of week), not {found}")]
    Fields {
        /// How many there are.
        found: usize,
    },
    /// A field that cannot be read.
    #[error("{text:?} is not a {field} of a cron pattern: {rule}")]
    Field {
        /// Which field.
        field: &'static str,
        /// The part that is wrong.
        text: String,
        /// What is allowed.
        rule: String,
    },
    /// A pattern that no day meets, such as 31 February.
    #[error("no day ever meets the cron pattern {pattern:?}")]
    Never {
        /// The pattern.
        pattern: String,
    },
    /// An unknown zone.
    #[error(transparent)]
    Zone(#[from] ZoneError),
}

/// A pattern and the zone it is read in.
#[derive(Debug, Clone)]
pub struct Cron {
    zone: TimeZone,
    minutes: u64,
    hours: u64,
    days: u64,
    months: u64,
    weekdays: u64,
    either_day: bool,
}

impl Cron {
    /// Reads a pattern.
    ///
    /// # Errors
    /// Names the first field that is wrong, the zone if it is unknown, or says that the pattern is never met.
    pub fn parse(pattern: &str, time_zone_name: &str) -> Result<Self, CronError> {
        let fields: Vec<&str> = pattern.split_ascii_whitespace().collect();
        let [minute, hour, day, month, weekday] = fields.as_slice() else {
            return Err(CronError::Fields { found: fields.len() });
        };
        let mut weekdays = set(&WEEKDAY, weekday)?;
        if weekdays & (1 << 7) != 0 {
            weekdays = (weekdays & !(1 << 7)) | 1;
        }
        let cron = Self {
            minutes: set(&MINUTE, minute)?,
            hours: set(&HOUR, hour)?,
            days: set(&DAY, day)?,
            months: set(&MONTH, month)?,
            weekdays,
            either_day: !day.starts_with('*') && !weekday.starts_with('*'),
            zone: time_zone(time_zone_name)?,
        };
        if cron.next_civil(DateTime::constant(2000, 1, 1, 0, 0, 0, 0)).is_none() {
            return Err(CronError::Never { pattern: pattern.to_owned() });
        }
        Ok(cron)
    }

    /// The zone the pattern is read in.
    #[must_use]
    pub const fn zone(&self) -> &TimeZone {
        &self.zone
    }

    /// The first instant after `after` (exclusive) at which the pattern is met; see [`first_instant`] for civil times
    /// that a change of daylight-saving time leaves out or repeats.
    #[must_use]
    pub fn next_after(&self, after: Timestamp) -> Option<Timestamp> {
        // Civil times before the present one never come later than it, so the search can start here.
        let mut civil = self.zone.to_datetime(after).with().second(0).subsec_nanosecond(0).build().ok()?;
        loop {
            civil = self.next_civil(civil)?;
            let instant = first_instant(&self.zone, civil)?;
            if instant > after {
                return Some(instant);
            }
            civil = civil.checked_add(1.minute()).ok()?;
        }
    }

    /// The first civil minute at or after `from` that meets the pattern.
    fn next_civil(&self, from: DateTime) -> Option<DateTime> {
        let mut date = from.date();
        let mut earliest = from.time();
        for _ in 0..SEARCH_DAYS {
            if self.meets(date)
                && let Some(time) = self.time_from(earliest)
            {
                return Some(date.to_datetime(time));
            }
            date = date.tomorrow().ok()?;
            earliest = Time::midnight();
        }
        None
    }

    fn meets(&self, date: Date) -> bool {
        let day = has(self.days, date.day());
        let weekday = has(self.weekdays, date.weekday().to_sunday_zero_offset());
        has(self.months, date.month()) && if self.either_day { day || weekday } else { day && weekday }
    }

    fn time_from(&self, earliest: Time) -> Option<Time> {
        (earliest.hour()..24).filter(|hour| has(self.hours, *hour)).find_map(|hour| {
            let first = if hour == earliest.hour() { earliest.minute() } else { 0 };
            let minute = (first..60).find(|minute| has(self.minutes, *minute))?;
            Time::new(hour, minute, 0, 0).ok()
        })
    }
}

/// The longest pause of a pattern that is met at all: 29 February on one weekday, over a century without a leap year.
const SEARCH_DAYS: u32 = 366 * 41;

struct Field {
    name: &'static str,
    low: u8,
    high: u8,
    names: &'static [&'static str],
    /// The number of the first name.
    first_name: u8,
}

const MINUTE: Field = Field { name: "minute", low: 0, high: 59, names: &[], first_name: 0 };
const HOUR: Field = Field { name: "hour", low: 0, high: 23, names: &[], first_name: 0 };
const DAY: Field = Field { name: "day of month", low: 1, high: 31, names: &[], first_name: 0 };
const MONTH: Field = Field {
    name: "month",
    low: 1,
    high: 12,
    names: &["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"],
    first_name: 1,
};
const WEEKDAY: Field = Field {
    name: "day of week",
    low: 0,
    high: 7,
    names: &["sun", "mon", "tue", "wed", "thu", "fri", "sat"],
    first_name: 0,
};

fn has(set: u64, value: i8) -> bool {
    u32::try_from(value).ok().and_then(|bit| set.checked_shr(bit)).is_some_and(|rest| rest & 1 == 1)
}

fn set(field: &Field, text: &str) -> Result<u64, CronError> {
    let mut bits = 0;
    for part in text.split(',') {
        bits |= part_of(field, part)?;
    }
    Ok(bits)
}

fn part_of(field: &Field, part: &str) -> Result<u64, CronError> {
    let wrong = |rule: String| CronError::Field { field: field.name, text: part.to_owned(), rule };
    let (range, step) = match part.split_once('/') {
        None => (part, None),
        Some((range, step)) => {
            let step = number(step).filter(|step| (1..=field.high).contains(step));
            let step = step.ok_or_else(|| wrong(format!("a step is a number from 1 to {}", field.high)))?;
            (range, Some(step))
        }
    };
    let value = |text: &str| {
        number(text).filter(|n| (field.low..=field.high).contains(n)).or_else(|| named(field, text)).ok_or_else(|| {
            let names = field.names.first().zip(field.names.last());
            let names = names.map_or_else(String::new, |(a, b)| format!(", or a name from {a} to {b}"));
            wrong(format!("*, or numbers from {} to {}{names}", field.low, field.high))
        })
    };
    let (low, high) = if range == "*" {
        // Sunday is 0 and 7; every weekday is met once.
        (field.low, if field.names.len() == 7 { 6 } else { field.high })
    } else if let Some((low, high)) = range.split_once('-') {
        let (low, mut high) = (value(low)?, value(high)?);
        if field.names.len() == 7 && high == 0 && low > 0 {
            high = 7;
        }
        if low > high {
            return Err(wrong("a range goes from the smaller to the larger".to_owned()));
        }
        (low, high)
    } else if step.is_some() {
        return Err(wrong("a step needs * or a range before it".to_owned()));
    } else {
        let only = value(range)?;
        (only, only)
    };
    Ok((low..=high).step_by(usize::from(step.unwrap_or(1))).fold(0, |bits, n| bits | (1 << n)))
}

fn number(text: &str) -> Option<u8> {
    (!text.is_empty() && text.bytes().all(|b| b.is_ascii_digit())).then(|| text.parse().ok())?
}

fn named(field: &Field, text: &str) -> Option<u8> {
    let place = field.names.iter().position(|name| name.eq_ignore_ascii_case(text))?;
    u8::try_from(place).ok()?.checked_add(field.first_name)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn runs(pattern: &str, zone: &str, after: &str, n: usize) -> Vec<String> {
        let cron = Cron::parse(pattern, zone).unwrap();
        let mut at: Timestamp = after.parse().unwrap();
        (0..n)
            .map(|_| {
                at = cron.next_after(at).unwrap();
                at.to_string()
            })
            .collect()
    }

    #[test]
    fn names_ranges_steps_and_lists() {
        assert_eq!(
            runs("0 2 * * Sun", "Asia/Shanghai", "2026-11-23T00:00:00Z", 2),
            ["2026-11-28T18:00:00Z", "2026-12-05T18:00:00Z"]
        );
        assert_eq!(
            runs("*/20 8-10/2 1 jan,MAR *", "UTC", "2026-01-01T08:20:00Z", 5),
            [
                "2026-01-01T08:40:00Z",
                "2026-01-01T10:00:00Z",
                "2026-01-01T10:20:00Z",
                "2026-01-01T10:40:00Z",
                "2026-03-01T08:00:00Z"
            ]
        );
        assert_eq!(
            runs("0 0 * * 5-7", "UTC", "2026-11-23T00:00:00Z", 4),
            runs("0 0 * * Fri-Sun", "UTC", "2026-11-23T00:00:00Z", 4)
        );
        // Either of two restricted days is enough; a day that begins with * restricts as well as the other.
        assert_eq!(
            runs("0 0 13 * Fri", "UTC", "2026-11-01T00:00:00Z", 3),
            ["2026-11-06T00:00:00Z", "2026-11-13T00:00:00Z", "2026-11-20T00:00:00Z"]
        );
        assert_eq!(
            runs("0 0 29 2 *", "UTC", "2096-03-01T00:00:00Z", 1),
            ["2104-02-29T00:00:00Z"],
            "2100 is no leap year"
        );
    }

    #[test]
    fn wrong_patterns_are_named() {
        for (pattern, word) in [
            ("0 2 * *", "5 fields"),
            ("0 2 * * * *", "5 fields"),
            ("60 2 * * *", "minute"),
            ("0 24 * * *", "hour"),
            ("0 2 0 * *", "day of month"),
            ("0 2 * 13 *", "month"),
            ("0 2 * * Sunn", "day of week"),
            ("0 2 * * 8", "day of week"),
            ("5/10 2 * * *", "step"),
            ("*/0 2 * * *", "step"),
            ("30-10 2 * * *", "smaller"),
            ("+5 2 * * *", "minute"),
            (", 2 * * *", "minute"),
            ("0 2 31 2 *", "no day ever"),
            ("0 2 30-31 Feb *", "no day ever"),
        ] {
            let error = Cron::parse(pattern, "UTC").unwrap_err().to_string();
            assert!(error.contains(word), "{pattern}: {error}");
        }
        let error = Cron::parse("0 2 * * *", "Asia/Shangai").unwrap_err().to_string();
        assert!(error.contains("Asia/Shangai"), "{error}");
    }

    #[test]
    fn a_time_that_spring_leaves_out_comes_right_after_the_gap() {
        // Berlin 2026-03-29: 02:00 -> 03:00 at 01:00Z.
        assert_eq!(
            runs("30 2 * * *", "Europe/Berlin", "2026-03-28T02:00:00Z", 2),
            ["2026-03-29T01:00:00Z", "2026-03-30T00:30:00Z"]
        );
        // Lord Howe changes by half an hour: 2026-10-04 02:00 -> 02:30 at 2026-10-03T15:30Z.
        assert_eq!(runs("10 2 * * *", "Australia/Lord_Howe", "2026-10-03T00:00:00Z", 1), ["2026-10-03T15:30:00Z"]);
        // Samoa left out 30 December 2011 as a whole.
        assert_eq!(runs("0 12 30 12 *", "Pacific/Apia", "2011-12-01T00:00:00Z", 1), ["2011-12-30T10:00:00Z"]);
    }

    #[test]
    fn a_time_that_autumn_repeats_comes_once_at_its_first() {
        // Berlin 2026-10-25: 03:00 -> 02:00 at 01:00Z.
        assert_eq!(
            runs("30 2 * * *", "Europe/Berlin", "2026-10-24T12:00:00Z", 2),
            ["2026-10-25T00:30:00Z", "2026-10-26T01:30:00Z"]
        );
        // Asked between the two, it has been.
        assert_eq!(runs("30 2 * * *", "Europe/Berlin", "2026-10-25T01:10:00Z", 1), ["2026-10-26T01:30:00Z"]);
    }

    const ZONES: [&str; 8] = [
        "Europe/Berlin",
        "America/New_York",
        "Australia/Lord_Howe",
        "America/St_Johns",
        "Asia/Shanghai",
        "America/Sao_Paulo",
        "Pacific/Apia",
        "Africa/Casablanca",
    ];
    const PATTERNS: [&str; 6] =
        ["* * * * *", "*/15 * * * *", "30 2 * * *", "0 0 * * *", "59 1-3 * * *", "15 2 * * Sun"];

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        /// Around changes of daylight-saving time, in both directions: strictly increasing; no civil minute twice; each
        /// run is at a civil time of the pattern, or at a change whose gap swallowed one; and no matching civil time
        /// that exists is left out.
        #[test]
        fn runs_follow_civil_time(
            zone in 0..ZONES.len(), pattern in 0..PATTERNS.len(),
            start in 1_293_840_000_i64..1_830_297_600, back in 0_i64..20_000,
        ) {
            let cron = Cron::parse(PATTERNS[pattern], ZONES[zone]).unwrap();
            let start = Timestamp::from_second(start).unwrap();
            let change = cron.zone().following(start).next().map_or(start, |t| t.timestamp());
            let mut at = change - jiff::SignedDuration::from_secs(back);
            let mut seen = std::collections::BTreeSet::new();
            for _ in 0..300 {
                let next = cron.next_after(at).unwrap();
                prop_assert!(next > at);
                let civil = cron.zone().to_datetime(next);
                prop_assert!(seen.insert(civil), "{} twice", civil);
                let matches = cron.next_civil(civil) == Some(civil);
                let transition = cron.zone().preceding(next + jiff::SignedDuration::from_secs(1)).next();
                prop_assert!(matches || transition.is_some_and(|t| t.timestamp() == next), "{}", next);
                // Nothing that matches for the first time lies between two runs.
                let mut minute = at + jiff::SignedDuration::from_mins(1);
                for _ in 0..200 {
                    if minute >= next { break; }
                    let civil = cron.zone().to_datetime(minute);
                    let first = first_instant(cron.zone(), civil) == Some(minute);
                    prop_assert!(!first || cron.next_civil(civil) != Some(civil) || civil.second() != 0, "left out {}", civil);
                    minute += jiff::SignedDuration::from_mins(1);
                }
                at = next;
            }
        }
    }
}
