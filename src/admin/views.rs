//! Records as the shapes of the protocol.

use jiff::Timestamp;

use super::protocol::{
    Advice, AllWord, ApprovalShape, EntryShape, HoldShape, JobShape, KeyShape, LeftShape, LockShape, ProblemShape,
    ResourcesShape, ScheduleShape, SecretShape, SignatureShape,
};
use crate::audit::StoredReport;
use crate::catalogue::{GateRecord, Hold};
use crate::config::format_duration;
use crate::model::{
    IfMissed, Job, JobId, KeyRecord, LeftBehind, Method, Problem, ResourceId, ScheduleEntry, ScheduleSource,
    ScheduleState, SecretRecord, Selection, When,
};
use crate::schedule::StoredSchedule;

pub(super) fn time(instant: Timestamp) -> String {
    instant.to_string()
}

pub(super) fn lock(gate: &GateRecord) -> LockShape {
    LockShape { job: gate.job.to_string(), since: time(gate.since), until: time(gate.until) }
}

pub(super) fn left(left: &LeftBehind) -> LeftShape {
    LeftShape {
        kind: left.resource.kind().to_string(),
        id: left.resource.name().to_owned(),
        code: left.code.clone(),
        message: left.message.clone(),
    }
}

pub(super) fn problem(problem: &Problem) -> ProblemShape {
    ProblemShape {
        kind: problem.resource.as_ref().map(|resource| resource.kind().to_string()),
        id: problem.resource.as_ref().map(|resource| resource.name().to_owned()),
        code: problem.code.to_string(),
        message: problem.message.clone(),
        remedy: problem.remedy.clone(),
    }
}

pub(super) fn job(job: &Job) -> JobShape {
    JobShape {
        id: job.id.to_string(),
        group: job.group.as_ref().map(JobId::to_string),
        state: job.state.as_str().to_owned(),
        task_status: job.state.task_status().as_str().to_owned(),
        method: match job.method {
            Method::Scheduled => "scheduled",
            Method::Manual => "manual",
        }
        .to_owned(),
        rehearsal: job.rehearsal,
        schedule: job.schedule.clone(),
        region: job.scope.region.to_string(),
        account: job.scope.account.to_string(),
        instance: job.instance.to_string(),
        scheduled_for: time(job.scheduled_for),
        started_at: job.started_at.map(time),
        finished_at: job.finished_at.map(time),
        keys_total: job.keys_total,
        keys_done: job.keys_done,
        secrets_total: job.secrets_total,
        secrets_done: job.secrets_done,
        locked_at: job.locked_at.map(time),
        unlocked_at: job.unlocked_at.map(time),
        window_end: Some(time(job.window_end)),
        failure: job.failure.as_ref().map(|failure| Advice {
            code: failure.code.clone(),
            message: failure.message.clone(),
            remedy: failure.remedy.clone(),
        }),
        left_behind: job.left_behind.iter().map(left).collect(),
        warnings: job.warnings.iter().map(problem).collect(),
        approval: job.approval.as_ref().map(|approval| ApprovalShape {
            asked_by: approval.asked_by.clone(),
            approved_by: approval.approved_by.clone(),
        }),
    }
}

pub(super) fn signature(filed: &StoredReport) -> SignatureShape {
    SignatureShape {
        at: time(filed.signed.at),
        digest: hex::encode(filed.signed.digest),
        signer: filed.signed.signer.to_string(),
        signature: hex::encode(&filed.signed.signature),
        intact: filed.is_intact(),
    }
}

pub(super) fn entry(entry: &ScheduleEntry) -> EntryShape {
    let (at, cron, time_zone) = match &entry.when {
        When::At(at) => (Some(time(*at)), None, None),
        When::Cron { pattern, time_zone } => (None, Some(pattern.clone()), Some(time_zone.clone())),
    };
    EntryShape {
        name: entry.name.clone(),
        region: entry.region.to_string(),
        accounts: entry.accounts.iter().map(ToString::to_string).collect(),
        instance: entry.instance.to_string(),
        at,
        cron,
        time_zone,
        resources: match &entry.resources {
            Selection::All => ResourcesShape::Word(AllWord::All),
            Selection::Picked { keys, secrets } => ResourcesShape::Picked {
                keys: keys.iter().map(ToString::to_string).collect(),
                secrets: secrets.iter().map(ToString::to_string).collect(),
            },
        },
        window: Some(format_duration(entry.window)),
        if_missed: Some(
            match entry.if_missed {
                IfMissed::Run => "run",
                IfMissed::Skip => "skip",
            }
            .to_owned(),
        ),
        soak: Some(format_duration(entry.soak)),
        rehearse: entry.rehearse,
        acknowledge: entry.acknowledge,
    }
}

pub(super) fn schedule(schedule: &StoredSchedule) -> ScheduleShape {
    ScheduleShape {
        entry: entry(&schedule.entry),
        source: match schedule.source {
            ScheduleSource::Config => "config",
            ScheduleSource::Cli => "cli",
        }
        .to_owned(),
        state: match schedule.state {
            ScheduleState::Active => "active",
            ScheduleState::Paused => "paused",
            ScheduleState::Canceled => "canceled",
            ScheduleState::Done => "done",
        }
        .to_owned(),
        next_run: schedule.next_run().map(time),
        last_job: schedule.last_job.as_ref().map(ToString::to_string),
    }
}

pub(super) fn hold(hold: &Hold) -> HoldShape {
    HoldShape {
        region: hold.region.as_ref().map(ToString::to_string),
        account: hold.account.as_ref().map(ToString::to_string),
        reason: hold.reason.clone(),
        since: time(hold.since),
    }
}

pub(super) fn key(key: &KeyRecord) -> KeyShape {
    KeyShape {
        id: key.id.to_string(),
        account: key.account.to_string(),
        region: key.region.to_string(),
        instance: key.keystore.instance().map(ToString::to_string),
        alias: key.aliases.iter().cloned().collect(),
        spec: key.spec.to_string(),
        usage: key.usage.as_str().to_owned(),
        state: key.state.as_str().to_owned(),
        service: key.service.clone(),
        description: Some(key.description.clone()),
    }
}

pub(super) fn secret(secret: &SecretRecord) -> SecretShape {
    SecretShape {
        name: secret.name.to_string(),
        account: secret.account.to_string(),
        region: secret.region.to_string(),
        instance: secret.keystore.instance().map(ToString::to_string),
        secret_type: secret.secret_type.to_string(),
        versions: secret.version_count,
    }
}

/// Names of the keys and of the secrets among resources, each in order.
pub(super) fn split<'a>(resources: impl Iterator<Item = &'a ResourceId>) -> (Vec<String>, Vec<String>) {
    let (mut keys, mut secrets) = (Vec::new(), Vec::new());
    for resource in resources {
        match resource {
            ResourceId::Key(id) => keys.push(id.to_string()),
            ResourceId::Secret(name) => secrets.push(name.to_string()),
        }
    }
    (keys, secrets)
}
