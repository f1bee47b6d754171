//! Percent encoding as signatures want it (RFC 3986), and decoding of queries and form bodies.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use thiserror::Error;
use zeroize::Zeroizing;

/// A query or form body that is not well formed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum EncodingError {
    /// A `%` without two hexadecimal digits behind it.
    #[error("a percent sign is not followed by two hexadecimal digits")]
    Percent,
    /// What was decoded is not UTF-8.
    #[error("the text is not UTF-8")]
    Utf8,
    /// `=value` without a name.
    #[error("a parameter has no name")]
    Nameless,
    /// More than [`MAX_PAIRS`] parameters.
    #[error("there are more than {MAX_PAIRS} parameters")]
    TooMany,
}

/// The most parameters a query or body may have.
pub const MAX_PAIRS: usize = 500;

/// A decoded parameter: name and value.
pub type Pair = (String, Zeroizing<String>);

/// Splits `a=b&c=d`. `+` and `%20` are both space; a parameter without `=` has an empty value; empty pieces are skipped.
///
/// # Errors
/// When an escape is cut off, the result is not UTF-8, a name is empty, or there are more than [`MAX_PAIRS`].
pub fn decode_form(text: &[u8]) -> Result<Vec<Pair>, EncodingError> {
    let mut pairs = Vec::new();
    for piece in text.split(|&b| b == b'&').filter(|piece| !piece.is_empty()) {
        let mut halves = piece.splitn(2, |&b| b == b'=');
        let name = decode(halves.next().unwrap_or_default())?;
        let value = decode(halves.next().unwrap_or_default())?;
        if name.is_empty() {
            return Err(EncodingError::Nameless);
        }
        if pairs.len() == MAX_PAIRS {
            return Err(EncodingError::TooMany);
        }
        pairs.push((name.to_string(), value));
    }
    Ok(pairs)
}

/// Appends `text`, everything but `A-Z a-z 0-9 - _ . ~` as upper-case `%XX`.
pub fn push_encoded(out: &mut String, text: &str) {
    out.extend(utf8_percent_encode(text, UNRESERVED));
}

/// `name=value` of each pair, encoded, sorted by name in byte order, joined with `&`: the canonical query of both
/// signature versions.
#[must_use]
pub fn canonical<'a>(pairs: impl Iterator<Item = (&'a str, &'a str)>) -> Zeroizing<String> {
    let mut pairs: Vec<_> = pairs.collect();
    pairs.sort_unstable();
    // Reserved at its largest, so that no growth leaves a copy of a secret behind.
    let room = pairs
        .iter()
        .map(|(name, value)| name.len().saturating_add(value.len()).saturating_mul(3).saturating_add(2))
        .sum();
    let mut out = Zeroizing::new(String::with_capacity(room));
    for (name, value) in pairs {
        if !out.is_empty() {
            out.push('&');
        }
        push_encoded(&mut out, name);
        out.push('=');
        push_encoded(&mut out, value);
    }
    out
}

const UNRESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');

fn decode(text: &[u8]) -> Result<Zeroizing<String>, EncodingError> {
    let mut bytes = Zeroizing::new(Vec::with_capacity(text.len()));
    let mut rest = text.iter();
    while let Some(&byte) = rest.next() {
        bytes.push(match byte {
            b'+' => b' ',
            b'%' => {
                let high = rest.next().and_then(hex_digit).ok_or(EncodingError::Percent)?;
                let low = rest.next().and_then(hex_digit).ok_or(EncodingError::Percent)?;
                high << 4 | low
            }
            other => other,
        });
    }
    let text = std::str::from_utf8(&bytes).map_err(|_| EncodingError::Utf8)?;
    Ok(Zeroizing::new(text.to_owned()))
}

fn hex_digit(byte: &u8) -> Option<u8> {
    match byte {
        b'0'..=b'9' => Some(byte.wrapping_sub(b'0')),
        b'a'..=b'f' => Some(byte.wrapping_sub(b'a').wrapping_add(10)),
        b'A'..=b'F' => Some(byte.wrapping_sub(b'A').wrapping_add(10)),
        _ => None,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn decoded(text: &str) -> Vec<(String, String)> {
        decode_form(text.as_bytes()).unwrap().into_iter().map(|(n, v)| (n, v.to_string())).collect()
    }

    #[test]
    fn plus_and_percent_twenty_are_both_space() {
        assert_eq!(
            decoded("a=b+c%20d&&e&f=&g=x=y"),
            [
                ("a".to_owned(), "b c d".to_owned()),
                ("e".to_owned(), String::new()),
                ("f".to_owned(), String::new()),
                ("g".to_owned(), "x=y".to_owned()),
            ]
        );
        assert_eq!(decoded("%E4%BD%A0=%e5%a5%bd"), [("你".to_owned(), "好".to_owned())]);
    }

    #[test]
    fn malformed_text_is_refused() {
        let refused = |text: &str| decode_form(text.as_bytes()).err();
        assert_eq!(refused("a=%"), Some(EncodingError::Percent));
        assert_eq!(refused("a=%4"), Some(EncodingError::Percent));
        assert_eq!(refused("a=%4g"), Some(EncodingError::Percent));
        assert_eq!(refused("a=%ff"), Some(EncodingError::Utf8));
        assert_eq!(refused("=b"), Some(EncodingError::Nameless));
        assert_eq!(refused(&"a=b&".repeat(MAX_PAIRS)), None);
        assert_eq!(refused(&"a=b&".repeat(MAX_PAIRS + 1)), Some(EncodingError::TooMany));
    }

    #[test]
    fn canonical_form_is_sorted_and_encoded_by_rfc_3986() {
        let pairs = [("b", "a b*~"), ("a", "+/=你"), ("B", "")];
        assert_eq!(canonical(pairs.into_iter()).as_str(), "B=&a=%2B%2F%3D%E4%BD%A0&b=a%20b%2A~");
        assert_eq!(canonical(std::iter::empty()).as_str(), "");
    }
}
