//! The native syntax, read with hcl-edit.

use std::ops::Range;

use hcl_edit::expr::{Expression as Read, FuncArgs, ObjectKey, Traversal, TraversalOperator};
use hcl_edit::structure as blocks;
use hcl_edit::template::{Directive, Element, Template};
use hcl_edit::{Span, parser};

use super::document::{Attribute, Block, Body, Expression, Form, Step};

/// A mistake in a file; the message never quotes the file, which may hold secrets.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Mistake {
    pub(super) line: usize,
    pub(super) column: usize,
    pub(super) message: String,
}

/// Reads a file.
pub(super) fn parse(text: &str) -> Result<Body, Mistake> {
    let read = parser::parse_body(text).map_err(|error| Mistake {
        line: error.location().line(),
        column: error.location().column(),
        message: error.message().to_owned(),
    })?;
    Ok(body(&read, 0..text.len(), text))
}

/// Reads the text of a JSON value, in which `${…}` is an expression. A text that is none is taken for what it says.
pub(super) fn parse_template(text: &str, span: Range<usize>) -> Expression {
    if !text.contains("${") && !text.contains("%{") {
        return Expression { span, form: Form::Text(text.to_owned()) };
    }
    match parser::parse_template(text) {
        Ok(read) => Expression { form: template(&read, &span), span },
        Err(_) => Expression { span, form: Form::Other(Vec::new()) },
    }
}

/// Reads an expression that is written as a text, such as the addresses in a `moved` block of a JSON file.
pub(super) fn parse_expression(text: &str, span: Range<usize>) -> Option<Expression> {
    let read = parser::parse_expr(text).ok()?;
    Some(Expression { form: form(&read, &span), span })
}

fn body(read: &blocks::Body, inside: Range<usize>, text: &str) -> Body {
    let mut made = Body { inside, ..Body::default() };
    for structure in read {
        match structure {
            blocks::Structure::Attribute(found) => {
                let span = found.span().or_else(|| around(found.key.span(), found.value.span())).unwrap_or(0..0);
                let value = expression(&found.value, &span);
                made.attributes.push(Attribute { name: found.key.as_str().to_owned(), span, value });
            }
            blocks::Structure::Block(found) => made.blocks.push(block(found, text)),
        }
    }
    made
}

fn block(read: &blocks::Block, text: &str) -> Block {
    let span = read.span().unwrap_or(0..0);
    let after_header = read.ident.span().map_or(span.start, |ident| ident.end);
    let open = opening(text, after_header).unwrap_or(span.end);
    let inside = open.saturating_add(1)..span.end.saturating_sub(1).max(open.saturating_add(1));
    Block {
        kind: read.ident.as_str().to_owned(),
        labels: read.labels.iter().map(|label| label.as_str().to_owned()).collect(),
        body: body(&read.body, inside, text),
        span,
    }
}

/// The first `{` behind a block's name, beyond labels and comments.
fn opening(text: &str, from: usize) -> Option<usize> {
    let bytes = text.as_bytes();
    let mut at = from;
    let mut quoted = false;
    while let Some(byte) = bytes.get(at) {
        match (quoted, byte) {
            (true, b'\\') => at = at.saturating_add(1),
            (_, b'"') => quoted = !quoted,
            (false, b'/') if bytes.get(at.saturating_add(1)) == Some(&b'*') => {
                at = at.saturating_add(text.get(at..)?.find("*/")?).saturating_add(1);
            }
            (false, b'{') => return Some(at),
            _ => {}
        }
        at = at.saturating_add(1);
    }
    None
}

fn around(first: Option<Range<usize>>, last: Option<Range<usize>>) -> Option<Range<usize>> {
    first.zip(last).map(|(first, last)| first.start..last.end)
}

fn expression(read: &Read, outer: &Range<usize>) -> Expression {
    let span = read.span().unwrap_or_else(|| outer.clone());
    Expression { form: form(read, &span), span }
}

fn form(read: &Read, span: &Range<usize>) -> Form {
    let each = |found: &[&Read]| found.iter().map(|item| expression(item, span)).collect::<Vec<_>>();
    match read {
        Read::Null(_) => Form::Null,
        Read::Bool(value) => Form::Bool(*value.value()),
        Read::Number(number) => Form::Number(number.value().to_string()),
        Read::String(text) => Form::Text(text.value().clone()),
        Read::Array(items) => Form::List(items.iter().map(|item| expression(item, span)).collect()),
        Read::Object(members) => Form::Object(
            members.iter().map(|(key, value)| (object_key(key, span), expression(value.expr(), span))).collect(),
        ),
        Read::StringTemplate(found) => elements(found.into_iter(), span),
        Read::HeredocTemplate(found) => template(&found.template, span),
        Read::Parenthesis(inner) => form(inner.inner(), span),
        Read::Variable(name) => Form::Path { root: name.as_str().to_owned(), steps: Vec::new() },
        Read::Conditional(parts) => Form::Choice(Box::new((
            expression(&parts.cond_expr, span),
            expression(&parts.true_expr, span),
            expression(&parts.false_expr, span),
        ))),
        Read::FuncCall(call) => {
            Form::Call { name: call.name.name.as_str().to_owned(), arguments: arguments(&call.args, span) }
        }
        Read::Traversal(found) => traversal(found, span),
        Read::UnaryOp(operation) => Form::Other(each(&[&operation.expr])),
        Read::BinaryOp(operation) => Form::Other(each(&[&operation.lhs_expr, &operation.rhs_expr])),
        Read::ForExpr(found) => Form::Other(each(&[&found.intro.collection_expr, &found.value_expr])),
    }
}

fn object_key(key: &ObjectKey, span: &Range<usize>) -> Expression {
    match key {
        ObjectKey::Ident(name) => Expression { span: span.clone(), form: Form::Text(name.as_str().to_owned()) },
        ObjectKey::Expression(found) => expression(found, span),
    }
}

fn arguments(found: &FuncArgs, span: &Range<usize>) -> Vec<Expression> {
    found.iter().map(|argument| expression(argument, span)).collect()
}

fn traversal(found: &Traversal, span: &Range<usize>) -> Form {
    let steps = found.operators.iter().map(|operator| match operator.value() {
        TraversalOperator::GetAttr(name) => Step::Attribute(name.as_str().to_owned()),
        TraversalOperator::Index(index) => Step::Index(expression(index, span)),
        TraversalOperator::LegacyIndex(index) => {
            Step::Index(Expression { span: span.clone(), form: Form::Number(index.value().to_string()) })
        }
        TraversalOperator::AttrSplat(_) | TraversalOperator::FullSplat(_) => Step::Splat,
    });
    match &found.expr {
        Read::Variable(root) => Form::Path { root: root.as_str().to_owned(), steps: steps.collect() },
        // Such as one(alicloud_kms_key.a[*]).id: what it depends on is told, not what it is.
        other => Form::Other(vec![expression(other, span)]),
    }
}

fn template(found: &Template, span: &Range<usize>) -> Form {
    elements(found.iter(), span)
}

fn elements<'a>(found: impl Iterator<Item = &'a Element>, span: &Range<usize>) -> Form {
    let mut parts = Vec::new();
    let mut told = true;
    for element in found {
        match element {
            Element::Literal(text) => {
                parts.push(Expression { span: span.clone(), form: Form::Text(text.value().clone()) });
            }
            Element::Interpolation(inner) => parts.push(expression(&inner.expr, span)),
            Element::Directive(directive) => {
                told = false;
                match directive.as_ref() {
                    Directive::If(found) => parts.push(expression(&found.if_expr.cond_expr, span)),
                    Directive::For(found) => parts.push(expression(&found.for_expr.collection_expr, span)),
                }
            }
        }
    }
    match (told, parts.as_slice()) {
        (false, _) => Form::Other(parts),
        // "${x}" is x itself, whatever its type.
        (true, [Expression { form: only, .. }]) => only.clone(),
        (true, []) => Form::Text(String::new()),
        (true, _) => Form::Template(parts),
    }
}
