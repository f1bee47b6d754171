//! Identities, decisions and temporary credentials.

use serde::{Deserialize, Serialize};

/// Request of `policy explain`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExplainRequest {
    /// Who: `acs:ram::ACCOUNT:root`, `…:user/NAME` or `…:role/NAME`.
    pub identity: String,
    /// What for: an operation, with or without `kms:`.
    pub action: String,
    /// On what: an ARN.
    pub resource: String,
    /// Where the request comes from.
    #[serde(default)]
    pub source_ip: Option<String>,
    /// Whether it comes over TLS.
    #[serde(default)]
    pub secure: Option<bool>,
    /// When; `null`: now.
    #[serde(default)]
    pub at: Option<String>,
}

/// `policy explain`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExplanationShape {
    /// Who.
    pub identity: String,
    /// What for.
    pub action: String,
    /// On what.
    pub resource: String,
    /// Whether it is there; nobody but the operator is told.
    pub exists: bool,
    /// The instance that holds it; `null`: the shared KMS.
    pub instance: Option<String>,
    /// The decision now.
    pub now: DecisionShape,
    /// The decision after a migration now, which sets the default policy; `null` for what cannot migrate any more.
    pub after_migration: Option<DecisionShape>,
    /// What the operation needs beside it: the key of a secret.
    #[serde(default)]
    pub also: Vec<FurtherShape>,
}

/// A further right that an operation needs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FurtherShape {
    /// What for.
    pub action: String,
    /// On what.
    pub resource: String,
    /// The decision now.
    pub now: DecisionShape,
    /// The decision after a migration now; `null` for what cannot migrate any more.
    pub after_migration: Option<DecisionShape>,
}

/// A decision.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DecisionShape {
    /// Whether it may be done.
    pub allowed: bool,
    /// Why, in words.
    pub reason: String,
    /// The policy whose statement decided: its name, or `resource`; `null` where no statement did.
    pub policy: Option<String>,
    /// The statement's place in it, from 0.
    pub statement: Option<usize>,
    /// Its `Sid`.
    pub sid: Option<String>,
}

/// `policy identities`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct IdentitiesShape {
    /// Every identity of the configuration, sorted.
    pub identities: Vec<String>,
}

/// Request of `role credentials`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CredentialsRequest {
    /// The account.
    pub account: String,
    /// The role.
    pub role: String,
    /// Who will use them, for logs and the audit trail.
    pub session: String,
    /// How long they are to last.
    pub seconds: u64,
}

/// Temporary credentials. No `Debug`: they are a secret.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CredentialsShape {
    /// The role.
    pub role: String,
    /// AccessKeyId.
    pub access_key_id: String,
    /// AccessKeySecret.
    pub access_key_secret: String,
    /// SecurityToken.
    pub security_token: String,
    /// Until when.
    pub expires_at: String,
}
