//! Where each record lies in the control store. Names that may contain `/` come last.

use jiff::Timestamp;
use sha2::{Digest, Sha256};

use super::DueEntry;
use crate::model::{
    AccountId, Incarnation, InstanceId, JobId, JobState, KeyId, MaterialId, NonceClaim, RegionId, ResourceId,
    ResourceKind, Scope, SecretName, SecretVersionId,
};

pub(super) fn key(region: &RegionId, id: &KeyId) -> Vec<u8> {
    ["c/key/", region.as_str(), "/", id.as_str()].concat().into_bytes()
}

pub(super) fn key_version(incarnation: &Incarnation, version: &MaterialId) -> Vec<u8> {
    ["c/keyver/", incarnation.as_str(), "/", version.as_str()].concat().into_bytes()
}

pub(super) fn key_versions(incarnation: &Incarnation) -> Vec<u8> {
    ["c/keyver/", incarnation.as_str(), "/"].concat().into_bytes()
}

pub(super) fn secret(scope: &Scope, name: &SecretName) -> Vec<u8> {
    ["c/secret/", scope.region.as_str(), "/", scope.account.as_str(), "/", name.as_str()].concat().into_bytes()
}

pub(super) fn secrets(scope: &Scope) -> Vec<u8> {
    format!("c/secret/{}/{}/", scope.region, scope.account).into_bytes()
}

pub(super) fn secret_version(incarnation: &Incarnation, id: &SecretVersionId) -> Vec<u8> {
    ["c/secver/", incarnation.as_str(), "/", id.as_str()].concat().into_bytes()
}

pub(super) fn secret_versions(incarnation: &Incarnation) -> Vec<u8> {
    ["c/secver/", incarnation.as_str(), "/"].concat().into_bytes()
}

pub(super) fn alias(scope: &Scope, name: &str) -> Vec<u8> {
    format!("c/alias/{}/{}/{name}", scope.region, scope.account).into_bytes()
}

pub(super) fn aliases(scope: &Scope) -> Vec<u8> {
    format!("c/alias/{}/{}/", scope.region, scope.account).into_bytes()
}

/// Secrets under a key, so that a plan and a deletion see them without reading every secret.
pub(super) fn under_key(region: &RegionId, id: &KeyId, account: &AccountId, name: &SecretName) -> Vec<u8> {
    format!("c/under/{region}/{id}/{account}/{name}").into_bytes()
}

pub(super) fn under_key_prefix(region: &RegionId, id: &KeyId) -> Vec<u8> {
    format!("c/under/{region}/{id}/").into_bytes()
}

/// The instance of the newest completed migration of a scope.
pub(super) fn last_target(scope: &Scope) -> Vec<u8> {
    format!("d/default/{}/{}", scope.region, scope.account).into_bytes()
}

/// The last look at the wall clock.
pub(super) const CLOCK: &[u8] = b"t/clock";

pub(super) const INDEX: &[u8] = b"c/index/";

/// Lists walk this: by account, region, kind, creation instant, ID; a cut-over does not change it.
pub(super) fn index(scope: &Scope, kind: ResourceKind, created: Timestamp, name: &str) -> Vec<u8> {
    let nanos = created.as_nanosecond().max(0);
    format!("c/index/{}/{}/{kind}/{nanos:020}/{name}", scope.account, scope.region).into_bytes()
}

pub(super) fn index_prefix(scope: &Scope, kind: ResourceKind) -> Vec<u8> {
    format!("c/index/{}/{}/{kind}/", scope.account, scope.region).into_bytes()
}

/// What falls due, in the order of the instants.
pub(super) fn due(entry: &DueEntry) -> Vec<u8> {
    let nanos = entry.at.as_nanosecond().max(0);
    let (scope, resource) = (&entry.scope, &entry.resource);
    format!("d/{nanos:020}/{}/{}/{}/{}", scope.region, scope.account, resource.kind(), resource.name()).into_bytes()
}

pub(super) const DUE: &[u8] = b"d/";

pub(super) const GATES: &[u8] = b"l/gate/";
pub(super) const LOCKS: &[u8] = b"l/lock/";
pub(super) const INSTANCE_GATES: &[u8] = b"l/instance-gate/";

/// The scope that a gate or a lock names.
pub(super) fn scope_behind(path: &[u8], prefix: &[u8]) -> Option<Scope> {
    let (region, account) = std::str::from_utf8(path.get(prefix.len()..)?).ok()?.split_once('/')?;
    Some(Scope { region: region.parse().ok()?, account: account.parse().ok()? })
}

pub(super) fn gate(scope: &Scope) -> Vec<u8> {
    ["l/gate/", scope.region.as_str(), "/", scope.account.as_str()].concat().into_bytes()
}

pub(super) fn lock(scope: &Scope) -> Vec<u8> {
    ["l/lock/", scope.region.as_str(), "/", scope.account.as_str()].concat().into_bytes()
}

pub(super) fn instance_gate(id: &InstanceId) -> Vec<u8> {
    format!("l/instance-gate/{id}").into_bytes()
}

/// Present while a rotation with outside effects is in flight in the scope; names them.
pub(super) fn flight(scope: &Scope) -> Vec<u8> {
    format!("l/flight/{}/{}", scope.region, scope.account).into_bytes()
}

/// Rotations of secrets that have begun and not ended.
pub(super) fn rotation(scope: &Scope, secret: &SecretName) -> Vec<u8> {
    format!("r/{}/{}/{secret}", scope.region, scope.account).into_bytes()
}

pub(super) const ROTATIONS: &[u8] = b"r/";

pub(super) fn mark(scope: &Scope, resource: &ResourceId) -> Vec<u8> {
    let (region, account) = (scope.region.as_str(), scope.account.as_str());
    ["l/mark/", region, "/", account, "/", resource.kind().as_str(), "/", resource.name()].concat().into_bytes()
}

pub(super) fn marks(scope: Option<&Scope>) -> Vec<u8> {
    match scope {
        Some(scope) => format!("l/mark/{}/{}/", scope.region, scope.account).into_bytes(),
        None => b"l/mark/".to_vec(),
    }
}

pub(super) fn nonce(claim: &NonceClaim) -> Vec<u8> {
    // Hashed: a nonce is the client's text and may hold any byte.
    let mut digest = Sha256::new();
    digest.update(claim.access_key_id.as_bytes());
    digest.update([0]);
    digest.update(claim.nonce.as_bytes());
    format!("n/{}", hex::encode(digest.finalize())).into_bytes()
}

pub(super) const NONCES: &[u8] = b"n/";

pub(super) fn intent(id: &str) -> Vec<u8> {
    format!("i/{id}").into_bytes()
}

pub(super) const INTENTS: &[u8] = b"i/";

pub(super) fn instance(id: &InstanceId) -> Vec<u8> {
    format!("k/instance/{id}").into_bytes()
}

pub(super) fn quota(id: &InstanceId) -> Vec<u8> {
    format!("k/quota/{id}").into_bytes()
}

/// What an account holds in an instance.
pub(super) fn tenant(id: &InstanceId, account: &AccountId) -> Vec<u8> {
    format!("k/tenant/{id}/{account}").into_bytes()
}

pub(super) fn tenants(id: &InstanceId) -> Vec<u8> {
    format!("k/tenant/{id}/").into_bytes()
}

/// There since the tenants of every instance are counted.
pub(super) const TALLIED: &[u8] = b"k/tallied";

pub(super) const QUOTAS: &[u8] = b"k/quota/";

pub(super) fn usage(region: &RegionId, incarnation: &Incarnation, version: &MaterialId) -> Vec<u8> {
    format!("u/{region}/{incarnation}/{version}").into_bytes()
}

pub(super) fn job(id: &JobId) -> Vec<u8> {
    format!("j/job/{id}").into_bytes()
}

pub(super) const JOBS: &[u8] = b"j/job/";

pub(super) fn owner(id: &JobId) -> Vec<u8> {
    format!("j/owner/{id}").into_bytes()
}

pub(super) fn renewal(id: &JobId) -> Vec<u8> {
    format!("j/renewal/{id}").into_bytes()
}

pub(super) fn plan_page(id: &JobId, page: u32) -> Vec<u8> {
    format!("j/plan/{id}/{page:06}").into_bytes()
}

pub(super) fn plan(id: &JobId) -> Vec<u8> {
    format!("j/plan/{id}/").into_bytes()
}

pub(super) fn left_page(id: &JobId, page: u32) -> Vec<u8> {
    format!("j/left/{id}/{page:06}").into_bytes()
}

pub(super) fn left(id: &JobId) -> Vec<u8> {
    format!("j/left/{id}/").into_bytes()
}

/// Under the first job that was asked for.
pub(super) fn asked(first: &JobId) -> Vec<u8> {
    format!("j/asked/{first}").into_bytes()
}

pub(super) fn step(id: &JobId, at: Timestamp, to: JobState) -> Vec<u8> {
    let nanos = at.as_nanosecond().max(0);
    format!("j/step/{id}/{nanos:020}-{}", to.as_str()).into_bytes()
}

pub(super) fn steps(id: &JobId) -> Vec<u8> {
    format!("j/step/{id}/").into_bytes()
}

pub(super) fn rotation_page(id: &JobId, page: u32) -> Vec<u8> {
    format!("j/rotation/{id}/{page:06}").into_bytes()
}

pub(super) fn rotation_pages(id: &JobId) -> Vec<u8> {
    format!("j/rotation/{id}/").into_bytes()
}

pub(super) fn clean_up(id: &JobId) -> Vec<u8> {
    format!("j/clean/{id}").into_bytes()
}

pub(super) const CLEAN_UPS: &[u8] = b"j/clean/";

pub(super) fn hold(id: &str) -> Vec<u8> {
    format!("h/{id}").into_bytes()
}

pub(super) const HOLDS: &[u8] = b"h/";

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    /// Where stores of every release have their records.
    #[test]
    fn records_lie_where_they_lay() {
        let scope = Scope { region: "cn-hangzhou".parse().unwrap(), account: "1000000000000001".parse().unwrap() };
        let id: KeyId = "key-abc".parse().unwrap();
        let name: SecretName = "db/password".parse().unwrap();
        let life: Incarnation = "11111111-1111-4111-8111-111111111111".parse().unwrap();
        let one: MaterialId = "22222222-2222-4222-8222-222222222222".parse().unwrap();
        let two: SecretVersionId = "v/2".parse().unwrap();
        for (path, expected) in [
            (key(&scope.region, &id), "c/key/cn-hangzhou/key-abc"),
            (key_versions(&life), "c/keyver/11111111-1111-4111-8111-111111111111/"),
            (
                key_version(&life, &one),
                "c/keyver/11111111-1111-4111-8111-111111111111/22222222-2222-4222-8222-222222222222",
            ),
            (secret(&scope, &name), "c/secret/cn-hangzhou/1000000000000001/db/password"),
            (secret_versions(&life), "c/secver/11111111-1111-4111-8111-111111111111/"),
            (secret_version(&life, &two), "c/secver/11111111-1111-4111-8111-111111111111/v/2"),
            (gate(&scope), "l/gate/cn-hangzhou/1000000000000001"),
            (lock(&scope), "l/lock/cn-hangzhou/1000000000000001"),
            (mark(&scope, &ResourceId::Key(id)), "l/mark/cn-hangzhou/1000000000000001/key/key-abc"),
            (mark(&scope, &ResourceId::Secret(name)), "l/mark/cn-hangzhou/1000000000000001/secret/db/password"),
        ] {
            assert_eq!(String::from_utf8(path).unwrap(), expected);
        }
    }
}
