//! Lines that repeat: the first ones are written, the others counted, and the count is written when its time is over.
//!
//! A line of a job is never left out, and neither is an event, unless a client can bring it about without end
//! ([`Event::repeats`]), also one that names a job. What is left is warnings and errors of the program's own and of libraries, by the place in the
//! program that they come from: there are as many of these as the program has.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use tracing::Level;
use tracing::callsite::Identifier;

use super::Event;
use super::line::Line;

/// So many lines of one place are written ...
pub(super) const BURST: u32 = 20;
/// ... in this time.
pub(super) const WINDOW: Duration = Duration::from_secs(10);

/// Counts.
#[derive(Default)]
pub(super) struct Limiter {
    places: HashMap<(Identifier, Option<Event>), Place>,
}

struct Place {
    since: Instant,
    written: u32,
    left_out: u64,
    /// The newest line that was left out.
    last: String,
}

impl Limiter {
    /// Is this line to be written?
    pub(super) fn admit(&mut self, place: Identifier, line: &Line, now: Instant) -> bool {
        let event = line.event();
        let limited = match event {
            Some(event) => event.repeats(),
            None => line.level <= Level::WARN && !line.fields.contains_key("job"),
        };
        if !limited {
            return true;
        }
        let place = self.places.entry((place, event)).or_insert_with(|| Place {
            since: now,
            written: 0,
            left_out: 0,
            last: String::new(),
        });
        if place.left_out == 0 && now.saturating_duration_since(place.since) >= WINDOW {
            (place.since, place.written) = (now, 0);
        }
        if place.written < BURST {
            place.written = place.written.saturating_add(1);
            return true;
        }
        place.left_out = place.left_out.saturating_add(1);
        place.last.clone_from(&line.message);
        false
    }

    /// What is to be said of those whose time is over; `all`: of every one that was left out.
    pub(super) fn summaries(&mut self, now: Instant, all: bool) -> Vec<Line> {
        let mut lines = Vec::new();
        for ((_, event), place) in &mut self.places {
            let passed = now.saturating_duration_since(place.since);
            if place.left_out == 0 || !(all || passed >= WINDOW) {
                continue;
            }
            let what = event.map_or("a line", Event::as_str);
            let text = format!(
                "{what} came {} more times in {} s and was left out; the last one: {}",
                place.left_out,
                passed.as_secs(),
                place.last
            );
            lines.push(Line::of_event(Event::LogSuppressed, Level::WARN, text));
            (place.since, place.written, place.left_out) = (now, 0, 0);
        }
        lines
    }
}
