//! Refusals and failures, each with a code, an HTTP status and a remedy.
//!
//! The status tells the command line its exit code: 400 and 404 are usage (2), 409 means that the present state does not
//! allow it (1), 422 that preflight refuses (4), 423 that the scope is locked (5), 5xx is a failure (1).

use axum::Json;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};

use super::protocol::{Advice, ErrorShape, ProblemShape};
use super::views;
use crate::audit::AuditError;
use crate::catalogue::CatalogueError;
use crate::migration::MigrationError;
use crate::model::{IdError, ProblemCode};
use crate::schedule::ScheduleError;
use crate::store::StoreError;

/// A refusal or failure.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AdminError {
    status: StatusCode,
    body: ErrorShape,
}

impl AdminError {
    /// The request itself is wrong.
    #[must_use]
    pub fn usage(code: &str, message: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, code, message, remedy)
    }

    /// What it names does not exist.
    #[must_use]
    pub fn unknown(code: &str, message: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, code, message, remedy)
    }

    /// The present state does not allow it.
    #[must_use]
    pub fn state(code: &str, message: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self::new(StatusCode::CONFLICT, code, message, remedy)
    }

    /// Whoever asks may not.
    #[must_use]
    pub fn forbidden(code: &str, message: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self::new(StatusCode::FORBIDDEN, code, message, remedy)
    }

    /// A job holds the scope or the instance.
    #[must_use]
    pub fn locked(message: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self::new(StatusCode::LOCKED, ProblemCode::ScopeLocked.as_str(), message, remedy)
    }

    /// What is wrong, in words.
    #[must_use]
    pub fn message(&self) -> &str {
        &self.body.error.message
    }

    /// The HTTP status.
    #[must_use]
    pub const fn status(&self) -> StatusCode {
        self.status
    }

    /// The body.
    #[must_use]
    pub const fn body(&self) -> &ErrorShape {
        &self.body
    }

    pub(super) fn busy() -> Self {
        const REMEDY: &str = "try again";
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "Busy", "the same record is being changed over and over", REMEDY)
    }

    fn new(status: StatusCode, code: &str, message: impl Into<String>, remedy: impl Into<String>) -> Self {
        let error = Advice { code: code.to_owned(), message: message.into(), remedy: remedy.into() };
        Self { status, body: ErrorShape { error, problems: Vec::new() } }
    }

    fn failure(message: String) -> Self {
        const REMEDY: &str = "look into the daemon's log; try again";
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "Internal", message, REMEDY)
    }

    fn refused(problems: Vec<ProblemShape>) -> Self {
        let locked = ProblemCode::ScopeLocked.as_str();
        if let Some(first) = problems.first()
            && problems.iter().all(|problem| problem.code == locked)
        {
            let error = Self::locked(first.message.clone(), first.remedy.clone());
            return Self { body: ErrorShape { problems, ..error.body }, ..error };
        }
        let message = match problems.len() {
            1 => "preflight found a problem; nothing was changed".to_owned(),
            n => format!("preflight found {n} problems; nothing was changed"),
        };
        let error = Self::new(StatusCode::UNPROCESSABLE_ENTITY, "Refused", message, "resolve each, then ask again");
        Self { body: ErrorShape { problems, ..error.body }, ..error }
    }
}

impl IntoResponse for AdminError {
    fn into_response(self) -> Response {
        (self.status, Json(self.body)).into_response()
    }
}

impl From<MigrationError> for AdminError {
    fn from(error: MigrationError) -> Self {
        match error {
            MigrationError::Refused(problems) => Self::refused(problems.iter().map(views::problem).collect()),
            MigrationError::NoJob(id) => Self::no_job(id.as_str()),
            MigrationError::Ended(id, end) => {
                let message = format!("{id} has ended ({})", end.as_str());
                Self::state("Ended", message, format!("see `keyferry job show {id}`"))
            }
            MigrationError::PastReturn(id) => Self::state(
                "PastReturn",
                format!("{id} has begun to destroy the source copies; from there on it only goes forward"),
                format!("let it finish: `keyferry job watch {id}`"),
            ),
            MigrationError::NotAwaited(id) => Self::state(
                "NotAwaited",
                format!("{id} waits for no approval"),
                format!("see `keyferry job show {id}`"),
            ),
            MigrationError::OwnApproval(id) => Self::forbidden(
                "OwnApproval",
                format!("{id} has to be approved by somebody else than who asked for it"),
                format!("have somebody else run `keyferry job approve {id}`"),
            ),
            MigrationError::Catalogue(error) => error.into(),
            other => Self::failure(other.to_string()),
        }
    }
}

impl AdminError {
    pub(super) fn no_job(id: &str) -> Self {
        Self::unknown("JobNotFound", format!("there is no job {id}"), "`keyferry job list` shows all")
    }
}

impl From<CatalogueError> for AdminError {
    fn from(error: CatalogueError) -> Self {
        match error {
            CatalogueError::Conflict => Self::busy(),
            CatalogueError::Refused(refusal) => Self::locked(
                format!("the scope is locked by {} since {}", refusal.job, refusal.since),
                format!("wait for it: `keyferry job watch {}`", refusal.job),
            ),
            other => Self::failure(other.to_string()),
        }
    }
}

impl From<AuditError> for AdminError {
    fn from(error: AuditError) -> Self {
        Self::failure(error.to_string())
    }
}

impl From<StoreError> for AdminError {
    fn from(error: StoreError) -> Self {
        Self::failure(error.to_string())
    }
}

impl From<ScheduleError> for AdminError {
    fn from(error: ScheduleError) -> Self {
        let message = error.to_string();
        match error {
            ScheduleError::Unknown(name) => Self::unknown(
                "ScheduleNotFound",
                format!("there is no schedule {name:?}"),
                "`keyferry schedule list` shows all",
            ),
            ScheduleError::NameTaken(_) => Self::usage("NameTaken", message, "`keyferry schedule list` shows all"),
            ScheduleError::WrongState { name, .. } => {
                let remedy = format!(
                    "see `keyferry schedule show {name}`; what is canceled or done comes back with a new entry"
                );
                Self::state("WrongState", message, remedy)
            }
            ScheduleError::Busy => Self::busy(),
            _ => Self::failure(message),
        }
    }
}

impl From<IdError> for AdminError {
    fn from(error: IdError) -> Self {
        let message = format!("{:?} is not a valid {}", error.found, error.kind);
        Self::usage("InvalidValue", message, format!("allowed: {}", error.rule))
    }
}
