//! The JSON syntax. serde_json hands out each value as it is written, so that its place is known.

use std::fmt;
use std::ops::Range;

use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::document::{Attribute, Block, Body, Expression, Form};
use super::hcl::{Mistake, parse_template};

/// Values may lie this deep in each other.
const MAX_DEPTH: usize = 64;

/// Reads a file of a configuration.
pub(super) fn parse(text: &str) -> Result<Body, Mistake> {
    let root = tree(text)?;
    let mut body = Body { inside: inside(&root.span), ..Body::default() };
    for member in objects(&root).flatten() {
        match member.name.as_str() {
            "resource" | "data" => blocks(&member.name, 2, &[], &member.value, &mut body.blocks),
            "module" | "variable" | "output" | "provider" => {
                blocks(&member.name, 1, &[], &member.value, &mut body.blocks);
            }
            "locals" | "terraform" | "moved" | "import" | "removed" => {
                blocks(&member.name, 0, &[], &member.value, &mut body.blocks);
            }
            _ => {}
        }
    }
    Ok(body)
}

/// Reads a file of variables.
pub(super) fn parse_variables(text: &str) -> Result<Body, Mistake> {
    let root = tree(text)?;
    Ok(block_body(&root, &[]))
}

struct Node {
    span: Range<usize>,
    kind: NodeKind,
}

enum NodeKind {
    Object(Vec<Member>),
    Array(Vec<Node>),
    Text(String),
    Number(String),
    Bool(bool),
    Null,
}

struct Member {
    name: String,
    value: Node,
}

fn inside(span: &Range<usize>) -> Range<usize> {
    let start = span.start.saturating_add(1);
    start..span.end.saturating_sub(1).max(start)
}

/// The members of an object, or of each object of a list.
fn objects(node: &Node) -> impl Iterator<Item = &Vec<Member>> {
    let list: Vec<&Node> = match &node.kind {
        NodeKind::Array(items) => items.iter().collect(),
        _ => vec![node],
    };
    list.into_iter().filter_map(|item| match &item.kind {
        NodeKind::Object(members) => Some(members),
        _ => None,
    })
}

fn blocks(kind: &str, labels_left: usize, labels: &[String], node: &Node, out: &mut Vec<Block>) {
    if labels_left > 0 {
        for member in objects(node).flatten().filter(|member| member.name != COMMENT) {
            let labels = [labels, std::slice::from_ref(&member.name)].concat();
            blocks(kind, labels_left.saturating_sub(1), &labels, &member.value, out);
        }
        return;
    }
    let bodies: Vec<&Node> = match &node.kind {
        NodeKind::Array(items) => items.iter().collect(),
        _ => vec![node],
    };
    let nested: &[&str] = match kind {
        "resource" | "data" => &["lifecycle"],
        "terraform" => &["required_providers"],
        _ => &[],
    };
    for body in bodies.into_iter().filter(|body| matches!(body.kind, NodeKind::Object(_))) {
        let made = block_body(body, nested);
        out.push(Block { kind: kind.to_owned(), labels: labels.to_vec(), span: body.span.clone(), body: made });
    }
}

/// A property of this name is a comment.
const COMMENT: &str = "//";

fn block_body(node: &Node, nested: &[&str]) -> Body {
    let mut body = Body { inside: inside(&node.span), ..Body::default() };
    for member in objects(node).flatten().filter(|member| member.name != COMMENT) {
        if nested.contains(&member.name.as_str()) {
            blocks(&member.name, 0, &[], &member.value, &mut body.blocks);
        } else {
            let value = expression(&member.value);
            body.attributes.push(Attribute { name: member.name.clone(), span: member.value.span.clone(), value });
        }
    }
    body
}

fn expression(node: &Node) -> Expression {
    let span = node.span.clone();
    let form = match &node.kind {
        NodeKind::Text(text) => return parse_template(text, span),
        NodeKind::Null => Form::Null,
        NodeKind::Bool(value) => Form::Bool(*value),
        NodeKind::Number(text) => Form::Number(text.clone()),
        NodeKind::Array(items) => Form::List(items.iter().map(expression).collect()),
        NodeKind::Object(members) => Form::Object(
            members
                .iter()
                .map(|member| (parse_template(&member.name, member.value.span.clone()), expression(&member.value)))
                .collect(),
        ),
    };
    Expression { span, form }
}

fn tree(text: &str) -> Result<Node, Mistake> {
    let whole: &RawValue = serde_json::from_str(text).map_err(|error| mistake(&error))?;
    node(whole, text, 0)
}

fn node(raw: &RawValue, text: &str, depth: usize) -> Result<Node, Mistake> {
    let written = raw.get();
    let start = written.as_ptr().addr().saturating_sub(text.as_ptr().addr());
    let span = start..start.saturating_add(written.len());
    if depth > MAX_DEPTH {
        let line = text.get(..start).unwrap_or_default().matches('\n').count().saturating_add(1);
        return Err(Mistake { line, column: 1, message: format!("more than {MAX_DEPTH} values lie in each other") });
    }
    let below = |raw: &RawValue| node(raw, text, depth.saturating_add(1));
    let kind = match written.as_bytes().first() {
        Some(b'{') => {
            let members: Pairs<'_> = serde_json::from_str(written).map_err(|error| mistake(&error))?;
            let members = members.0.into_iter().map(|(name, value)| Ok(Member { name, value: below(value)? }));
            NodeKind::Object(members.collect::<Result<_, Mistake>>()?)
        }
        Some(b'[') => {
            let items: Vec<&RawValue> = serde_json::from_str(written).map_err(|error| mistake(&error))?;
            NodeKind::Array(items.into_iter().map(below).collect::<Result<_, Mistake>>()?)
        }
        Some(b'"') => NodeKind::Text(serde_json::from_str(written).map_err(|error| mistake(&error))?),
        Some(b't') => NodeKind::Bool(true),
        Some(b'f') => NodeKind::Bool(false),
        Some(b'n') => NodeKind::Null,
        _ => NodeKind::Number(written.to_owned()),
    };
    Ok(Node { span, kind })
}

/// Only where and what kind: never what is written there.
fn mistake(error: &serde_json::Error) -> Mistake {
    let message = match error.classify() {
        serde_json::error::Category::Eof => "the file ends in the middle of a value",
        _ => "this is not JSON",
    };
    Mistake { line: error.line(), column: error.column(), message: message.to_owned() }
}

/// Members in order, repeated names included.
struct Pairs<'a>(Vec<(String, &'a RawValue)>);

impl<'de: 'a, 'a> serde::Deserialize<'de> for Pairs<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Members<'a>(std::marker::PhantomData<&'a ()>);
        impl<'de: 'a, 'a> Visitor<'de> for Members<'a> {
            type Value = Pairs<'a>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut pairs = Vec::new();
                while let Some(pair) = map.next_entry()? {
                    pairs.push(pair);
                }
                Ok(Pairs(pairs))
            }
        }
        deserializer.deserialize_map(Members(std::marker::PhantomData))
    }
}
