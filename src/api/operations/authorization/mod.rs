//! May this caller do that? Asked once, before an operation runs: what it needs ([`needs`]), on which resources.
//!
//! The root identity of an account is not asked about what is its own: nothing is read for it that was not read before.

mod needs;
#[cfg(test)]
mod tests;

use self::needs::{Need, On};
use super::cryptography::MAX_CIPHERTEXT;
use crate::api::{ApiError, Parameters};
use crate::catalogue::KeyOrAlias;
use crate::crypto::blob;
use crate::kms::{Acting, Caller, Service, Subject, key_name, secret_name};
use crate::model::{AccountId, ResourceKind, Scope};

/// Checks the rights of an operation, and answers the caller as it acts: on its own resources, or on those of the account
/// that the request names by ARN and whose policies let it. Aliases that were looked at become the IDs they stood for.
///
/// # Errors
/// `Forbidden.NoPermission`; what decided goes to the log alone.
pub(super) async fn authorize(
    service: &Service,
    caller: &Caller,
    operation: &'static str,
    p: &mut Parameters,
) -> Result<Caller, ApiError> {
    let mut acting = caller.acting.clone();
    let Some(needs) = needs::of(operation) else {
        // What is not offered says so to everybody.
        return Ok(caller.clone());
    };
    let mut pinned: Vec<(&'static str, String)> = Vec::new();
    let desk = Desk { service, caller, p: &*p };
    for need in needs.iter().filter(|need| need.only_with.is_none_or(|name| desk.p.optional(name).is_some())) {
        for subject in desk.subjects(need.on).await? {
            match desk.require(need.right.unwrap_or(operation), &subject) {
                // To the root identity of another account, what it may not use is what does not exist: the operation says
                // so itself, in the caller's own scope.
                Err(_) if desk.is_root() && subject.owner != caller.account => return Ok(caller.clone()),
                permitted => permitted?,
            }
            pinned.extend(desk.pinned(need.on, &subject));
            note_owner(&mut acting, caller, need, subject.owner)?;
        }
    }
    for (name, id) in pinned {
        p.replace(name, id);
    }
    Ok(Caller { acting, ..caller.clone() })
}

/// Checks the rights to one secret's value, for BatchGetSecretValue.
///
/// # Errors
/// As [`authorize`].
pub(super) async fn authorize_value(service: &Service, caller: &Caller, name: &str) -> Result<Caller, ApiError> {
    let pairs = vec![("SecretName".to_owned(), name.to_owned().into())];
    let mut p = Parameters::new(pairs, Vec::new())?;
    authorize(service, caller, "GetSecretValue", &mut p).await
}

/// Notes whose resources are used. One request is for the resources of one account; ReEncrypt may open with another's.
fn note_owner(acting: &mut Acting, caller: &Caller, need: &Need, owner: AccountId) -> Result<(), ApiError> {
    let owner = Some(owner).filter(|owner| *owner != caller.account);
    if need.on == On::Source {
        acting.source_owner = owner;
        return Ok(());
    }
    match (&acting.owner, owner) {
        (None, None) => Ok(()),
        (None, owner) => {
            acting.owner = owner;
            Ok(())
        }
        (Some(known), Some(owner)) if *known == owner => Ok(()),
        _ => Err(ApiError::unsupported_operation().with_remedy("Name resources of one account.")),
    }
}

/// A request at the point where its rights are looked at.
struct Desk<'a> {
    service: &'a Service,
    caller: &'a Caller,
    p: &'a Parameters,
}

impl Desk<'_> {
    fn require(&self, right: &str, subject: &Subject) -> Result<(), ApiError> {
        let tags = ["Tags"].iter().find_map(|name| self.p.tags(name).ok().flatten());
        let tags = tags.or_else(|| self.p.flattened_tags("Tag").ok().filter(|tags| !tags.is_empty()));
        let action = format!("kms:{right}");
        self.service
            .permit(self.caller, &action, subject, tags.as_ref())
            .map_err(|why| ApiError::no_permission().with_internal(why))
    }

    /// The parameter that named this resource by an alias, and the ID that the alias stands for.
    fn pinned(&self, on: On, subject: &Subject) -> Option<(&'static str, String)> {
        let named = match on {
            On::Key(parameters) => parameters.iter().find(|name| self.p.optional(name).is_some()).copied()?,
            On::Source => "SourceKeyId",
            _ => return None,
        };
        let text = self.p.optional(named)?;
        let by_alias = text.starts_with("alias/") || (text.starts_with("acs:kms:") && text.contains(":alias/"));
        if !by_alias || !subject.exists {
            return None;
        }
        // Of another account's key the whole name is needed.
        let own = subject.owner == self.caller.account;
        let id = subject.arn.rsplit_once(":key/").map(|(_, id)| id.to_owned())?;
        Some((named, if own { id } else { subject.arn.clone() }))
    }

    /// The resources that a right is needed on. A parameter that is missing is for the operation to refuse: there is
    /// nothing to protect.
    async fn subjects(&self, on: On) -> Result<Vec<Subject>, ApiError> {
        let own = self.own();
        Ok(match on {
            On::Kind(kind) => self.unread(kind),
            On::NewKey => self.unread("key/"),
            On::NewSecret => self.unread(&format!("secret/{}", self.p.optional("SecretName").unwrap_or_default())),
            On::Instance => {
                let id = self.p.optional("KmsInstanceId").unwrap_or_default();
                self.unread(&format!("keystore/{id}"))
            }
            On::Alias => {
                let alias = self.p.optional("AliasName").unwrap_or_default();
                self.unread(&own_part(&own, alias))
            }
            On::Key(parameters) | On::KeyId(parameters) => {
                match parameters.iter().find_map(|name| self.p.optional(name)) {
                    Some(text) => self.key(text).await?,
                    None => Vec::new(),
                }
            }
            On::Blob => self.blob().await?,
            On::Source => match self.p.optional("SourceKeyId") {
                Some(text) => self.key(text).await?,
                None => self.blob().await?,
            },
            On::Secret => match self.p.optional("SecretName") {
                Some(text) => self.secret(text).await?,
                None => Vec::new(),
            },
            On::KeyOfSecret => self.key_of_secret().await?,
            On::Tagged => match (self.p.optional("KeyId"), self.p.optional("SecretName")) {
                (Some(text), _) => self.key(text).await?,
                (None, Some(text)) => self.secret(text).await?,
                (None, None) => Vec::new(),
            },
            On::Listed => self.listed().await?,
        })
    }

    /// What needs no reading; nothing where the root identity asks, which is not asked about its own.
    fn unread(&self, local: &str) -> Vec<Subject> {
        if self.is_root() { Vec::new() } else { vec![Subject::plain(&self.own(), local)] }
    }

    fn is_root(&self) -> bool {
        self.caller.acting.identity.is_none()
    }

    fn own(&self) -> Scope {
        Scope { region: self.caller.region.clone(), account: self.caller.account.clone() }
    }

    /// The scope of another account that an ARN names, in the region of the request.
    fn foreign(&self, text: &str) -> Option<Scope> {
        let (region, rest) = text.strip_prefix("acs:kms:")?.split_once(':')?;
        let account: AccountId = rest.split_once(':')?.0.parse().ok()?;
        let own = self.own();
        (region == own.region.as_str() && account != own.account).then_some(Scope { account, ..own })
    }

    /// As whoever the resource belongs to names it.
    fn within(&self, scope: &Scope) -> Caller {
        let owner = Some(scope.account.clone()).filter(|account| *account != self.caller.account);
        Caller { acting: Acting { owner, ..self.caller.acting.clone() }, ..self.caller.clone() }
    }

    async fn key(&self, text: &str) -> Result<Vec<Subject>, ApiError> {
        let foreign = self.foreign(text);
        if self.is_root() && foreign.is_none() {
            return Ok(Vec::new());
        }
        let scope = foreign.unwrap_or_else(|| self.own());
        match key_name(&self.within(&scope), text) {
            Ok(name) => Ok(vec![self.service.key_subject(&scope, &name).await?]),
            // It names nothing: that much the text itself tells.
            Err(_) => Ok(self.nameless(&scope, "key/")),
        }
    }

    async fn secret(&self, text: &str) -> Result<Vec<Subject>, ApiError> {
        let foreign = self.foreign(text);
        if self.is_root() && foreign.is_none() {
            return Ok(Vec::new());
        }
        let scope = foreign.unwrap_or_else(|| self.own());
        match secret_name(&self.within(&scope), text) {
            Ok(name) => Ok(vec![self.service.secret_subject(&scope, &name).await?]),
            Err(_) => Ok(self.nameless(&scope, "secret/")),
        }
    }

    /// The root identity hears of its own malformed names from the operation.
    fn nameless(&self, scope: &Scope, local: &str) -> Vec<Subject> {
        let own = scope.account == self.caller.account;
        if self.is_root() && own { Vec::new() } else { vec![Subject::plain(scope, local)] }
    }

    /// The key of a blob. One of another account that does not let the caller is a missing one, as for the root identity.
    async fn blob(&self) -> Result<Vec<Subject>, ApiError> {
        let own = self.own();
        // Read as the operation reads it; what it refuses, it refuses itself.
        let Ok(sealed) = self.p.required_base64("CiphertextBlob", MAX_CIPHERTEXT) else { return Ok(Vec::new()) };
        let Ok((header, _)) = blob::parse(&sealed) else { return Ok(self.nameless(&own, "key/")) };
        let missing = || Subject::plain(&own, &format!("key/{}", header.key_id));
        match self.service.key_subject_of_any(&own.region, &header.key_id).await? {
            Some(subject) if subject.owner == own.account => Ok(vec![subject]),
            Some(subject) if self.require(self.caller.ticket.operation(), &subject).is_ok() => Ok(vec![subject]),
            _ => Ok(vec![missing()]),
        }
    }

    /// Cross-account, the key has to let the caller as well as the secret.
    async fn key_of_secret(&self) -> Result<Vec<Subject>, ApiError> {
        let Some(text) = self.p.optional("SecretName") else { return Ok(Vec::new()) };
        let Some(secret) = self.secret(text).await?.pop() else { return Ok(Vec::new()) };
        let scope = Scope { account: secret.owner.clone(), ..self.own() };
        match secret.encryption_key {
            Some(id) => Ok(vec![self.service.key_subject(&scope, &KeyOrAlias::Id(id)).await?]),
            None => Ok(Vec::new()),
        }
    }

    async fn listed(&self) -> Result<Vec<Subject>, ApiError> {
        let Some(kind) = self.p.optional("ResourceType").and_then(|kind| match kind {
            "key" => Some(ResourceKind::Key),
            "secret" => Some(ResourceKind::Secret),
            _ => None,
        }) else {
            return Ok(Vec::new());
        };
        let named = self.p.list("ResourceId", MAX_NAMED)?;
        if named.is_empty() {
            return Ok(self.unread(kind.as_str()));
        }
        let mut subjects = Vec::new();
        for text in named {
            subjects.extend(match kind {
                ResourceKind::Key => self.key(&text).await?,
                ResourceKind::Secret => self.secret(&text).await?,
            });
        }
        Ok(subjects)
    }
}

/// Resources that one request may name.
const MAX_NAMED: usize = 50;

/// What names an alias within the caller's account: without its ARN, if that is the account's own.
fn own_part(own: &Scope, alias: &str) -> String {
    let prefix = format!("acs:kms:{}:{}:", own.region, own.account);
    alias.strip_prefix(&prefix).unwrap_or(alias).to_owned()
}
