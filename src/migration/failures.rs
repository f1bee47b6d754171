//! Why a job failed, as its operator reads it: code, cause and remedy.

use crate::model::{Failure, InstanceId, Job, Problem, ProblemCode};

pub(super) fn window_ended(job: &Job) -> Failure {
    Failure {
        code: "WindowEnded".to_owned(),
        message: format!("the window ended at {} before the first purge", job.window_end),
        remedy: "everything is as it was before; run it again with a longer window".to_owned(),
    }
}

pub(super) fn unreachable(detail: &str) -> Failure {
    Failure {
        code: "InstanceUnreachable".to_owned(),
        message: detail.to_owned(),
        remedy: "everything is as it was before; bring the instance back and run it again".to_owned(),
    }
}

pub(super) fn refused(problems: &[Problem]) -> Failure {
    let first = problems.first();
    Failure {
        code: first.map(|p| p.code.as_str().to_owned()).unwrap_or_default(),
        message: list(problems),
        remedy: first.map(|p| p.remedy.clone()).unwrap_or_default(),
    }
}

pub(super) fn list(problems: &[Problem]) -> String {
    let lines: Vec<String> = problems
        .iter()
        .take(20)
        .map(|p| match &p.resource {
            Some(resource) => format!("{resource}: {} ({})", p.message, p.code),
            None => format!("{} ({})", p.message, p.code),
        })
        .collect();
    lines.join("; ")
}

pub(super) fn unproved(why: String) -> Failure {
    Failure {
        code: "VerificationFailed".to_owned(),
        message: why,
        remedy: "everything is as it was before; look into the instance's store before running it again".to_owned(),
    }
}

pub(super) fn full(why: &str) -> Failure {
    Failure {
        code: ProblemCode::InsufficientSpace.as_str().to_owned(),
        message: why.to_owned(),
        remedy: "everything is as it was before; make room in the instance's token, or migrate fewer keys".to_owned(),
    }
}

pub(super) fn taken(instance: &InstanceId, why: &str) -> Failure {
    Failure {
        code: ProblemCode::NameConflict.as_str().to_owned(),
        message: format!("{instance}: {why}"),
        remedy:
            "everything is as it was before; `keyferry doctor` lists all that the instance has of resources that live \
                 elsewhere: restore a backup that knows it, or migrate into another instance (docs/remote.md)"
                .to_owned(),
    }
}

pub(super) fn internal(why: &str) -> Failure {
    Failure {
        code: "Internal".to_owned(),
        message: why.to_owned(),
        remedy: "everything is as it was before; look into the log around this event".to_owned(),
    }
}
