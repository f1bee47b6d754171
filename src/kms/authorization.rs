//! What a policy says of a resource: the resource as the catalogue has it, and the decision on it.
//!
//! What is missing is read and decided like what is there: neither the answer nor the reads tell them apart.

use super::{Caller, KmsError, Service, key_arn, secret_arn};
use crate::access::{Attached, Context, Decision, Request, ResourcePolicy, decide, resource_policy};
use crate::catalogue::KeyOrAlias;
use crate::model::{AccountId, KeyId, KeyRecord, RegionId, Scope, SecretName, TagMap};

/// A resource as policies see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subject {
    /// Its name.
    pub arn: String,
    /// The account that owns it; of what is missing, the one that would.
    pub owner: AccountId,
    /// The text of its policy; `None` in the shared KMS.
    pub policy: Option<String>,
    /// Its tags; `None` of what is missing, or has none.
    pub tags: Option<TagMap>,
    /// Of a secret: the customer master key of its values.
    pub encryption_key: Option<KeyId>,
    /// Whether it is there.
    pub exists: bool,
}

impl Subject {
    /// What has neither policy nor tags: a kind of resource, an instance, an alias.
    #[must_use]
    pub fn plain(scope: &Scope, local: &str) -> Self {
        let arn = format!("acs:kms:{}:{}:{local}", scope.region, scope.account);
        let owner = scope.account.clone();
        Self { arn, owner, policy: None, tags: None, encryption_key: None, exists: false }
    }

    fn of_key(key: KeyRecord) -> Self {
        Self {
            arn: key_arn(&key.region, &key.account, &key.id),
            owner: key.account,
            policy: key.policy,
            tags: Some(key.tags),
            encryption_key: None,
            exists: true,
        }
    }
}

/// A key ID that no key has: read in the place of what an alias that is missing would name.
const NOBODY: &str = "00000000-0000-0000-0000-000000000000";

impl Service {
    /// A key by ID or alias. One that is missing counts as `key/ID`; behind a missing alias as `key/`, with no ID.
    ///
    /// # Errors
    /// When the catalogue cannot be read.
    pub async fn key_subject(&self, scope: &Scope, name: &KeyOrAlias) -> Result<Subject, KmsError> {
        let id = match name {
            KeyOrAlias::Id(id) => Some(id.clone()),
            KeyOrAlias::Alias(alias) => self.catalogue.alias(scope, alias).await?.map(|found| found.key.clone()),
        };
        let looked_for = match &id {
            Some(id) => id.clone(),
            None => NOBODY.parse().map_err(|_| KmsError::Internal("the nil ID is none".to_owned()))?,
        };
        let found = self.catalogue.key(&scope.region, &looked_for).await?;
        Ok(match found.filter(|key| key.account == scope.account) {
            Some(key) => Subject::of_key(key.into_value()),
            None => Subject::plain(scope, &format!("key/{}", id.as_ref().map_or("", KeyId::as_str))),
        })
    }

    /// A key by its ID alone, whoever owns it: as ciphertext blobs name it.
    ///
    /// # Errors
    /// When the catalogue cannot be read.
    pub async fn key_subject_of_any(&self, region: &RegionId, id: &KeyId) -> Result<Option<Subject>, KmsError> {
        Ok(self.catalogue.key(region, id).await?.map(|key| Subject::of_key(key.into_value())))
    }

    /// A secret.
    ///
    /// # Errors
    /// When the catalogue cannot be read.
    pub async fn secret_subject(&self, scope: &Scope, name: &SecretName) -> Result<Subject, KmsError> {
        let Some(secret) = self.catalogue.secret(scope, name).await? else {
            return Ok(Subject::plain(scope, &format!("secret/{name}")));
        };
        let secret = secret.into_value();
        Ok(Subject {
            arn: secret_arn(&secret.region, &secret.account, &secret.name),
            owner: secret.account,
            policy: secret.policy,
            tags: Some(secret.tags),
            encryption_key: secret.encryption_key,
            exists: true,
        })
    }

    /// Whether a caller may do something with a resource. `tags`: those that the request is to set.
    ///
    /// # Errors
    /// What decided, in words, where it may not.
    pub fn permit(&self, caller: &Caller, action: &str, on: &Subject, tags: Option<&TagMap>) -> Result<(), String> {
        let context = Context {
            now: Some(self.clock.now()),
            source: Some(caller.source),
            secure: Some(caller.acting.secure),
            resource_tags: on.tags.as_ref(),
            request_tags: tags,
        };
        let policies = caller.acting.identity.as_ref().map_or(&[][..], |identity| &identity.policies);
        let principal = caller.principal();
        let request = Request { principal: &principal, action, resource: &on.arn, owner: &on.owner, context };
        decision_on(&request, policies, on.policy.as_deref(), |decision| {
            if decision.is_allowed() {
                return Ok(());
            }
            let who = caller.acting.identity.as_ref().map_or_else(|| "root".to_owned(), |identity| identity.label());
            Err(format!("{who} of {}, {action} on {}: {decision}", caller.account, on.arn))
        })
    }
}

/// Decides with the text of a resource's policy, and tells what it decided.
pub fn decision_on<T>(
    request: &Request<'_>,
    identity: &[Attached],
    policy: Option<&str>,
    tell: impl FnOnce(Decision<'_>) -> T,
) -> T {
    let parsed = policy.map(resource_policy);
    let document = match parsed.as_deref() {
        None => ResourcePolicy::None,
        Some(Ok(policy)) => ResourcePolicy::Document(policy),
        Some(Err(_)) => ResourcePolicy::Unreadable,
    };
    tell(decide(request, identity, document))
}
