//! Service keys: made for a cloud product, under the alias `alias/acs/PRODUCT`. They are usable, but not manageable, they
//! stay in the shared KMS for ever, and count for no quota.

use super::{By, KmsError, Service};
use crate::model::{AccountId, KeyOrigin, KeyRecord, KeySpec, RegionId, Scope};

impl Service {
    /// Makes the service keys of a region's products for an account, where they are missing; answers how many it made.
    /// In a locked scope nothing is made: the next call will.
    ///
    /// # Errors
    /// When store or keystore refuse.
    pub async fn ensure_service_keys(&self, region: &RegionId, account: &AccountId) -> Result<usize, KmsError> {
        let scope = Scope { region: region.clone(), account: account.clone() };
        let products = self.keystores.regions().get(region).map(|facts| facts.service_keys.clone()).unwrap_or_default();
        let mut made: usize = 0;
        for product in &products {
            match self.make_service_key(&scope, product).await {
                Ok(true) => made = made.saturating_add(1),
                Ok(false) => {}
                Err(KmsError::Migrating(_)) => break,
                Err(error) => return Err(error),
            }
        }
        Ok(made)
    }

    /// The service key of a product, made when it is missing.
    pub(super) async fn service_key(&self, scope: &Scope, product: &str) -> Result<KeyRecord, KmsError> {
        loop {
            if let Some(record) = self.catalogue.alias(scope, &alias_of(product)).await?
                && let Some(key) = self.catalogue.key(&scope.region, &record.key).await?
            {
                return Ok(key.into_value());
            }
            self.make_service_key(scope, product).await?;
        }
    }

    async fn make_service_key(&self, scope: &Scope, product: &str) -> Result<bool, KmsError> {
        let alias = alias_of(product);
        if self.catalogue.alias(scope, &alias).await?.is_some() {
            return Ok(false);
        }
        self.admit(scope, None).await?;
        let mut key = self.blank_key(scope, KeySpec::Aes256, KeyOrigin::Kms, None, self.clock.now());
        product.clone_into(&mut key.creator);
        key.service = Some(product.to_owned());
        key.description = format!("Service key of {product}");
        key.aliases.insert(alias.clone());
        match self.file_key(scope, key, None, By::Daemon("key.service")).await {
            Ok(_) => Ok(true),
            // Somebody else was faster.
            Err(_) if self.catalogue.alias(scope, &alias).await?.is_some() => Ok(false),
            Err(error) => Err(error),
        }
    }
}

fn alias_of(product: &str) -> String {
    format!("alias/acs/{product}")
}
