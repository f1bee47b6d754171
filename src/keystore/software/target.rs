//! The end that material reaches: trait [`Target`], and its offers. Staging and what follows it are in `staging.rs` and
//! `finish.rs`.

use std::collections::HashMap;
use std::sync::{Arc, MutexGuard, PoisonError};

use async_trait::async_trait;
use jiff::{SignedDuration, Timestamp};
use tokio::task::JoinHandle;

use super::fence::State;
use super::staging::{OfferSession, SessionKey};
use super::{SoftwareKeystore, layout};
use crate::crypto::CryptoError;
use crate::crypto::identity::PublicIdentity;
use crate::crypto::offer::{OFFER_LIFE, Offer, OfferKey, SignedOffer, ValuePublicKey, Wrapping};
use crate::crypto::parcel::Parcel;
use crate::keystore::{KeystoreError, Readiness, Target};
use crate::model::{Incarnation, JobId};
use crate::observe::failpoint::{Failpoint, around};
use crate::store::{Outcome, Transaction};

/// A key of an offer that is being made, or was.
pub(super) type OfferKeyInWork = JoinHandle<Result<OfferKey, CryptoError>>;

impl SoftwareKeystore {
    /// Whether its store can be read; a token is not asked.
    ///
    /// # Errors
    /// Why it cannot.
    pub async fn readable(&self) -> Result<(), KeystoreError> {
        match self.store.get(layout::CHECK).await {
            Ok(Some(_)) => Ok(()),
            Ok(None) => Err(KeystoreError::Damaged {
                keystore: self.id.clone(),
                detail: "the check record is missing".to_owned(),
            }),
            Err(error) => Err(self.store_error(error)),
        }
    }

    /// Whether its store takes a write; a token is not asked.
    ///
    /// # Errors
    /// Why it does not.
    pub async fn writable(&self) -> Result<(), KeystoreError> {
        let mut mark = [0; 8];
        self.random.fill(&mut mark);
        let mut transaction = Transaction::new();
        transaction.put(layout::READY, mark);
        match self.commit(transaction).await? {
            Outcome::Committed(_) => Ok(()),
            Outcome::Conflict | Outcome::Unknown => Err(KeystoreError::Unavailable {
                keystore: self.id.clone(),
                detail: "a test write was not confirmed".to_owned(),
            }),
        }
    }
}

#[async_trait]
impl Target for SoftwareKeystore {
    fn identity(&self) -> PublicIdentity {
        self.identity.public()
    }

    async fn ready(&self) -> Result<Readiness, KeystoreError> {
        let work = async {
            self.writable().await?;
            let free_bytes = self.free_space.as_ref().and_then(|probe| probe());
            let token_free_bytes = match &self.token {
                Some(token) => token.ready().await.map_err(|e| self.unready(e))?,
                None => None,
            };
            Ok(Readiness { free_bytes, token_free_bytes })
        };
        around(Failpoint::TargetReady, work, |injected| self.rehearsed(injected)).await
    }

    /// The process's key takes some hundred milliseconds; a token makes its own when it is asked.
    fn expect_offer(&self) {
        if self.offer_keys.is_some() {
            return;
        }
        self.next_offer().get_or_insert_with(|| {
            let random = Arc::clone(&self.random);
            tokio::task::spawn_blocking(move || OfferKey::generate(random.as_ref()))
        });
    }

    async fn offer(
        &self,
        job: &JobId,
        token: u64,
        nonce: [u8; 32],
        now: Timestamp,
    ) -> Result<SignedOffer, KeystoreError> {
        let work = async {
            let key = loop {
                let mut fence = self.admit(job, token).await?;
                match fence.state {
                    State::Forgotten => return Err(KeystoreError::Forgotten(job.clone())),
                    State::Closed | State::Activated | State::Settled => {
                        return Err(KeystoreError::StagingClosed(job.clone()));
                    }
                    State::Staging | State::Closing => {}
                }
                let known = self.offers().get(job).filter(|session| session.token == token).map(|s| s.key.clone());
                if let Some(key) = known
                    && fence.state == State::Staging
                    && fence.offered == token
                    && fence.digest_key.is_none()
                {
                    // Nothing came in under it yet: only nonce and expiry are new.
                    break key;
                }
                fence.offered = token;
                fence.state = State::Staging;
                fence.digest_key = None;
                let Some(revision) = self.put_fence(job, &fence).await? else {
                    continue;
                };
                if !self.wipe(job, revision).await? {
                    continue;
                }
                // Copies that were given up take no room from the new ones.
                self.try_sweep_objects().await;
                let key = self.session_key().await?;
                self.offers().insert(job.clone(), OfferSession::new(token, key.clone()));
                break key;
            };
            let life = SignedDuration::try_from(OFFER_LIFE).unwrap_or(SignedDuration::ZERO);
            let (public, values, wrapping) = match &key.token {
                None => (key.process.public_der(), None, Wrapping::Whole),
                Some(offer) => (offer.public_der(), Some(key.process.public_der()), Wrapping::Split(offer.oaep())),
            };
            let offer = Offer {
                target: self.id.clone(),
                job: job.clone(),
                token,
                public_key: public.to_vec(),
                value_public_key: values.map(|key| ValuePublicKey(key.to_vec())),
                algorithms: vec![wrapping.name().to_owned()],
                expires_at: now.saturating_add(life).unwrap_or(now),
                nonce,
            };
            if let Some(session) = self.offers().get_mut(job) {
                session.offers.insert(offer.digest(), offer.expires_at);
            }
            Ok(SignedOffer::sign(offer, &self.identity))
        };
        around(Failpoint::TargetOffer, work, |injected| self.rehearsed(injected)).await
    }

    async fn stage(&self, parcel: &Parcel, source: &PublicIdentity) -> Result<(), KeystoreError> {
        around(Failpoint::TargetStage, self.stage_parcel(parcel, source), |injected| self.rehearsed(injected)).await
    }

    async fn close(&self, job: &JobId, token: u64) -> Result<[u8; 32], KeystoreError> {
        around(Failpoint::TargetClose, self.close_staging(job, token), |injected| self.rehearsed(injected)).await
    }

    async fn closed(&self, job: &JobId, token: u64) -> Result<Option<[u8; 32]>, KeystoreError> {
        let work = async {
            let fence = self.admit(job, token).await?;
            match fence.state {
                State::Forgotten => Err(KeystoreError::Forgotten(job.clone())),
                state if state.has_manifest() => Ok(fence.manifest.map(|manifest| manifest.0)),
                _ => Ok(None),
            }
        };
        around(Failpoint::TargetClosed, work, |injected| self.rehearsed(injected)).await
    }

    async fn activate(&self, job: &JobId, token: u64, manifest: &[u8; 32]) -> Result<(), KeystoreError> {
        around(Failpoint::TargetActivate, self.activate_copies(job, token, manifest), |injected| {
            self.rehearsed(injected)
        })
        .await
    }

    async fn confirm(&self, job: &JobId, token: u64, incarnations: &[Incarnation]) -> Result<(), KeystoreError> {
        around(Failpoint::TargetConfirm, self.confirm_copies(job, token, incarnations), |injected| {
            self.rehearsed(injected)
        })
        .await
    }

    async fn settle(&self, job: &JobId, token: u64) -> Result<(), KeystoreError> {
        around(Failpoint::TargetSettle, self.settle_copies(job, token), |injected| self.rehearsed(injected)).await
    }

    async fn forget(&self, job: &JobId, token: u64) -> Result<(), KeystoreError> {
        around(Failpoint::TargetForget, self.forget_job(job, token), |injected| self.rehearsed(injected)).await
    }
}

impl SoftwareKeystore {
    /// New key pairs for an offer.
    async fn session_key(&self) -> Result<SessionKey, KeystoreError> {
        let process = match &self.offer_keys {
            Some(next) => next(),
            None => Arc::new(self.fresh_key().await?),
        };
        let token = match &self.token {
            Some(token) => Some(Arc::new(token.offer().await.map_err(|e| self.token_error(e))?)),
            None => None,
        };
        Ok(SessionKey { process, token })
    }

    /// The key that was begun beforehand, or else a new one. It leaves its place: no two offers have the same.
    async fn fresh_key(&self) -> Result<OfferKey, KeystoreError> {
        let begun = self.next_offer().take();
        if let Some(begun) = begun
            && let Ok(Ok(key)) = begun.await
        {
            return Ok(key);
        }
        let random = Arc::clone(&self.random);
        let made = self.off_thread(move || OfferKey::generate(random.as_ref())).await?;
        made.map_err(|e| self.use_error(e))
    }

    fn next_offer(&self) -> MutexGuard<'_, Option<OfferKeyInWork>> {
        self.next_offer.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The offers that stand, by job.
    pub(super) fn offers(&self) -> MutexGuard<'_, HashMap<JobId, OfferSession>> {
        self.offers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
