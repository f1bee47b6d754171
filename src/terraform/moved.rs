//! What moved into an instance, whoever moved it.

use std::collections::HashMap;

use super::provider::ProtectionLevel;

/// What moved.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Moved {
    /// Keys.
    pub keys: Vec<MovedKey>,
    /// Secrets.
    pub secrets: Vec<MovedSecret>,
}

/// A key that moved, as far as its source tells.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct MovedKey {
    /// Its ID; empty where only an alias is known.
    pub id: String,
    /// Its aliases, with `alias/`.
    pub aliases: Vec<String>,
    /// Its description.
    pub description: Option<String>,
    /// The instance that holds it.
    pub instance: Option<String>,
    /// Where it is protected now.
    pub protection: Option<ProtectionLevel>,
    /// Whether it rotates by itself now.
    pub rotates: Option<bool>,
}

/// A secret that moved, as far as its source tells.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct MovedSecret {
    /// Its name.
    pub name: String,
    /// The instance that holds it.
    pub instance: Option<String>,
    /// Whether it rotates by itself now.
    pub rotates: Option<bool>,
}

impl Moved {
    /// True when nothing moved.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.keys.is_empty() && self.secrets.is_empty()
    }

    /// Adds what another source tells; what both tell of is told once, the first source first.
    pub fn merge(&mut self, other: Self) {
        let mut ids: HashMap<String, usize> = HashMap::new();
        let mut aliases: HashMap<String, usize> = HashMap::new();
        let mut remember = |place: usize, key: &MovedKey| {
            if !key.id.is_empty() {
                ids.entry(key.id.clone()).or_insert(place);
            }
            for alias in &key.aliases {
                aliases.entry(alias.clone()).or_insert(place);
            }
            (ids.get(&key.id).copied(), key.aliases.iter().find_map(|alias| aliases.get(alias).copied()))
        };
        for (place, key) in self.keys.iter().enumerate() {
            remember(place, key);
        }
        for key in other.keys {
            let (same_id, same_alias) = remember(self.keys.len(), &key);
            let known = same_id.filter(|place| *place < self.keys.len()).or_else(|| {
                // An alias alone names a key only where one of both is known by nothing else.
                same_alias
                    .filter(|place| self.keys.get(*place).is_some_and(|known| known.id.is_empty() || key.id.is_empty()))
            });
            match known.and_then(|place| self.keys.get_mut(place)) {
                Some(known) => known.fill(key),
                None => self.keys.push(key),
            }
        }
        let names = self.secrets.iter().enumerate().map(|(place, secret)| (secret.name.clone(), place));
        let mut names: HashMap<String, usize> = names.collect();
        for secret in other.secrets {
            match names.get(&secret.name).and_then(|place| self.secrets.get_mut(*place)) {
                Some(known) => {
                    known.instance = known.instance.take().or(secret.instance);
                    known.rotates = known.rotates.or(secret.rotates);
                }
                None => {
                    names.insert(secret.name.clone(), self.secrets.len());
                    self.secrets.push(secret);
                }
            }
        }
    }

    /// States the instance wherever no source did.
    pub fn assume_instance(&mut self, instance: &str) {
        let slots = self.keys.iter_mut().map(|key| &mut key.instance);
        for slot in slots.chain(self.secrets.iter_mut().map(|secret| &mut secret.instance)) {
            slot.get_or_insert_with(|| instance.to_owned());
        }
    }
}

impl MovedKey {
    fn fill(&mut self, other: Self) {
        if self.id.is_empty() {
            self.id = other.id;
        }
        for alias in other.aliases {
            if !self.aliases.contains(&alias) {
                self.aliases.push(alias);
            }
        }
        self.description = self.description.take().or(other.description);
        self.instance = self.instance.take().or(other.instance);
        self.protection = self.protection.or(other.protection);
        self.rotates = self.rotates.or(other.rotates);
    }

    /// As it is told: by its ID, else by an alias.
    #[must_use]
    pub fn name(&self) -> &str {
        if self.id.is_empty() { self.aliases.first().map_or("", String::as_str) } else { &self.id }
    }
}
