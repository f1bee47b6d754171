//! Changes of a text at places that are known.

use std::ops::Range;

/// Puts a text in the place of another; an empty range only inserts.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Insertion {
    pub(super) range: Range<usize>,
    pub(super) text: String,
}

impl Insertion {
    pub(super) fn at(place: usize, text: impl Into<String>) -> Self {
        Self { range: place..place, text: text.into() }
    }
}

/// Carries changes out. `None` when two of them overlap or one lies outside of the text.
pub(super) fn apply(text: &str, changes: &[Insertion]) -> Option<String> {
    let mut sorted: Vec<&Insertion> = changes.iter().collect();
    sorted.sort_by_key(|change| (change.range.start, change.range.end));
    let mut made = String::with_capacity(text.len().saturating_add(changes.len().saturating_mul(128)));
    let mut at = 0;
    for change in sorted {
        made.push_str(text.get(at..change.range.start)?);
        made.push_str(&change.text);
        at = change.range.end;
    }
    made.push_str(text.get(at..)?);
    Some(made)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_are_carried_out_in_order_and_never_over_each_other() {
        let two = [Insertion::at(3, "!"), Insertion { range: 0..1, text: "A".to_owned() }];
        assert_eq!(apply("abc", &two).as_deref(), Some("Abc!"));
        let over = [Insertion { range: 0..2, text: String::new() }, Insertion::at(1, "x")];
        assert_eq!(apply("abc", &over), None);
        assert_eq!(apply("abc", &[Insertion::at(4, "x")]), None);
    }
}
