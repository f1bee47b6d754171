//! A schedule as the store keeps it.

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use super::due::instant_after;
use crate::model::{JobId, ScheduleEntry, ScheduleSource, ScheduleState, When};
use crate::store::Record;

/// What was decided about an instant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// A job was made.
    Fired,
    /// It could not run in its window, or was not to run late.
    Missed,
    /// It passed while the schedule was paused.
    Skipped,
}

/// The newest instant that is decided; it and all before it never run again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Decided {
    /// The scheduled instant.
    pub instant: Timestamp,
    /// What became of it.
    pub outcome: Outcome,
    /// When that was decided.
    pub decided_at: Timestamp,
}

/// A schedule with its memory.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredSchedule {
    /// What the operator wrote.
    pub entry: ScheduleEntry,
    /// Where it was written.
    pub source: ScheduleSource,
    /// State.
    pub state: ScheduleState,
    /// [`super::digest`] of the entry.
    pub digest: String,
    /// When a schedule of this name was first seen.
    pub registered_at: Timestamp,
    /// Instants at or before this one never run: they were past when their entry was first seen, or when the schedule
    /// was taken up again.
    pub not_before: Timestamp,
    /// The newest decided instant.
    pub decided: Option<Decided>,
    /// The newest job it started (of a group, the first).
    pub last_job: Option<JobId>,
    /// Who added it on the command line; `None`: it stands in the configuration file, or that was not noted yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub added_by: Option<String>,
    /// When its entry left the configuration file; what is remembered of it counts if the entry comes back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub removed_at: Option<Timestamp>,
}

impl Record for StoredSchedule {
    const KIND: &'static str = "schedule";
    const SCHEMA: u16 = 1;
}

impl StoredSchedule {
    /// A schedule seen for the first time.
    #[must_use]
    pub fn register(entry: ScheduleEntry, source: ScheduleSource, now: Timestamp) -> Self {
        let digest = super::digest(&entry);
        let mut stored = Self {
            entry,
            source,
            state: ScheduleState::Active,
            digest,
            registered_at: now,
            not_before: now,
            decided: None,
            last_job: None,
            added_by: None,
            removed_at: None,
        };
        stored.settle();
        stored
    }

    /// The schedule with a changed entry: active again, even if it had been paused or canceled. Its decided instants stay
    /// decided; a new `at` or `cron` counts from now, as does everything after a pause or cancellation.
    #[must_use]
    pub fn changed(&self, entry: ScheduleEntry, source: ScheduleSource, now: Timestamp) -> Self {
        let asleep = self.removed_at.is_some() || matches!(self.state, ScheduleState::Paused | ScheduleState::Canceled);
        let not_before =
            if asleep || entry.when != self.entry.when { self.not_before.max(now) } else { self.not_before };
        let mut stored = Self {
            digest: super::digest(&entry),
            entry,
            source,
            state: ScheduleState::Active,
            not_before,
            // Whoever may write the file needs nobody's approval.
            added_by: self.added_by.clone().filter(|_| source == ScheduleSource::Cli),
            removed_at: None,
            ..self.clone()
        };
        stored.settle();
        stored
    }

    /// The schedule whose entry has left the file, if there is anything to remember of it: that an operator paused or
    /// canceled it, until its instant has passed; that an instant was decided, for some time, since a clock can be set back.
    #[must_use]
    pub fn removed(&self, now: Timestamp) -> Option<Self> {
        let asleep = matches!(self.state, ScheduleState::Paused | ScheduleState::Canceled);
        let to_come = match self.entry.when {
            When::At(at) => at > now,
            When::Cron { .. } => true,
        };
        let decided = self.decided.is_some_and(|decided| now.duration_since(decided.instant) < REMEMBERED);
        let removed_at = Some(self.removed_at.unwrap_or(now));
        ((asleep && to_come) || decided).then(|| Self { removed_at, ..self.clone() })
    }

    /// The schedule whose entry came back as it was: as it was left, but what passed meanwhile is gone.
    #[must_use]
    pub fn put_back(&self, now: Timestamp) -> Self {
        let mut stored = Self { removed_at: None, not_before: self.not_before.max(now), ..self.clone() };
        stored.settle();
        stored
    }

    /// Everything at or before this instant is behind the schedule.
    #[must_use]
    pub fn floor(&self) -> Timestamp {
        self.decided.map_or(self.not_before, |decided| decided.instant.max(self.not_before))
    }

    /// The next instant that is neither decided nor ruled out; it may be in the past.
    #[must_use]
    pub fn pending(&self) -> Option<Timestamp> {
        instant_after(&self.entry.when, self.floor())
    }

    /// When it will run next as far as is known; `None` for a schedule that is paused, canceled or done.
    #[must_use]
    pub fn next_run(&self) -> Option<Timestamp> {
        if self.state == ScheduleState::Active { self.pending() } else { None }
    }

    /// Notes what was decided. An instant that is behind the schedule already stays as it was decided.
    pub fn note(&mut self, instant: Timestamp, outcome: Outcome, now: Timestamp) {
        if instant > self.floor() {
            self.decided = Some(Decided { instant, outcome, decided_at: now });
        }
        self.settle();
    }

    /// Holds the schedule back; instants that pass meanwhile are skipped. False if it is canceled or done.
    pub fn pause(&mut self) -> bool {
        let open = matches!(self.state, ScheduleState::Active | ScheduleState::Paused);
        if open {
            self.state = ScheduleState::Paused;
        }
        open
    }

    /// Takes a paused schedule up again, from now on. False if it is not paused.
    pub fn resume(&mut self, now: Timestamp) -> bool {
        let paused = self.state == ScheduleState::Paused;
        if paused {
            self.state = ScheduleState::Active;
            self.not_before = self.not_before.max(now);
            self.settle();
        }
        paused
    }

    /// Cancels the schedule until its entry changes. False if it is done already.
    pub fn cancel(&mut self) -> bool {
        let open = self.state != ScheduleState::Done;
        if open {
            self.state = ScheduleState::Canceled;
        }
        open
    }

    fn settle(&mut self) {
        let over = matches!(self.entry.when, When::At(_)) && self.pending().is_none();
        if over && self.state != ScheduleState::Canceled {
            self.state = ScheduleState::Done;
        }
    }
}

/// How long a decided instant is remembered of an entry that is gone.
const REMEMBERED: SignedDuration = SignedDuration::from_hours(7 * 24);

#[cfg(test)]
#[allow(clippy::unwrap_used)]
pub(super) mod tests {
    use std::time::Duration;

    use super::*;
    use crate::model::{IfMissed, Selection};

    pub(in crate::schedule) fn ts(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    pub(in crate::schedule) fn at_entry(at: &str) -> ScheduleEntry {
        ScheduleEntry {
            name: "retail-hangzhou".to_owned(),
            region: "cn-hangzhou".parse().unwrap(),
            accounts: vec!["1000000000000001".parse().unwrap()],
            instance: "kst-hzz0000000000000001".parse().unwrap(),
            when: When::At(ts(at)),
            resources: Selection::All,
            window: Duration::from_secs(7200),
            if_missed: IfMissed::Run,
            soak: Duration::ZERO,
            rehearse: false,
            acknowledge: true,
        }
    }

    pub(in crate::schedule) fn cron_entry(pattern: &str, zone: &str) -> ScheduleEntry {
        let when = When::Cron { pattern: pattern.to_owned(), time_zone: zone.to_owned() };
        ScheduleEntry { when, ..at_entry("2026-12-01T00:00:00Z") }
    }

    fn stored(at: &str, now: &str) -> StoredSchedule {
        StoredSchedule::register(at_entry(at), ScheduleSource::Config, ts(now))
    }

    #[test]
    fn an_instant_past_at_first_sight_is_done() {
        assert_eq!(stored("2026-12-01T02:00:00Z", "2026-12-01T02:00:01Z").state, ScheduleState::Done);
        assert_eq!(stored("2026-12-01T02:00:00Z", "2026-12-01T01:59:59Z").state, ScheduleState::Active);
    }

    #[test]
    fn a_new_at_is_a_new_instant_and_an_old_one_stays_decided() {
        let mut schedule = stored("2026-12-01T02:00:00Z", "2026-11-01T00:00:00Z");
        schedule.note(ts("2026-12-01T02:00:00Z"), Outcome::Fired, ts("2026-12-01T02:00:00Z"));
        assert_eq!(schedule.state, ScheduleState::Done);
        let now = ts("2026-12-01T02:30:00Z");
        let mut entry = schedule.entry.clone();
        entry.soak = Duration::from_secs(60);
        let same_at = schedule.changed(entry.clone(), ScheduleSource::Config, now);
        assert_eq!((same_at.state, same_at.pending()), (ScheduleState::Done, None));
        entry.when = When::At(ts("2026-12-02T02:00:00Z"));
        let new_at = same_at.changed(entry.clone(), ScheduleSource::Config, now);
        assert_eq!(new_at.next_run(), Some(ts("2026-12-02T02:00:00Z")));
        entry.when = When::At(ts("2026-12-01T02:10:00Z"));
        let past = new_at.changed(entry, ScheduleSource::Config, now);
        assert_eq!(past.state, ScheduleState::Done);
    }

    #[test]
    fn what_passed_during_a_pause_or_cancellation_is_gone() {
        let now = ts("2026-12-01T03:00:00Z");
        let mut paused = stored("2026-12-01T02:00:00Z", "2026-11-01T00:00:00Z");
        assert!(paused.pause());
        assert!(paused.resume(now));
        assert_eq!(paused.state, ScheduleState::Done);
        let mut canceled = stored("2026-12-01T02:00:00Z", "2026-11-01T00:00:00Z");
        assert!(canceled.cancel());
        assert!(!canceled.resume(now) && !canceled.pause());
        let mut entry = canceled.entry.clone();
        entry.soak = Duration::from_secs(60);
        assert_eq!(canceled.changed(entry, ScheduleSource::Config, now).state, ScheduleState::Done);
    }

    #[test]
    fn what_is_gone_is_remembered_until_it_can_matter_no_more() {
        let (at, before, after) = ("2026-12-01T02:00:00Z", ts("2026-11-30T00:00:00Z"), ts("2026-12-01T02:00:01Z"));
        let open = stored(at, "2026-11-01T00:00:00Z");
        assert_eq!(open.removed(before), None);
        let mut canceled = open.clone();
        assert!(canceled.cancel());
        let removed = canceled.removed(before).unwrap();
        assert_eq!((removed.removed_at, removed.removed(after)), (Some(before), None));
        assert_eq!(removed.put_back(before).state, ScheduleState::Canceled);
        let mut ran = open.clone();
        ran.note(ts(at), Outcome::Fired, after);
        let removed = ran.removed(after).unwrap();
        // The clock was set back meanwhile.
        let back = removed.put_back(before);
        assert_eq!((back.state, back.next_run()), (ScheduleState::Done, None));
        assert_eq!(removed.removed(ts("2026-12-09T00:00:00Z")), None);
        let mut paused = StoredSchedule::register(cron_entry("0 2 * * *", "UTC"), ScheduleSource::Config, before);
        assert!(paused.pause());
        let back = paused.removed(before).unwrap().put_back(after);
        assert_eq!((back.state, back.pending()), (ScheduleState::Paused, Some(ts("2026-12-02T02:00:00Z"))));
    }

    #[test]
    fn what_the_file_takes_over_was_added_by_nobody() {
        let mut by_hand =
            StoredSchedule::register(at_entry("2026-12-01T02:00:00Z"), ScheduleSource::Cli, ts("2026-11-01T00:00:00Z"));
        by_hand.added_by = Some("uid 1000".to_owned());
        let now = ts("2026-11-02T00:00:00Z");
        let again = by_hand.changed(by_hand.entry.clone(), ScheduleSource::Cli, now);
        assert_eq!(again.added_by, by_hand.added_by);
        assert_eq!(by_hand.changed(by_hand.entry.clone(), ScheduleSource::Config, now).added_by, None);
    }

    #[test]
    fn an_edit_in_time_keeps_the_instant_and_wakes_the_schedule() {
        let mut schedule = stored("2026-12-01T02:00:00Z", "2026-11-01T00:00:00Z");
        assert!(schedule.cancel());
        let mut entry = schedule.entry.clone();
        entry.window = Duration::from_secs(60);
        let awake = schedule.changed(entry, ScheduleSource::Config, ts("2026-11-30T00:00:00Z"));
        assert_eq!(awake.next_run(), Some(ts("2026-12-01T02:00:00Z")));
    }
}
