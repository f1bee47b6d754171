//! Wildcards: `*` for any text, `?` for one character.

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
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    /// `*` alone.
    Any,
    /// No wildcard.
    Exact,
    /// One `*`, at the end.
    Prefix,
    /// Everything else.
    Glob,
}

impl Pattern {
    pub(super) fn new(text: &str, case: Case) -> Self {
        let wildcards = text.bytes().filter(|b| matches!(b, b'*' | b'?')).count();
        let form = match wildcards {
            0 => Form::Exact,
            1 if text == "*" => Form::Any,
            1 if text.ends_with('*') => Form::Prefix,
            _ => Form::Glob,
        };
        Self { text: text.to_owned(), form, case }
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
        match self.form {
            Form::Any => true,
            Form::Exact => self.same(pattern, text),
            Form::Prefix => {
                let head = pattern.split_last().map_or(pattern, |(_, head)| head);
                text.get(..head.len()).is_some_and(|start| self.same(head, start))
            }
            Form::Glob => self.glob(pattern, text),
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
        fn matching_is_what_its_definition_says(pattern in "[ab*?ä]{0,8}", text in "[abä]{0,10}") {
            let (p, t): (Vec<char>, Vec<char>) = (pattern.chars().collect(), text.chars().collect());
            prop_assert_eq!(Pattern::new(&pattern, Case::Counts).matches(&text), defined(&p, &t));
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
