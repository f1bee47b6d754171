//! How a file is laid out, so that what is added looks like the rest.

use std::ops::Range;

use crate::terraform::document::{Document, Syntax};
use crate::terraform::insertion::Insertion;

/// What ends the lines of a file: as its first line ends.
pub(super) fn line_end(document: &Document) -> &'static str {
    match document.text.find('\n') {
        Some(at) if document.text.get(..at).is_some_and(|line| line.ends_with('\r')) => "\r\n",
        _ => "\n",
    }
}

/// Where the line of a place begins.
pub(super) fn line_start(document: &Document, at: usize) -> usize {
    document.text.get(..at).and_then(|before| before.rfind('\n')).map_or(0, |end| end.saturating_add(1))
}

/// Where the line of a place ends, before its line end.
pub(super) fn line_stop(document: &Document, at: usize) -> usize {
    let rest = document.text.get(at..).unwrap_or_default();
    let line = rest.split('\n').next().unwrap_or_default();
    at.saturating_add(line.strip_suffix('\r').unwrap_or(line).len())
}

/// The blanks that a line begins with.
pub(super) fn indent(document: &Document, at: usize) -> &str {
    let rest = document.text.get(line_start(document, at)..).unwrap_or_default();
    let blanks = rest.find(|c: char| c != ' ' && c != '\t').unwrap_or(rest.len());
    rest.get(..blanks).unwrap_or_default()
}

/// True when nothing but blanks stands before a place on its line.
pub(super) fn begins_its_line(document: &Document, at: usize) -> bool {
    document.text.get(line_start(document, at)..at).is_some_and(|before| before.trim().is_empty())
}

/// What is indented once more than `outer`, as `inner` is, else by two blanks.
pub(super) fn step<'a>(outer: &str, inner: &'a str) -> &'a str {
    inner.strip_prefix(outer).filter(|rest| !rest.is_empty()).unwrap_or("  ")
}

/// Adds elements at the end of a list: on its line, or each on a line of its own where the list has lines.
pub(super) fn extend_list(
    document: &Document,
    list: &Range<usize>,
    last: Option<usize>,
    elements: &[String],
) -> Vec<Insertion> {
    let close = list.end.saturating_sub(1);
    let open = list.start.saturating_add(1);
    let Some(last) = last else {
        return extend_empty(document, open..close, elements);
    };
    let comma = comma_after(document, last..close);
    let lines = document.text.get(list.clone()).is_some_and(|text| text.contains('\n'));
    if !(lines && begins_its_line(document, close)) {
        let joined = elements.join(", ");
        return match comma {
            Some(comma) => vec![Insertion::at(comma.saturating_add(1), format!(" {joined}"))],
            None => vec![Insertion::at(last, format!(", {joined}"))],
        };
    }
    let indent = indent(document, last);
    let end = line_end(document);
    let mut text = String::new();
    for (index, element) in elements.iter().enumerate() {
        let is_last = index.saturating_add(1) == elements.len();
        let comma = if is_last && comma.is_none() { "" } else { "," };
        text.push_str(&format!("{indent}{element}{comma}{end}"));
    }
    let mut changes = Vec::new();
    if comma.is_none() {
        changes.push(Insertion::at(last, ","));
    }
    changes.push(Insertion::at(line_start(document, close), text));
    changes
}

fn extend_empty(document: &Document, inside: Range<usize>, elements: &[String]) -> Vec<Insertion> {
    let between = document.text.get(inside.clone()).unwrap_or_default();
    if between.trim().is_empty() {
        return vec![Insertion { range: inside, text: elements.join(", ") }];
    }
    // A comment alone; only the native syntax has them.
    let end = line_end(document);
    let indent = format!("{}  ", indent(document, inside.end));
    let lines: String = elements.iter().map(|element| format!("{indent}{element},{end}")).collect();
    if begins_its_line(document, inside.end) {
        vec![Insertion::at(line_start(document, inside.end), lines)]
    } else {
        vec![Insertion::at(inside.end, elements.join(", "))]
    }
}

/// A comma outside of comments.
fn comma_after(document: &Document, range: Range<usize>) -> Option<usize> {
    let text = document.text.get(range.clone())?;
    let mut rest = text;
    while let Some(next) = rest.chars().next() {
        let at = range.start.saturating_add(text.len().saturating_sub(rest.len()));
        let skipped = match next {
            ',' => return Some(at),
            '#' if document.syntax == Syntax::Native => rest.find('\n').unwrap_or(rest.len()),
            '/' if rest.starts_with("//") => rest.find('\n').unwrap_or(rest.len()),
            '/' if rest.starts_with("/*") => rest.find("*/").map_or(rest.len(), |end| end.saturating_add(2)),
            other => other.len_utf8(),
        };
        rest = rest.get(skipped..)?;
    }
    None
}
