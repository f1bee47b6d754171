//! Where things lie in a software keystore's store. No key contains a zero byte.
//!
//! | key | value |
//! | --- | --- |
//! | `check` | root key ID and the sealed constant; during an exchange of root keys, of both |
//! | `id/ed25519` | sealed seed of the identity |
//! | `k/REGION/ACCOUNT` | which slots hold the KEK; a slot lies outside the store |
//! | `d/REGION/ACCOUNT` | something was destroyed that is not shredded yet |
//! | `m/INCARNATION/head` | data key, sealed label, the job that staged it |
//! | `m/INCARNATION/v/VERSION`, `…/VERSION/NNNN` | sealed material or envelope, and its further chunks |
//! | `s/JOB/INCARNATION` | what a job staged: digests to hold it to |
//! | `f/JOB` | target's fence and state of a job |
//! | `p/JOB` | source's fence and session of a job |
//! | `o/OBJECT` | a token object that no record names: it is being made, or is to be destroyed |
//! | `ready` | written by preflight to see that writing works |

use crate::keystore::hardware::ObjectId;
use crate::model::{Incarnation, JobId, MaterialId, Scope};

pub(super) const CHECK: &[u8] = b"check";
pub(super) const IDENTITY: &[u8] = b"id/ed25519";
pub(super) const READY: &[u8] = b"ready";
pub(super) const SLOTS: &[u8] = b"k/";
pub(super) const MARKS: &[u8] = b"d/";
pub(super) const FENCES: &[u8] = b"f/";
pub(super) const SESSIONS: &[u8] = b"p/";
pub(super) const OBJECTS: &[u8] = b"o/";
pub(super) const RESOURCES: &[u8] = b"m/";

pub(super) fn slots(scope: &Scope) -> Vec<u8> {
    ["k/", scope.region.as_str(), "/", scope.account.as_str()].concat().into_bytes()
}

pub(super) fn mark(scope: &Scope) -> Vec<u8> {
    ["d/", scope.region.as_str(), "/", scope.account.as_str()].concat().into_bytes()
}

/// The scope that the key of its slots or of its mark names.
pub(super) fn scope(key: &[u8]) -> Option<Scope> {
    let mut parts = std::str::from_utf8(key).ok()?.split('/').skip(1);
    let (region, account) = (parts.next()?.parse().ok()?, parts.next()?.parse().ok()?);
    Some(Scope { region, account })
}

/// The incarnation that a key under `m/` belongs to.
pub(super) fn incarnation(key: &[u8]) -> Option<Incarnation> {
    std::str::from_utf8(key).ok()?.split('/').nth(1)?.parse().ok()
}

/// The version that a key under `m/` belongs to.
pub(super) fn version_of(key: &[u8]) -> Option<MaterialId> {
    let mut parts = std::str::from_utf8(key).ok()?.split('/').skip(2);
    if parts.next()? == "v" { parts.next()?.parse().ok() } else { None }
}

pub(super) fn resource(incarnation: &Incarnation) -> Vec<u8> {
    ["m/", incarnation.as_str(), "/"].concat().into_bytes()
}

pub(super) fn head(incarnation: &Incarnation) -> Vec<u8> {
    ["m/", incarnation.as_str(), "/head"].concat().into_bytes()
}

pub(super) fn version(incarnation: &Incarnation, version: &MaterialId) -> Vec<u8> {
    ["m/", incarnation.as_str(), "/v/", version.as_str()].concat().into_bytes()
}

/// Further chunks sort directly behind the first: all version IDs have the same length.
pub(super) fn chunk(incarnation: &Incarnation, version: &MaterialId, number: usize) -> Vec<u8> {
    format!("m/{incarnation}/v/{version}/{number:04}").into_bytes()
}

pub(super) fn object(id: ObjectId) -> Vec<u8> {
    format!("o/{id}").into_bytes()
}

/// The object that a key under `o/` names.
pub(super) fn object_of(key: &[u8]) -> Option<ObjectId> {
    ObjectId::from_hex(std::str::from_utf8(key).ok()?.strip_prefix("o/")?)
}

/// True for the first chunk of a version.
pub(super) fn is_version(key: &[u8]) -> bool {
    key.starts_with(RESOURCES) && key.iter().filter(|byte| **byte == b'/').count() == 3
}

pub(super) fn staged(job: &JobId) -> Vec<u8> {
    format!("s/{job}/").into_bytes()
}

pub(super) fn staged_resource(job: &JobId, incarnation: &Incarnation) -> Vec<u8> {
    ["s/", job.as_str(), "/", incarnation.as_str()].concat().into_bytes()
}

pub(super) fn fence(job: &JobId) -> Vec<u8> {
    ["f/", job.as_str()].concat().into_bytes()
}

pub(super) fn session(job: &JobId) -> Vec<u8> {
    ["p/", job.as_str()].concat().into_bytes()
}

/// The part of a key behind its last slash, as an identifier.
pub(super) fn last<T: std::str::FromStr>(key: &[u8]) -> Option<T> {
    std::str::from_utf8(key).ok()?.rsplit('/').next()?.parse().ok()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    /// Where stores of every release have their records.
    #[test]
    fn records_lie_where_they_lay() {
        let scope = Scope { region: "cn-hangzhou".parse().unwrap(), account: "1000000000000001".parse().unwrap() };
        let job: JobId = "job-00000000000000000001".parse().unwrap();
        let life: Incarnation = "11111111-1111-4111-8111-111111111111".parse().unwrap();
        let one: MaterialId = "22222222-2222-4222-8222-222222222222".parse().unwrap();
        for (key, expected) in [
            (slots(&scope), "k/cn-hangzhou/1000000000000001"),
            (mark(&scope), "d/cn-hangzhou/1000000000000001"),
            (resource(&life), "m/11111111-1111-4111-8111-111111111111/"),
            (head(&life), "m/11111111-1111-4111-8111-111111111111/head"),
            (version(&life, &one), "m/11111111-1111-4111-8111-111111111111/v/22222222-2222-4222-8222-222222222222"),
            (
                chunk(&life, &one, 3),
                "m/11111111-1111-4111-8111-111111111111/v/22222222-2222-4222-8222-222222222222/0003",
            ),
            (staged(&job), "s/job-00000000000000000001/"),
            (staged_resource(&job, &life), "s/job-00000000000000000001/11111111-1111-4111-8111-111111111111"),
            (fence(&job), "f/job-00000000000000000001"),
            (session(&job), "p/job-00000000000000000001"),
        ] {
            assert_eq!(String::from_utf8(key).unwrap(), expected);
        }
    }
}
