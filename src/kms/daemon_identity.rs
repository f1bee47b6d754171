//! The daemon's Ed25519 key, which signs heads of the audit trail and reports. It lies in the control store, sealed under
//! a system key of a region's shared keystore, as import tokens are.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::{KmsError, Service};
use crate::audit::{Actor, Entry, IDENTITY};
use crate::crypto::base64_bytes;
use crate::crypto::identity::{Identity, PublicIdentity};
use crate::model::{KeyRecord, RegionId};
use crate::store::{Outcome, Record, Stored, Transaction, get_record};

/// The daemon's key, and whether it had to be made because an earlier one no longer opens.
pub struct DaemonIdentity {
    /// The key.
    pub identity: Identity,
    /// The public half of the one that is lost.
    pub replaces: Option<PublicIdentity>,
}

/// The key as stored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct IdentityRecord {
    /// The region whose shared keystore sealed it.
    region: RegionId,
    public: PublicIdentity,
    #[serde(with = "base64_bytes")]
    sealed: Vec<u8>,
}

impl Record for IdentityRecord {
    const KIND: &'static str = "daemon identity";
    const SCHEMA: u16 = 1;
}

const PURPOSE: &str = "audit";

impl Service {
    /// The daemon's key, made at the first call; `None` where no region is configured. One that no longer opens, because
    /// its region is gone, is replaced, and the trail tells it.
    ///
    /// # Errors
    /// When store or keystore cannot be used; a key that may open later is never replaced.
    pub async fn daemon_identity(&self) -> Result<Option<DaemonIdentity>, KmsError> {
        let regions = self.keystores.regions();
        loop {
            let stored = get_record::<IdentityRecord>(self.catalogue.store().as_ref(), IDENTITY).await?;
            if let Some(known) = &stored
                && regions.contains_key(&known.region)
            {
                let identity = self.open_identity(known).await?;
                return Ok(Some(DaemonIdentity { identity, replaces: None }));
            }
            let Some(region) = regions.keys().next() else { return Ok(None) };
            let replaces = stored.as_ref().map(|known| known.public);
            let identity = Identity::generate(self.random.as_ref()).map_err(fault)?;
            if self.store_identity(region, &identity, stored).await? {
                return Ok(Some(DaemonIdentity { identity, replaces }));
            }
        }
    }

    async fn open_identity(&self, known: &IdentityRecord) -> Result<Identity, KmsError> {
        let key = self.system_key(&known.region, PURPOSE).await?;
        let opened = self.open_blob(&key, &known.sealed, &purpose()).await?;
        let seed = <[u8; 32]>::try_from(opened.plaintext.as_slice()).map(Zeroizing::new);
        let identity = seed.map_err(|_| broken()).and_then(|seed| Identity::from_seed(seed).map_err(fault))?;
        if identity.public() == known.public { Ok(identity) } else { Err(broken()) }
    }

    /// False when somebody else was faster.
    async fn store_identity(
        &self,
        region: &RegionId,
        identity: &Identity,
        before: Option<Stored<IdentityRecord>>,
    ) -> Result<bool, KmsError> {
        let key: KeyRecord = self.system_key(region, PURPOSE).await?;
        let sealed = self.seal_blob(&key, identity.seed(), &purpose()).await?.blob;
        let record = IdentityRecord { region: region.clone(), public: identity.public(), sealed };
        let entry = Entry::new(self.clock.now(), Actor::Daemon, "daemon.identity").detail(&record.public.to_string());
        let mut transaction = Transaction::new();
        match before {
            Some(mut stored) => {
                *stored = record;
                transaction.replace(IDENTITY, &stored)?;
            }
            None => {
                transaction.create(IDENTITY, &record)?;
            }
        }
        entry.put(&mut transaction)?;
        Ok(matches!(self.catalogue.store().commit(transaction).await?, Outcome::Committed(_)))
    }
}

fn purpose() -> BTreeMap<String, String> {
    BTreeMap::from([("purpose".to_owned(), "daemon identity v1".to_owned())])
}

fn broken() -> KmsError {
    KmsError::Internal("the daemon's sealed identity is damaged".to_owned())
}

fn fault(error: crate::crypto::CryptoError) -> KmsError {
    KmsError::Internal(error.to_string())
}
