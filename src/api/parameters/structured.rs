//! Readers of parameters that hold more than one value: lists, contexts, tags and filters.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::{Filters, Parameters};
use crate::api::ApiError;
use crate::model::TagMap;

impl Parameters {
    /// A JSON list of texts: `["a","b"]`, or wrapped in an object of one member, `{"VersionStage":["a"]}`.
    ///
    /// # Errors
    /// `InvalidParameter`.
    pub fn json_list(&self, name: &str) -> Result<Option<Vec<String>>, ApiError> {
        let Some(text) = self.optional(name) else {
            return Ok(None);
        };
        strings(text).map(Some).ok_or_else(|| {
            ApiError::invalid_parameter(name).with_remedy("Send a JSON list of texts, such as [\"a\",\"b\"].")
        })
    }

    /// As [`Parameters::json_list`], or texts separated by commas: `a,b`.
    ///
    /// # Errors
    /// `InvalidParameter`.
    pub fn json_or_comma_list(&self, name: &str) -> Result<Option<Vec<String>>, ApiError> {
        match self.optional(name) {
            Some(text) if !text.trim_start().starts_with(['[', '{']) => {
                Ok(Some(text.split(',').map(|part| part.trim().to_owned()).collect()))
            }
            _ => self.json_list(name),
        }
    }

    /// A flattened list: `ResourceId.1=…&ResourceId.2=…`, in the order of the numbers, which may have gaps.
    ///
    /// # Errors
    /// `InvalidParameter` when a number is not one, or there are more than `max` entries.
    pub fn list(&self, name: &str, max: usize) -> Result<Vec<String>, ApiError> {
        let mut found = BTreeMap::new();
        for (suffix, value) in self.under(name) {
            let index: u32 = suffix.parse().map_err(|_| ApiError::invalid_parameter(name))?;
            if found.insert(index, value.to_owned()).is_some() || found.len() > max {
                return Err(ApiError::invalid_parameter(name).with_remedy(format!("At most {max} entries, each once.")));
            }
        }
        Ok(found.into_values().collect())
    }

    /// An encryption context: a JSON object of texts, or flattened, `EncryptionContext.a=b`. Absent and `{}` are equal.
    ///
    /// # Errors
    /// `InvalidParameter`, also when both forms are there.
    pub fn context(&self, name: &str) -> Result<BTreeMap<String, String>, ApiError> {
        let invalid = || {
            ApiError::invalid_parameter(name).with_remedy("Send a JSON object whose values are texts, each name once.")
        };
        let flat: BTreeMap<String, String> =
            self.under(name).map(|(suffix, value)| (suffix.to_owned(), value.to_owned())).collect();
        match self.optional(name) {
            None => Ok(flat),
            Some(text) if flat.is_empty() => match serde_json::from_str(text) {
                Ok(Context(context)) => Ok(context),
                Err(_) => Err(invalid()),
            },
            Some(_) => Err(invalid()),
        }
    }

    /// A JSON object as it was sent, or flattened, `ExtendedConfig.CustomData.a=b`, each dot a level; all values are texts then.
    ///
    /// # Errors
    /// `InvalidParameter` when both forms are there, or a name stands for a value and for an object.
    pub fn object(&self, name: &str) -> Result<Option<String>, ApiError> {
        let invalid = || ApiError::invalid_parameter(name).with_remedy("Send one JSON object.");
        let mut flat = self.under(name).peekable();
        if let Some(text) = self.optional(name) {
            return if flat.peek().is_none() { Ok(Some(text.to_owned())) } else { Err(invalid()) };
        }
        if flat.peek().is_none() {
            return Ok(None);
        }
        let mut object = Map::new();
        for (path, value) in flat {
            let (levels, member) =
                path.rsplit_once('.').map_or((None, path), |(levels, member)| (Some(levels), member));
            let mut place = &mut object;
            for level in levels.into_iter().flat_map(|levels| levels.split('.')) {
                let inner = place.entry(level).or_insert_with(|| Value::Object(Map::new()));
                place = inner.as_object_mut().ok_or_else(invalid)?;
            }
            if place.insert(member.to_owned(), value.into()).is_some() {
                return Err(invalid());
            }
        }
        Ok(Some(Value::Object(object).to_string()))
    }

    /// Tags as a JSON list, `[{"TagKey":"k","TagValue":"v"}]`.
    ///
    /// # Errors
    /// `InvalidParameter` when there are more than 20, a key comes twice, is empty or reserved (`aliyun…`, `acs:…`), or a
    /// key or value has more than 128 characters.
    pub fn tags(&self, name: &str) -> Result<Option<TagMap>, ApiError> {
        let Some(text) = self.optional(name) else {
            return Ok(None);
        };
        let invalid = || {
            ApiError::invalid_parameter(name)
                .with_remedy("Send a JSON list such as [{\"TagKey\":\"k\",\"TagValue\":\"v\"}].")
        };
        let entries: Vec<BTreeMap<String, String>> = serde_json::from_str(text).map_err(|_| invalid())?;
        let mut pairs = Vec::new();
        for mut entry in entries {
            let key = entry.remove("TagKey").ok_or_else(invalid)?;
            let value = entry.remove("TagValue").unwrap_or_default();
            if !entry.is_empty() {
                return Err(invalid());
            }
            pairs.push((key, value));
        }
        tag_map(name, pairs).map(Some)
    }

    /// Tags in the flattened form, `Tag.1.Key=…&Tag.1.Value=…`.
    ///
    /// # Errors
    /// As [`Parameters::tags`].
    pub fn flattened_tags(&self, name: &str) -> Result<TagMap, ApiError> {
        let mut keys = BTreeMap::new();
        let mut values = BTreeMap::new();
        for (suffix, value) in self.under(name) {
            let invalid = || ApiError::invalid_parameter(name);
            let (index, member) = suffix.split_once('.').ok_or_else(invalid)?;
            let index: u32 = index.parse().map_err(|_| invalid())?;
            let previous = match member {
                "Key" => keys.insert(index, value.to_owned()),
                "Value" => values.insert(index, value.to_owned()),
                _ => return Err(invalid()),
            };
            if previous.is_some() {
                return Err(invalid());
            }
        }
        let pairs = keys.into_iter().map(|(index, key)| (key, values.remove(&index).unwrap_or_default())).collect();
        let tags = tag_map(name, pairs)?;
        if values.is_empty() { Ok(tags) } else { Err(ApiError::invalid_parameter(name)) }
    }

    /// `Filters`: `[{"Key":"KeyState","Values":["Enabled"]}]`, up to 10 entries of up to 10 values. Entries with the same
    /// key join. Keys are told whatever their case, and come back as `allowed` writes them.
    ///
    /// # Errors
    /// `InvalidParameter`, also for a key that is not allowed.
    pub fn filters(&self, allowed: &[&'static str]) -> Result<Filters, ApiError> {
        let Some(text) = self.optional("Filters") else {
            return Ok(Filters::new());
        };
        let invalid = |why: &str| ApiError::invalid_parameter("Filters").with_remedy(why);
        let entries: Vec<FilterEntry> = serde_json::from_str(text)
            .map_err(|_| invalid("Send a JSON list such as [{\"Key\":\"KeyState\",\"Values\":[\"Enabled\"]}]."))?;
        if entries.len() > 10 || entries.iter().any(|entry| entry.values.len() > 10) {
            return Err(invalid("At most 10 entries of at most 10 values are allowed."));
        }
        let mut filters = Filters::new();
        for entry in entries {
            let key = allowed
                .iter()
                .find(|key| key.eq_ignore_ascii_case(&entry.key))
                .ok_or_else(|| invalid(&format!("Allowed keys: {}.", allowed.join(", "))))?;
            filters.entry(key).or_default().extend(entry.values);
        }
        Ok(filters)
    }

    fn under(&self, name: &str) -> impl Iterator<Item = (&str, &str)> {
        let prefix = format!("{name}.");
        self.values.iter().filter_map(move |(full, parameter)| {
            full.strip_prefix(&prefix).map(|suffix| (suffix, parameter.value.as_str()))
        })
    }
}

#[derive(serde::Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct FilterEntry {
    key: String,
    values: Vec<String>,
}

/// Texts by name, each name once: of two the reader of a context would see one, its writer may have meant the other.
struct Context(BTreeMap<String, String>);

impl<'de> serde::Deserialize<'de> for Context {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Members;
        impl<'de> serde::de::Visitor<'de> for Members {
            type Value = Context;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("an object whose values are texts")
            }

            fn visit_map<A: serde::de::MapAccess<'de>>(self, mut map: A) -> Result<Context, A::Error> {
                let mut found = BTreeMap::new();
                while let Some((name, value)) = map.next_entry::<String, String>()? {
                    if found.insert(name, value).is_some() {
                        return Err(serde::de::Error::custom("a name comes twice"));
                    }
                }
                Ok(Context(found))
            }
        }
        deserializer.deserialize_map(Members)
    }
}

const MAX_TAGS: usize = 20;
/// Characters that a tag's key and value may have.
pub const MAX_TAG_CHARACTERS: usize = 128;

fn tag_map(name: &str, pairs: Vec<(String, String)>) -> Result<TagMap, ApiError> {
    let invalid = |why: &str| ApiError::invalid_parameter(name).with_remedy(why);
    let mut tags = TagMap::new();
    for (key, value) in pairs {
        if key.is_empty() || key.chars().count() > MAX_TAG_CHARACTERS || value.chars().count() > MAX_TAG_CHARACTERS {
            return Err(invalid("Tag keys have 1 to 128 characters, tag values at most 128."));
        }
        if key.starts_with("aliyun") || key.starts_with("acs:") {
            return Err(invalid("Tag keys that begin with aliyun or acs: are reserved."));
        }
        if tags.insert(key, value).is_some() {
            return Err(invalid("Name each tag key once."));
        }
    }
    if tags.len() > MAX_TAGS { Err(invalid("At most 20 tags are allowed.")) } else { Ok(tags) }
}

fn strings(text: &str) -> Option<Vec<String>> {
    let list = match serde_json::from_str(text).ok()? {
        Value::Array(list) => list,
        Value::Object(object) if object.len() == 1 => match object.into_iter().next()? {
            (_, Value::Array(list)) => list,
            _ => return None,
        },
        _ => return None,
    };
    list.into_iter().map(|value| if let Value::String(text) = value { Some(text) } else { None }).collect()
}
