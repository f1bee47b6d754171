//! Unified diffs of files whose changes are known, without a line that holds a secret.

use std::collections::BTreeSet;

use similar::{Algorithm, ChangeTag, DiffOp};

use super::document::{Body, Document, Expression, Form};
use super::insertion::Insertion;

/// Lines of context around a change.
const CONTEXT: usize = 3;

/// The diff from a document to its new text. `None` when a line that changes itself holds a secret: what surrounds a
/// change is left out instead, since a diff may have less context.
pub(super) fn unified(document: &Document, changes: &[Insertion], new: &str, name: &str) -> Option<String> {
    let old_lines: Vec<&str> = document.text.split_inclusive('\n').collect();
    let new_lines: Vec<&str> = new.split_inclusive('\n').collect();
    let secret = secret_lines(document);
    let mut text = format!("--- a/{name}\n+++ b/{name}\n");
    for window in windows(document, changes, old_lines.len()) {
        let new_start = usize::try_from(i64::try_from(window.start).ok()?.checked_add(window.shift_before)?).ok()?;
        let new_end = usize::try_from(i64::try_from(window.end).ok()?.checked_add(window.shift_after)?).ok()?;
        let (old, new) = (old_lines.get(window.start..window.end)?, new_lines.get(new_start..new_end)?);
        let ops = similar::capture_diff_slices(Algorithm::Myers, old, new);
        for op in ops.iter().filter(|op| op.tag() != similar::DiffTag::Equal) {
            let touched = op.old_range();
            if touched.into_iter().any(|line| secret.contains(&window.start.saturating_add(line))) {
                return None;
            }
        }
        hunks(&mut text, &ops, (old, new), (window.start, new_start), &secret);
    }
    Some(text)
}

/// Lines of the old text around changes, and by how many lines the new text is ahead before and behind them.
struct Window {
    start: usize,
    end: usize,
    shift_before: i64,
    shift_after: i64,
}

fn windows(document: &Document, changes: &[Insertion], count: usize) -> Vec<Window> {
    let mut sorted: Vec<&Insertion> = changes.iter().collect();
    sorted.sort_by_key(|change| change.range.start);
    let mut windows: Vec<Window> = Vec::new();
    let mut shift: i64 = 0;
    for change in sorted {
        let line = |at: usize| document.position(at).0.saturating_sub(1);
        let start = line(change.range.start).saturating_sub(CONTEXT);
        let end = line(change.range.end).saturating_add(CONTEXT).saturating_add(1).min(count);
        let lines = |text: &str| i64::try_from(text.matches('\n').count()).unwrap_or_default();
        let by = lines(&change.text).saturating_sub(lines(document.slice(&change.range)));
        match windows.last_mut().filter(|window| window.end >= start) {
            Some(window) => {
                window.end = window.end.max(end);
                window.shift_after = window.shift_after.saturating_add(by);
            }
            None => windows.push(Window { start, end, shift_before: shift, shift_after: shift.saturating_add(by) }),
        }
        shift = shift.saturating_add(by);
    }
    windows
}

/// Writes the hunks of a window; a secret line ends the context, and so one hunk and begins another.
fn hunks(
    text: &mut String,
    ops: &[DiffOp],
    (old, new): (&[&str], &[&str]),
    (old_start, new_start): (usize, usize),
    secret: &BTreeSet<usize>,
) {
    let mut rows: Vec<(ChangeTag, &str, usize, usize)> = Vec::new();
    let (mut at_old, mut at_new) = (old_start, new_start);
    for op in ops {
        for change in op.iter_changes(old, new) {
            rows.push((change.tag(), change.value(), at_old, at_new));
            match change.tag() {
                ChangeTag::Equal => {
                    at_old = at_old.saturating_add(1);
                    at_new = at_new.saturating_add(1);
                }
                ChangeTag::Delete => at_old = at_old.saturating_add(1),
                ChangeTag::Insert => at_new = at_new.saturating_add(1),
            }
        }
    }
    for run in rows.split(|(tag, _, line, _)| *tag == ChangeTag::Equal && secret.contains(line)) {
        let changed = |row: &(ChangeTag, &str, usize, usize)| row.0 != ChangeTag::Equal;
        let (Some(first), Some(last)) = (run.iter().position(changed), run.iter().rposition(changed)) else { continue };
        let from = first.saturating_sub(CONTEXT);
        let to = last.saturating_add(CONTEXT).saturating_add(1).min(run.len());
        let Some(rows) = run.get(from..to) else { continue };
        hunk(text, rows);
    }
}

fn hunk(text: &mut String, rows: &[(ChangeTag, &str, usize, usize)]) {
    let Some((_, _, old, new)) = rows.first() else { return };
    let count = |without: ChangeTag| rows.iter().filter(|row| row.0 != without).count();
    let side = |start: usize, count: usize| match count {
        // A side without lines names the line before it.
        0 => format!("{start},0"),
        1 => start.saturating_add(1).to_string(),
        n => format!("{},{n}", start.saturating_add(1)),
    };
    let (old, new) = (side(*old, count(ChangeTag::Insert)), side(*new, count(ChangeTag::Delete)));
    text.push_str(&format!("@@ -{old} +{new} @@\n"));
    for (tag, line, ..) in rows {
        text.push(match tag {
            ChangeTag::Equal => ' ',
            ChangeTag::Delete => '-',
            ChangeTag::Insert => '+',
        });
        text.push_str(line);
        if !line.ends_with('\n') {
            text.push_str("\n\\ No newline at end of file\n");
        }
    }
}

/// Lines (from 0) on which a value stands that looks like a secret.
fn secret_lines(document: &Document) -> BTreeSet<usize> {
    let mut spans = Vec::new();
    secrets_of(&document.body, false, &mut spans);
    let mut lines = BTreeSet::new();
    for span in spans {
        let line = |at: usize| document.position(at).0.saturating_sub(1);
        lines.extend(line(span.start)..=line(span.end));
    }
    lines
}

fn secrets_of(body: &Body, secret: bool, spans: &mut Vec<std::ops::Range<usize>>) {
    for attribute in &body.attributes {
        values_of(&attribute.value, secret || is_secret(&attribute.name), &attribute.span, spans);
    }
    for block in &body.blocks {
        // Such as variable "db_password" { default = … }.
        let named = block.labels.last().is_some_and(|label| block.kind == "variable" && is_secret(label));
        secrets_of(&block.body, secret || named, spans);
    }
}

/// A value that is written out under a secret name; a reference to one is no secret.
fn values_of(value: &Expression, secret: bool, span: &std::ops::Range<usize>, spans: &mut Vec<std::ops::Range<usize>>) {
    match &value.form {
        Form::Object(members) => {
            for (key, member) in members {
                let named = key.literal().is_some_and(is_secret);
                values_of(member, secret || named, span, spans);
            }
        }
        _ if secret => {
            let mut written = false;
            value.walk(&mut |inner| {
                written |= matches!(&inner.form, Form::Text(text) if !text.is_empty());
                written |= matches!(inner.form, Form::Number(_) | Form::Other(_));
            });
            if written {
                spans.push(span.clone());
            }
        }
        _ => {}
    }
}

/// Names under which values are secret.
fn is_secret(name: &str) -> bool {
    const WORDS: [&str; 10] = [
        "secret",
        "password",
        "passwd",
        "plaintext",
        "token",
        "private_key",
        "access_key",
        "credential",
        "extended_config",
        "api_key",
    ];
    const OPEN: [&str; 3] = ["secret_name", "secret_type", "secret_data_type"];
    let name = name.to_ascii_lowercase();
    WORDS.iter().any(|word| name.contains(word)) && !OPEN.contains(&name.as_str())
}
