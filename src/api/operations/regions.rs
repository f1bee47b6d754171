//! Operations on the service itself.

use serde_json::{Value, json};

use super::rows;
use crate::api::{ApiError, Caller, Parameters};
use crate::kms::Service;

rows! {
    "DescribeRegions" => describe_regions,
    "DescribeAccountKmsStatus" => describe_account_kms_status,
    "OpenKmsService" => open_kms_service,
}

pub(super) async fn describe_regions(service: &Service, _caller: &Caller, _p: &Parameters) -> Result<Value, ApiError> {
    let regions: Vec<Value> = service.keystores.regions().keys().map(|id| json!({"RegionId": id})).collect();
    Ok(json!({"Regions": {"Region": regions}}))
}

#[allow(clippy::unused_async)] // as every operation
pub(super) async fn describe_account_kms_status(
    _service: &Service,
    _caller: &Caller,
    _p: &Parameters,
) -> Result<Value, ApiError> {
    Ok(json!({"AccountStatus": "Enabled"}))
}

/// Every account that can sign a request has the service: opening it again is refused as the vendor refuses it.
#[allow(clippy::unused_async)] // as every operation
pub(super) async fn open_kms_service(_service: &Service, _caller: &Caller, _p: &Parameters) -> Result<Value, ApiError> {
    Err(ApiError::service_opened())
}
