//! A request's parameters and their typed readers. Missing is `MissingParameter`, bad is `InvalidParameter`; no error
//! repeats a value, since values may be secrets.

mod structured;

use std::collections::{BTreeMap, BTreeSet};
use std::ops::RangeInclusive;
use std::str::FromStr;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use zeroize::Zeroizing;

pub use self::structured::MAX_TAG_CHARACTERS;
use crate::api::ApiError;
use crate::api::encoding::Pair;

/// The parameters of a request, each name once. No `Debug`: values may be secrets.
#[derive(Default)]
pub struct Parameters {
    values: BTreeMap<String, Parameter>,
}

/// Which page of a list is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Paging {
    /// From 1.
    pub number: u32,
    /// Entries a page.
    pub size: u32,
}

/// Filters of a list: for each key the values, of which a resource must match one; all keys must match.
pub type Filters = BTreeMap<&'static str, BTreeSet<String>>;

impl Parameters {
    /// Joins the parameters of query and body.
    ///
    /// # Errors
    /// `InvalidParameter` naming a parameter that comes twice.
    pub fn new(query: Vec<Pair>, body: Vec<Pair>) -> Result<Self, ApiError> {
        let mut values = BTreeMap::new();
        let pairs = query.into_iter().map(|pair| (pair, false)).chain(body.into_iter().map(|pair| (pair, true)));
        for ((name, value), in_body) in pairs {
            if values.contains_key(&name) {
                return Err(ApiError::invalid_parameter(&name).with_remedy("Send each parameter once."));
            }
            values.insert(name, Parameter { value, in_body });
        }
        Ok(Self { values })
    }

    /// Puts another value in the place of one that is there.
    pub(super) fn replace(&mut self, name: &str, value: String) {
        if let Some(parameter) = self.values.get_mut(name) {
            parameter.value = Zeroizing::new(value);
        }
    }

    /// All of them, in byte order of their names.
    pub fn all(&self) -> impl Iterator<Item = (&str, &str)> {
        self.values.iter().map(|(name, parameter)| (name.as_str(), parameter.value.as_str()))
    }

    /// Those that came in the query.
    pub fn in_query(&self) -> impl Iterator<Item = (&str, &str)> {
        self.values
            .iter()
            .filter(|(_, parameter)| !parameter.in_body)
            .map(|(name, parameter)| (name.as_str(), parameter.value.as_str()))
    }

    /// A text as sent, also an empty one.
    #[must_use]
    pub fn text(&self, name: &str) -> Option<&str> {
        self.values.get(name).map(|parameter| parameter.value.as_str())
    }

    /// A text as sent, also an empty one, which must be there.
    ///
    /// # Errors
    /// `MissingParameter`.
    pub fn required_text(&self, name: &str) -> Result<&str, ApiError> {
        self.text(name).ok_or_else(|| ApiError::missing_parameter(name))
    }

    /// A text; an empty one counts as absent.
    #[must_use]
    pub fn optional(&self, name: &str) -> Option<&str> {
        self.text(name).filter(|value| !value.is_empty())
    }

    /// A text that must be there and not be empty.
    ///
    /// # Errors
    /// `MissingParameter`.
    pub fn required(&self, name: &str) -> Result<&str, ApiError> {
        self.optional(name).ok_or_else(|| ApiError::missing_parameter(name))
    }

    /// A text of one of the types that check themselves, such as an identifier or an enumeration.
    ///
    /// # Errors
    /// `InvalidParameter`.
    pub fn parsed<T: FromStr>(&self, name: &str) -> Result<Option<T>, ApiError> {
        self.optional(name).map(|text| text.parse().map_err(|_| ApiError::invalid_parameter(name))).transpose()
    }

    /// As [`Parameters::parsed`], and must be there.
    ///
    /// # Errors
    /// `MissingParameter`, `InvalidParameter`.
    pub fn required_parsed<T: FromStr>(&self, name: &str) -> Result<T, ApiError> {
        self.parsed(name)?.ok_or_else(|| ApiError::missing_parameter(name))
    }

    /// `true`, `false`, `True` or `False`.
    ///
    /// # Errors
    /// `InvalidParameter`.
    pub fn boolean(&self, name: &str) -> Result<Option<bool>, ApiError> {
        match self.optional(name) {
            None => Ok(None),
            Some("true" | "True") => Ok(Some(true)),
            Some("false" | "False") => Ok(Some(false)),
            Some(_) => Err(ApiError::invalid_parameter(name).with_remedy("Allowed are true and false.")),
        }
    }

    /// A decimal number within `range`.
    ///
    /// # Errors
    /// `InvalidParameter`.
    pub fn integer<T>(&self, name: &str, range: RangeInclusive<T>) -> Result<Option<T>, ApiError>
    where
        T: FromStr + PartialOrd + std::fmt::Display,
    {
        let Some(text) = self.optional(name) else {
            return Ok(None);
        };
        let number = text.parse().ok().filter(|number| range.contains(number) && !text.starts_with('+'));
        number.map(Some).ok_or_else(|| {
            ApiError::invalid_parameter(name).with_remedy(format!(
                "Allowed is a number from {} to {}.",
                range.start(),
                range.end()
            ))
        })
    }

    /// Base64 (standard alphabet, padded) of at most `max` bytes. Empty counts as absent.
    ///
    /// # Errors
    /// `InvalidParameter`.
    pub fn base64(&self, name: &str, max: usize) -> Result<Option<Zeroizing<Vec<u8>>>, ApiError> {
        let Some(text) = self.optional(name) else {
            return Ok(None);
        };
        let bytes = STANDARD.decode(text).map(Zeroizing::new).map_err(|_| {
            ApiError::invalid_parameter(name).with_remedy("Encode the value with the standard Base64 alphabet, padded.")
        })?;
        if bytes.len() > max {
            return Err(ApiError::invalid_parameter(name).with_remedy(format!("At most {max} bytes are allowed.")));
        }
        Ok(Some(bytes))
    }

    /// As [`Parameters::base64`], and must be there.
    ///
    /// # Errors
    /// `MissingParameter`, `InvalidParameter`.
    pub fn required_base64(&self, name: &str, max: usize) -> Result<Zeroizing<Vec<u8>>, ApiError> {
        self.base64(name, max)?.ok_or_else(|| ApiError::missing_parameter(name))
    }

    /// A span such as `7d`, `168h`, `10080m` or `604800s`, within `range`.
    ///
    /// # Errors
    /// `InvalidParameter`.
    pub fn interval(&self, name: &str, range: RangeInclusive<Duration>) -> Result<Option<Duration>, ApiError> {
        let Some(text) = self.optional(name) else {
            return Ok(None);
        };
        span(text).filter(|span| range.contains(span)).map(Some).ok_or_else(|| {
            let seconds = |bound: &Duration| bound.as_secs();
            ApiError::invalid_parameter(name).with_remedy(format!(
                "Send a whole number with the unit d, h, m or s, from {}s to {}s.",
                seconds(range.start()),
                seconds(range.end())
            ))
        })
    }

    /// `PageNumber` from 1 (default 1) and `PageSize` within `sizes`.
    ///
    /// # Errors
    /// `InvalidParameter`.
    pub fn paging(&self, default: u32, sizes: RangeInclusive<u32>) -> Result<Paging, ApiError> {
        Ok(Paging {
            number: self.integer("PageNumber", 1..=u32::MAX)?.unwrap_or(1),
            size: self.integer("PageSize", sizes)?.unwrap_or(default),
        })
    }
}

impl Paging {
    /// The entries of this page out of all, and how many there are in all.
    #[must_use]
    pub fn cut<T>(self, all: impl IntoIterator<Item = T>) -> (Vec<T>, usize) {
        let all: Vec<T> = all.into_iter().collect();
        let total = all.len();
        let size = usize::try_from(self.size).unwrap_or(usize::MAX);
        let before = usize::try_from(self.number.saturating_sub(1)).unwrap_or(usize::MAX).saturating_mul(size);
        (all.into_iter().skip(before).take(size).collect(), total)
    }
}

struct Parameter {
    value: Zeroizing<String>,
    in_body: bool,
}

fn span(text: &str) -> Option<Duration> {
    let unit = text.chars().next_back()?;
    let number = text.strip_suffix(unit)?;
    if !number.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let seconds: u64 = match unit {
        's' => 1,
        'm' => 60,
        'h' => 3600,
        'd' => 86_400,
        _ => return None,
    };
    number.parse::<u64>().ok()?.checked_mul(seconds).map(Duration::from_secs)
}

#[cfg(test)]
mod tests;
