//! `audit …`.

use axum::Json;
use axum::extract::{RawQuery, State as Context};

use super::protocol::{AuditKeyShape, AuditShape, FindingShape, SignedHeadShape};
use super::query::Parameters;
use super::{AdminError, State, views};
use crate::audit::{Finding, Head, SignedHead, Verdict};

pub(super) async fn verify(
    Context(state): Context<State>,
    RawQuery(query): RawQuery,
) -> Result<Json<AuditShape>, AdminError> {
    let given: Option<Head> = Parameters::new(query.as_deref()).text("head").map(str::parse).transpose().map_err(
        |error: crate::audit::AuditError| AdminError::usage("InvalidValue", error.to_string(), "copy it whole"),
    )?;
    let verdict = state.trail().verify(given).await?;
    if let Some(first) = verdict.findings.first() {
        tracing::error!(findings = verdict.findings.len(), %first, "the audit trail is not what it was");
    }
    Ok(Json(shape(&verdict, state.trail().public().map(|key| key.to_string()))))
}

pub(super) async fn key(Context(state): Context<State>) -> Json<AuditKeyShape> {
    Json(AuditKeyShape { public_key: state.trail().public().map(|key| key.to_string()) })
}

/// A verdict in the protocol's words.
#[must_use]
pub fn shape(verdict: &Verdict, public_key: Option<String>) -> AuditShape {
    AuditShape {
        intact: verdict.findings.is_empty(),
        head: verdict.head.to_string(),
        entries: verdict.entries,
        pending: u64::try_from(verdict.pending).unwrap_or(u64::MAX),
        signed_heads: u64::try_from(verdict.signed).unwrap_or(u64::MAX),
        newest_signed: verdict.newest.as_ref().map(signed),
        reports: u64::try_from(verdict.reports).unwrap_or(u64::MAX),
        public_key,
        findings: verdict.findings.iter().map(finding).collect(),
    }
}

fn signed(head: &SignedHead) -> SignedHeadShape {
    SignedHeadShape {
        number: head.number,
        head: head.head.to_string(),
        at: views::time(head.at),
        signer: head.signer.to_string(),
        signature: hex::encode(&head.signature),
    }
}

fn finding(finding: &Finding) -> FindingShape {
    FindingShape { code: finding.code().to_owned(), message: finding.to_string() }
}
