//! The doctor: opens every record of every keystore, holds the catalogue to what the keystores have, and lists what no job
//! stands behind; [`repair`] puts right what is provably safe. An examination changes nothing.
//!
//! Everything goes on meanwhile, so what looks wrong may be on its way: a second look keeps what is wrong in both.

mod finding;
mod newer;
mod repair;

use std::collections::{BTreeMap, BTreeSet};

pub use finding::{Examination, Examined, Finding, FindingCode};
pub use newer::newer;
pub use repair::{Repaired, Treatment, repair};

use crate::catalogue::{Catalogue, CatalogueError};
use crate::keystore::{Held, KeystoreError};
use crate::kms::Service;
use crate::model::{Incarnation, JobId, KeystoreId, MaterialId, ResourceId, Scope};

/// Examines everything.
///
/// # Errors
/// When the control store cannot be read; a keystore that cannot be is a finding.
pub async fn examine(service: &Service) -> Result<Examination, CatalogueError> {
    let first = look(service).await?;
    if first.findings.is_empty() {
        return Ok(first);
    }
    let mut second = look(service).await?;
    // The words may differ: an instance that is away does not answer in one way only.
    second.findings.retain(|finding| first.findings.iter().any(|seen| seen.is_about_the_same(finding)));
    Ok(second)
}

/// A resource as the catalogue has it.
struct Entry {
    scope: Scope,
    resource: ResourceId,
    keystore: KeystoreId,
    /// Its job, and where it was before, until that is over.
    placement: Option<(JobId, KeystoreId)>,
    versions: BTreeSet<MaterialId>,
}

async fn look(service: &Service) -> Result<Examination, CatalogueError> {
    let (mut found, mut examined) = (Vec::new(), Examined::default());
    // In this order: what is being made has an intent until its entry is there.
    let mut keystores = BTreeMap::new();
    for (id, held) in inventories(service).await {
        match held {
            Ok(held) => {
                examined.records = examined.records.saturating_add(count(held.iter().map(|h| h.versions.len()).sum()));
                keystores.insert(id, held);
            }
            Err(error) => found.push(Finding::of_keystore(FindingCode::KeystoreUnreachable, &id, error.to_string())),
        }
    }
    let intents: BTreeSet<(KeystoreId, Incarnation)> = service
        .catalogue
        .intents()
        .await?
        .iter()
        .map(|intent| (intent.keystore.clone(), intent.place.incarnation.clone()))
        .collect();
    let entries = entries(&service.catalogue, &mut examined).await?;
    let running = running(&service.catalogue).await?;
    let waiting = waiting(&service.catalogue).await?;
    for (id, held) in &keystores {
        let by_incarnation: BTreeMap<&Incarnation, &Held> = held.iter().map(|h| (&h.incarnation, h)).collect();
        for (incarnation, entry) in entries.iter().filter(|(_, entry)| entry.keystore == *id) {
            check_entry(entry, by_incarnation.get(incarnation).copied(), id, &mut found);
        }
        for h in held {
            let job_works_on_it = |entry: Option<&Entry>| {
                h.staged_by.as_ref().is_some_and(|job| running.contains(job) || waiting.contains(job))
                    || entry.and_then(|entry| entry.placement.as_ref()).is_some_and(|(job, _)| running.contains(job))
            };
            let entry = entries.get(&h.incarnation);
            let mine = entry.is_some_and(|entry| entry.keystore == *id);
            if !mine && !job_works_on_it(entry) && !intents.contains(&(id.clone(), h.incarnation.clone())) {
                found.push(Finding::of_orphan(id, h, entry.is_some()));
            }
        }
    }
    for mark in service.catalogue.all_marks().await? {
        if !running.contains(&mark.job) {
            let message = format!("rotation is held back by {}, which does not run", mark.job);
            found.push(Finding::of_resource(FindingCode::StrandedMark, &mark.scope, &mark.resource, None, message));
        }
    }
    for (scope, job) in service.catalogue.held_scopes().await?.iter().filter(|(_, job)| !running.contains(job)) {
        found.push(Finding::of_scope(FindingCode::StrandedLock, scope, format!("locked by {job}, which does not run")));
    }
    for (instance, job) in service.catalogue.held_instances().await?.iter().filter(|(_, job)| !running.contains(job)) {
        let message = format!("locked by {job}, which does not run");
        let keystore = KeystoreId::Instance(instance.clone());
        found.push(Finding::of_keystore(FindingCode::StrandedLock, &keystore, message));
    }
    found.sort();
    found.dedup();
    Ok(Examination { examined, findings: found })
}

fn check_entry(entry: &Entry, held: Option<&Held>, keystore: &KeystoreId, found: &mut Vec<Finding>) {
    let mut tell = |code, message: String| {
        found.push(Finding::of_resource(code, &entry.scope, &entry.resource, Some(keystore), message));
    };
    let Some(held) = held else {
        if !entry.versions.is_empty() {
            tell(FindingCode::RecordMissing, "the keystore has nothing of it".to_owned());
        }
        return;
    };
    match &held.label {
        Err(why) => tell(FindingCode::DoesNotOpen, why.clone()),
        Ok(label) if label.resource != entry.resource || label.scope != entry.scope => {
            tell(FindingCode::LabelDiffers, format!("its label says {} of {}", label.resource, label.scope));
        }
        Ok(_) => {}
    }
    for version in &entry.versions {
        match held.versions.iter().find(|known| known.id == *version) {
            None => tell(FindingCode::RecordMissing, format!("version {version} is missing")),
            Some(known) => {
                if let Some(why) = &known.fault {
                    tell(FindingCode::DoesNotOpen, format!("version {version}: {why}"));
                }
            }
        }
    }
}

async fn running(catalogue: &Catalogue) -> Result<BTreeSet<JobId>, CatalogueError> {
    let jobs = catalogue.jobs().await?;
    Ok(jobs.iter().filter(|job| !job.state.is_final()).map(|job| job.id.clone()).collect())
}

/// Jobs that have ended and whose copies are still to be forgotten.
async fn waiting(catalogue: &Catalogue) -> Result<BTreeSet<JobId>, CatalogueError> {
    Ok(catalogue.clean_ups().await?.iter().map(|clean_up| clean_up.job.clone()).collect())
}

async fn inventories(service: &Service) -> Vec<(KeystoreId, Result<Vec<Held>, KeystoreError>)> {
    let mut all = Vec::new();
    for region in service.keystores.regions().keys() {
        if let Some(source) = service.keystores.source(region) {
            all.push((source.id().clone(), source.inventory().await));
        }
    }
    for instance in service.keystores.facts().keys() {
        if let Some(target) = service.keystores.target(instance) {
            all.push((target.id().clone(), target.inventory().await));
        }
    }
    all
}

async fn entries(
    catalogue: &Catalogue,
    examined: &mut Examined,
) -> Result<BTreeMap<Incarnation, Entry>, CatalogueError> {
    let mut all = BTreeMap::new();
    for scope in catalogue.scopes().await? {
        for key in catalogue.keys(&scope).await? {
            let versions = catalogue.key_versions(&key.incarnation).await?;
            // Imported material that has gone left its version behind.
            let gone = key.imported.as_ref().is_some_and(|material| !material.present);
            let entry = Entry {
                scope: scope.clone(),
                resource: ResourceId::Key(key.id.clone()),
                keystore: key.keystore.clone(),
                placement: key.placement.as_ref().map(|p| (p.job.clone(), p.keystore.clone())),
                versions: versions.iter().filter(|_| !gone).map(|version| version.id.clone()).collect(),
            };
            examined.keys = examined.keys.saturating_add(1);
            all.insert(key.incarnation.clone(), entry);
        }
        for secret in catalogue.secrets(&scope).await? {
            let versions = catalogue.secret_versions(&secret.incarnation).await?;
            let entry = Entry {
                scope: scope.clone(),
                resource: ResourceId::Secret(secret.name.clone()),
                keystore: secret.keystore.clone(),
                placement: secret.placement.as_ref().map(|p| (p.job.clone(), p.keystore.clone())),
                versions: versions.iter().map(|version| version.material.clone()).collect(),
            };
            examined.secrets = examined.secrets.saturating_add(1);
            all.insert(secret.incarnation.clone(), entry);
        }
    }
    Ok(all)
}

fn count(n: usize) -> u64 {
    u64::try_from(n).unwrap_or(u64::MAX)
}
