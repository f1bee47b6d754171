//! Exchanging one root key: beginning it, and carrying it on to its end. The daemon and the process of an instance do it alike.

use std::sync::Arc;

use thiserror::Error;

use crate::keystore::KeystoreError;
use crate::keystore::software::rootkey::succession;
use crate::keystore::software::rootkey::{RootKeyError, RootKeySource};
use crate::keystore::software::{RootKeys, SoftwareKeystore};
use crate::model::SystemRandom;
use crate::observe::{Event, Fields, emit};

/// One source of root keys, and the keystores that are sealed under it.
pub(super) struct Group {
    /// Whose root key it is.
    pub(super) names: Vec<String>,
    /// Where it comes from.
    pub(super) source: RootKeySource,
    /// What is sealed under it.
    pub(super) keystores: Vec<Arc<SoftwareKeystore>>,
}

/// How an exchange stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Standing {
    /// None is under way.
    Settled,
    /// It has ended, but only the operator can put the key in its place.
    ByHand,
}

/// Why an exchange does not begin, or not go on.
#[derive(Debug, Error)]
pub(super) enum ExchangeError {
    /// A key that cannot be read, or that is not there and cannot be made.
    #[error(transparent)]
    Key(#[from] RootKeyError),
    /// A keystore that cannot do its part.
    #[error(transparent)]
    Keystore(#[from] KeystoreError),
    /// The one before has ended, and its key is not in its place.
    #[error("the last exchange of the root key of {0} wants an end by hand")]
    ByHand(String),
    /// What lies where the next key belongs is the present one.
    #[error("{0} is the present root key itself: put another one there, or take it away")]
    Same(String),
    /// The next key was taken away in the middle: only the memory of this process has it.
    #[error("root key {id}, to which the exchange goes, is not in {place} any more: put it back there")]
    Gone {
        /// The key.
        id: String,
        /// Where it was.
        place: String,
    },
}

/// An exchange that has just come to its end.
#[derive(Debug, PartialEq, Eq)]
struct Ended {
    to: String,
    renewed: usize,
}

impl Group {
    /// Whose root key it is, for people.
    pub(super) fn owners(&self) -> String {
        self.names.join(", ")
    }

    /// Where the present key is.
    pub(super) fn place(&self) -> String {
        match &self.source {
            RootKeySource::Credential(name) => format!("credential {name}"),
            RootKeySource::File(path) | RootKeySource::Generated(path) => path.display().to_string(),
        }
    }

    /// Where the next key is looked for.
    pub(super) fn next_place(&self) -> String {
        succession::next_name(&self.source)
    }

    /// Under which keys the keystores are.
    pub(super) fn keys(&self) -> Vec<RootKeys> {
        self.keystores.iter().map(|keystore| keystore.root_keys()).collect()
    }

    /// Begins an exchange: to the next key that somebody has put there, else to one that is made. From here on everything
    /// new is sealed under it. [`Self::carry_on`] does the rest.
    pub(super) async fn begin(&self) -> Result<(), ExchangeError> {
        // What ended without its files being moved would be taken for a new exchange.
        if self.carry_on().await? == Standing::ByHand {
            return Err(ExchangeError::ByHand(self.owners()));
        }
        let next = succession::make_next(&self.source, &SystemRandom)?.id();
        if self.is_settled_under(&next) {
            return Err(ExchangeError::Same(self.next_place()));
        }
        self.turn().await
    }

    /// Goes to the next key that somebody has put there, if it is another one than the present; none is made.
    pub(super) async fn follow(&self) -> Result<Standing, ExchangeError> {
        if self.carry_on().await? == Standing::ByHand {
            return Ok(Standing::ByHand);
        }
        let Some(next) = succession::given(&self.source)?.map(|next| next.id()) else {
            return Ok(Standing::Settled);
        };
        if self.is_settled_under(&next) {
            return Ok(Standing::Settled);
        }
        tracing::info!("the root key of {} is being exchanged for {next}", self.owners());
        self.turn().await?;
        self.carry_on().await
    }

    /// Ends an exchange that has begun in any keystore of the group, and tells that it has ended.
    pub(super) async fn carry_on(&self) -> Result<Standing, ExchangeError> {
        let (standing, ended) = self.go_on().await?;
        if let Some(Ended { to, renewed }) = ended {
            let owners = self.owners();
            let whereabouts = match standing {
                Standing::Settled => "the one before is kept beside it for older backups".to_owned(),
                Standing::ByHand => format!("{} waits to be put in the place of {}", self.next_place(), self.place()),
            };
            let text =
                format!("the root key of {owners} is {to} now; {renewed} records were sealed again; {whereabouts}");
            emit(Event::SealRotated, &Fields::new(), &text);
        }
        Ok(standing)
    }

    async fn go_on(&self) -> Result<(Standing, Option<Ended>), ExchangeError> {
        let next = succession::next(&self.source)?.map(|next| next.id());
        let keys = self.keys();
        let present = succession::present(&self.source);
        // Also after the end of an exchange, while the key waits to be put in its place: it is in no other file.
        let is_lost = |keys: &&RootKeys| {
            let elsewhere = present.as_ref().is_ok_and(|present| *present != keys.current);
            next.as_ref() != Some(&keys.current) && (keys.before.is_some() || elsewhere)
        };
        if let Some(keys) = keys.iter().find(is_lost) {
            return Err(ExchangeError::Gone { id: keys.current.clone(), place: self.next_place() });
        }
        let Some(to) = next.filter(|next| keys.iter().any(|keys| keys.current == *next)) else {
            return Ok((Standing::Settled, None));
        };
        let under_way = keys.iter().any(|keys| keys.before.is_some() || keys.current != to);
        // A keystore that came meanwhile was set up under the present key.
        self.turn().await?;
        let mut renewed = 0_usize;
        for keystore in &self.keystores {
            renewed = renewed.saturating_add(keystore.renew_seals().await?);
        }
        if self.keys().iter().any(|keys| keys.before.is_some()) {
            return Err(KeystoreError::Refused("the outcome of the last write is not known".to_owned()).into());
        }
        let moved = present? != to;
        let in_place = succession::settle(&self.source, &to)?;
        let standing = if in_place { Standing::Settled } else { Standing::ByHand };
        // A copy of the present key that was left where the next one belongs is the end of nothing.
        let ended = under_way || (moved && in_place);
        Ok((standing, ended.then_some(Ended { to, renewed })))
    }

    /// Whether anything is under another key than the present one.
    pub(super) fn has_begun(&self) -> bool {
        let present = succession::present(&self.source).ok();
        self.keys().iter().any(|keys| keys.before.is_some() || present.as_ref() != Some(&keys.current))
    }

    fn is_settled_under(&self, id: &str) -> bool {
        self.keys().iter().all(|keys| keys.current == id && keys.before.is_none())
    }

    /// Has everything new sealed under the next key, in each keystore where it is not yet so.
    async fn turn(&self) -> Result<(), ExchangeError> {
        for keystore in &self.keystores {
            if let Some(next) = succession::next(&self.source)? {
                keystore.exchange_root(next).await?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
#[path = "exchange_tests.rs"]
mod tests;
