//! Brings the stored schedules in line with the configuration file, by name.

use jiff::Timestamp;
use thiserror::Error;

use super::StoredSchedule;
use crate::model::{ScheduleEntry, ScheduleSource, ScheduleState};

/// One change to the stored schedules.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StoreChange {
    /// Store a schedule seen for the first time.
    Add(StoredSchedule),
    /// Store a schedule whose entry changed, or came back.
    Replace(StoredSchedule),
    /// Remember of a schedule that left the file what counts if it comes back; its running job goes on.
    Retire(StoredSchedule),
    /// Remove the schedule of this name; its running job goes on.
    Remove(String),
}

/// A name that is used by both the configuration file and the command line.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum NameTaken {
    /// The file brings a name under which the command line has an open schedule.
    #[error(
        "the schedule {name:?} was added on the command line: cancel it there (keyferry schedule cancel {name}), or use \
         another name in the file"
    )]
    ByCli {
        /// The name.
        name: String,
    },
    /// The command line brings a name that the file uses.
    #[error("the schedule {name:?} is in the configuration file: change it there, or use another name")]
    ByConfig {
        /// The name.
        name: String,
    },
    /// The command line brings a name that it has used already.
    #[error("there is a schedule {name:?} already: cancel it first, or use another name")]
    Open {
        /// The name.
        name: String,
    },
}

/// What to change in the store so that it has the schedules of the file. Schedules of the command line are left alone,
/// except that one which is canceled or done gives its name up to the file.
///
/// # Errors
/// All names that an open schedule of the command line uses; nothing is to be changed then.
pub fn reconcile(
    entries: &[ScheduleEntry],
    stored: &[StoredSchedule],
    now: Timestamp,
) -> Result<Vec<StoreChange>, Vec<NameTaken>> {
    let mut changes = Vec::new();
    let mut taken = Vec::new();
    for entry in entries {
        match stored.iter().find(|s| s.entry.name == entry.name) {
            None => {
                changes.push(StoreChange::Add(StoredSchedule::register(entry.clone(), ScheduleSource::Config, now)));
            }
            Some(known) if known.source == ScheduleSource::Cli && is_open(known) => {
                taken.push(NameTaken::ByCli { name: entry.name.clone() });
            }
            Some(known) if known.source == ScheduleSource::Cli || known.digest != super::digest(entry) => {
                changes.push(StoreChange::Replace(known.changed(entry.clone(), ScheduleSource::Config, now)));
            }
            Some(known) if known.removed_at.is_some() => changes.push(StoreChange::Replace(known.put_back(now))),
            Some(_) => {}
        }
    }
    let gone = stored
        .iter()
        .filter(|s| s.source == ScheduleSource::Config && entries.iter().all(|entry| entry.name != s.entry.name));
    changes.extend(gone.filter_map(|s| match s.removed(now) {
        Some(removed) => (removed != *s).then_some(StoreChange::Retire(removed)),
        None => Some(StoreChange::Remove(s.entry.name.clone())),
    }));
    if taken.is_empty() { Ok(changes) } else { Err(taken) }
}

/// The change that `schedule add` makes.
///
/// # Errors
/// When the name is used by the file, or by a schedule of the command line that is neither canceled nor done.
pub fn check_new(
    entry: ScheduleEntry,
    same_name: Option<&StoredSchedule>,
    now: Timestamp,
) -> Result<StoreChange, NameTaken> {
    match same_name {
        None => Ok(StoreChange::Add(StoredSchedule::register(entry, ScheduleSource::Cli, now))),
        Some(known) if known.removed_at.is_some() => {
            Ok(StoreChange::Replace(known.changed(entry, ScheduleSource::Cli, now)))
        }
        Some(known) if known.source == ScheduleSource::Config => Err(NameTaken::ByConfig { name: entry.name }),
        Some(known) if is_open(known) => Err(NameTaken::Open { name: entry.name }),
        Some(known) => Ok(StoreChange::Replace(known.changed(entry, ScheduleSource::Cli, now))),
    }
}

const fn is_open(stored: &StoredSchedule) -> bool {
    matches!(stored.state, ScheduleState::Active | ScheduleState::Paused)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic)]
mod tests {
    use super::*;
    use crate::schedule::stored::tests::{at_entry, ts};

    fn named(name: &str) -> ScheduleEntry {
        ScheduleEntry { name: name.to_owned(), ..at_entry("2026-12-01T02:00:00Z") }
    }

    fn known(name: &str, source: ScheduleSource) -> StoredSchedule {
        StoredSchedule::register(named(name), source, ts("2026-11-01T00:00:00Z"))
    }

    #[test]
    fn adds_replaces_removes_and_leaves_alone() {
        let now = ts("2026-11-02T00:00:00Z");
        let mut paused = known("same", ScheduleSource::Config);
        assert!(paused.pause());
        let mut edited_before = known("edited", ScheduleSource::Config);
        assert!(edited_before.cancel());
        let stored =
            [paused, edited_before, known("gone", ScheduleSource::Config), known("by-hand", ScheduleSource::Cli)];
        let mut edited = named("edited");
        edited.rehearse = true;
        let changes = reconcile(&[named("same"), edited, named("new")], &stored, now).unwrap();
        let [StoreChange::Replace(replaced), StoreChange::Add(added), StoreChange::Remove(gone)] = changes.as_slice()
        else {
            panic!("{changes:?}")
        };
        assert_eq!((replaced.entry.name.as_str(), replaced.state), ("edited", ScheduleState::Active));
        assert_eq!((added.entry.name.as_str(), added.source), ("new", ScheduleSource::Config));
        assert_eq!(added.registered_at, now);
        assert_eq!(gone, "gone");
    }

    #[test]
    fn names_are_used_once() {
        let now = ts("2026-11-02T00:00:00Z");
        let mut stored = [known("a", ScheduleSource::Cli), known("b", ScheduleSource::Config)];
        assert_eq!(
            reconcile(&[named("a"), named("b")], &stored, now),
            Err(vec![NameTaken::ByCli { name: "a".to_owned() }])
        );
        let [a, b] = &mut stored;
        assert_eq!(check_new(named("b"), Some(b), now), Err(NameTaken::ByConfig { name: "b".to_owned() }));
        assert_eq!(check_new(named("a"), Some(a), now), Err(NameTaken::Open { name: "a".to_owned() }));
        assert!(a.cancel());
        assert!(matches!(check_new(named("a"), Some(a), now), Ok(StoreChange::Replace(_))));
        assert!(matches!(
            reconcile(&[named("a"), named("b")], &stored, now).unwrap().as_slice(),
            [StoreChange::Replace(s)] if s.source == ScheduleSource::Config && s.state == ScheduleState::Active
        ));
    }
}
