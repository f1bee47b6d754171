//! A list of what moved, as a text file or as a JSON document.

use std::path::Path;

use serde_json::Value;

use super::provider::ProtectionLevel;
use super::{Moved, MovedKey, MovedSecret, TerraformError};

impl Moved {
    /// Reads a list. Either one resource a line: `key ID`, `secret NAME`, or only the ID, alias or name, followed by
    /// `instance=…` and `protection=SOFTWARE|HSM` where known; `#` begins a comment. Or a JSON document with `keys` and
    /// `secrets`, such as `keyferry plan`, `job report` and `resources` print; what is in no instance there is left out.
    ///
    /// # Errors
    /// When the file cannot be read or a line is not understood.
    pub fn read_list(path: &Path) -> Result<Self, TerraformError> {
        let failed = |cause: String| TerraformError::File { path: path.to_owned(), cause };
        let text = std::fs::read_to_string(path).map_err(|error| failed(format!("cannot be read ({error})")))?;
        let text = text.strip_prefix('\u{feff}').unwrap_or(&text);
        let first = text.trim_start().chars().next();
        if matches!(first, Some('{' | '[')) {
            let document: Value =
                serde_json::from_str(text).map_err(|error| failed(format!("is not JSON (line {})", error.line())))?;
            return of_document(&document).map_err(|cause| failed(cause.to_owned()));
        }
        let mut listed = Self::default();
        for (index, line) in text.lines().enumerate() {
            let line = line.split('#').next().unwrap_or_default().trim();
            if !line.is_empty() {
                let one = of_line(line)
                    .ok_or_else(|| failed(format!("is not understood in line {}: {FORM}", index.saturating_add(1))))?;
                listed.keys.extend(one.keys);
                listed.secrets.extend(one.secrets);
            }
        }
        let mut moved = Self::default();
        moved.merge(listed);
        Ok(moved)
    }
}

const FORM: &str =
    "a line is `key ID`, `secret NAME`, an ID, an alias or a name, then instance=… and protection=… where known";

fn of_line(line: &str) -> Option<Moved> {
    let mut words: Vec<&str> = line.split_whitespace().collect();
    let (mut instance, mut protection) = (None, None);
    while let Some((name, value)) = words.last().and_then(|word| word.split_once('=')) {
        match name {
            "instance" => instance = Some(value.to_owned()),
            "protection" => protection = Some(ProtectionLevel::read(&value.to_uppercase())?),
            _ => break,
        }
        words.pop();
    }
    let (is_key, name) = match words.as_slice() {
        ["key", name] => (true, *name),
        ["secret", name] => (false, *name),
        [name] => (looks_like_a_key(name), *name),
        _ => return None,
    };
    Some(if is_key {
        let mut key = key_of(name);
        key.instance = instance;
        key.protection = protection;
        Moved { keys: vec![key], secrets: Vec::new() }
    } else {
        Moved { keys: Vec::new(), secrets: vec![MovedSecret { name: name.to_owned(), instance, rotates: None }] }
    })
}

fn key_of(name: &str) -> MovedKey {
    if name.starts_with("alias/") {
        MovedKey { aliases: vec![name.to_owned()], ..MovedKey::default() }
    } else {
        MovedKey { id: name.to_owned(), ..MovedKey::default() }
    }
}

/// Key IDs are UUIDs, or `key-…` for keys that were made in an instance.
fn looks_like_a_key(name: &str) -> bool {
    let groups: Vec<&str> = name.split('-').collect();
    let lengths: Vec<usize> = groups.iter().map(|group| group.len()).collect();
    let hexadecimal = name.bytes().all(|byte| byte.is_ascii_hexdigit() || byte == b'-');
    name.starts_with("alias/") || name.starts_with("key-") || (hexadecimal && lengths == [8, 4, 4, 4, 12])
}

fn of_document(document: &Value) -> Result<Moved, &'static str> {
    let text = |value: &Value, name: &str| value.get(name).and_then(Value::as_str).map(str::to_owned);
    let mut listed = Moved::default();
    let documents: Vec<&Value> = match document.get("plans").and_then(Value::as_array) {
        Some(plans) => plans.iter().collect(),
        None => vec![document],
    };
    for document in documents {
        let whole = text(document, "instance");
        let list = |name: &str| document.get(name).and_then(Value::as_array).cloned();
        let (keys, secrets) = (list("keys"), list("secrets"));
        if keys.is_none() && secrets.is_none() {
            return Err("has neither a list `keys` nor a list `secrets`");
        }
        // `resources` says of each where it is, and `null` is the shared KMS.
        let here = |item: &Value| item.get("instance") != Some(&Value::Null);
        for item in keys.unwrap_or_default().iter().filter(|item| here(item)) {
            let id = item.as_str().map(str::to_owned).or_else(|| text(item, "id")).or_else(|| text(item, "key_id"));
            let mut key = key_of(&id.ok_or("has a key without an ID")?);
            let aliases = item.get("alias").or_else(|| item.get("aliases")).and_then(Value::as_array);
            key.aliases.extend(aliases.into_iter().flatten().filter_map(Value::as_str).map(str::to_owned));
            key.description = text(item, "description");
            key.instance = text(item, "instance").or_else(|| whole.clone());
            key.protection = text(item, "protection_level").and_then(|level| ProtectionLevel::read(&level));
            listed.keys.push(key);
        }
        for item in secrets.unwrap_or_default().iter().filter(|item| here(item)) {
            let name = item.as_str().map(str::to_owned).or_else(|| text(item, "name"));
            let name = name.ok_or("has a secret without a name")?;
            let instance = text(item, "instance").or_else(|| whole.clone());
            listed.secrets.push(MovedSecret { name, instance, rotates: None });
        }
    }
    let mut moved = Moved::default();
    moved.merge(listed);
    Ok(moved)
}
