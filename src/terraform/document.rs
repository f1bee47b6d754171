//! A file of a configuration in either syntax, as far as it matters here: blocks, attributes, and where they lie.

use std::ops::Range;
use std::path::PathBuf;

/// A file that was understood.
#[derive(Debug)]
pub(super) struct Document {
    /// As it is told: the directory that was given, and the file below it.
    pub(super) path: PathBuf,
    /// Without symbolic links.
    pub(super) real: PathBuf,
    /// Without a byte order mark.
    pub(super) text: String,
    /// It began with a byte order mark.
    pub(super) marked: bool,
    pub(super) syntax: Syntax,
    pub(super) body: Body,
    /// Where lines begin.
    pub(super) lines: Vec<usize>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Syntax {
    Native,
    Json,
}

#[derive(Debug, Default)]
pub(super) struct Body {
    /// Between the braces.
    pub(super) inside: Range<usize>,
    pub(super) attributes: Vec<Attribute>,
    pub(super) blocks: Vec<Block>,
}

#[derive(Debug)]
pub(super) struct Attribute {
    pub(super) name: String,
    /// Name and value.
    pub(super) span: Range<usize>,
    pub(super) value: Expression,
}

#[derive(Debug)]
pub(super) struct Block {
    pub(super) kind: String,
    pub(super) labels: Vec<String>,
    /// With its header and braces.
    pub(super) span: Range<usize>,
    pub(super) body: Body,
}

#[derive(Debug, Clone)]
pub(super) struct Expression {
    pub(super) span: Range<usize>,
    pub(super) form: Form,
}

#[derive(Debug, Clone)]
pub(super) enum Form {
    Null,
    Bool(bool),
    Number(String),
    Text(String),
    List(Vec<Expression>),
    Object(Vec<(Expression, Expression)>),
    /// Texts and interpolations, one after the other.
    Template(Vec<Expression>),
    /// `root.step.step`
    Path {
        root: String,
        steps: Vec<Step>,
    },
    Call {
        name: String,
        arguments: Vec<Expression>,
    },
    Choice(Box<(Expression, Expression, Expression)>),
    /// Whatever needs Terraform to be known; the paths in it are kept, since they tell what it depends on.
    Other(Vec<Expression>),
}

#[derive(Debug, Clone)]
pub(super) enum Step {
    Attribute(String),
    Index(Expression),
    Splat,
}

impl Document {
    /// The 1-based line and column (in characters) of a place.
    pub(super) fn position(&self, at: usize) -> (usize, usize) {
        let line = self.lines.partition_point(|start| *start <= at);
        let start = line.checked_sub(1).and_then(|index| self.lines.get(index)).copied().unwrap_or_default();
        let column = self.text.get(start..at).unwrap_or_default().chars().count().saturating_add(1);
        (line, column)
    }

    /// Where the lines of a text begin.
    pub(super) fn line_starts(text: &str) -> Vec<usize> {
        let ends = text.bytes().enumerate().filter(|(_, byte)| *byte == b'\n');
        std::iter::once(0).chain(ends.map(|(at, _)| at.saturating_add(1))).collect()
    }

    pub(super) fn slice(&self, span: &Range<usize>) -> &str {
        self.text.get(span.clone()).unwrap_or_default()
    }
}

impl Body {
    pub(super) fn attribute(&self, name: &str) -> Option<&Attribute> {
        self.attributes.iter().find(|attribute| attribute.name == name)
    }

    pub(super) fn blocks_of<'a>(&'a self, kind: &'a str) -> impl Iterator<Item = &'a Block> {
        self.blocks.iter().filter(move |block| block.kind == kind)
    }
}

impl Expression {
    /// The text, where it is one that needs nothing to be known.
    pub(super) fn literal(&self) -> Option<&str> {
        match &self.form {
            Form::Text(text) => Some(text),
            _ => None,
        }
    }

    /// Everything that it depends on, itself included.
    pub(super) fn walk<'a>(&'a self, visit: &mut dyn FnMut(&'a Self)) {
        visit(self);
        match &self.form {
            Form::List(items) | Form::Template(items) | Form::Other(items) => {
                items.iter().for_each(|item| item.walk(visit));
            }
            Form::Object(members) => members.iter().for_each(|(key, value)| {
                key.walk(visit);
                value.walk(visit);
            }),
            Form::Call { arguments, .. } => arguments.iter().for_each(|argument| argument.walk(visit)),
            Form::Choice(parts) => {
                parts.0.walk(visit);
                parts.1.walk(visit);
                parts.2.walk(visit);
            }
            Form::Path { steps, .. } => steps.iter().for_each(|step| {
                if let Step::Index(index) = step {
                    index.walk(visit);
                }
            }),
            Form::Null | Form::Bool(_) | Form::Number(_) | Form::Text(_) => {}
        }
    }
}
