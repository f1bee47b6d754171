//! Wildcards: `*` for any text, `?` for one character.

use memchr::{memchr, memchr2};

/// A text with wildcards, as it was written; matching allocates nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pattern {
    text: String,
    form: Form,
    case: Case,
}

/// Whether the case of ASCII letters counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Case {
    /// It does: resources, values.
    Counts,
    /// It does not: actions.
    Ignored,
}

/// What most patterns are is decided when they are read.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Form {
    /// `*` alone.
    Any,
    /// No wildcard.
    Exact,
    /// `*` alone is in it: what stands before the first, between them and behind the last.
    Pieces { head: Box<[u8]>, middle: Vec<Box<[u8]>>, tail: Box<[u8]> },
    /// `?` is in it.
    Glob,
}

impl Pattern {
    pub(super) fn new(text: &str, case: Case) -> Self {
        Self { text: text.to_owned(), form: Form::of(text), case }
    }

    /// The pattern as written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether a text is one of those it stands for.
    #[must_use]
    pub fn matches(&self, text: &str) -> bool {
        let (pattern, text) = (self.text.as_bytes(), text.as_bytes());
        match &self.form {
            Form::Any => true,
            Form::Exact => self.same(pattern, text),
            Form::Pieces { head, middle, tail } => self.holds(head, middle, tail, text).unwrap_or(false),
            Form::Glob => self.glob(pattern, text),
        }
    }

    /// Whether the pieces are in the text, one behind the other: each as early as it can be, since that leaves the most to
    /// those behind it. `None`, too, where one is missing.
    fn holds(&self, head: &[u8], middle: &[Box<[u8]>], tail: &[u8], text: &[u8]) -> Option<bool> {
        let (start, mut rest) = text.split_at_checked(head.len())?;
        if !self.same(head, start) {
            return None;
        }
        for piece in middle {
            rest = self.behind(piece, rest)?;
        }
        let (_, end) = rest.split_at_checked(rest.len().checked_sub(tail.len())?)?;
        Some(self.same(tail, end))
    }

    /// What stands behind the first occurrence of a piece.
    fn behind<'a>(&self, piece: &[u8], mut text: &'a [u8]) -> Option<&'a [u8]> {
        let Some(&first) = piece.first() else { return Some(text) };
        loop {
            let at = match self.case {
                Case::Counts => memchr(first, text),
                Case::Ignored => memchr2(first.to_ascii_lowercase(), first.to_ascii_uppercase(), text),
            };
            let (found, rest) = text.get(at?..)?.split_at_checked(piece.len())?;
            if self.same(piece, found) {
                return Some(rest);
            }
            text = text.get(at?.saturating_add(1)..)?;
        }
    }

    fn same(&self, a: &[u8], b: &[u8]) -> bool {
        match self.case {
            Case::Counts => a == b,
            Case::Ignored => a.eq_ignore_ascii_case(b),
        }
    }

    /// Greedy with one point to come back to: the newest `*`. At most `pattern × text` steps.
    fn glob(&self, pattern: &[u8], text: &[u8]) -> bool {
        let (mut p, mut t) = (0_usize, 0_usize);
        let mut back: Option<(usize, usize)> = None;
        while let Some(&byte) = text.get(t) {
            match pattern.get(p) {
                Some(b'*') => {
                    p = p.saturating_add(1);
                    back = Some((p, t));
                    continue;
                }
                Some(b'?') => {
                    p = p.saturating_add(1);
                    t = next_character(text, t);
                    continue;
                }
                Some(&wanted) if self.same(&[wanted], &[byte]) => {
                    p = p.saturating_add(1);
                    t = t.saturating_add(1);
                    continue;
                }
                _ => {}
            }
            let Some((behind_star, taken)) = back else { return false };
            let taken = next_character(text, taken);
            (p, t) = (behind_star, taken);
            back = Some((behind_star, taken));
        }
        pattern.get(p..).unwrap_or_default().iter().all(|b| *b == b'*')
    }
}

impl Form {
    fn of(text: &str) -> Self {
        if text == "*" {
            return Self::Any;
        }
        if text.contains('?') {
            return Self::Glob;
        }
        let mut pieces = text.split('*').map(|piece| Box::from(piece.as_bytes()));
        let head = pieces.next().unwrap_or_default();
        let mut middle: Vec<Box<[u8]>> = pieces.collect();
        match middle.pop() {
            None => Self::Exact,
            Some(tail) => Self::Pieces { head, middle, tail },
        }
    }
}

/// Where the character behind the one at `at` begins (UTF-8: bytes 10xxxxxx continue one).
fn next_character(text: &[u8], at: usize) -> usize {
    let mut next = at.saturating_add(1);
    while text.get(next).is_some_and(|b| b & 0xC0 == 0x80) {
        next = next.saturating_add(1);
    }
    next
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The definition, word for word: slow and plain.
    fn defined(pattern: &[char], text: &[char]) -> bool {
        match (pattern.split_first(), text.split_first()) {
            (None, None) => true,
            (Some(('*', rest)), None) => defined(rest, text),
            (Some(('*', rest)), Some((_, after))) => defined(rest, text) || defined(pattern, after),
            (Some(('?', rest)), Some((_, after))) => defined(rest, after),
            (Some((a, rest)), Some((b, after))) => a == b && defined(rest, after),
            _ => false,
        }
    }

    proptest! {
        #[test]
        fn matching_is_what_its_definition_says(pattern in "[ab*?ä]{0,8}|[abB*ä]{0,8}", text in "[abBä]{0,10}") {
            let chars = |text: &str| text.chars().collect::<Vec<char>>();
            prop_assert_eq!(Pattern::new(&pattern, Case::Counts).matches(&text), defined(&chars(&pattern), &chars(&text)));
            let (lower, text_of_it) = (pattern.to_ascii_lowercase(), text.to_ascii_lowercase());
            let defined = defined(&chars(&lower), &chars(&text_of_it));
            prop_assert_eq!(Pattern::new(&pattern, Case::Ignored).matches(&text), defined);
        }
    }

    #[test]
    fn case_counts_where_it_should() {
        assert!(Pattern::new("kms:gen*", Case::Ignored).matches("kms:GenerateDataKey"));
        assert!(Pattern::new("kms:?ncrypt", Case::Ignored).matches("KMS:Encrypt"));
        assert!(!Pattern::new("acs:kms:*:key/A", Case::Counts).matches("acs:kms:x:key/a"));
    }

    #[test]
    fn a_pattern_made_to_take_long_does_not() {
        let pattern = Pattern::new(&"a*".repeat(2000), Case::Counts);
        assert!(!pattern.matches(&format!("{}b", "a".repeat(1999))));
    }
}
