//! The hours in which migrations may start: `22:00-06:00 Asia/Shanghai`.

use std::fmt;
use std::str::FromStr;

use jiff::civil::Time;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp, ToSpan};
use thiserror::Error;

use super::zone::{ZoneError, first_instant, time_zone};

/// What is wrong with a range of hours.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum HoursError {
    /// Not `HH:MM-HH:MM Zone`.
    #[error(
        "{found:?} is not a range of hours: HH:MM-HH:MM and an IANA time zone, such as 22:00-06:00 Asia/Shanghai; \
         24:00 may end it"
    )]
    Form {
        /// The text as it came.
        found: String,
    },
    /// Begin and end are the same.
    #[error("{found:?} is empty: for a whole day write 00:00-24:00, for always leave allowed_hours out")]
    Empty {
        /// The text as it came.
        found: String,
    },
    /// An unknown zone.
    #[error(transparent)]
    Zone(#[from] ZoneError),
}

/// One range: from its begin (inclusive) to its end (exclusive) by the clocks of its zone, every day, over midnight
/// where the end is not after the begin.
#[derive(Debug, Clone)]
pub struct HoursRange {
    text: String,
    begin: i32,
    end: i32,
    zone: TimeZone,
}

/// All ranges; without one, always.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AllowedHours {
    ranges: Vec<HoursRange>,
}

impl FromStr for HoursRange {
    type Err = HoursError;

    fn from_str(text: &str) -> Result<Self, HoursError> {
        let form = || HoursError::Form { found: text.to_owned() };
        let (range, zone) = text.split_once(' ').ok_or_else(form)?;
        let (begin, end) = range.split_once('-').ok_or_else(form)?;
        let begin = seconds(begin).filter(|s| *s < DAY).ok_or_else(form)?;
        let end = seconds(end).ok_or_else(form)?;
        if begin == end {
            return Err(HoursError::Empty { found: text.to_owned() });
        }
        Ok(Self { text: text.to_owned(), begin, end, zone: time_zone(zone.trim())? })
    }
}

impl fmt::Display for HoursRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl PartialEq for HoursRange {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Eq for HoursRange {}

impl HoursRange {
    fn contains(&self, now: Timestamp) -> bool {
        let time = self.zone.to_datetime(now).time();
        let second = i32::from(time.hour()) * 3600 + i32::from(time.minute()) * 60 + i32::from(time.second());
        if self.begin < self.end {
            (self.begin..self.end).contains(&second)
        } else {
            second >= self.begin || second < self.end
        }
    }

    /// Every instant in the days to come at which the range may open: its begin, in both readings where a change
    /// repeats it, and each change of the clocks.
    fn openings(&self, now: Timestamp) -> Vec<Timestamp> {
        let mut found = Vec::new();
        let begin = Time::midnight().wrapping_add(i64::from(self.begin).seconds());
        let mut date = self.zone.to_datetime(now).date();
        for _ in 0..=SEARCH_DAYS {
            let civil = date.to_datetime(begin);
            found.extend(first_instant(&self.zone, civil));
            found.extend(self.zone.to_ambiguous_timestamp(civil).later());
            let Ok(next) = date.tomorrow() else { break };
            date = next;
        }
        let horizon = SignedDuration::from_hours(24 * i64::from(SEARCH_DAYS));
        let changes = self.zone.following(now).map(|t| t.timestamp());
        found.extend(changes.take_while(|t| t.duration_since(now) <= horizon));
        found
    }
}

impl AllowedHours {
    /// The hours of these ranges; without any, always.
    #[must_use]
    pub const fn new(ranges: Vec<HoursRange>) -> Self {
        Self { ranges }
    }

    /// The ranges.
    #[must_use]
    pub fn ranges(&self) -> &[HoursRange] {
        &self.ranges
    }

    /// May a migration start now?
    #[must_use]
    pub fn contains(&self, now: Timestamp) -> bool {
        self.ranges.is_empty() || self.ranges.iter().any(|range| range.contains(now))
    }

    /// `now`, if it is allowed; else the next instant that is.
    #[must_use]
    pub fn next_open(&self, now: Timestamp) -> Option<Timestamp> {
        if self.contains(now) {
            return Some(now);
        }
        let later = self.ranges.iter().flat_map(|range| range.openings(now)).filter(|t| *t > now);
        later.filter(|t| self.contains(*t)).min()
    }
}

const DAY: i32 = 24 * 3600;
/// A change of the clocks can swallow a whole day's range, or a whole day.
const SEARCH_DAYS: u8 = 4;

fn seconds(text: &str) -> Option<i32> {
    let two = |t: &str| (t.len() == 2 && t.bytes().all(|b| b.is_ascii_digit())).then(|| t.parse::<i32>().ok())?;
    let (hour, minute) = text.split_once(':')?;
    let (hour, minute) = (two(hour)?, two(minute)?);
    (minute < 60 && (hour < 24 || (hour == 24 && minute == 0))).then_some(hour * 3600 + minute * 60)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn hours(ranges: &[&str]) -> AllowedHours {
        AllowedHours::new(ranges.iter().map(|r| r.parse().unwrap()).collect())
    }

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    #[test]
    fn over_midnight_in_its_zone() {
        let night = hours(&["22:00-06:00 Asia/Shanghai"]);
        assert!(night.contains(at("2026-12-01T02:00:00+08:00")));
        assert!(night.contains(at("2026-12-01T22:00:00+08:00")));
        assert!(!night.contains(at("2026-12-01T06:00:00+08:00")));
        assert!(!night.contains(at("2026-12-01T21:59:59+08:00")));
        assert_eq!(night.next_open(at("2026-12-01T12:00:00+08:00")), Some(at("2026-12-01T22:00:00+08:00")));
        assert_eq!(night.next_open(at("2026-12-01T23:30:00+08:00")), Some(at("2026-12-01T23:30:00+08:00")));
    }

    #[test]
    fn without_a_range_always() {
        let always = AllowedHours::default();
        assert!(always.contains(at("2026-12-01T12:00:00Z")));
        assert_eq!(always.next_open(at("2026-12-01T12:00:00Z")), Some(at("2026-12-01T12:00:00Z")));
    }

    #[test]
    fn the_nearest_of_several() {
        let two = hours(&["12:00-13:00 UTC", "03:00-24:00 Asia/Tokyo"]);
        assert_eq!(two.next_open(at("2026-12-01T15:30:00Z")), Some(at("2026-12-01T18:00:00Z")));
    }

    #[test]
    fn a_gap_swallows_the_begin_or_the_whole_range() {
        // Berlin 2026-03-29: 02:00 -> 03:00 at 01:00Z.
        let early = hours(&["02:30-04:00 Europe/Berlin"]);
        assert_eq!(early.next_open(at("2026-03-29T00:30:00Z")), Some(at("2026-03-29T01:00:00Z")));
        let swallowed = hours(&["02:15-02:45 Europe/Berlin"]);
        assert_eq!(swallowed.next_open(at("2026-03-29T00:30:00Z")), Some(at("2026-03-30T00:15:00Z")));
    }

    #[test]
    fn wrong_ranges_are_refused() {
        for text in [
            "22:00-06:00",
            "22-06 UTC",
            "22:00 - 06:00 UTC",
            "24:00-06:00 UTC",
            "22:60-23:00 UTC",
            "2:00-6:00 UTC",
            "24:01-24:00 UTC",
            "00:00-24:30 UTC",
            "",
            "22:00-22:00 UTC",
            "22:00-06:00 Mars/Olympus",
        ] {
            assert!(text.parse::<HoursRange>().is_err(), "{text}");
        }
    }

    proptest! {
        /// What `next_open` finds is open, and no minute before it is.
        #[test]
        fn nothing_opens_earlier(start in 1_767_225_600_i64..1_798_761_600, begin in 0_i32..1440, length in 1_i32..1440) {
            let end = (begin + length) % 1440;
            let text = format!("{:02}:{:02}-{:02}:{:02} Europe/Berlin", begin / 60, begin % 60, end / 60, end % 60);
            let allowed = hours(&[&text]);
            let now = Timestamp::from_second(start / 60 * 60).unwrap();
            let open = allowed.next_open(now).unwrap();
            prop_assert!(allowed.contains(open));
            let mut minute = now;
            while minute < open {
                prop_assert!(!allowed.contains(minute), "{} is open before {}", minute, open);
                minute += SignedDuration::from_mins(1);
            }
        }
    }
}
