//! From a request as it came to its answer.

use std::net::IpAddr;
use std::sync::Arc;

use serde_json::Value;
use tokio_util::task::TaskTracker;
use tracing::Instrument as _;

use super::nonces::NonceMemory;
use super::request::{self, RawRequest};
use super::response::Reply;
use super::throttle::Throttle;
use super::{ApiError, Call, Caller, Dispatcher, Parameters, Regions, actions, signature};
use crate::access::AccessKeys;
use crate::audit::Ticket;
use crate::kms::Acting;
use crate::model::{Clock, RegionId};
use crate::observe::metrics::METRICS;
use crate::observe::{Event, Fields, emit, request_span};

/// The API version that is served.
pub const VERSION: &str = "2016-01-20";

/// What every listener shares.
pub struct Gateway {
    /// Who may sign.
    pub access_keys: Arc<dyn AccessKeys>,
    /// The configured regions.
    pub regions: Arc<Regions>,
    /// Nonces of the last half hour.
    pub nonces: Arc<NonceMemory>,
    /// How many requests a second.
    pub throttle: Arc<Throttle>,
    /// The wall clock.
    pub clock: Arc<dyn Clock>,
    /// The operations.
    pub dispatcher: Arc<dyn Dispatcher>,
    /// Operations under way; waited for when the daemon stops.
    pub running: TaskTracker,
}

/// Where a request came in.
#[derive(Debug, Clone)]
pub struct Arrival {
    /// The region of the listener, if it always means one.
    pub region: Option<RegionId>,
    /// The address it came from.
    pub source: IpAddr,
    /// It came over TLS.
    pub secure: bool,
}

impl Gateway {
    /// Answers a request.
    pub async fn answer(&self, raw: RawRequest, arrival: &Arrival) -> Reply {
        let request_id = uuid::Uuid::new_v4().hyphenated().to_string();
        let format = raw.format();
        let host = raw.host().unwrap_or_default().to_owned();
        // Whatever is logged on the way, down to the store, names the request as its answer does.
        let span = request_span(&request_id);
        let work = async {
            let done = self.run(raw, arrival, &request_id).await;
            done.inspect_err(|error| log(error, arrival.source))
        };
        match work.instrument(span).await {
            Ok((action, value)) => Reply::success(action, value, request_id, format),
            Err(error) => Reply::error(&error, request_id, &host, format),
        }
    }

    /// The answer to a request that could not be read to its end.
    #[must_use]
    pub fn refuse(&self, error: &ApiError, source: IpAddr) -> Reply {
        let request_id = uuid::Uuid::new_v4().hyphenated().to_string();
        request_span(&request_id).in_scope(|| log(error, source));
        Reply { close: true, ..Reply::error(error, request_id, "", request::Format::Json) }
    }

    async fn run(
        &self,
        raw: RawRequest,
        arrival: &Arrival,
        request_id: &str,
    ) -> Result<(&'static str, Value), ApiError> {
        let request = request::decode(&raw)?;
        let now = self.clock.now();
        let who = signature::authenticate(&raw, &request, self.access_keys.as_ref(), now)?;
        let nonce = who.claim(now);
        self.nonces.claim(&nonce, now)?;
        if request.version != VERSION {
            return Err(ApiError::invalid_version().with_remedy("Send 2016-01-20."));
        }
        let action = actions::find(&request.action).ok_or_else(ApiError::api_not_found)?;
        let parameters = request.parameters;
        let region = self.regions.resolve(arrival.region.as_ref(), parameters.optional("RegionId"), raw.host());
        let region = match region {
            // Somebody who does not know the regions yet cannot name one.
            Err(error) if error.code == "MissingParameter" && ANYWHERE.contains(&action.name) => {
                self.regions.all().first().cloned().ok_or(error)?
            }
            told => told?,
        };
        let account = who.identity.principal.account().clone();
        self.throttle.admit(&account, &region, action.plane, self.clock.monotonic())?;
        drop(raw);
        let caller = Caller {
            account,
            region,
            access_key_id: who.access_key_id,
            request_id: request_id.to_owned(),
            nonce: Some(nonce),
            source: arrival.source,
            ticket: Ticket::new(action.name, subject(&parameters)),
            acting: Acting {
                identity: Some(who.identity).filter(|identity| !identity.principal.is_root()),
                secure: arrival.secure,
                ..Acting::default()
            },
        };
        let dispatcher = Arc::clone(&self.dispatcher);
        // A task of its own: an operation half done must not stop because its client hung up.
        let work = async move { dispatcher.dispatch(Call { caller, action, parameters }).await };
        let task = self.running.spawn(work.in_current_span());
        let value =
            task.await.map_err(|error| ApiError::internal(format!("{} did not end: {error}", action.name)))??;
        Ok((action.name, value))
    }
}

/// Operations that mean no region: where nothing else tells, the first one answers.
const ANYWHERE: [&str; 4] = ["DescribeRegions", "DescribeAccountKmsStatus", "OpenKmsService", "GetRandomPassword"];

/// What a request names, for the audit trail.
fn subject(parameters: &Parameters) -> Option<&str> {
    ["KeyId", "SecretName", "AliasName"].into_iter().find_map(|name| parameters.optional(name))
}

/// Logs and counts what is not answered as it was asked.
fn log(error: &ApiError, source: IpAddr) {
    let internal = error.internal.as_deref();
    if error.http >= 500 {
        METRICS.failed.inc();
        tracing::error!(code = error.code, %source, internal, "a request failed inside");
    } else if matches!(error.http, 401 | 403)
        || error.code.starts_with("InvalidAccessKeyId")
        || error.code.starts_with("InvalidSecurityToken")
        || matches!(error.code, "SignatureDoesNotMatch" | "AccessDeniedError")
    {
        METRICS.denied.inc();
        let fields = Fields { detail: error.internal.clone(), ..Fields::new() }.code(error.code).source(source);
        emit(Event::RequestDenied, &fields, "a request was denied");
    } else {
        if error.http == 429 {
            METRICS.throttled.inc();
        }
        tracing::debug!(code = error.code, %source, internal, "a request was refused");
    }
}

#[cfg(test)]
#[path = "gateway_tests.rs"]
mod tests;
