//! Patterns of secret names.

use std::fmt;
use std::str::FromStr;

use thiserror::Error;

/// A name, or the beginning of names: `orders/database`, `orders/*`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NamePattern {
    text: String,
}

/// A text that is no pattern.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("letters, digits and _ / + = . - @, with at most one * and that at the end")]
pub struct NamePatternError;

impl NamePattern {
    /// Whether a name fits.
    #[must_use]
    pub fn fits(&self, name: &str) -> bool {
        match self.text.strip_suffix('*') {
            Some(beginning) => name.starts_with(beginning),
            None => name == self.text,
        }
    }
}

impl FromStr for NamePattern {
    type Err = NamePatternError;

    fn from_str(text: &str) -> Result<Self, NamePatternError> {
        let beginning = text.strip_suffix('*').unwrap_or(text);
        let fits = !text.is_empty()
            && beginning.len() <= 192
            && beginning.bytes().all(|b| b.is_ascii_alphanumeric() || b"_/+=.-@".contains(&b));
        if fits { Ok(Self { text: text.to_owned() }) } else { Err(NamePatternError) }
    }
}

impl fmt::Display for NamePattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_star_stands_for_the_rest() {
        let pattern = |text: &str| text.parse::<NamePattern>().unwrap();
        assert!(pattern("db").fits("db") && !pattern("db").fits("db2"));
        assert!(pattern("db/*").fits("db/a") && pattern("db/*").fits("db/") && !pattern("db/*").fits("db"));
        assert!(pattern("*").fits("anything"));
        for bad in ["", "a*b", "**", "ä", "a b"] {
            assert!(bad.parse::<NamePattern>().is_err(), "{bad}");
        }
    }
}
