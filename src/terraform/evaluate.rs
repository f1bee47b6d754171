//! What an expression is, as far as variables, locals and the repetition of a block tell.

use super::configuration::{Configuration, Node};
use super::document::{Expression, Form, Step};
use super::value::Value;

/// References may lead from one to the next this often.
const MAX_DEPTH: usize = 32;
/// A block is told apart into at most this many.
const MAX_REPETITIONS: u64 = 10_000;

/// Which one of a repeated block.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Each {
    pub(super) key: Value,
    pub(super) value: Value,
    /// With `count`.
    pub(super) index: Option<u64>,
}

impl Each {
    /// As it is written in addresses.
    pub(super) fn written(&self) -> Option<String> {
        match self.index {
            Some(index) => Some(index.to_string()),
            None => self.key.text().map(|key| super::address::quoted(&key)),
        }
    }
}

/// How often a block counts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Repetition {
    /// Neither `count` nor `for_each`.
    Once,
    Known(Vec<Each>),
    Unknown,
}

/// Where an expression stands.
#[derive(Clone, Copy)]
pub(super) struct Scope<'a> {
    pub(super) configuration: &'a Configuration,
    pub(super) node: usize,
    pub(super) each: Option<&'a Each>,
}

impl<'a> Scope<'a> {
    /// Evaluates.
    pub(super) fn value(self, expression: &Expression) -> Value {
        self.at_depth(expression, 0)
    }

    /// How often a block with these counts.
    pub(super) fn repetition(self, count: Option<&Expression>, for_each: Option<&Expression>) -> Repetition {
        if let Some(count) = count {
            return match self.value(count).text().and_then(|text| text.parse::<u64>().ok()) {
                Some(count) if count <= MAX_REPETITIONS => Repetition::Known(
                    (0..count)
                        .map(|index| Each { key: Value::Unknown, value: Value::Unknown, index: Some(index) })
                        .collect(),
                ),
                _ => Repetition::Unknown,
            };
        }
        let Some(for_each) = for_each else {
            return Repetition::Once;
        };
        let each = |key: String, value| Each { key: Value::Text(key), value, index: None };
        match self.value(for_each) {
            Value::Map(members) => {
                Repetition::Known(members.into_iter().map(|(key, value)| each(key, value)).collect())
            }
            Value::List(items) => {
                let texts: Option<Vec<String>> = items.iter().map(Value::text).collect();
                match texts {
                    Some(mut texts) => {
                        texts.sort();
                        texts.dedup();
                        let known = texts.into_iter().map(|text| each(text.clone(), Value::Text(text)));
                        Repetition::Known(known.collect())
                    }
                    None => Repetition::Unknown,
                }
            }
            _ => Repetition::Unknown,
        }
    }

    fn at_depth(self, expression: &Expression, depth: usize) -> Value {
        if depth > MAX_DEPTH {
            return Value::Unknown;
        }
        let below = |expression: &Expression| self.at_depth(expression, depth.saturating_add(1));
        match &expression.form {
            Form::Null => Value::Null,
            Form::Bool(value) => Value::Bool(*value),
            Form::Number(number) => Value::Number(number.clone()),
            Form::Text(text) => Value::Text(text.clone()),
            Form::List(items) => Value::List(items.iter().map(below).collect()),
            Form::Object(members) => {
                let members = members.iter().map(|(key, value)| Some((below(key).text()?, below(value))));
                members.collect::<Option<_>>().map_or(Value::Unknown, Value::Map)
            }
            Form::Template(parts) => Value::joined(parts.iter().map(below)),
            Form::Choice(parts) => match below(&parts.0) {
                Value::Bool(true) => below(&parts.1),
                Value::Bool(false) => below(&parts.2),
                _ => Value::Unknown,
            },
            Form::Call { name, arguments } => call(name, &arguments.iter().map(below).collect::<Vec<_>>()),
            Form::Path { root, steps } => self.path(root, steps, depth),
            Form::Other(_) => Value::Unknown,
        }
    }

    fn path(self, root: &str, steps: &[Step], depth: usize) -> Value {
        let mut steps = steps.iter();
        let Some(Step::Attribute(name)) = steps.next() else {
            return Value::Unknown;
        };
        let depth = depth.saturating_add(1);
        let found = match root {
            "var" => self.variable(name, depth),
            "local" => {
                let local = self.module().and_then(|module| module.locals.get(name));
                local.map_or(Value::Unknown, |local| Scope { each: None, ..self }.at_depth(local, depth))
            }
            "each" => self.each.map_or(Value::Unknown, |each| match name.as_str() {
                "key" => each.key.clone(),
                "value" => each.value.clone(),
                _ => Value::Unknown,
            }),
            "count" => {
                let index = self.each.and_then(|each| each.index);
                index.map_or(Value::Unknown, |index| Value::Number(index.to_string()))
            }
            _ => Value::Unknown,
        };
        steps.fold(found, |value, step| match step {
            Step::Attribute(name) => value.member(name),
            Step::Index(index) => {
                self.at_depth(index, depth).text().map_or(Value::Unknown, |index| value.member(&index))
            }
            Step::Splat => Value::Unknown,
        })
    }

    fn variable(self, name: &str, depth: usize) -> Value {
        let Some(module) = self.module() else {
            return Value::Unknown;
        };
        if !module.variables.contains_key(name) {
            return Value::Unknown;
        }
        if let Some((scope, call)) = self.caller() {
            if let Some(argument) = call.arguments.get(name) {
                return scope.at_depth(argument, depth);
            }
        } else if let Some(given) = module.given.iter().find_map(|file| file.get(name)) {
            return self.at_depth(given, depth);
        }
        match module.variables.get(name) {
            Some(Some(default)) => self.at_depth(default, depth),
            _ => Value::Unknown,
        }
    }

    /// The call that made this module, and where that stands.
    pub(super) fn caller(self) -> Option<(Scope<'a>, &'a super::module::Call)> {
        let node: &'a Node = self.configuration.nodes.get(self.node)?;
        let parent = node.parent.as_ref()?;
        let scope = Scope { node: parent.node, each: node.each.as_ref(), ..self };
        Some((scope, scope.module()?.calls.get(parent.call)?))
    }

    pub(super) fn module(self) -> Option<&'a super::module::Module> {
        let node = self.configuration.nodes.get(self.node)?;
        self.configuration.modules.get(node.module)
    }
}

/// Functions that names are commonly made with.
fn call(name: &str, arguments: &[Value]) -> Value {
    match (name, arguments) {
        ("toset" | "tolist" | "tomap" | "tostring" | "nonsensitive" | "sensitive", [only]) => only.clone(),
        ("lower", [only]) => only.text().map_or(Value::Unknown, |text| Value::Text(text.to_lowercase())),
        ("upper", [only]) => only.text().map_or(Value::Unknown, |text| Value::Text(text.to_uppercase())),
        ("join", [separator, Value::List(items)]) => {
            let between = items.iter().enumerate().flat_map(|(index, item)| {
                let separator = (index > 0).then(|| separator.clone());
                separator.into_iter().chain([item.clone()])
            });
            Value::joined(between)
        }
        ("format", [pattern, rest @ ..]) => format(pattern, rest),
        _ => Value::Unknown,
    }
}

/// `format` with nothing but `%s`, `%d` and `%v`.
fn format(pattern: &Value, arguments: &[Value]) -> Value {
    let Value::Text(pattern) = pattern else {
        return Value::Unknown;
    };
    let mut arguments = arguments.iter();
    let mut parts = Vec::new();
    for (index, piece) in pattern.split('%').enumerate() {
        if index == 0 {
            parts.push(Value::Text(piece.to_owned()));
            continue;
        }
        let Some(rest) = piece.strip_prefix(['s', 'd', 'v']) else {
            return Value::Unknown;
        };
        let Some(argument) = arguments.next() else {
            return Value::Unknown;
        };
        parts.extend([argument.clone(), Value::Text(rest.to_owned())]);
    }
    Value::joined(parts)
}
