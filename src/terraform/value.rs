//! What an expression is known to be.

/// A value, as far as it can be told without Terraform.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Value {
    Null,
    Bool(bool),
    Number(String),
    Text(String),
    List(Vec<Value>),
    Map(Vec<(String, Value)>),
    /// A text of which only the beginning and the end are known.
    Partial {
        prefix: String,
        suffix: String,
    },
    Unknown,
}

impl Value {
    /// As Terraform turns it into a text.
    pub(super) fn text(&self) -> Option<String> {
        match self {
            Self::Text(text) | Self::Number(text) => Some(text.clone()),
            Self::Bool(value) => Some(value.to_string()),
            _ => None,
        }
    }

    /// The member of a map, or the element of a list.
    pub(super) fn member(&self, key: &str) -> Self {
        let found = match self {
            Self::Map(members) => members.iter().find(|(name, _)| name == key).map(|(_, value)| value.clone()),
            Self::List(items) => key.parse::<usize>().ok().and_then(|index| items.get(index).cloned()),
            _ => None,
        };
        found.unwrap_or(Self::Unknown)
    }

    /// True when a name could be this value.
    pub(super) fn may_be(&self, name: &str) -> bool {
        match self {
            Self::Partial { prefix, suffix } => {
                name.len() >= prefix.len().saturating_add(suffix.len())
                    && name.starts_with(prefix.as_str())
                    && name.ends_with(suffix.as_str())
            }
            Self::Unknown => true,
            other => other.text().as_deref() == Some(name),
        }
    }

    /// True when the whole is known.
    pub(super) const fn is_known(&self) -> bool {
        !matches!(self, Self::Partial { .. } | Self::Unknown)
    }

    /// Texts one after the other.
    pub(super) fn joined(parts: impl IntoIterator<Item = Self>) -> Self {
        let (mut known, mut gap): (String, Option<String>) = (String::new(), None);
        for part in parts {
            let (text, open) = match part {
                Self::Partial { prefix, suffix } => (suffix, Some(prefix)),
                other => match other.text() {
                    Some(text) => (text, None),
                    None => (String::new(), Some(String::new())),
                },
            };
            match (&mut gap, open) {
                (None, None) => known.push_str(&text),
                (None, Some(prefix)) => {
                    known.push_str(&prefix);
                    gap = Some(text);
                }
                (Some(after), None) => after.push_str(&text),
                (Some(after), Some(_)) => *after = text,
            }
        }
        match gap {
            None => Self::Text(known),
            Some(suffix) => Self::Partial { prefix: known, suffix },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_known_of_a_text_narrows_the_names_it_may_be() {
        let text = |t: &str| Value::Text(t.to_owned());
        assert_eq!(Value::joined([text("a"), Value::Number("1".to_owned())]), text("a1"));
        let partial = Value::joined([text("prod-"), Value::Unknown, text("-db"), Value::Unknown, text("/pw")]);
        assert_eq!(partial, Value::Partial { prefix: "prod-".to_owned(), suffix: "/pw".to_owned() });
        assert!(partial.may_be("prod-x-db-y/pw") && !partial.may_be("prod-x") && !partial.may_be("prod-/p"));
        assert!(Value::Unknown.may_be("x") && !Value::Null.may_be("x"));
    }
}
