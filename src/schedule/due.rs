//! The decision: what to do about one schedule now.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use super::StoredSchedule;
use crate::model::{AllowedHours, Cron, IfMissed, ProblemCode, ScheduleState, When};

/// A time in which no daemon decided anything: `from <= t < to`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Downtime {
    /// The last instant at which the earlier daemon is known to have looked.
    pub from: Timestamp,
    /// When this daemon began to look.
    pub to: Timestamp,
}

/// The world around a schedule.
#[derive(Debug, Clone, Copy)]
pub struct Circumstances<'a> {
    /// The present instant by the wall clock.
    pub now: Timestamp,
    /// The hours in which migrations may start.
    pub allowed: &'a AllowedHours,
    /// An operator holds migrations in every one of the schedule's scopes.
    pub held: bool,
    /// The downtime before this daemon; `None` when there was no earlier one.
    pub downtime: Option<Downtime>,
}

/// Why an instant does not run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MissReason {
    /// Its window is over.
    WindowEnded,
    /// The daemon was down, and the entry says `if_missed = "skip"`.
    DaemonDown,
    /// The allowed hours do not open before its window ends.
    OutsideAllowedHours,
    /// An operator held migrations until its window was over.
    Held,
    /// A later instant of the same schedule is due as well; one run does for both.
    Superseded,
}

impl MissReason {
    /// The code for logs, where the contract has one.
    #[must_use]
    pub const fn code(self) -> Option<ProblemCode> {
        match self {
            Self::WindowEnded => Some(ProblemCode::WindowEnded),
            Self::OutsideAllowedHours => Some(ProblemCode::OutsideAllowedHours),
            Self::Held => Some(ProblemCode::Held),
            Self::DaemonDown | Self::Superseded => None,
        }
    }

    /// The reason in words, to go on after "because".
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::WindowEnded => "its window is over",
            Self::DaemonDown => "the daemon was down and if_missed is skip",
            Self::OutsideAllowedHours => "the allowed hours do not open within its window",
            Self::Held => "migrations were held until its window was over",
            Self::Superseded => "a later instant of the same schedule is due as well",
        }
    }
}

/// What to do about a schedule now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision {
    /// Make the job of this instant, and note it as fired in the same transaction.
    Fire {
        /// The scheduled instant.
        instant: Timestamp,
        /// The end of its window.
        window_end: Timestamp,
    },
    /// Note this instant, and with it every earlier one, as missed.
    Miss {
        /// The scheduled instant.
        instant: Timestamp,
        /// Why.
        reason: MissReason,
    },
    /// Note this instant, and with it every earlier one, as skipped: it passed during a pause.
    Skip {
        /// The scheduled instant.
        instant: Timestamp,
    },
    /// Ask again at this instant, or when hold, pause, entry or allowed hours change.
    Wait {
        /// The instant.
        until: Timestamp,
    },
    /// There is nothing to come until the entry changes.
    Nothing,
}

/// What is due. Decides about one instant at a time, the earliest first; depends on nothing but its arguments.
#[must_use]
pub fn decide(stored: &StoredSchedule, around: &Circumstances<'_>) -> Decision {
    let now = around.now;
    if matches!(stored.state, ScheduleState::Canceled | ScheduleState::Done) {
        return Decision::Nothing;
    }
    let when = &stored.entry.when;
    let Some(first) = stored.pending() else {
        return Decision::Nothing;
    };
    if first > now {
        return Decision::Wait { until: first };
    }
    let latest = last_in(when, stored.floor(), now).unwrap_or(first);
    if stored.state == ScheduleState::Paused {
        return Decision::Skip { instant: latest };
    }
    if first < latest {
        let second = last_in(when, stored.floor(), latest.saturating_sub(TICK).unwrap_or(first));
        let instant = second.unwrap_or(first);
        let over = end_of_window(instant, stored.entry.window) <= now;
        let reason = if over { MissReason::WindowEnded } else { MissReason::Superseded };
        return Decision::Miss { instant, reason };
    }
    decide_instant(stored, around, latest)
}

/// The next `n` instants of a schedule after `after`.
#[must_use]
pub fn next_runs(when: &When, after: Timestamp, n: usize) -> Vec<Timestamp> {
    match when {
        When::At(at) => (*at > after).then_some(*at).into_iter().take(n).collect(),
        When::Cron { pattern, time_zone } => {
            let Ok(cron) = Cron::parse(pattern, time_zone) else {
                return Vec::new();
            };
            std::iter::successors(cron.next_after(after), |at| cron.next_after(*at)).take(n).collect()
        }
    }
}

/// The next run, if it comes within `lead` from now: time to tell people.
#[must_use]
pub fn upcoming(stored: &StoredSchedule, now: Timestamp, lead: Duration) -> Option<Timestamp> {
    let next = stored.next_run()?;
    (next > now && next <= end_of_window(now, lead)).then_some(next)
}

/// The first instant of a schedule after `after`. An entry whose zone the system no longer knows has none.
pub(super) fn instant_after(when: &When, after: Timestamp) -> Option<Timestamp> {
    next_runs(when, after, 1).first().copied()
}

const TICK: SignedDuration = SignedDuration::from_nanos(1);

fn decide_instant(stored: &StoredSchedule, around: &Circumstances<'_>, instant: Timestamp) -> Decision {
    let now = around.now;
    let window_end = end_of_window(instant, stored.entry.window);
    let was_down = around.downtime.is_some_and(|down| down.from <= instant && instant < down.to);
    if was_down && stored.entry.if_missed == IfMissed::Skip {
        return Decision::Miss { instant, reason: MissReason::DaemonDown };
    }
    if now >= window_end {
        let reason = if around.held { MissReason::Held } else { MissReason::WindowEnded };
        return Decision::Miss { instant, reason };
    }
    if around.held {
        return Decision::Wait { until: window_end };
    }
    match around.allowed.next_open(now) {
        Some(open) if open <= now => Decision::Fire { instant, window_end },
        Some(open) if open < window_end => Decision::Wait { until: open },
        _ => Decision::Miss { instant, reason: MissReason::OutsideAllowedHours },
    }
}

fn end_of_window(instant: Timestamp, window: Duration) -> Timestamp {
    instant.saturating_add(window).unwrap_or(Timestamp::MAX)
}

/// The last instant with `after < instant <= until`. Looks back in growing steps, so that a pattern of every minute and
/// a downtime of years cost no more than a few thousand steps.
fn last_in(when: &When, after: Timestamp, until: Timestamp) -> Option<Timestamp> {
    let cron = match when {
        When::At(at) => return (*at > after && *at <= until).then_some(*at),
        When::Cron { pattern, time_zone } => Cron::parse(pattern, time_zone).ok()?,
    };
    for hours in [1, 24, 24 * 8, 24 * 32, 24 * 366] {
        let begin = until.saturating_sub(SignedDuration::from_hours(hours)).ok()?.max(after);
        if let Some(last) = last_from(&cron, begin, until) {
            return Some(last);
        }
        if begin == after {
            return None;
        }
    }
    last_from(&cron, after, until)
}

fn last_from(cron: &Cron, after: Timestamp, until: Timestamp) -> Option<Timestamp> {
    std::iter::successors(cron.next_after(after), |at| cron.next_after(*at)).take_while(|at| *at <= until).last()
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::model::ScheduleSource;
    use crate::schedule::Outcome;
    use crate::schedule::stored::tests::{at_entry, cron_entry, ts};

    const AT: &str = "2026-12-01T02:00:00Z";

    fn at_two() -> StoredSchedule {
        StoredSchedule::register(at_entry(AT), ScheduleSource::Config, ts("2026-11-01T00:00:00Z"))
    }

    fn around<'a>(now: &str, allowed: &'a AllowedHours) -> Circumstances<'a> {
        Circumstances { now: ts(now), allowed, held: false, downtime: None }
    }

    fn miss(instant: &str, reason: MissReason) -> Decision {
        Decision::Miss { instant: ts(instant), reason }
    }

    #[test]
    fn waits_fires_once_and_is_done() {
        let always = AllowedHours::default();
        let mut schedule = at_two();
        assert_eq!(decide(&schedule, &around("2026-12-01T01:59:59.999Z", &always)), Decision::Wait { until: ts(AT) });
        let fire = Decision::Fire { instant: ts(AT), window_end: ts("2026-12-01T04:00:00Z") };
        assert_eq!(decide(&schedule, &around(AT, &always)), fire);
        schedule.note(ts(AT), Outcome::Fired, ts(AT));
        for now in [AT, "2026-12-01T01:00:00Z", "2026-12-01T03:00:00Z", "2030-01-01T00:00:00Z"] {
            assert_eq!(decide(&schedule, &around(now, &always)), Decision::Nothing);
        }
    }

    #[test]
    fn late_runs_go_by_policy_and_window() {
        let always = AllowedHours::default();
        let mut schedule = at_two();
        let down = Downtime { from: ts("2026-12-01T01:00:00Z"), to: ts("2026-12-01T03:00:00Z") };
        let late = Circumstances { downtime: Some(down), ..around("2026-12-01T03:00:00Z", &always) };
        assert!(matches!(decide(&schedule, &late), Decision::Fire { .. }));
        schedule.entry.if_missed = IfMissed::Skip;
        assert_eq!(decide(&schedule, &late), miss(AT, MissReason::DaemonDown));
        // It was up at the instant and only restarted later.
        let up = Downtime { from: ts("2026-12-01T02:30:00Z"), to: ts("2026-12-01T03:00:00Z") };
        assert!(matches!(decide(&schedule, &Circumstances { downtime: Some(up), ..late }), Decision::Fire { .. }));
        schedule.entry.if_missed = IfMissed::Run;
        assert_eq!(
            decide(&schedule, &Circumstances { now: ts("2026-12-01T04:00:00Z"), ..late }),
            miss(AT, MissReason::WindowEnded)
        );
    }

    #[test]
    fn hold_and_allowed_hours_wait_while_the_window_is_open() {
        let always = AllowedHours::default();
        let schedule = at_two();
        let held = Circumstances { held: true, ..around("2026-12-01T02:30:00Z", &always) };
        assert_eq!(decide(&schedule, &held), Decision::Wait { until: ts("2026-12-01T04:00:00Z") });
        assert_eq!(
            decide(&schedule, &Circumstances { now: ts("2026-12-01T04:00:00Z"), ..held }),
            miss(AT, MissReason::Held)
        );
        let three = AllowedHours::new(vec!["03:00-05:00 UTC".parse().unwrap()]);
        assert_eq!(decide(&schedule, &around(AT, &three)), Decision::Wait { until: ts("2026-12-01T03:00:00Z") });
        assert!(matches!(decide(&schedule, &around("2026-12-01T03:00:00Z", &three)), Decision::Fire { .. }));
        let four = AllowedHours::new(vec!["04:00-05:00 UTC".parse().unwrap()]);
        assert_eq!(decide(&schedule, &around(AT, &four)), miss(AT, MissReason::OutsideAllowedHours));
    }

    #[test]
    fn a_pause_skips_and_a_cancellation_is_silent() {
        let always = AllowedHours::default();
        let mut schedule = at_two();
        assert!(schedule.pause());
        assert_eq!(decide(&schedule, &around("2026-12-01T01:00:00Z", &always)), Decision::Wait { until: ts(AT) });
        assert_eq!(decide(&schedule, &around(AT, &always)), Decision::Skip { instant: ts(AT) });
        assert!(schedule.cancel());
        assert_eq!(decide(&schedule, &around(AT, &always)), Decision::Nothing);
    }

    #[test]
    fn after_a_long_downtime_one_run_does_for_all_that_are_open() {
        let always = AllowedHours::default();
        let mut schedule = StoredSchedule::register(
            cron_entry("0 * * * *", "UTC"),
            ScheduleSource::Config,
            ts("2026-11-01T00:30:00Z"),
        );
        let now = around("2026-12-01T03:30:00Z", &always);
        let mut seen = Vec::new();
        loop {
            let decision = decide(&schedule, &now);
            seen.push(decision);
            match decision {
                Decision::Fire { instant, .. } => schedule.note(instant, Outcome::Fired, now.now),
                Decision::Miss { instant, .. } => schedule.note(instant, Outcome::Missed, now.now),
                _ => break,
            }
        }
        assert_eq!(
            seen,
            [
                miss("2026-12-01T02:00:00Z", MissReason::Superseded),
                Decision::Fire { instant: ts("2026-12-01T03:00:00Z"), window_end: ts("2026-12-01T05:00:00Z") },
                Decision::Wait { until: ts("2026-12-01T04:00:00Z") },
            ]
        );
    }

    #[test]
    fn a_pattern_of_every_minute_and_years_of_downtime() {
        let when = cron_entry("* * * * *", "Asia/Shanghai").when;
        let last = last_in(&when, ts("2006-01-01T00:00:00Z"), ts("2026-01-01T00:00:30Z"));
        assert_eq!(last, Some(ts("2026-01-01T00:00:00Z")));
        let rare = cron_entry("0 0 29 2 *", "UTC").when;
        assert_eq!(
            last_in(&rare, ts("2006-01-01T00:00:00Z"), ts("2026-01-01T00:00:30Z")),
            Some(ts("2024-02-29T00:00:00Z"))
        );
        assert_eq!(last_in(&rare, ts("2024-02-29T00:00:00Z"), ts("2026-01-01T00:00:30Z")), None);
    }

    #[test]
    fn upcoming_only_within_the_lead() {
        let schedule = at_two();
        let hour = Duration::from_secs(3600);
        assert_eq!(upcoming(&schedule, ts("2026-12-01T00:59:59Z"), hour), None);
        assert_eq!(upcoming(&schedule, ts("2026-12-01T01:00:00Z"), hour), Some(ts(AT)));
        assert_eq!(upcoming(&schedule, ts(AT), hour), None);
    }

    proptest! {
        /// Whatever restarts, clock steps, pauses and holds come: no instant fires twice, none fires outside its window
        /// or at or before the schedule was first seen, and the decisions about one moment come to an end.
        #[test]
        fn never_twice(steps in prop::collection::vec((-3600_i64..20_000, 0_u8..8), 1..60)) {
            let start = ts("2026-10-24T00:00:00Z");
            let allowed = AllowedHours::new(vec!["00:00-20:00 Europe/Berlin".parse().unwrap()]);
            let entry = cron_entry("30 1-3 * * *", "Europe/Berlin");
            let mut schedule = StoredSchedule::register(entry, ScheduleSource::Config, start);
            let (mut now, mut held, mut fired) = (start, false, std::collections::BTreeSet::new());
            for (seconds, act) in steps {
                let before = now;
                now += SignedDuration::from_secs(seconds);
                match act {
                    0 => held = !held,
                    1 => { schedule.pause(); }
                    2 => { schedule.resume(now); }
                    3 => schedule = serde_json::from_str(&serde_json::to_string(&schedule).unwrap()).unwrap(),
                    4 => {
                        let mut entry = schedule.entry.clone();
                        entry.acknowledge = !entry.acknowledge;
                        schedule = schedule.changed(entry, ScheduleSource::Config, now);
                    }
                    _ => {}
                }
                let downtime = (act == 3).then_some(Downtime { from: before, to: now });
                let around = Circumstances { now, allowed: &allowed, held, downtime };
                for round in 0.. {
                    prop_assert!(round < 4, "no end");
                    match decide(&schedule, &around) {
                        Decision::Fire { instant, window_end } => {
                            prop_assert!(instant > start && instant <= now && now < window_end);
                            prop_assert!(fired.insert(instant), "{} twice", instant);
                            schedule.note(instant, Outcome::Fired, now);
                        }
                        Decision::Miss { instant, .. } => schedule.note(instant, Outcome::Missed, now),
                        Decision::Skip { instant } => schedule.note(instant, Outcome::Skipped, now),
                        Decision::Wait { until } => {
                            prop_assert!(until > now);
                            break;
                        }
                        Decision::Nothing => break,
                    }
                }
            }
        }

        /// Two schedules of one scope, edited, removed and added again while the clock also goes back: neither fires an
        /// instant twice, and none fires an instant from before it got its present times.
        #[test]
        fn edits_bring_no_instant_back(steps in prop::collection::vec((-3600_i64..20_000, 0_usize..2, 0_u8..8), 1..80)) {
            const TIMES: [(&str, &str); 4] = [
                ("30 1-3 * * *", "Europe/Berlin"),
                ("0 * * * *", "UTC"),
                ("15 2 * * *", "Asia/Shanghai"),
                ("30 1-3 * * *", "America/New_York"),
            ];
            let allowed = AllowedHours::default();
            let mut now = ts("2026-10-24T00:00:00Z");
            let entry = |n: usize| cron_entry(TIMES[n % 4].0, TIMES[n % 4].1);
            let mut books = [0, 1].map(|n| Some(StoredSchedule::register(entry(n), ScheduleSource::Config, now)));
            let mut since = [now; 2];
            let mut fired = std::collections::BTreeSet::new();
            for (n, (seconds, which, act)) in steps.into_iter().enumerate() {
                now += SignedDuration::from_secs(seconds);
                let listed = books[which].as_ref().filter(|schedule| schedule.removed_at.is_none()).cloned();
                match (act, listed) {
                    (0..=2, Some(schedule)) => {
                        let edited = entry(n);
                        if edited.when != schedule.entry.when {
                            since[which] = since[which].max(now);
                        }
                        books[which] = Some(schedule.changed(edited, ScheduleSource::Config, now));
                    }
                    (3, Some(schedule)) => books[which] = schedule.removed(now),
                    (4, Some(mut schedule)) => {
                        schedule.pause();
                        books[which] = Some(schedule);
                    }
                    (0..=4, None) => {
                        let edited = entry(n);
                        since[which] = if books[which].is_some() { since[which].max(now) } else { now };
                        books[which] = Some(match &books[which] {
                            Some(remembered) => remembered.changed(edited, ScheduleSource::Config, now),
                            None => StoredSchedule::register(edited, ScheduleSource::Config, now),
                        });
                    }
                    _ => {}
                }
                for (which, book) in books.iter_mut().enumerate() {
                    let Some(schedule) = book.as_mut().filter(|schedule| schedule.removed_at.is_none()) else { continue };
                    let around = Circumstances { now, allowed: &allowed, held: false, downtime: None };
                    for round in 0.. {
                        prop_assert!(round < 40, "no end");
                        match decide(schedule, &around) {
                            Decision::Fire { instant, window_end } => {
                                prop_assert!(instant <= now && now < window_end);
                                prop_assert!(instant > since[which], "{} is from before {}", instant, since[which]);
                                prop_assert!(fired.insert((which, instant)), "{} twice", instant);
                                schedule.note(instant, Outcome::Fired, now);
                            }
                            Decision::Miss { instant, .. } => schedule.note(instant, Outcome::Missed, now),
                            Decision::Skip { instant } => schedule.note(instant, Outcome::Skipped, now),
                            Decision::Wait { .. } | Decision::Nothing => break,
                        }
                    }
                }
            }
        }
    }
}
