//! Additions in the JSON syntax.

use super::layout::{begins_its_line, indent, line_end, step};
use crate::terraform::document::{Block, Document};
use crate::terraform::insertion::Insertion;

/// Adds `"lifecycle": { "ignore_changes": […] }` at the end of an object.
pub(super) fn add_lifecycle(document: &Document, block: &Block, names: &[&str]) -> Vec<Insertion> {
    let form = Form::of(document, block);
    let list = form.list(names, 1);
    let value = match &form.lines {
        Some(lines) => {
            let inner = format!("{}{}", lines.indent, lines.unit);
            let (end, indent) = (lines.end, &lines.indent);
            format!("{{{end}{inner}\"ignore_changes\": {list}{end}{indent}}}")
        }
        None => format!("{{\"ignore_changes\": {list}}}"),
    };
    form.add(document, block, "lifecycle", &value)
}

/// Adds a list of texts at the end of an object.
pub(super) fn add_list(document: &Document, block: &Block, name: &str, texts: &[&str]) -> Vec<Insertion> {
    let form = Form::of(document, block);
    let list = form.list(texts, 0);
    form.add(document, block, name, &list)
}

/// Adds a text at the end of an object.
pub(super) fn add_text(document: &Document, block: &Block, name: &str, text: &str) -> Vec<Insertion> {
    Form::of(document, block).add(document, block, name, &format!("\"{text}\""))
}

/// How an object is laid out.
struct Form {
    /// Where its members are on lines of their own.
    lines: Option<Lines>,
}

struct Lines {
    end: &'static str,
    indent: String,
    unit: String,
}

impl Form {
    fn of(document: &Document, block: &Block) -> Self {
        let inside = block.body.inside.clone();
        let content = document.slice(&inside);
        let blanks = content.len().saturating_sub(content.trim_start().len());
        let first = inside.start.saturating_add(blanks);
        let outer = indent(document, inside.end);
        let lines =
            (content.contains('\n') && !content.trim().is_empty() && begins_its_line(document, first)).then(|| {
                let own = indent(document, first);
                Lines { end: line_end(document), indent: own.to_owned(), unit: step(outer, own).to_owned() }
            });
        Self { lines }
    }

    /// A list `below` levels below the members of the object.
    fn list(&self, texts: &[&str], below: usize) -> String {
        let quoted: Vec<String> = texts.iter().map(|text| format!("\"{text}\"")).collect();
        match &self.lines {
            Some(lines) => {
                let outer = format!("{}{}", lines.indent, lines.unit.repeat(below));
                let separator = format!(",{}{outer}{}", lines.end, lines.unit);
                format!(
                    "[{end}{outer}{unit}{}{end}{outer}]",
                    quoted.join(&separator),
                    end = lines.end,
                    unit = lines.unit
                )
            }
            None => format!("[{}]", quoted.join(", ")),
        }
    }

    fn add(&self, document: &Document, block: &Block, name: &str, value: &str) -> Vec<Insertion> {
        let inside = block.body.inside.clone();
        let content = document.slice(&inside).trim_end();
        let stop = inside.start.saturating_add(content.len());
        let comma = if content.trim().is_empty() { "" } else { "," };
        let gap = match (&self.lines, comma) {
            (Some(lines), _) => format!("{}{}", lines.end, lines.indent),
            (None, "") => String::new(),
            (None, _) => " ".to_owned(),
        };
        vec![Insertion::at(stop, format!("{comma}{gap}\"{name}\": {value}"))]
    }
}
