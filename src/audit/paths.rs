//! Where the trail lies in the control store.

use crate::model::JobId;

/// Entries that were committed and are not chained yet.
pub(super) const PENDING: &[u8] = b"a/new/";

/// Chained entries, by their place.
pub(super) const LINKS: &[u8] = b"a/log/";

/// The head of the chain.
pub(super) const HEAD: &[u8] = b"a/head";

/// Signed heads, by number.
pub(super) const SIGNED: &[u8] = b"a/signed/";

/// The daemon's sealed signing key.
pub const IDENTITY: &[u8] = b"a/identity";

/// Signed reports of jobs.
pub(super) const REPORTS: &[u8] = b"a/report/";

pub(super) fn pending() -> Vec<u8> {
    // Its order says nothing: the revision orders entries.
    [PENDING, uuid::Uuid::new_v4().simple().to_string().as_bytes()].concat()
}

pub(super) fn link(place: u64) -> Vec<u8> {
    [LINKS, format!("{place:020}").as_bytes()].concat()
}

pub(super) fn signed(number: u64) -> Vec<u8> {
    [SIGNED, format!("{number:020}").as_bytes()].concat()
}

pub(super) fn report(job: &JobId) -> Vec<u8> {
    [REPORTS, job.as_str().as_bytes()].concat()
}

pub(super) fn report_part(job: &JobId, part: u32) -> Vec<u8> {
    format!("a/report-part/{job}/{part:06}").into_bytes()
}

pub(super) fn report_parts(job: &JobId) -> Vec<u8> {
    format!("a/report-part/{job}/").into_bytes()
}
