//! Conditions: an operator, a key and the values it is compared with (RAM policy language, element `Condition`).
//!
//! All conditions of a statement have to hold; of several values one has to match, or none where the operator negates.
//! A key that the request does not have (a tag that is not there) fails every operator but the negating ones.

use std::net::IpAddr;

use jiff::Timestamp;

use super::pattern::{Case, Pattern};
use crate::model::TagMap;

/// What a request brings beside who, what and which.
#[derive(Debug, Clone, Copy, Default)]
pub struct Context<'a> {
    /// `acs:CurrentTime`.
    pub now: Option<Timestamp>,
    /// `acs:SourceIp`.
    pub source: Option<IpAddr>,
    /// `acs:SecureTransport`: it came over TLS.
    pub secure: Option<bool>,
    /// `acs:ResourceTag/KEY`, `kms:tag/KEY`: the tags of the resource.
    pub resource_tags: Option<&'a TagMap>,
    /// `acs:RequestTag/KEY`: the tags that the request is to set.
    pub request_tags: Option<&'a TagMap>,
}

/// One condition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Condition {
    key: Key,
    test: Test,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Key {
    CurrentTime,
    SourceIp,
    SecureTransport,
    MfaPresent,
    PrincipalArn,
    ResourceTag(String),
    RequestTag(String),
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Test {
    Text { negated: bool, patterns: Vec<Pattern> },
    Same { negated: bool, ignore_case: bool, values: Vec<String> },
    Number { order: Order, values: Vec<i64> },
    Date { order: Order, values: Vec<Timestamp> },
    Bool(Vec<bool>),
    Address { negated: bool, networks: Vec<Network> },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Order {
    Equals,
    NotEquals,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

/// A network, or one address of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Network {
    address: IpAddr,
    bits: u8,
}

/// Every operator.
pub(super) const OPERATORS: &[&str] = &[
    "StringEquals",
    "StringNotEquals",
    "StringEqualsIgnoreCase",
    "StringNotEqualsIgnoreCase",
    "StringLike",
    "StringNotLike",
    "NumericEquals",
    "NumericNotEquals",
    "NumericLessThan",
    "NumericLessThanEquals",
    "NumericGreaterThan",
    "NumericGreaterThanEquals",
    "DateEquals",
    "DateNotEquals",
    "DateLessThan",
    "DateLessThanEquals",
    "DateGreaterThan",
    "DateGreaterThanEquals",
    "Bool",
    "IpAddress",
    "NotIpAddress",
];

const KEYS: &str = "acs:CurrentTime (with Date… operators), acs:SourceIp (IpAddress, NotIpAddress), acs:SecureTransport and \
                    acs:MFAPresent (Bool), acs:PrincipalARN, acs:ResourceTag/KEY, kms:tag/KEY and acs:RequestTag/KEY (String… \
                    and Numeric…)";

/// What is wrong with a condition: with its key (`None`) or with the value of an index.
pub(super) struct Fault {
    pub(super) value: Option<usize>,
    pub(super) found: String,
    pub(super) allowed: String,
}

impl Condition {
    /// Reads one condition; `operator` is among [`OPERATORS`].
    pub(super) fn read(operator: &str, key: &str, values: &[String]) -> Result<Self, Fault> {
        let unknown =
            || Fault { value: None, found: format!("the key {key:?} under {operator}"), allowed: KEYS.to_owned() };
        let key = Key::read(key).ok_or_else(unknown)?;
        let negated = operator.contains("Not");
        let test = match (&key, operator) {
            (Key::CurrentTime, _) if operator.starts_with("Date") => {
                let date = "a date, a time and an offset, such as 2026-12-01T02:00:00+08:00";
                Test::Date { order: Order::of(operator), values: each(values, date, |text| text.parse().ok())? }
            }
            (Key::SourceIp, "IpAddress" | "NotIpAddress") => {
                let network = "an address or a network, such as 192.168.0.0/16";
                Test::Address { negated, networks: each(values, network, Network::parse)? }
            }
            (Key::SecureTransport | Key::MfaPresent, "Bool") => {
                Test::Bool(each(values, "true or false", |text| text.to_ascii_lowercase().parse().ok())?)
            }
            (Key::PrincipalArn | Key::ResourceTag(_) | Key::RequestTag(_), _) => match operator {
                "StringLike" | "StringNotLike" => {
                    let patterns = values.iter().map(|text| Pattern::new(text, Case::Counts)).collect();
                    Test::Text { negated, patterns }
                }
                _ if operator.starts_with("String") => {
                    Test::Same { negated, ignore_case: operator.ends_with("IgnoreCase"), values: values.to_vec() }
                }
                _ if operator.starts_with("Numeric") => {
                    let values = each(values, "a whole number", |text| text.parse().ok())?;
                    Test::Number { order: Order::of(operator), values }
                }
                _ => return Err(unknown()),
            },
            _ => return Err(unknown()),
        };
        Ok(Self { key, test })
    }

    /// Whether it holds for a request of `principal` (its ARN).
    pub(super) fn holds(&self, context: &Context<'_>, principal: &str) -> bool {
        match &self.test {
            Test::Date { order, values } => match context.now {
                Some(now) => order.any(values, &now),
                None => order.is_negated(),
            },
            Test::Address { negated, networks } => match context.source {
                Some(source) => networks.iter().any(|network| network.contains(source)) != *negated,
                None => *negated,
            },
            Test::Bool(values) => {
                let found = match self.key {
                    Key::SecureTransport => context.secure,
                    // Nobody signs in with a second factor here.
                    _ => Some(false),
                };
                found.is_some_and(|found| values.contains(&found))
            }
            Test::Text { negated, patterns } => match self.text(context, principal) {
                Some(text) => patterns.iter().any(|pattern| pattern.matches(text)) != *negated,
                None => *negated,
            },
            Test::Same { negated, ignore_case, values } => match self.text(context, principal) {
                Some(text) => {
                    let same = |value: &String| {
                        if *ignore_case { value.eq_ignore_ascii_case(text) } else { value == text }
                    };
                    values.iter().any(same) != *negated
                }
                None => *negated,
            },
            Test::Number { order, values } => {
                match self.text(context, principal).and_then(|text| text.parse::<i64>().ok()) {
                    Some(number) => order.any(values, &number),
                    None => order.is_negated(),
                }
            }
        }
    }

    /// The value of a key that is a text.
    fn text<'a>(&self, context: &Context<'a>, principal: &'a str) -> Option<&'a str> {
        match &self.key {
            Key::PrincipalArn => Some(principal),
            Key::ResourceTag(tag) => context.resource_tags?.get(tag).map(String::as_str),
            Key::RequestTag(tag) => context.request_tags?.get(tag).map(String::as_str),
            Key::CurrentTime | Key::SourceIp | Key::SecureTransport | Key::MfaPresent => None,
        }
    }
}

impl Key {
    /// Names of keys are taken in any case, those of tags as they are.
    fn read(text: &str) -> Option<Self> {
        if let Some((kind, tag)) = text.split_once('/') {
            let tag = Some(tag).filter(|tag| !tag.is_empty())?.to_owned();
            return match kind.to_ascii_lowercase().as_str() {
                "acs:resourcetag" | "kms:tag" => Some(Self::ResourceTag(tag)),
                "acs:requesttag" => Some(Self::RequestTag(tag)),
                _ => None,
            };
        }
        match text.to_ascii_lowercase().as_str() {
            "acs:currenttime" => Some(Self::CurrentTime),
            "acs:sourceip" => Some(Self::SourceIp),
            "acs:securetransport" => Some(Self::SecureTransport),
            "acs:mfapresent" => Some(Self::MfaPresent),
            "acs:principalarn" => Some(Self::PrincipalArn),
            _ => None,
        }
    }
}

impl Order {
    fn of(operator: &str) -> Self {
        let name = operator.trim_start_matches("Numeric").trim_start_matches("Date");
        match name {
            "NotEquals" => Self::NotEquals,
            "LessThan" => Self::Less,
            "LessThanEquals" => Self::LessOrEqual,
            "GreaterThan" => Self::Greater,
            "GreaterThanEquals" => Self::GreaterOrEqual,
            _ => Self::Equals,
        }
    }

    const fn is_negated(self) -> bool {
        matches!(self, Self::NotEquals)
    }

    fn any<T: Ord>(self, values: &[T], found: &T) -> bool {
        match self {
            Self::Equals => values.iter().any(|value| found == value),
            Self::NotEquals => !values.iter().any(|value| found == value),
            Self::Less => values.iter().any(|value| found < value),
            Self::LessOrEqual => values.iter().any(|value| found <= value),
            Self::Greater => values.iter().any(|value| found > value),
            Self::GreaterOrEqual => values.iter().any(|value| found >= value),
        }
    }
}

impl Network {
    fn parse(text: &str) -> Option<Self> {
        let (address, bits) = match text.split_once('/') {
            Some((address, bits)) => (address, Some(bits.parse::<u8>().ok()?)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().ok()?;
        let most = if address.is_ipv4() { 32 } else { 128 };
        let bits = bits.unwrap_or(most);
        (bits <= most).then_some(Self { address, bits })
    }

    fn contains(&self, source: IpAddr) -> bool {
        let (network, source, width) = match (self.address, source.to_canonical()) {
            (IpAddr::V4(network), IpAddr::V4(source)) => {
                (u128::from(network.to_bits()), u128::from(source.to_bits()), 32_u32)
            }
            (IpAddr::V6(network), IpAddr::V6(source)) => (network.to_bits(), source.to_bits(), 128),
            _ => return false,
        };
        let rest = width.saturating_sub(u32::from(self.bits));
        network.checked_shr(rest).unwrap_or(0) == source.checked_shr(rest).unwrap_or(0)
    }
}

fn each<T>(values: &[String], allowed: &str, read: impl Fn(&str) -> Option<T>) -> Result<Vec<T>, Fault> {
    let read_one = |(index, text): (usize, &String)| {
        read(text).ok_or_else(|| Fault {
            value: Some(index),
            found: format!("{:?}", text.chars().take(64).collect::<String>()),
            allowed: allowed.to_owned(),
        })
    };
    values.iter().enumerate().map(read_one).collect()
}
