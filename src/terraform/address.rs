//! Addresses of resources, such as `module.a["x"].alicloud_kms_key.k[0]`.

use super::document::{Expression, Form, Step};
use super::hcl::parse_expression;

/// A module or a resource in the tree of modules.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Address {
    /// From the root inwards.
    pub(super) modules: Vec<Segment>,
    /// Type and name; `None`: a whole module.
    pub(super) resource: Option<(String, String)>,
    /// Which one of a resource with `count` or `for_each`.
    pub(super) index: Option<String>,
}

/// A call of a module.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Segment {
    pub(super) name: String,
    /// As a number or a quoted text.
    pub(super) index: Option<String>,
}

impl Address {
    /// Reads one as it is written in a state file.
    pub(super) fn parse(text: &str) -> Option<Self> {
        Self::of_expression(&parse_expression(text, 0..0)?)
    }

    /// Reads one as it is written in a `moved` or `import` block.
    pub(super) fn of_expression(expression: &Expression) -> Option<Self> {
        if let Some(text) = expression.literal() {
            return Self::parse(text);
        }
        let Form::Path { root, steps } = &expression.form else {
            return None;
        };
        let mut modules = Vec::new();
        let mut words: Vec<(String, Option<String>)> = vec![(root.clone(), None)];
        for step in steps {
            match (step, words.last_mut()) {
                (Step::Attribute(name), _) => words.push((name.clone(), None)),
                (Step::Index(index), Some((_, slot))) if slot.is_none() => *slot = Some(written(index)?),
                _ => return None,
            }
        }
        let mut words = words.into_iter();
        loop {
            let Some((word, index)) = words.next() else {
                return Some(Self { modules, resource: None, index: None });
            };
            let (name, inner) = words.next()?;
            if word == "module" {
                modules.push(Segment { name, index: inner });
            } else if index.is_none() && words.next().is_none() {
                return Some(Self { modules, resource: Some((word, name)), index: inner });
            } else {
                return None;
            }
        }
    }
}

/// An index as it is written in addresses.
fn written(index: &Expression) -> Option<String> {
    match &index.form {
        Form::Number(number) => Some(number.clone()),
        Form::Text(text) => Some(quoted(text)),
        _ => None,
    }
}

/// A text as an index.
pub(super) fn quoted(text: &str) -> String {
    format!("{text:?}")
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_taken_apart() {
        let address = Address::parse("module.a[\"x\"].module.b.alicloud_kms_key.k[0]").unwrap();
        let names: Vec<_> = address.modules.iter().map(|s| (s.name.as_str(), s.index.as_deref())).collect();
        assert_eq!(names, [("a", Some("\"x\"")), ("b", None)]);
        assert_eq!(address.resource, Some(("alicloud_kms_key".to_owned(), "k".to_owned())));
        assert_eq!(address.index.as_deref(), Some("0"));
        assert_eq!(Address::parse("module.a").unwrap().resource, None);
        for bad in ["", "alicloud_kms_key", "alicloud_kms_key.k.id", "1 + 1"] {
            assert_eq!(Address::parse(bad), None, "{bad}");
        }
    }
}
