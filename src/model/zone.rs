//! Civil time in an IANA zone, right over the changes of daylight-saving time.
//!
//! Zones come from the system's time zone database (`tzdata`), which is kept up to date, and where the machine has none
//! or does not know a zone, from the one in the binary.

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::{AmbiguousOffset, TimeZone, TimeZoneDatabase};
use thiserror::Error;

/// A time zone that no database knows.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{found:?} is not a time zone of the IANA database, such as Asia/Shanghai or UTC")]
pub struct ZoneError {
    /// The name as it came.
    pub found: String,
}

/// Looks a zone up by its IANA name.
///
/// # Errors
/// When the name is unknown.
pub fn time_zone(name: &str) -> Result<TimeZone, ZoneError> {
    let found = TimeZone::get(name).or_else(|_| TimeZoneDatabase::bundled().get(name)).ok();
    found.filter(|zone| !zone.is_unknown()).ok_or_else(|| ZoneError { found: name.to_owned() })
}

/// The instant at which a civil time comes, exactly once for each: a time that a spring change leaves out comes at the
/// first instant after the gap, a time that an autumn change repeats comes at its first occurrence. Later civil times
/// never come earlier. `None` only at the very ends of the calendar.
#[must_use]
pub fn first_instant(zone: &TimeZone, civil: DateTime) -> Option<Timestamp> {
    let ambiguous = zone.to_ambiguous_timestamp(civil);
    let AmbiguousOffset::Gap { before, after } = ambiguous.offset() else {
        return ambiguous.earlier().ok();
    };
    // Read with the offset from before the gap the time lies behind the change, with the other one in front of it.
    let late = before.to_timestamp(civil).ok()?;
    let early = after.to_timestamp(civil).ok()?;
    let change = zone.following(early).map(|transition| transition.timestamp()).next().filter(|change| *change <= late);
    Some(change.unwrap_or(late))
}
