//! The report of a job, put together from its records once it has ended (or as far as it has come).

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::{MigrationError, Migrations};
use crate::catalogue::{PlanItem, RotationSeen, StepRecord};
use crate::model::{
    Job, JobState, KeySpec, KeystoreId, Report, ReportResource, ReportRotation, ReportStep, ReportVersion, ResourceId,
    RotationFacts,
};

impl Migrations {
    /// The report of a job as its records are now.
    ///
    /// # Errors
    /// When the catalogue cannot be read.
    pub async fn report(&self, job: &Job) -> Result<Report, MigrationError> {
        let catalogue = &self.service.catalogue;
        let steps = catalogue.steps(&job.id).await?;
        let asked = catalogue.asked(job).await?;
        let (copies, served) = (proved_copies(&steps), left(&steps, JobState::Confirming, JobState::Purging));
        let mut resources = Vec::new();
        for item in catalogue.plan(&job.id).await? {
            resources.push(self.report_resource(job, item, copies, served).await?);
        }
        let mut rotation = Vec::new();
        for seen in catalogue.rotation_before(&job.id).await? {
            rotation.push(self.report_rotation(job, seen).await?);
        }
        let blocked = job.locked_at.zip(job.unlocked_at);
        let blocked = blocked.map(|(from, to)| to.as_millisecond().saturating_sub(from.as_millisecond()));
        Ok(Report {
            schema: Report::SCHEMA,
            job: job.id.clone(),
            group: job.group.clone(),
            state: job.state,
            method: job.method,
            schedule: job.schedule.clone(),
            rehearsal: job.rehearsal,
            asked_by: asked.as_ref().map(|asked| asked.by.to_string()),
            asked_at: asked.map(|asked| asked.at),
            scope: job.scope.clone(),
            from: KeystoreId::Shared(job.scope.region.clone()).to_string(),
            to: job.instance.to_string(),
            scheduled_for: job.scheduled_for,
            started_at: job.started_at,
            finished_at: job.finished_at,
            locked_at: job.locked_at,
            unlocked_at: job.unlocked_at,
            blocked_millis: blocked.and_then(|millis| u64::try_from(millis).ok()),
            failure: job.failure.clone(),
            resources,
            left_behind: job.left_behind.clone(),
            rotation,
            steps: steps.iter().map(|step| ReportStep { at: step.at, from: step.from, to: step.to }).collect(),
            plan_digest: job.plan_digest.clone(),
            manifest: job.manifest.clone(),
            notes: self.notes(job),
        })
    }

    fn notes(&self, job: &Job) -> Vec<String> {
        let hardware = self.service.keystores.instance(&job.instance).is_some_and(|facts| facts.hardware);
        if hardware { vec![OF_TOKENS.to_owned()] } else { Vec::new() }
    }

    async fn report_resource(
        &self,
        job: &Job,
        item: PlanItem,
        copies: Option<Timestamp>,
        served: Option<Timestamp>,
    ) -> Result<ReportResource, MigrationError> {
        // A secret's versions are known by the names their owner gave them.
        let mut names: BTreeMap<String, String> = BTreeMap::new();
        if let (ResourceId::Secret(_), Some(place)) = (&item.resource, item.places.first()) {
            for version in self.service.catalogue.secret_versions(&place.incarnation).await? {
                names.insert(version.material.to_string(), version.id.to_string());
            }
        }
        let versions = item.places.iter().map(|place| {
            let id = place.version.to_string();
            let id = names.remove(&id).unwrap_or(id);
            ReportVersion { id, copy_proved_at: copies, served_proved_at: served }
        });
        Ok(ReportResource {
            versions: versions.collect(),
            proof: proof(&item).to_owned(),
            moved: job.state.is_past_return(),
            spec: item.spec.map(|spec| spec.to_string()),
            resource: item.resource,
        })
    }

    async fn report_rotation(&self, job: &Job, seen: RotationSeen) -> Result<ReportRotation, MigrationError> {
        let catalogue = &self.service.catalogue;
        let now = match &seen.resource {
            ResourceId::Key(id) => catalogue.key(&job.scope.region, id).await?.map(|key| key.rotation),
            ResourceId::Secret(name) => catalogue.secret(&job.scope, name).await?.map(|s| s.rotation),
        };
        let held = catalogue.rotation_held(&job.scope, &seen.resource).await?;
        let after = now.map(|rotation| facts(&RotationSeen::of(seen.resource.clone(), &rotation)));
        Ok(ReportRotation { before: facts(&seen), after, held, resource: seen.resource })
    }
}

/// What PKCS#11 says of keys that were not made in the token.
const OF_TOKENS: &str = "keys came into the token by unwrapping: they are CKA_SENSITIVE and not CKA_EXTRACTABLE from then on, \
                         and, since they were made elsewhere, never CKA_ALWAYS_SENSITIVE, CKA_NEVER_EXTRACTABLE or \
                         CKA_LOCAL";

fn facts(seen: &RotationSeen) -> RotationFacts {
    RotationFacts {
        enabled: seen.enabled,
        interval_seconds: seen.interval.map(|interval| interval.as_secs()),
        next: seen.next,
    }
}

/// How the proofs of this kind of resource work (see `proofs.rs`).
fn proof(item: &PlanItem) -> &'static str {
    match (&item.resource, item.spec) {
        (ResourceId::Secret(_), _) => "keyed digests of the two keystores agree",
        (ResourceId::Key(_), Some(spec)) if KeySpec::is_symmetric(spec) => {
            "a random challenge sealed by each side opened in the other"
        }
        (ResourceId::Key(_), _) => {
            "same public key; a signature (or decryption) by the copy held in an independent implementation"
        }
    }
}

/// When the copies were proved: verifying was left for what comes after it, not for a roll-back of a failure.
fn proved_copies(steps: &[StepRecord]) -> Option<Timestamp> {
    left(steps, JobState::Verifying, JobState::Activating).or_else(|| {
        // A rehearsal rolls back after its proofs; it ends as rehearsed only then.
        let rehearsed = steps.iter().any(|step| step.to == JobState::Rehearsed);
        if rehearsed { left(steps, JobState::Verifying, JobState::RollingBack) } else { None }
    })
}

fn left(steps: &[StepRecord], from: JobState, to: JobState) -> Option<Timestamp> {
    steps.iter().rev().find(|step| step.from == from && step.to == to).map(|step| step.at)
}
