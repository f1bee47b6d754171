//! What is wrong with a configuration file, and where.

use std::fmt;
use std::path::PathBuf;

/// A place in the file, counted from 1; columns in characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position {
    /// Line.
    pub line: usize,
    /// Column.
    pub column: usize,
}

/// A mistake. It never repeats a secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigProblem {
    /// The file.
    pub file: PathBuf,
    /// Where; `None` when the file cannot be read at all.
    pub position: Option<Position>,
    /// What was found.
    pub found: String,
    /// What is allowed.
    pub allowed: String,
    /// What may have been meant.
    pub suggestion: Option<String>,
}

/// Something that works but should be looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigWarning {
    /// The file.
    pub file: PathBuf,
    /// Where.
    pub position: Option<Position>,
    /// What, and what to do.
    pub message: String,
}

impl fmt::Display for ConfigProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_place(f, &self.file, self.position)?;
        write!(f, "found {}; allowed: {}", self.found, self.allowed)?;
        match &self.suggestion {
            Some(suggestion) => write!(f, "; did you mean {suggestion:?}?"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for ConfigProblem {}

impl fmt::Display for ConfigWarning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_place(f, &self.file, self.position)?;
        f.write_str(&self.message)
    }
}

impl Position {
    /// The place of a byte offset in a text.
    pub(super) fn of(text: &str, offset: usize) -> Self {
        let before = text.get(..offset).unwrap_or(text);
        let line = before.bytes().filter(|b| *b == b'\n').count().saturating_add(1);
        let last = before.rsplit('\n').next().unwrap_or_default();
        Self { line, column: last.chars().count().saturating_add(1) }
    }
}

/// The candidate that is nearest to what was found, if one is near: by insertions, deletions, substitutions and swaps of
/// neighbours (optimal string alignment distance), at most one for every three letters.
pub(crate) fn nearest<'a>(found: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let limit = found.chars().count().div_ceil(3).max(1);
    let near = candidates.into_iter().map(|candidate| (distance(found, candidate), candidate));
    near.filter(|(d, _)| *d <= limit).min_by_key(|(d, _)| *d).map(|(_, candidate)| candidate)
}

fn write_place(f: &mut fmt::Formatter<'_>, file: &std::path::Path, position: Option<Position>) -> fmt::Result {
    match position {
        Some(Position { line, column }) => write!(f, "{}:{line}:{column}: ", file.display()),
        None => write!(f, "{}: ", file.display()),
    }
}

fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut older: Vec<usize> = Vec::new();
    let mut old: Vec<usize> = (0..=b.len()).collect();
    let mut before = None;
    for (i, x) in a.chars().enumerate() {
        let mut row = vec![i.saturating_add(1)];
        for (j, y) in b.iter().enumerate() {
            let at = |row: &[usize], n: usize| row.get(n).copied().unwrap_or(usize::MAX / 2);
            let swap = match (before, j.checked_sub(1).and_then(|k| b.get(k))) {
                (Some(px), Some(py)) if px == *y && *py == x => at(&older, j.saturating_sub(1)).saturating_add(1),
                _ => usize::MAX,
            };
            let best = (at(&old, j) + usize::from(x != *y))
                .min(at(&old, j.saturating_add(1)).saturating_add(1))
                .min(at(&row, j).saturating_add(1))
                .min(swap);
            row.push(best);
        }
        before = Some(x);
        older = std::mem::replace(&mut old, row);
    }
    old.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances() {
        for (a, b, d) in
            [("", "abc", 3), ("abc", "abc", 0), ("abc", "acb", 1), ("widnow", "window", 1), ("kitten", "sitting", 3)]
        {
            assert_eq!((distance(a, b), distance(b, a)), (d, d), "{a} {b}");
        }
        assert_eq!(nearest("instnace", ["name", "instance", "region"]), Some("instance"));
        assert_eq!(nearest("colour", ["name", "instance", "region"]), None);
    }

    #[test]
    fn positions_count_characters() {
        assert_eq!(Position::of("a\nüb = 1", 5), Position { line: 2, column: 4 - 1 });
        assert_eq!(Position::of("abc", 0), Position { line: 1, column: 1 });
    }
}
