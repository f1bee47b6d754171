//! The plan: what moves, in what order, what does not and why. Closed: each secret's key comes along or is already
//! there, and a key brings every secret under it.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::items::Known;
use super::preflight::Standing;
use super::world::World;
use super::{MigrationError, Migrations, compatibility};
use crate::catalogue::{Demand, PlanItem};
use crate::model::{
    InstanceId, KeyId, KeyRecord, KeystoreId, LeftBehind, MAX_SELECTED, Problem, ProblemCode, ResourceId, ResourceKind,
    Scope, SecretName, Selection,
};

/// What a migration would do.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Plan {
    /// What moves, in order: keys, then secrets, each in the order of creation.
    pub items: Vec<PlanItem>,
    /// Full mode: what stays, with reasons.
    pub left_behind: Vec<LeftBehind>,
    /// What refuses the run.
    pub problems: Vec<Problem>,
    /// What does not.
    pub warnings: Vec<Problem>,
}

impl Plan {
    /// True when the run is refused. Full migration leaves resources behind instead; those are not in `problems`.
    #[must_use]
    pub fn refuses(&self, _selection: &Selection) -> bool {
        !self.problems.is_empty()
    }

    /// How many keys move.
    #[must_use]
    pub fn keys(&self) -> u64 {
        count_of(ResourceKind::Key, self.items.iter().map(|item| &item.resource))
    }

    /// How many secrets move.
    #[must_use]
    pub fn secrets(&self) -> u64 {
        count_of(ResourceKind::Secret, self.items.iter().map(|item| &item.resource))
    }
}

/// What is to move, before its versions are read.
pub(super) struct Draft {
    /// The plan without its items.
    pub(super) plan: Plan,
    /// What moves, in the order of the plan.
    pub(super) moving: Vec<ResourceId>,
    /// What it was chosen from.
    pub(super) world: Arc<World>,
}

/// Numbers of the Migration Information table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counts {
    /// Customer master keys still shared and migratable to at least one kind of instance.
    pub keys_not_migrated: u64,
    /// Customer master keys in an instance.
    pub keys_migrated: u64,
    /// Secrets still shared that can migrate.
    pub secrets_not_migrated: u64,
    /// Secrets in an instance.
    pub secrets_migrated: u64,
}

impl Migrations {
    /// Plans a migration and checks everything that preflight checks; `ahead` is what accounts before it in a group bring
    /// into the instance. Changes nothing.
    ///
    /// # Errors
    /// When stores cannot be read; problems are part of the plan.
    pub async fn plan(
        &self,
        scope: &Scope,
        instance: &InstanceId,
        selection: &Selection,
        ahead: Demand,
    ) -> Result<Plan, MigrationError> {
        let standing = Standing { job: None, ahead };
        Ok(self.plan_for(scope, instance, selection, standing, Known::default()).await?.0)
    }

    /// The Migration Information numbers of a scope.
    ///
    /// # Errors
    /// When stores cannot be read.
    pub async fn counts(&self, scope: &Scope) -> Result<Counts, MigrationError> {
        let world = World::read(self, scope).await?;
        let stuck: BTreeSet<ResourceId> = self.stuck(&world, None).into_iter().map(|left| left.resource).collect();
        let mut counts = Counts::default();
        for key in world.keys.values().filter(|key| key.service.is_none()) {
            if key.keystore.instance().is_some() {
                counts.keys_migrated += 1;
            } else if !stuck.contains(&ResourceId::Key(key.id.clone())) {
                counts.keys_not_migrated += 1;
            }
        }
        for secret in world.secrets.values() {
            if secret.keystore.instance().is_some() {
                counts.secrets_migrated += 1;
            } else if !stuck.contains(&ResourceId::Secret(secret.name.clone())) {
                counts.secrets_not_migrated += 1;
            }
        }
        Ok(counts)
    }

    /// Shared resources that no kind of instance takes, with reasons. Service keys are not listed.
    ///
    /// # Errors
    /// When stores cannot be read.
    pub async fn not_migratable(&self, scope: &Scope) -> Result<Vec<LeftBehind>, MigrationError> {
        let world = World::read(self, scope).await?;
        Ok(self.stuck(&world, None))
    }

    /// Selects, closes and orders; without the versions and the checks on the instance.
    pub(super) async fn draft(
        &self,
        scope: &Scope,
        instance: &InstanceId,
        hardware: bool,
        selection: &Selection,
    ) -> Result<Draft, MigrationError> {
        let world = World::read(self, scope).await?;
        let mut plan = Plan::default();
        let chosen = match selection {
            Selection::All => {
                let left = self.stuck(&world, Some((instance, hardware)));
                let stuck: BTreeSet<ResourceId> = left.iter().map(|l| l.resource.clone()).collect();
                plan.left_behind = left;
                world.shared().into_iter().filter(|resource| !stuck.contains(resource)).collect()
            }
            Selection::Picked { keys, secrets } => {
                picked(&world, keys, secrets, (instance, hardware), &mut plan.problems)
            }
        };
        let moving = world.in_order(chosen);
        Ok(Draft { plan, moving, world: Arc::new(world) })
    }

    /// Shared resources that cannot go (into this instance, or into any kind), closed over keys and their secrets.
    fn stuck(&self, world: &World, into: Option<(&InstanceId, bool)>) -> Vec<LeftBehind> {
        let verdict = |key: &KeyRecord| match into {
            Some((_, hardware)) => compatibility(key, hardware),
            None => compatibility(key, false).and_then(|software| compatibility(key, true).map(|_| software)),
        };
        let mut left = Vec::new();
        for key in world.keys.values().filter(|key| key.keystore.instance().is_none() && key.service.is_none()) {
            if let Some(verdict) = verdict(key) {
                left.push(left_behind(ResourceId::Key(key.id.clone()), verdict.code, verdict.message));
            }
        }
        let stuck: BTreeSet<ResourceId> = left.iter().map(|l| l.resource.clone()).collect();
        for secret in world.secrets.values().filter(|secret| secret.keystore.instance().is_none()) {
            let Some(key) = &secret.encryption_key else { continue };
            let (stays, why) = match world.keys.get(key) {
                _ if stuck.contains(&ResourceId::Key(key.clone())) => (true, "stays in the shared KMS"),
                Some(record) if record.service.is_some() => (true, "is a service key and stays in the shared KMS"),
                Some(record) => match (record.keystore.instance(), into) {
                    (Some(there), Some((wanted, _))) => (there != wanted, "is in another instance"),
                    _ => (false, ""),
                },
                None => (true, "does not exist any more"),
            };
            if stays {
                left.push(left_behind(
                    ResourceId::Secret(secret.name.clone()),
                    ProblemCode::SecretKeyNotIncluded,
                    format!("the key {key} that encrypts it {why}"),
                ));
            }
        }
        left
    }
}

/// A selection by hand: every resource in it must be able to go, and the selection must be closed by itself.
fn picked(
    world: &World,
    keys: &[KeyId],
    secrets: &[SecretName],
    into: (&InstanceId, bool),
    problems: &mut Vec<Problem>,
) -> BTreeSet<ResourceId> {
    for (what, number) in [("keys", keys.len()), ("secrets", secrets.len())] {
        if number > MAX_SELECTED {
            problems.push(Problem {
                resource: None,
                code: ProblemCode::TooManySelected,
                message: format!("{number} {what} are selected, at most {MAX_SELECTED} can be picked by hand"),
                remedy: "select fewer and run again for the rest, or migrate all".to_owned(),
            });
        }
    }
    let mut chosen = BTreeSet::new();
    for id in keys {
        let resource = ResourceId::Key(id.clone());
        match world.keys.get(id) {
            None => problems.push(not_found(resource)),
            Some(key) if key.keystore.instance().is_some() => problems.push(already(resource, &key.keystore)),
            Some(key) => {
                if let Some(verdict) = compatibility(key, into.1) {
                    problems.push(problem(resource.clone(), verdict.code, verdict.message, verdict.remedy));
                }
                chosen.insert(resource);
            }
        }
    }
    for name in secrets {
        let resource = ResourceId::Secret(name.clone());
        match world.secrets.get(name) {
            None => problems.push(not_found(resource)),
            Some(secret) if secret.keystore.instance().is_some() => problems.push(already(resource, &secret.keystore)),
            Some(_) => {
                chosen.insert(resource);
            }
        }
    }
    close(world, into.0, &chosen, problems);
    chosen
}

fn close(world: &World, instance: &InstanceId, chosen: &BTreeSet<ResourceId>, problems: &mut Vec<Problem>) {
    for secret in world.secrets.values().filter(|secret| secret.keystore.instance().is_none()) {
        let Some(key) = &secret.encryption_key else { continue };
        let resource = ResourceId::Secret(secret.name.clone());
        let key_chosen = chosen.contains(&ResourceId::Key(key.clone()));
        let key_there = world.keys.get(key).is_some_and(|k| k.keystore.instance() == Some(instance));
        if chosen.contains(&resource) && !key_chosen && !key_there {
            problems.push(problem(
                resource,
                ProblemCode::SecretKeyNotIncluded,
                format!("the key {key} that encrypts it is neither selected nor in {instance}"),
                "select the key and all secrets under it as well",
            ));
        } else if key_chosen && !chosen.contains(&resource) {
            problems.push(problem(
                ResourceId::Key(key.clone()),
                ProblemCode::KeyHasSecretsLeftBehind,
                format!("the secret {} is encrypted under it and is not selected", secret.name),
                "select that secret as well",
            ));
        }
    }
}

fn left_behind(resource: ResourceId, code: ProblemCode, message: String) -> LeftBehind {
    LeftBehind { resource, code: code.as_str().to_owned(), message }
}

fn problem(resource: ResourceId, code: ProblemCode, message: String, remedy: &str) -> Problem {
    Problem { resource: Some(resource), code, message, remedy: remedy.to_owned() }
}

fn not_found(resource: ResourceId) -> Problem {
    let message = format!("there is no {resource} in this account and region");
    problem(resource, ProblemCode::ResourceNotFound, message, "check the ID with `keyferry resources`")
}

fn already(resource: ResourceId, keystore: &KeystoreId) -> Problem {
    let message = format!("it is already in {keystore}");
    problem(resource, ProblemCode::AlreadyMigrated, message, "leave it out of the selection")
}

/// How many of these are of a kind.
pub(super) fn count_of<'a>(kind: ResourceKind, resources: impl Iterator<Item = &'a ResourceId>) -> u64 {
    u64::try_from(resources.filter(|resource| resource.kind() == kind).count()).unwrap_or(u64::MAX)
}
