//! Typed reading of TOML tables that goes on after a mistake, so that all are found at once.

use std::cell::RefCell;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use jiff::Timestamp;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::duration::parse_duration;
use super::keys::Keys;
use super::problem::{ConfigProblem, ConfigWarning, Position, nearest};

/// The file, and what was noticed in it so far.
pub(super) struct Source<'a> {
    file: &'a Path,
    text: &'a str,
    pub(super) credentials_directory: Option<&'a Path>,
    problems: RefCell<Vec<ConfigProblem>>,
    warnings: RefCell<Vec<ConfigWarning>>,
}

/// A value and where it stands.
#[derive(Debug, Clone)]
pub(super) struct Found<T> {
    pub(super) value: T,
    pub(super) at: usize,
}

/// A table being read.
#[derive(Clone, Copy)]
pub(super) struct Table<'a> {
    pub(super) source: &'a Source<'a>,
    table: &'a DeTable<'a>,
    keys: &'static Keys,
    /// Where the table begins.
    pub(super) at: usize,
}

impl<'a> Source<'a> {
    pub(super) fn new(file: &'a Path, text: &'a str, credentials_directory: Option<&'a Path>) -> Self {
        Self { file, text, credentials_directory, problems: RefCell::default(), warnings: RefCell::default() }
    }

    pub(super) fn problem(&self, at: usize, found: impl Into<String>, allowed: impl Into<String>) {
        self.push(at, found.into(), allowed.into(), None);
    }

    pub(super) fn guess(&self, at: usize, found: &str, allowed: String, known: &[&str]) {
        let suggestion = nearest(found, known.iter().copied()).map(str::to_owned);
        self.push(at, format!("{found:?}"), allowed, suggestion);
    }

    pub(super) fn warn(&self, at: usize, message: impl Into<String>) {
        let position = Some(Position::of(self.text, at));
        self.warnings.borrow_mut().push(ConfigWarning {
            file: self.file.to_owned(),
            position,
            message: message.into(),
        });
    }

    /// The line of an offset, to refer to in texts.
    pub(super) fn line(&self, at: usize) -> usize {
        Position::of(self.text, at).line
    }

    /// A path of the file; relative ones start where the file lies.
    pub(super) fn path(&self, text: &str) -> PathBuf {
        self.file.parent().unwrap_or_else(|| Path::new("")).join(text)
    }

    pub(super) fn finish(self) -> (Vec<ConfigProblem>, Vec<ConfigWarning>) {
        let mut problems = self.problems.into_inner();
        problems.sort_by_key(|problem| problem.position);
        let mut warnings = self.warnings.into_inner();
        warnings.sort_by_key(|warning| warning.position);
        (problems, warnings)
    }

    fn push(&self, at: usize, found: String, allowed: String, suggestion: Option<String>) {
        let position = Some(Position::of(self.text, at));
        let problem = ConfigProblem { file: self.file.to_owned(), position, found, allowed, suggestion };
        self.problems.borrow_mut().push(problem);
    }
}

impl<'a> Table<'a> {
    /// Begins to read a table: every key that is not among `keys` is a problem.
    pub(super) fn new(source: &'a Source<'a>, table: &'a DeTable<'a>, at: Range<usize>, keys: &'static Keys) -> Self {
        let reserved = if keys.table.is_empty() { super::keys::RESERVED } else { &[] };
        for (key, _) in table.iter() {
            let name: &str = key.get_ref();
            if reserved.contains(&name) {
                source.problem(
                    key.span().start,
                    format!("the table {name:?}"),
                    "nothing: this table is reserved for a later release",
                );
            } else if !keys.keys.contains(&name) {
                let place = if keys.table.is_empty() { String::new() } else { format!(" in [{}]", keys.table) };
                let allowed = keys.keys.join(", ");
                let suggestion = nearest(name, keys.keys.iter().copied()).map(str::to_owned);
                source.push(key.span().start, format!("the unknown key {name:?}{place}"), allowed, suggestion);
            }
        }
        Self { source, table, keys, at: at.start }
    }

    /// The value of a key.
    pub(super) fn get(&self, key: &'static str) -> Option<&'a Spanned<DeValue<'a>>> {
        debug_assert!(self.keys.keys.contains(&key), "{key} is missing in keys.rs");
        self.table.iter().find(|(name, _)| *name.get_ref() == key).map(|(_, value)| value)
    }

    /// Notes that a required key is missing; answers what `value` holds.
    pub(super) fn required<T>(&self, key: &'static str, allowed: &str, value: Option<Found<T>>) -> Option<Found<T>> {
        if value.is_none() && self.get(key).is_none() {
            self.missing(key, allowed);
        }
        value
    }

    pub(super) fn missing(&self, key: &str, allowed: &str) {
        let place = if self.keys.table.is_empty() { "a file".to_owned() } else { format!("[{}]", self.keys.table) };
        self.source.problem(self.at, format!("{place} without {key}"), format!("{key} = {allowed}"));
    }

    pub(super) fn string(&self, key: &'static str, allowed: &str) -> Option<Found<&'a str>> {
        let value = self.get(key)?;
        string_of(self.source, key, value, allowed)
    }

    /// A string that an identifier or other type is made of; its error says what is allowed.
    pub(super) fn parsed<T: FromStr<Err: std::fmt::Display>>(
        &self,
        key: &'static str,
        allowed: &str,
    ) -> Option<Found<T>> {
        let text = self.string(key, allowed)?;
        parse_at(self.source, key, &text, allowed)
    }

    /// One of some words.
    pub(super) fn word<T>(
        &self,
        key: &'static str,
        words: &[&str],
        read: impl Fn(&str) -> Option<T>,
    ) -> Option<Found<T>> {
        let allowed = words.iter().map(|word| format!("{word:?}")).collect::<Vec<_>>().join(", ");
        let text = self.string(key, &allowed)?;
        let value = read(text.value);
        if value.is_none() {
            self.source.guess(text.at, text.value, format!("{key} = {allowed}"), words);
        }
        value.map(|value| Found { value, at: text.at })
    }

    pub(super) fn boolean(&self, key: &'static str) -> Option<Found<bool>> {
        let value = self.get(key)?;
        let found = value.get_ref().as_bool();
        if found.is_none() {
            self.mistyped(key, value, "true or false");
        }
        found.map(|found| Found { value: found, at: value.span().start })
    }

    pub(super) fn integer(&self, key: &'static str, range: std::ops::RangeInclusive<u64>) -> Option<Found<u64>> {
        let value = self.get(key)?;
        let at = value.span().start;
        let allowed = format!("{key} = a whole number from {} to {}", range.start(), range.end());
        let Some(integer) = value.get_ref().as_integer() else {
            self.source.problem(at, kind_of(value.get_ref()), allowed);
            return None;
        };
        let number = u64::from_str_radix(integer.as_str(), integer.radix()).ok().filter(|n| range.contains(n));
        if number.is_none() {
            self.source.problem(at, integer.as_str(), allowed);
        }
        number.map(|value| Found { value, at })
    }

    pub(super) fn duration(&self, key: &'static str) -> Option<Found<Duration>> {
        const ALLOWED: &str = "a duration in quotes, such as \"2h\", \"90m\", \"30s\", \"1d\" or \"1h30m\"";
        let text = self.string(key, ALLOWED)?;
        let duration = parse_duration(text.value);
        if duration.is_err() {
            self.source.problem(text.at, format!("{:?}", text.value), format!("{key} = {ALLOWED}"));
        }
        duration.ok().map(|value| Found { value, at: text.at })
    }

    /// A TOML date-time with an offset, or the same as a string (RFC 3339).
    pub(super) fn instant(&self, key: &'static str) -> Option<Found<Timestamp>> {
        const ALLOWED: &str = "a date, a time and an offset from UTC, such as 2026-12-01T02:00:00+08:00";
        let value = self.get(key)?;
        let at = value.span().start;
        let text = match value.get_ref() {
            DeValue::Datetime(datetime) => datetime.to_string(),
            DeValue::String(text) => text.to_string(),
            other => {
                self.source.problem(at, kind_of(other), format!("{key} = {ALLOWED}"));
                return None;
            }
        };
        // A time without its offset would be read in a zone that nobody wrote.
        let instant = text.parse::<Timestamp>().ok();
        if instant.is_none() {
            self.source.problem(at, format!("{text:?}"), format!("{key} = {ALLOWED}"));
        }
        instant.map(|value| Found { value, at })
    }

    /// A list of strings, each made into a `T`; the same twice is a problem. `None` if the key is not there.
    pub(super) fn list<T: FromStr<Err: std::fmt::Display> + PartialEq>(
        &self,
        key: &'static str,
        allowed: &str,
    ) -> Option<Vec<Found<T>>> {
        let value = self.get(key)?;
        let Some(array) = value.get_ref().as_array() else {
            self.mistyped(key, value, &format!("a list: [{allowed}, ...]"));
            return Some(Vec::new());
        };
        let mut list: Vec<Found<T>> = Vec::new();
        for item in array.iter() {
            let Some(text) = string_of(self.source, key, item, allowed) else {
                continue;
            };
            let Some(found) = parse_at::<T>(self.source, key, &text, allowed) else {
                continue;
            };
            if list.iter().any(|other| other.value == found.value) {
                self.source.problem(found.at, format!("{:?} twice in {key}", text.value), "each once");
            } else {
                list.push(found);
            }
        }
        Some(list)
    }

    /// A table under a key.
    pub(super) fn table(&self, key: &'static str, keys: &'static Keys) -> Option<Self> {
        let value = self.get(key)?;
        let table = value.get_ref().as_table();
        if table.is_none() {
            self.mistyped(key, value, &format!("a table with {}", keys.keys.join(", ")));
        }
        table.map(|table| Self::new(self.source, table, value.span(), keys))
    }

    /// Is there nothing in it?
    pub(super) fn is_empty(&self) -> bool {
        self.table.is_empty()
    }

    /// Does the table under `key` have the key `inner`?
    pub(super) fn table_has(&self, key: &'static str, inner: &str) -> bool {
        let table = self.get(key).and_then(|value| value.get_ref().as_table());
        table.is_some_and(|table| table.iter().any(|(name, _)| *name.get_ref() == inner))
    }

    /// The tables of `[[key]]`.
    pub(super) fn tables(&self, key: &'static str, keys: &'static Keys) -> Vec<Self> {
        let Some(value) = self.get(key) else {
            return Vec::new();
        };
        let items = value.get_ref().as_array().filter(|items| items.iter().all(|item| item.get_ref().is_table()));
        let Some(items) = items else {
            self.mistyped(key, value, &format!("one or more tables that begin with [[{}]]", keys.table));
            return Vec::new();
        };
        let tables = items.iter().filter_map(|item| Some((item.get_ref().as_table()?, item.span())));
        tables.map(|(table, at)| Self::new(self.source, table, at, keys)).collect()
    }

    pub(super) fn mistyped(&self, key: &str, value: &Spanned<DeValue<'_>>, allowed: &str) {
        self.source.problem(value.span().start, kind_of(value.get_ref()), format!("{key} = {allowed}"));
    }
}

fn string_of<'a>(
    source: &Source<'_>,
    key: &str,
    value: &'a Spanned<DeValue<'a>>,
    allowed: &str,
) -> Option<Found<&'a str>> {
    let at = value.span().start;
    match value.get_ref().as_str() {
        Some("") => source.problem(at, "an empty string", format!("{key} = {allowed}")),
        Some(text) => return Some(Found { value: text, at }),
        None => source.problem(at, kind_of(value.get_ref()), format!("{key} = {allowed}")),
    }
    None
}

fn parse_at<T: FromStr<Err: std::fmt::Display>>(
    source: &Source<'_>,
    key: &str,
    text: &Found<&str>,
    allowed: &str,
) -> Option<Found<T>> {
    match text.value.parse() {
        Ok(value) => Some(Found { value, at: text.at }),
        Err(error) => {
            let reason = error.to_string();
            let reason = reason.split_once(": ").map_or(reason.as_str(), |(_, rule)| rule);
            source.problem(text.at, format!("{:?}", text.value), format!("{key} = {allowed} ({reason})"));
            None
        }
    }
}

/// Says what a value is without repeating it: it may be a secret in the wrong place.
fn kind_of(value: &DeValue<'_>) -> String {
    let kind = value.type_str();
    let article = if kind.starts_with(['a', 'i']) { "an" } else { "a" };
    format!("{article} {kind}")
}
