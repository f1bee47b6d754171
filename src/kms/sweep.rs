//! Destroying what an operation left: intents that were never fulfilled, and material whose entry is gone.

use std::time::Duration;

use jiff::Timestamp;

use super::{KmsError, Service};
use crate::catalogue::{CatalogueError, IntentRecord};
use crate::keystore::Place;
use crate::store::Stored;

/// An operation of this process that has not committed after this time never will.
const STALE_AFTER: Duration = Duration::from_secs(600);

impl Service {
    /// Destroys what dead intents name, and what intents name that earlier processes or operations older than ten
    /// minutes have left. Answers how many are settled. A keystore that cannot be reached keeps its intents for the next
    /// time.
    ///
    /// # Errors
    /// When the control store cannot be read.
    pub async fn sweep_intents(&self, now: Timestamp) -> Result<usize, KmsError> {
        let mut settled: usize = 0;
        for intent in self.catalogue.intents().await? {
            let age = Duration::try_from(now.duration_since(intent.at)).unwrap_or_default();
            let left = intent.dead || intent.worker != *self.worker || age > STALE_AFTER;
            if left && self.sweep_place(&intent.place).await? {
                settled = settled.saturating_add(1);
            }
        }
        Ok(settled)
    }

    /// Gives up material that was told but will not be committed, or whose entry is gone. Best effort: what fails here
    /// is left to [`Service::sweep_intents`].
    pub async fn discard(&self, place: &Place) {
        if let Err(error) = self.sweep_place(place).await {
            tracing::debug!(%error, "material is left to the sweeper");
        }
    }

    /// Kills the intent of a place if it lives, destroys what it names and buries it. False when there is nothing to do
    /// or the keystore cannot do it now.
    pub(super) async fn sweep_place(&self, place: &Place) -> Result<bool, KmsError> {
        let _alone = self.keystores.sweeping().await;
        let Some(intent) = self.catalogue.intent(place).await? else {
            return Ok(false);
        };
        if !intent.dead {
            match self.catalogue.kill_intent(&intent).await {
                Ok(()) => {}
                // It was fulfilled meanwhile.
                Err(CatalogueError::Conflict) => return Ok(false),
                Err(error) => return Err(error.into()),
            }
        }
        if let Err(error) = self.destroy(&intent).await {
            tracing::warn!(keystore = %intent.keystore, %error, "left-over material could not be destroyed yet");
            return Ok(false);
        }
        self.catalogue.bury_intent(place).await?;
        Ok(true)
    }

    async fn destroy(&self, intent: &Stored<IntentRecord>) -> Result<(), KmsError> {
        let keystore = self.keystore(&intent.keystore)?;
        let place = &intent.place;
        if intent.whole {
            keystore.destroy(&place.incarnation, None).await?;
            return Ok(self.catalogue.clear_versions(&place.incarnation).await?);
        }
        // The first destroys a version of a resource that lives on, the second also what is left of one that never came
        // to be.
        keystore.destroy(&place.incarnation, Some(std::slice::from_ref(place))).await?;
        Ok(keystore.destroy_orphan(place).await?)
    }
}
