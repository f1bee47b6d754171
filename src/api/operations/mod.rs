//! The operations of the KMS OpenAPI that are implemented: one function and one table row each.

mod aliases;
mod authorization;
mod cryptography;
mod dry_run;
mod errors;
mod import;
mod instances;
mod key_versions;
mod keys;
mod macs;
mod metadata;
mod naming;
mod not_offered;
mod passwords;
mod policies;
mod reencryption;
mod regions;
mod secret_versions;
mod secrets;
mod tags;

use async_trait::async_trait;
use futures::future::BoxFuture;
use serde_json::Value;

use super::{ApiError, Call, Caller, Dispatcher, Parameters, Plane};
use crate::audit::OK;
use crate::kms::Service;
use crate::observe::metrics::METRICS;
use crate::observe::{Event, Fields, emit};

/// The operations of one KMS.
pub struct Operations {
    service: Service,
}

impl Operations {
    /// Those of this service.
    #[must_use]
    pub const fn new(service: Service) -> Self {
        Self { service }
    }
}

#[async_trait]
impl Dispatcher for Operations {
    async fn dispatch(&self, call: Call) -> Result<Value, ApiError> {
        METRICS.time(call.action.place(), self.carry_out(call)).await
    }
}

impl Operations {
    async fn carry_out(&self, mut call: Call) -> Result<Value, ApiError> {
        let answer = match table().find(|row| row.name == call.action.name) {
            Some(row) => {
                let outcome =
                    match authorization::authorize(&self.service, &call.caller, row.name, &mut call.parameters).await {
                        Ok(caller) => (row.run)(&self.service, &caller, &call.parameters).await,
                        Err(error) => Err(error),
                    };
                dry_run::outcome(row.name, &call.parameters, outcome)
            }
            None => {
                let why = not_offered::reason(call.action.name).unwrap_or_default();
                Err(ApiError::unsupported_operation().with_remedy(format!("Not offered: {why}")))
            }
        };
        if let Err(error) = &answer
            && error.code == "Rejected.Migrating"
        {
            METRICS.refused.inc();
            let text = format!("{} is refused while a migration runs", call.action.name);
            emit(Event::OperationRefused, &refused(&call.caller, error), &text);
        }
        if call.action.plane == Plane::Management {
            let outcome = answer.as_ref().map_or_else(|error| error.code, |_| OK);
            // Whoever asked is answered all the same: what is done is done, and what is refused stays refused.
            if let Err(error) = self.service.note(&call.caller, outcome).await {
                tracing::error!(operation = call.action.name, %error, "an operation could not be noted in the audit trail");
            }
        }
        answer
    }
}

/// Which job refuses, in which scope, and what the request names.
fn refused(caller: &Caller, error: &ApiError) -> Fields {
    let resource = caller.ticket.subject().map(str::to_owned);
    Fields { job: error.job.as_deref().map(str::to_owned), resource, ..Fields::new() }
        .scope(&caller.scope())
        .code(error.code)
}

/// One operation.
pub(super) struct Row {
    /// Its name in the API.
    pub(super) name: &'static str,
    /// Runs it; answers its response object without `RequestId`.
    pub(super) run: for<'a> fn(&'a Service, &'a Caller, &'a Parameters) -> BoxFuture<'a, Result<Value, ApiError>>,
}

/// A table row for each function: the operation's name and its function.
macro_rules! rows {
    ($($name:literal => $function:ident,)*) => {
        pub(super) const ROWS: &[$crate::api::operations::Row] = &[
            $($crate::api::operations::Row {
                name: $name,
                run: |service, caller, parameters| Box::pin($function(service, caller, parameters)),
            },)*
        ];
    };
}
use rows;

fn table() -> impl Iterator<Item = &'static Row> {
    [
        aliases::ROWS,
        cryptography::ROWS,
        import::ROWS,
        instances::ROWS,
        key_versions::ROWS,
        keys::ROWS,
        macs::ROWS,
        passwords::ROWS,
        policies::ROWS,
        reencryption::ROWS,
        regions::ROWS,
        secret_versions::ROWS,
        secrets::ROWS,
        tags::ROWS,
    ]
    .into_iter()
    .flatten()
}

#[cfg(test)]
mod audit_tests;
#[cfg(test)]
mod state_tests;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
