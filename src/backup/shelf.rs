//! A directory of scheduled backups: when the next is due, and which ones have had their time.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::Timestamp;
use jiff::fmt::strtime;

use super::filing::PARTIAL;

/// How long scheduled backups are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retention {
    /// At most so many.
    pub keep: usize,
    /// None that is older, except the newest. `None`: no limit.
    pub max_age: Option<Duration>,
}

/// The scheduled backups of a directory, newest first. Files of other names are nobody's business here.
#[derive(Debug, Default)]
pub struct Shelf {
    backups: Vec<(Timestamp, PathBuf)>,
    unfinished: Vec<PathBuf>,
}

impl Shelf {
    /// Reads the directory.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn read(directory: &Path) -> io::Result<Self> {
        let mut shelf = Self::default();
        for entry in std::fs::read_dir(directory)? {
            let entry = entry?;
            let name = entry.file_name().to_string_lossy().into_owned();
            match name.strip_suffix(PARTIAL) {
                Some(name) if instant(name).is_some() => shelf.unfinished.push(entry.path()),
                Some(_) => {}
                None => shelf.backups.extend(instant(&name).map(|at| (at, entry.path()))),
            }
        }
        shelf.backups.sort_by(|a, b| b.cmp(a));
        Ok(shelf)
    }

    /// When the newest was taken.
    #[must_use]
    pub fn newest(&self) -> Option<Timestamp> {
        self.backups.first().map(|(at, _)| *at)
    }

    /// Whether the next one is due. One that seems to be of the future (the clock was set back) does not put it off.
    #[must_use]
    pub fn is_due(&self, now: Timestamp, every: Duration) -> bool {
        self.newest().is_none_or(|newest| newest > now || age(newest, now) >= every)
    }

    /// What has had its time, and what was never finished. The newest never has.
    #[must_use]
    pub fn surplus(&self, now: Timestamp, retention: Retention) -> Vec<&Path> {
        let old = |at: Timestamp| retention.max_age.is_some_and(|longest| age(at, now) > longest);
        let backups = self.backups.iter().enumerate().skip(1);
        let surplus = backups.filter(|(n, (at, _))| *n >= retention.keep || old(*at)).map(|(_, (_, path))| path);
        surplus.chain(&self.unfinished).map(PathBuf::as_path).collect()
    }
}

/// The file name of a backup of this instant, such as `keyferry-20261201T011407Z.backup`.
#[must_use]
pub fn file_name(at: Timestamp) -> String {
    at.strftime(NAME).to_string()
}

const NAME: &str = "keyferry-%Y%m%dT%H%M%SZ.backup";

fn instant(name: &str) -> Option<Timestamp> {
    let parts = strtime::parse(NAME, name).ok()?;
    jiff::tz::TimeZone::UTC.to_timestamp(parts.to_datetime().ok()?).ok()
}

fn age(at: Timestamp, now: Timestamp) -> Duration {
    Duration::try_from(now.duration_since(at)).unwrap_or_default()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    fn strings(all: &[&String]) -> Vec<String> {
        all.iter().map(|one| (*one).clone()).collect()
    }

    #[test]
    fn only_scheduled_backups_count_and_the_newest_is_never_surplus() {
        let directory = tempfile::tempdir().unwrap();
        let days = ["2026-12-01T01:00:00Z", "2026-12-02T01:00:00Z", "2026-12-03T01:00:00Z", "2026-12-04T01:00:00Z"];
        let names: Vec<String> = days.iter().map(|day| file_name(at(day))).collect();
        assert_eq!(names.first().unwrap(), "keyferry-20261201T010000Z.backup");
        let partial = format!("{}{PARTIAL}", file_name(at("2026-12-01T02:00:00Z")));
        let others = ["mine", "keyferry-20261201T010000Z.backup.old", "other.partial", "keyferry-x.backup"];
        for name in names.iter().map(String::as_str).chain(others).chain([partial.as_str()]) {
            std::fs::write(directory.path().join(name), b"").unwrap();
        }
        let shelf = Shelf::read(directory.path()).unwrap();
        assert_eq!(shelf.newest(), Some(at("2026-12-04T01:00:00Z")));
        let (day, now) = (Duration::from_secs(86_400), at("2026-12-05T00:59:59Z"));
        assert!(!shelf.is_due(now, day) && shelf.is_due(at("2026-12-05T01:00:00Z"), day));
        assert!(shelf.is_due(at("2026-01-01T00:00:00Z"), day), "after the clock was set back");
        let surplus = |keep, max_age| -> Vec<String> {
            let all = shelf.surplus(now, Retention { keep, max_age }).into_iter();
            all.map(|path| path.file_name().unwrap().to_string_lossy().into_owned()).collect()
        };
        let [first, second, third, _] = names.as_slice() else { unreachable!() };
        assert_eq!(surplus(3, None), strings(&[first, &partial]));
        assert_eq!(surplus(9, Some(day * 3)), strings(&[first, &partial]));
        assert_eq!(surplus(2, Some(day * 30)), strings(&[second, first, &partial]));
        assert_eq!(surplus(1, Some(Duration::ZERO)), strings(&[third, second, first, &partial]), "all but the newest");
        assert!(
            Shelf::default().is_due(now, day)
                && Shelf::default().surplus(now, Retention { keep: 1, max_age: None }).is_empty()
        );
    }
}
