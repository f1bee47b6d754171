//! Preflight: all problems at once, each with resource, code and remedy. Holds no lock and changes nothing.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;

use super::items::{Known, items};
use super::planning::{Draft, count_of};
use super::world::World;
use super::{MigrationError, Migrations, Plan};
use crate::catalogue::Demand;
use crate::keystore::{KeystoreError, Unfit};
use crate::kms::InstanceFacts;
use crate::model::{InstanceId, JobId, Problem, ProblemCode, ResourceKind, Scope, Selection};

/// What staging costs in the target's store at most: 32 KiB a secret version, 4 KiB a key version, and as much again for
/// the engine's own copies.
const BYTES_PER_VERSION: u64 = 72 * 1024;

/// The window of a migration by hand.
const MANUAL_WINDOW: Duration = Duration::from_secs(2 * 3600);

/// What a key takes in a token at most: material, name, label and attributes.
const BYTES_PER_OBJECT: u64 = 1024;

/// Where a plan stands among others.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Standing<'a> {
    /// The job it is for: what it has reserved itself does not count against it.
    pub(super) job: Option<&'a JobId>,
    /// What comes into the instance before it.
    pub(super) ahead: Demand,
}

impl<'a> From<&'a JobId> for Standing<'a> {
    fn from(job: &'a JobId) -> Self {
        Self { job: Some(job), ahead: Demand::default() }
    }
}

/// What comes into the instance.
#[derive(Debug, Clone, Copy)]
struct Load {
    keys: u64,
    secrets: u64,
    versions: u64,
}

impl Load {
    /// Of a plan.
    fn of(plan: &Plan) -> Self {
        let versions: usize = plan.items.iter().map(|item| item.places.len()).sum();
        Self { keys: plan.keys(), secrets: plan.secrets(), versions: u64::try_from(versions).unwrap_or(u64::MAX) }
    }

    /// Of a draft: as many versions as the entries say.
    fn of_draft(Draft { moving, world, .. }: &Draft) -> Self {
        Self {
            keys: count_of(ResourceKind::Key, moving.iter()),
            secrets: count_of(ResourceKind::Secret, moving.iter()),
            versions: moving.iter().map(|resource| u64::from(world.versions(resource))).sum(),
        }
    }
}

impl Migrations {
    /// As [`Migrations::plan`], with the entries that the plan is made from; `known` is what an earlier plan has found.
    pub(super) async fn plan_for(
        &self,
        scope: &Scope,
        instance: &InstanceId,
        selection: &Selection,
        standing: Standing<'_>,
        known: Known,
    ) -> Result<(Plan, Arc<World>), MigrationError> {
        let Some(facts) = self.service.keystores.instance(instance) else {
            return Ok((Plan { problems: vec![no_instance(instance)], ..Plan::default() }, Arc::default()));
        };
        let Draft { mut plan, moving, world } = self.draft(scope, instance, facts.hardware, selection).await?;
        plan.items = items(&self.service.catalogue, &world, moving, known).await?;
        let load = Load::of(&plan);
        self.check(scope, &facts, standing, load, &mut plan).await?;
        Ok((plan, world))
    }

    /// What refuses a migration, as [`Migrations::plan`] tells it. Reads the entries and no version: whoever asks for a
    /// migration waits for this, and the job's own preflight reads them.
    ///
    /// # Errors
    /// When stores cannot be read.
    pub(super) async fn problems(
        &self,
        scope: &Scope,
        instance: &InstanceId,
        selection: &Selection,
    ) -> Result<Vec<Problem>, MigrationError> {
        let Some(facts) = self.service.keystores.instance(instance) else {
            return Ok(vec![no_instance(instance)]);
        };
        let draft = self.draft(scope, instance, facts.hardware, selection).await?;
        let load = Load::of_draft(&draft);
        let mut plan = draft.plan;
        self.check(scope, &facts, Standing::default(), load, &mut plan).await?;
        Ok(plan.problems)
    }

    /// Tells an instance that a migration into it begins soon.
    pub(super) fn expect_offer(&self, instance: &InstanceId) {
        if let Some(target) = self.service.keystores.target(instance) {
            target.expect_offer();
        }
    }

    async fn check(
        &self,
        scope: &Scope,
        facts: &InstanceFacts,
        standing: Standing<'_>,
        load: Load,
        plan: &mut Plan,
    ) -> Result<(), MigrationError> {
        self.check_instance(scope, facts, standing.job, load, plan).await?;
        self.check_quota(facts, standing, load, plan).await?;
        for hold in self.service.catalogue.holds().await? {
            if hold.covers(&scope.region, &scope.account) {
                plan.problems.push(run_problem(
                    ProblemCode::Held,
                    format!("migrations of {scope} are held since {}: {}", hold.since, hold.reason),
                    "lift it with `keyferry release`, naming the region and account of the hold (`keyferry status`)",
                ));
            }
        }
        Ok(())
    }

    async fn check_instance(
        &self,
        scope: &Scope,
        facts: &InstanceFacts,
        job: Option<&JobId>,
        load: Load,
        plan: &mut Plan,
    ) -> Result<(), MigrationError> {
        let id = &facts.id;
        if facts.region != scope.region {
            plan.problems.push(run_problem(
                ProblemCode::RegionMismatch,
                format!("{id} is in {}; resources never leave {}", facts.region, scope.region),
                "choose an instance in the same region",
            ));
        }
        let record = self.service.catalogue.instance(id).await?;
        let shared_by_hand = record.as_ref().is_some_and(|r| r.shared_with.contains(&scope.account));
        let allowed = self.service.keystores.check_share(&facts.owner, &scope.account);
        if let Err(refusal) = allowed {
            plan.problems.push(run_problem(
                ProblemCode::InstanceNotShared,
                format!("{id} cannot be shared with {}: {refusal}", scope.account),
                refusal.remedy(),
            ));
        } else if facts.owner != scope.account && !facts.shared_with.contains(&scope.account) && !shared_by_hand {
            plan.problems.push(run_problem(
                ProblemCode::InstanceNotShared,
                format!("{id} belongs to {} and is not shared with {}", facts.owner, scope.account),
                "share it with `keyferry instance share`, or choose another instance",
            ));
        }
        self.check_expiry(facts, self.window_end(job).await?, plan);
        if !self.service.is_enabled(id).await? {
            plan.problems.push(run_problem(
                ProblemCode::InstanceNotActive,
                format!("nobody has enabled {id}"),
                "enable it: ConnectKmsInstance, or `enabled = true` in the configuration",
            ));
            return Ok(());
        }
        let Some(target) = self.service.keystores.target(id) else {
            plan.problems.push(not_active(id, "it is not connected"));
            return Ok(());
        };
        match target.ready().await {
            Err(KeystoreError::Unfit { fault, detail, remedy, .. }) => {
                let code = match fault {
                    Unfit::Identity => ProblemCode::IdentityMismatch,
                    Unfit::Certificate | Unfit::Protocol | Unfit::Token => ProblemCode::InstanceNotActive,
                };
                plan.problems.push(run_problem(code, format!("{id} must not be used: {detail}"), &remedy));
            }
            Err(error @ KeystoreError::Full { .. }) => plan.problems.push(run_problem(
                ProblemCode::InsufficientSpace,
                format!("{id} takes no more keys: {error}"),
                "make room in the token, or choose another instance",
            )),
            Err(error) => plan.problems.push(not_active(id, &error.to_string())),
            Ok(readiness) => {
                let needed = load.versions.saturating_mul(BYTES_PER_VERSION);
                if let Some(free) = readiness.free_bytes
                    && free < needed
                {
                    plan.problems.push(run_problem(
                        ProblemCode::InsufficientSpace,
                        format!("{id} has {free} bytes free and may need {needed}"),
                        "make room on the instance's disk",
                    ));
                }
                let keys = load.keys.saturating_mul(BYTES_PER_OBJECT);
                if let Some(free) = readiness.token_free_bytes
                    && free < keys
                {
                    plan.problems.push(run_problem(
                        ProblemCode::InsufficientSpace,
                        format!("the token of {id} has {free} bytes free and may need {keys}"),
                        "make room in the token, or migrate fewer keys",
                    ));
                }
                // One that has only just answered for the first time is met here before whoever looks at it every now and
                // then has pinned it.
                let answers = target.identity();
                if self.service.catalogue.pin_identity(id, &answers).await? != answers {
                    plan.problems.push(run_problem(
                        ProblemCode::IdentityMismatch,
                        format!("{id} does not answer with the identity that was pinned when it was set up"),
                        "find out who answers in its place before anything moves there",
                    ));
                }
            }
        }
        Ok(())
    }

    /// When the window of a job ends; of one that is only planned, as if it were asked for by hand now.
    async fn window_end(&self, job: Option<&JobId>) -> Result<Timestamp, MigrationError> {
        if let Some(id) = job
            && let Some(job) = self.service.catalogue.job_summary(id).await?
        {
            return Ok(job.window_end);
        }
        let window = jiff::SignedDuration::try_from(MANUAL_WINDOW).unwrap_or_default();
        Ok(self.service.clock.now().saturating_add(window).unwrap_or(Timestamp::MAX))
    }

    /// Expiring within the window is a problem, soon after it something to be told.
    fn check_expiry(&self, facts: &InstanceFacts, window_end: Timestamp, plan: &mut Plan) {
        let Some(expires) = facts.expires else { return };
        let margin = jiff::SignedDuration::try_from(self.settings().expiry_margin).unwrap_or_default();
        let soon = self.service.clock.now().checked_add(margin).map_or(true, |limit| limit >= expires);
        if !soon && window_end < expires {
            return;
        }
        let problem = run_problem(
            ProblemCode::InstanceExpiring,
            format!("{} expires at {expires}; the window of the migration ends at {window_end}", facts.id),
            "renew it, or set auto_renew = true when somebody does",
        );
        let refuses = expires <= window_end && !facts.auto_renew;
        if refuses { plan.problems.push(problem) } else { plan.warnings.push(problem) }
    }

    async fn check_quota(
        &self,
        facts: &InstanceFacts,
        Standing { job, ahead }: Standing<'_>,
        load: Load,
        plan: &mut Plan,
    ) -> Result<(), MigrationError> {
        let taken = self.service.catalogue.quota(&facts.id).await?.taken(job);
        let rows = [
            ("keys", taken.keys.saturating_add(ahead.keys), load.keys, facts.key_quota),
            ("secrets", taken.secrets.saturating_add(ahead.secrets), load.secrets, facts.secret_quota),
        ];
        for (what, taken, wanted, quota) in rows {
            if wanted > 0 && taken.saturating_add(wanted) > quota {
                plan.problems.push(run_problem(
                    ProblemCode::QuotaExceeded,
                    format!(
                        "{} may hold {quota} {what}, holds or has promised {taken}, and {wanted} more would come",
                        facts.id
                    ),
                    "raise key_quota or secret_quota of its [[instance]] and reload, or migrate fewer",
                ));
            }
        }
        Ok(())
    }
}

pub(super) fn run_problem(code: ProblemCode, message: String, remedy: &str) -> Problem {
    Problem { resource: None, code, message, remedy: remedy.to_owned() }
}

fn no_instance(instance: &InstanceId) -> Problem {
    run_problem(
        ProblemCode::InstanceNotFound,
        format!("there is no instance {instance}"),
        "name an instance of the configuration; `keyferry instance list` shows them",
    )
}

fn not_active(id: &InstanceId, detail: &str) -> Problem {
    run_problem(
        ProblemCode::InstanceNotActive,
        format!("{id} cannot be used: {detail}"),
        "start or repair the instance and try again",
    )
}
