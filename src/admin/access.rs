//! `policy …` and `role …`.

use std::sync::Arc;

use axum::Json;
use axum::extract::{ConnectInfo, State as Context};
use jiff::SignedDuration;

use super::protocol::{
    CredentialsRequest, CredentialsShape, DecisionShape, ExplainRequest, ExplanationShape, FurtherShape,
    IdentitiesShape,
};
use super::{AdminError, Peer, State, views};
use crate::access::{
    AccessKeyTable, Context as Circumstances, Decider, Decision, Identity, IssueError, Request, SESSION_DURATIONS,
    is_identity_name,
};
use crate::catalogue::KeyOrAlias;
use crate::kms::{Subject, decision_on, default_policy};
use crate::model::{AccountId, KeystoreId, RegionId, ResourceKind, Scope};
use crate::observe::Fields;

pub(super) async fn identities(Context(state): Context<State>) -> Result<Json<IdentitiesShape>, AdminError> {
    Ok(Json(IdentitiesShape { identities: table(&state)?.identities() }))
}

pub(super) async fn explain(
    Context(state): Context<State>,
    Json(asked): Json<ExplainRequest>,
) -> Result<Json<ExplanationShape>, AdminError> {
    let table = table(&state)?;
    let identity = table.identity(&asked.identity).ok_or_else(|| {
        let remedy = "`keyferry policy identities` lists acs:ram::ACCOUNT:root, …:user/NAME and …:role/NAME";
        AdminError::unknown("IdentityNotFound", format!("there is no identity {:?}", asked.identity), remedy)
    })?;
    let name = asked.action.strip_prefix("kms:").unwrap_or(&asked.action);
    if name.is_empty() || !name.bytes().all(|b| b.is_ascii_alphanumeric()) {
        let message = format!("{:?} is no operation", asked.action);
        return Err(AdminError::usage("InvalidValue", message, "name one, such as kms:Encrypt"));
    }
    let action = format!("kms:{name}");
    let found = find(&state, &asked.resource).await?;
    let circumstances = Circumstances {
        now: Some(match &asked.at {
            Some(text) => text.parse().map_err(|_| invalid("--at", text, "2026-12-01T02:00:00+08:00"))?,
            None => state.now(),
        }),
        source: match &asked.source_ip {
            Some(text) => Some(text.parse().map_err(|_| invalid("--source-ip", text, "192.168.0.1"))?),
            None => None,
        },
        secure: asked.secure,
        resource_tags: found.subject.tags.as_ref(),
        request_tags: None,
    };
    let on_each = |action: &str, found: &Found, circumstances: Circumstances<'_>| {
        let decided = |policy: Option<&str>| decide(&identity, action, &found.subject, circumstances, policy);
        let after = found.default_policy.as_deref().map(|policy| decided(Some(policy)));
        (decided(found.subject.policy.as_deref()), after)
    };
    let (now, after) = on_each(&action, &found, circumstances);
    let mut also = Vec::new();
    if let (Some((_, right)), Some(key)) = (ALSO.iter().find(|(operation, _)| *operation == name), &found.key) {
        let (action, key) = (format!("kms:{right}"), find(&state, key).await?);
        let circumstances = Circumstances { resource_tags: key.subject.tags.as_ref(), ..circumstances };
        let (now, after_migration) = on_each(&action, &key, circumstances);
        also.push(FurtherShape { action, resource: key.subject.arn, now, after_migration });
    }
    Ok(Json(ExplanationShape {
        identity: asked.identity,
        now,
        after_migration: after,
        also,
        exists: found.subject.exists,
        instance: found.instance,
        resource: found.subject.arn,
        action,
    }))
}

pub(super) async fn credentials(
    Context(state): Context<State>,
    ConnectInfo(peer): ConnectInfo<Peer>,
    Json(asked): Json<CredentialsRequest>,
) -> Result<Json<CredentialsShape>, AdminError> {
    let table = table(&state)?;
    let account: AccountId = asked.account.parse()?;
    if !is_identity_name(&asked.session) {
        return Err(invalid("--session", &asked.session, "1 to 64 letters, digits and . _ - @"));
    }
    let lasts = i64::try_from(asked.seconds).map(SignedDuration::from_secs).unwrap_or(SignedDuration::MAX);
    if !SESSION_DURATIONS.contains(&lasts) {
        return Err(invalid("--duration", &format!("{} s", asked.seconds), "1 minute to 12 hours"));
    }
    let command = format!("role credentials {}/{} for {}, {} s", account, asked.role, asked.session, asked.seconds);
    let fields = Fields::new().account(&account);
    state
        .command(peer, &fields, &command, |state| async move {
            let until = state.now().checked_add(lasts).map_err(|_| invalid("--duration", "it", "a shorter one"))?;
            let random = state.service().random.as_ref();
            let made =
                table.issue(&account, &asked.role, &asked.session, until, random).map_err(|error| match error {
                    IssueError::NoRole { .. } => {
                        let remedy =
                            "`keyferry policy identities` shows all; roles are [[account.role]] in the configuration";
                        AdminError::unknown("RoleNotFound", error.to_string(), remedy)
                    }
                    IssueError::NoKey => AdminError::state("NoTokens", error.to_string(), "configure a region"),
                })?;
            Ok(Json(CredentialsShape {
                role: format!("acs:ram::{account}:role/{}", asked.role),
                access_key_id: made.access_key_id.clone(),
                access_key_secret: made.access_key_secret.to_string(),
                security_token: made.security_token.clone(),
                expires_at: views::time(made.expires_at),
            }))
        })
        .await
}

/// A resource that is asked about.
struct Found {
    subject: Subject,
    instance: Option<String>,
    /// The policy that a migration would set; `None` where there is nothing to migrate.
    default_policy: Option<String>,
    /// The key that a secret lies under.
    key: Option<String>,
}

/// Operations on secrets that need a right on the secret's key too, if it has one (docs/access.md).
const ALSO: [(&str, &str); 2] = [("GetSecretValue", "Decrypt"), ("PutSecretValue", "GenerateDataKey")];

async fn find(state: &State, text: &str) -> Result<Found, AdminError> {
    let wrong = || {
        let allowed = "acs:kms:REGION:ACCOUNT:key/ID, …:alias/NAME, …:secret/NAME, or a kind such as …:key";
        invalid("--resource", text, allowed)
    };
    let rest = text.strip_prefix("acs:kms:").ok_or_else(wrong)?;
    let (region, rest) = rest.split_once(':').ok_or_else(wrong)?;
    let (account, local) = rest.split_once(':').ok_or_else(wrong)?;
    let (region, account): (RegionId, AccountId) = (region.parse()?, account.parse()?);
    let scope = Scope { region, account };
    let failed = |error: crate::kms::KmsError| AdminError::state("Unreadable", error.to_string(), "try again");
    if let Some(name) = key_in(local) {
        let subject = state.service().key_subject(&scope, &name?).await.map_err(failed)?;
        let id = subject.arn.rsplit_once("key/").and_then(|(_, id)| id.parse().ok());
        let record = match id {
            Some(id) => state.catalogue().key(&scope.region, &id).await?,
            None => None,
        };
        let record = record.filter(|key| key.account == scope.account);
        let service = record.as_ref().is_some_and(|key| key.service.is_some());
        let keystore = record.map(|key| key.into_value().keystore);
        return Ok(of(subject, keystore, ResourceKind::Key, service));
    }
    if let Some(name) = local.strip_prefix("secret/") {
        let name = name.parse()?;
        let subject = state.service().secret_subject(&scope, &name).await.map_err(failed)?;
        let secret = state.catalogue().secret(&scope, &name).await?;
        let key = secret.as_ref().and_then(|secret| secret.encryption_key.clone());
        let found = of(subject, secret.map(|secret| secret.into_value().keystore), ResourceKind::Secret, false);
        let key = key.map(|id| format!("acs:kms:{}:{}:key/{id}", scope.region, scope.account));
        return Ok(Found { key, ..found });
    }
    Ok(Found { subject: Subject::plain(&scope, local), instance: None, default_policy: None, key: None })
}

fn of(subject: Subject, keystore: Option<KeystoreId>, kind: ResourceKind, service: bool) -> Found {
    let instance = keystore.as_ref().and_then(|keystore| keystore.instance()).map(ToString::to_string);
    let moves = subject.exists && instance.is_none() && !service;
    let default_policy = moves.then(|| default_policy(kind, &subject.owner));
    Found { subject, instance, default_policy, key: None }
}

/// The key that the end of an ARN names, if it names one.
fn key_in(local: &str) -> Option<Result<KeyOrAlias, AdminError>> {
    if local.starts_with("alias/") {
        return Some(Ok(KeyOrAlias::Alias(local.to_owned())));
    }
    let id = local.strip_prefix("key/")?;
    Some(id.parse().map(KeyOrAlias::Id).map_err(AdminError::from))
}

fn decide(
    identity: &Identity,
    action: &str,
    on: &Subject,
    context: Circumstances<'_>,
    policy: Option<&str>,
) -> DecisionShape {
    let request = Request { principal: &identity.principal, action, resource: &on.arn, owner: &on.owner, context };
    decision_on(&request, &identity.policies, policy, |decision| {
        let by: Option<Decider<'_>> = match decision {
            Decision::Allowed(by) | Decision::Denied(by) => Some(by),
            _ => None,
        };
        DecisionShape {
            allowed: decision.is_allowed(),
            reason: decision.to_string(),
            policy: by.map(|by| by.policy.unwrap_or("resource").to_owned()),
            statement: by.map(|by| by.statement),
            sid: by.and_then(|by| by.sid).map(str::to_owned),
        }
    })
}

fn table(state: &State) -> Result<Arc<AccessKeyTable>, AdminError> {
    state
        .identities()
        .ok_or_else(|| AdminError::state("NoIdentities", "this daemon has no identities yet", "try again"))
}

fn invalid(what: &str, found: &str, allowed: &str) -> AdminError {
    AdminError::usage("InvalidValue", format!("{what}: {found:?} is not valid"), format!("allowed: {allowed}"))
}
