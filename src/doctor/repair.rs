//! What the doctor may put right because it is provably safe: nothing is destroyed, no material is touched, and nothing
//! that a job, an operation or an entry stands behind is changed.
//!
//! An entry is rebuilt from the keystore's sealed label when every version opens, and comes back switched off: a key is
//! Disabled, and what no label tells (description, tags, rotation, the usage of an RSA key) has its default.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::{Examination, examine, inventories, running, waiting};
use crate::audit::{Actor, Entry};
use crate::catalogue::{CatalogueError, Change};
use crate::keystore::{Held, Label, Place};
use crate::kms::secrets::CURRENT;
use crate::kms::{Service, default_policy};
use crate::model::{
    Incarnation, KeyOrigin, KeyRecord, KeyState, KeyVersionRecord, KeystoreId, ProtectionLevel, ResourceId,
    ResourceKind, Rotation, SecretName, SecretRecord, SecretType, SecretVersionRecord, TagMap,
};

/// What was put right, and what is left.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Treatment {
    /// What was put right.
    pub repaired: Vec<Repaired>,
    /// An examination afterwards.
    #[serde(flatten)]
    pub examination: Examination,
}

/// Something that was put right.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Repaired {
    /// What it is about: a resource, a scope or an instance.
    pub subject: String,
    /// What was done.
    pub done: String,
    /// What somebody has to do now.
    pub remedy: String,
}

/// Repairs what is provably safe, then examines everything again.
///
/// # Errors
/// When the control store cannot be used. What was repaired until then stays.
pub async fn repair(service: &Service, actor: &Actor) -> Result<Treatment, CatalogueError> {
    let surgery = Surgery { service, actor };
    let mut repaired = surgery.release().await?;
    // Twice: what is being destroyed is gone the second time. Keys first: secrets lie under them.
    let first = surgery.orphans().await?;
    let mut orphans = surgery.orphans().await?;
    orphans.retain(|id, _| first.contains_key(id));
    for kind in [ResourceKind::Key, ResourceKind::Secret] {
        for ((keystore, _), orphan) in orphans.iter().filter(|(_, orphan)| orphan.label.resource.kind() == kind) {
            match surgery.bring_back(keystore, orphan).await {
                Ok(done) => repaired.extend(done),
                // Locked, or something came in between: it stays a finding.
                Err(CatalogueError::Refused(_) | CatalogueError::Conflict | CatalogueError::Unknown) => {}
                Err(error) => return Err(error),
            }
        }
    }
    Ok(Treatment { repaired, examination: examine(service).await? })
}

/// A record whose label and versions all open, and which no list shows.
struct Orphan {
    label: Label,
    held: Held,
}

struct Surgery<'a> {
    service: &'a Service,
    actor: &'a Actor,
}

impl Surgery<'_> {
    /// Gates, locks and reservations of jobs that do not run.
    async fn release(&self) -> Result<Vec<Repaired>, CatalogueError> {
        let catalogue = &self.service.catalogue;
        let mut repaired = Vec::new();
        let mut note = |subject: String, outcome: Result<(), CatalogueError>, job: &dyn std::fmt::Display| match outcome
        {
            Ok(()) => {
                let done = format!("released from {job}, which does not run");
                repaired.push(Repaired { subject, done, remedy: "nothing".to_owned() });
                Ok(())
            }
            Err(CatalogueError::Conflict | CatalogueError::Unknown | CatalogueError::LeaseLost(_)) => Ok(()),
            Err(error) => Err(error),
        };
        for (scope, job) in catalogue.held_scopes().await? {
            if !catalogue.job_runs(&job).await? {
                note(scope.to_string(), catalogue.release_scope(&scope, &job).await, &job)?;
            }
        }
        for (instance, job) in catalogue.held_instances().await? {
            if !catalogue.job_runs(&job).await? {
                note(instance.to_string(), catalogue.release_instance(&instance, &job).await, &job)?;
            }
        }
        Ok(repaired)
    }

    async fn orphans(&self) -> Result<BTreeMap<(KeystoreId, Incarnation), Orphan>, CatalogueError> {
        let catalogue = &self.service.catalogue;
        let inventories = inventories(self.service).await;
        // In this order: what is being made has an intent until its entry is there, what is being destroyed has one after.
        let intents: BTreeSet<(KeystoreId, Incarnation)> =
            catalogue.intents().await?.iter().map(|i| (i.keystore.clone(), i.place.incarnation.clone())).collect();
        let mut at_work = running(catalogue).await?;
        at_work.extend(waiting(catalogue).await?);
        let mut listed = BTreeSet::new();
        for scope in catalogue.scopes().await? {
            listed.extend(catalogue.keys(&scope).await?.iter().map(|key| key.incarnation.clone()));
            listed.extend(catalogue.secrets(&scope).await?.iter().map(|secret| secret.incarnation.clone()));
        }
        let mut orphans = BTreeMap::new();
        for (keystore, held) in inventories {
            for held in held.unwrap_or_default() {
                let id = (keystore.clone(), held.incarnation.clone());
                let whole = !held.versions.is_empty() && held.versions.iter().all(|version| version.fault.is_none());
                if let Ok(label) = held.label.clone()
                    && whole
                    && held.staged_by.as_ref().is_none_or(|job| !at_work.contains(job))
                    && !listed.contains(&held.incarnation)
                    && !intents.contains(&id)
                {
                    orphans.insert(id, Orphan { label, held });
                }
            }
        }
        // Two keystores with the same life of a resource: which one counts is nobody's guess.
        let lives: Vec<Incarnation> = orphans.keys().map(|(_, life)| life.clone()).collect();
        orphans.retain(|(_, life), _| lives.iter().filter(|other| *other == life).count() == 1);
        Ok(orphans)
    }

    async fn bring_back(&self, keystore: &KeystoreId, orphan: &Orphan) -> Result<Option<Repaired>, CatalogueError> {
        let catalogue = &self.service.catalogue;
        let scope = &orphan.label.scope;
        match &orphan.label.resource {
            ResourceId::Key(id) => match catalogue.key(&scope.region, id).await? {
                Some(entry) if entry.incarnation == orphan.held.incarnation && entry.keystore == *keystore => {
                    let mut change = Change::guarded(&catalogue.guard(scope).await?);
                    change.index_key(&entry);
                    self.commit(change, orphan, "its entry was in no list any more", "nothing").await.map(Some)
                }
                // Another life of the name, or moved: not ours to judge.
                Some(_) => Ok(None),
                None => self.rebuild_key(keystore, orphan).await,
            },
            ResourceId::Secret(name) => match catalogue.secret(scope, name).await? {
                Some(entry) if entry.incarnation == orphan.held.incarnation && entry.keystore == *keystore => {
                    let mut change = Change::guarded(&catalogue.guard(scope).await?);
                    change.index_secret(&entry);
                    self.commit(change, orphan, "its entry was in no list any more", "nothing").await.map(Some)
                }
                Some(_) => Ok(None),
                None => self.rebuild_secret(keystore, orphan, name).await,
            },
        }
    }

    async fn rebuild_key(&self, keystore: &KeystoreId, orphan: &Orphan) -> Result<Option<Repaired>, CatalogueError> {
        let catalogue = &self.service.catalogue;
        let Label { scope, resource, incarnation, spec: Some(spec) } = &orphan.label else { return Ok(None) };
        let ResourceId::Key(id) = resource else { return Ok(None) };
        let guarded = catalogue.guard(scope).await?;
        let now = self.service.clock.now();
        let known = catalogue.key_versions(incarnation).await?;
        let numbered = known.iter().map(|version| version.number).max().unwrap_or(0);
        let missing: Vec<KeyVersionRecord> = (numbered.saturating_add(1)..)
            .zip(orphan.held.versions.iter().filter(|held| known.iter().all(|version| version.id != held.id)))
            .map(|(number, held)| KeyVersionRecord { key: id.clone(), id: held.id.clone(), number, created_at: now })
            .collect();
        let mut versions: Vec<&KeyVersionRecord> = known.iter().map(|stored| &**stored).chain(&missing).collect();
        versions.retain(|version| orphan.held.versions.iter().any(|held| held.id == version.id));
        let primary = if spec.is_asymmetric() { versions.first() } else { versions.last() };
        let created = catalogue.created_by_index(scope, ResourceKind::Key, id.as_str()).await?;
        let aliases = catalogue.aliases(scope).await?.into_iter().filter(|(_, key)| key == id).map(|(name, _)| name);
        let (hardware, policy) = self.home(keystore, ResourceKind::Key, &orphan.label);
        let record = KeyRecord {
            id: id.clone(),
            account: scope.account.clone(),
            region: scope.region.clone(),
            incarnation: incarnation.clone(),
            keystore: keystore.clone(),
            spec: *spec,
            usage: spec.usages().first().copied().ok_or(CatalogueError::Conflict)?,
            origin: KeyOrigin::Kms,
            protection_level: if hardware { ProtectionLevel::Hsm } else { ProtectionLevel::Software },
            state: KeyState::Disabled,
            description: DESCRIPTION.to_owned(),
            creator: scope.account.to_string(),
            service: None,
            created_at: created.or(versions.first().map(|version| version.created_at)).unwrap_or(now),
            primary_version: primary.map(|version| version.id.clone()),
            version_count: u32::try_from(versions.len()).unwrap_or(u32::MAX),
            rotation: Rotation { last: Some(now), ..Rotation::default() },
            deletion_protection: false,
            deletion_protection_description: String::new(),
            aliases: aliases.collect(),
            tags: TagMap::new(),
            policy,
            imported: None,
            placement: None,
        };
        let mut change = Change::guarded(&guarded);
        change.create_key(&record)?;
        for version in &missing {
            change.create_key_version(&record, version)?;
        }
        let done = format!("entry rebuilt with {} version(s), Disabled", record.version_count);
        self.commit(change, orphan, &done, KEY_REMEDY).await.map(Some)
    }

    async fn rebuild_secret(
        &self,
        keystore: &KeystoreId,
        orphan: &Orphan,
        name: &SecretName,
    ) -> Result<Option<Repaired>, CatalogueError> {
        let catalogue = &self.service.catalogue;
        let (scope, incarnation) = (&orphan.label.scope, &orphan.label.incarnation);
        let guarded = catalogue.guard(scope).await?;
        let now = self.service.clock.now();
        let known = catalogue.secret_versions(incarnation).await?;
        let unknown: Vec<_> =
            orphan.held.versions.iter().filter(|held| known.iter().all(|v| v.material != held.id)).collect();
        let missing = match (known.is_empty(), unknown.as_slice()) {
            (_, []) => None,
            (true, [only]) => Some(only.id.clone()),
            // Which of them applications are to get is not known.
            _ => return Ok(None),
        };
        let Some(under) = self.key_of(keystore, orphan).await else { return Ok(None) };
        let key = match &under {
            Some(id) => match catalogue.key(&scope.region, id).await? {
                Some(key) => Some(key),
                None => return Ok(None),
            },
            None => None,
        };
        let created = catalogue.created_by_index(scope, ResourceKind::Secret, name.as_str()).await?;
        let version = missing.and_then(|material| {
            Some(SecretVersionRecord {
                id: material.as_str().parse().ok()?,
                material,
                number: 1,
                created_at: now,
                binary: false,
                stages: BTreeSet::from([CURRENT.to_owned()]),
                encryption_key: under.clone(),
            })
        });
        let (_, policy) = self.home(keystore, ResourceKind::Secret, &orphan.label);
        let record = SecretRecord {
            name: name.clone(),
            account: scope.account.clone(),
            region: scope.region.clone(),
            incarnation: incarnation.clone(),
            keystore: keystore.clone(),
            secret_type: SecretType::Generic,
            encryption_key: under,
            description: DESCRIPTION.to_owned(),
            extended_config: String::new(),
            created_at: created.or(known.first().map(|version| version.created_at)).unwrap_or(now),
            updated_at: now,
            planned_delete_at: None,
            rotation: Rotation::default(),
            tags: TagMap::new(),
            policy,
            version_count: u32::try_from(known.len().max(1)).unwrap_or(u32::MAX),
            placement: None,
        };
        let mut change = Change::guarded(&guarded);
        change.create_secret(&record, key.as_ref())?;
        if let Some(version) = &version {
            change.create_secret_version(&record, version)?;
        }
        let done = format!("entry rebuilt with {} version(s), as a Generic secret", record.version_count);
        self.commit(change, orphan, &done, SECRET_REMEDY).await.map(Some)
    }

    /// The key that the values lie under; `None`: it cannot be told.
    async fn key_of(&self, keystore: &KeystoreId, orphan: &Orphan) -> Option<Option<crate::model::KeyId>> {
        let version = orphan.held.versions.first()?.id.clone();
        let place = Place { incarnation: orphan.held.incarnation.clone(), version };
        let envelope = self.service.keystores.get(keystore)?.read_value(&place).await.ok()?;
        Some(envelope.value.key_id().cloned())
    }

    /// Whether a keystore is hardware, and the policy that its resources have.
    fn home(&self, keystore: &KeystoreId, kind: ResourceKind, label: &Label) -> (bool, Option<String>) {
        let facts = keystore.instance().and_then(|id| self.service.keystores.instance(id));
        let policy = keystore.instance().map(|_| default_policy(kind, &label.scope.account));
        (facts.is_some_and(|facts| facts.hardware), policy)
    }

    async fn commit(
        &self,
        mut change: Change,
        orphan: &Orphan,
        done: &str,
        remedy: &str,
    ) -> Result<Repaired, CatalogueError> {
        let (scope, resource) = (&orphan.label.scope, &orphan.label.resource);
        let entry =
            Entry::new(self.service.clock.now(), self.actor.clone(), "doctor.repair").in_scope(scope).detail(done);
        change.record(entry.on(format!("{}/{}", resource.kind(), resource.name())))?;
        self.service.catalogue.commit(change).await?;
        let subject = format!("{resource} of {scope}");
        Ok(Repaired { subject, done: done.to_owned(), remedy: remedy.to_owned() })
    }
}

const DESCRIPTION: &str = "rebuilt by `keyferry doctor` from what the keystore knows of it";
const KEY_REMEDY: &str = "see that description, tags, rotation and (of an RSA key) usage are as they were, then EnableKey; \
     with several versions, the order of those without a record is not known";
const SECRET_REMEDY: &str =
    "see that type, tags and rotation are as they were; if a version's name was lost, its ID stands for it";
