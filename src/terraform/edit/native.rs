//! Additions in the native syntax, laid out as `terraform fmt` lays out.

use super::layout::{begins_its_line, indent, line_end, line_start, line_stop, step};
use crate::terraform::document::{Attribute, Block, Document};
use crate::terraform::insertion::Insertion;
use crate::terraform::provider::INSTANCE_ID;

/// Adds `lifecycle { ignore_changes = […] }` at the end of a block.
pub(super) fn add_lifecycle(document: &Document, block: &Block, names: &[&str]) -> Vec<Insertion> {
    at_end(document, block, &lifecycle(document, block, names), true)
}

/// Opens a block of one line for the instance ID and a `lifecycle`.
pub(super) fn add_both(document: &Document, block: &Block, id: &str, names: &[&str]) -> Vec<Insertion> {
    let mut lines = vec![format!("{INSTANCE_ID} = {id}"), String::new()];
    lines.extend(lifecycle(document, block, names));
    at_end(document, block, &lines, false)
}

fn lifecycle(document: &Document, block: &Block, names: &[&str]) -> [String; 3] {
    let (_, inner) = indents(document, block);
    let unit = step(indent(document, block.span.start), &inner).to_owned();
    ["lifecycle {".to_owned(), format!("{unit}ignore_changes = [{}]", names.join(", ")), "}".to_owned()]
}

/// Adds an attribute behind the last one of a block, its `=` below the one before where that is possible.
pub(super) fn add_attribute(document: &Document, block: &Block, name: &str, value: &str) -> Vec<Insertion> {
    let last = block.body.attributes.iter().max_by_key(|attribute| attribute.span.end);
    let many_lines = document.slice(&block.body.inside).contains('\n');
    let Some(last) = last.filter(|_| many_lines) else {
        return at_end(document, block, &[format!("{name} = {value}")], false);
    };
    let end = line_end(document);
    let indent = indent(document, last.span.start);
    let (blank, padded) = match equals_column(document, last) {
        Some(column) if column > name.len() => ("", format!("{name:<column$}")),
        // Longer than the others, or behind something of many lines: a group of its own needs no change of the others.
        _ => (end, format!("{name} ")),
    };
    let stop = line_stop(document, last.span.end);
    vec![Insertion::at(stop, format!("{blank}{end}{indent}{padded}= {value}"))]
}

/// How far behind its name's beginning the `=` of an attribute of one line is.
fn equals_column(document: &Document, attribute: &Attribute) -> Option<usize> {
    let written = document.slice(&attribute.span);
    if written.contains('\n') || !begins_its_line(document, attribute.span.start) {
        return None;
    }
    let between = written.get(attribute.name.len()..)?;
    let blanks = between.find('=')?;
    between.get(..blanks)?.trim().is_empty().then(|| attribute.name.len().saturating_add(blanks))
}

/// Indentation of a block, and of what is in it.
fn indents(document: &Document, block: &Block) -> (String, String) {
    let outer = indent(document, block.span.start).to_owned();
    let attributes = block.body.attributes.iter().map(|attribute| attribute.span.start);
    let first = attributes.chain(block.body.blocks.iter().map(|inner| inner.span.start)).min();
    let inner = first.filter(|at| begins_its_line(document, *at)).map(|at| indent(document, at).to_owned());
    let inner = inner.unwrap_or_else(|| format!("{outer}  "));
    (outer, inner)
}

fn at_end(document: &Document, block: &Block, lines: &[String], blank_before: bool) -> Vec<Insertion> {
    let (outer, inner) = indents(document, block);
    let end = line_end(document);
    let inside = block.body.inside.clone();
    let content = document.slice(&inside);
    let written = |line: &String| {
        let indent = if line.is_empty() { "" } else { inner.as_str() };
        format!("{indent}{line}{end}")
    };
    let text: String = lines.iter().map(written).collect();
    if content.contains('\n') && begins_its_line(document, inside.end) {
        let last_line = content.trim_end_matches([' ', '\t']).trim_end_matches('\n').trim_end_matches('\r');
        let empty = content.trim().is_empty();
        let blank = if blank_before && !empty && !last_line.ends_with('\n') { end } else { "" };
        return vec![Insertion::at(line_start(document, inside.end), format!("{blank}{text}"))];
    }
    let content = content.trim();
    let first = if content.is_empty() { String::new() } else { format!("{inner}{content}{end}") };
    let blank = if blank_before && !content.is_empty() { end } else { "" };
    vec![Insertion { range: inside, text: format!("{end}{first}{blank}{text}{outer}") }]
}
