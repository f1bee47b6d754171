//! Operations on the service itself.

use serde_json::{Value, json};

use super::rows;
use crate::api::{ApiError, Caller, Parameters};
use crate::kms::Service;

rows! {
    "DescribeRegions" => describe_regions,
}

pub(super) async fn describe_regions(service: &Service, _caller: &Caller, _p: &Parameters) -> Result<Value, ApiError> {
    let regions: Vec<Value> = service.keystores.regions().keys().map(|id| json!({"RegionId": id})).collect();
    Ok(json!({"Regions": {"Region": regions}}))
}
