//! The audit trail.

use serde::{Deserialize, Serialize};

/// `audit verify`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditShape {
    /// Nothing was found.
    pub intact: bool,
    /// The head, as `PLACE:LINK`.
    pub head: String,
    /// Entries in the chain.
    pub entries: u64,
    /// Entries that are committed and not chained yet.
    pub pending: u64,
    /// Signed heads.
    pub signed_heads: u64,
    /// The newest of them.
    pub newest_signed: Option<SignedHeadShape>,
    /// Reports that the trail names.
    pub reports: u64,
    /// The daemon's public key (Ed25519), Base64; `null` where it was not asked.
    pub public_key: Option<String>,
    /// What is not as it was.
    pub findings: Vec<FindingShape>,
}

/// A signed head.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SignedHeadShape {
    /// From 1.
    pub number: u64,
    /// The head, as `PLACE:LINK`.
    pub head: String,
    /// When it was signed.
    pub at: String,
    /// The key it is signed with, Base64.
    pub signer: String,
    /// The signature, hexadecimal.
    pub signature: String,
}

/// Something that is not as it was.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FindingShape {
    /// Such as `EntryChanged`.
    pub code: String,
    /// What, in words.
    pub message: String,
}

/// `audit key`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditKeyShape {
    /// The daemon's public key (Ed25519), Base64.
    pub public_key: Option<String>,
}
