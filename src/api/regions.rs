//! Which region a request is for.

use std::sync::{Arc, PoisonError, RwLock};

use super::ApiError;
use crate::model::RegionId;

/// The configured regions, swapped as a whole when the configuration is read again.
#[derive(Debug, Default)]
pub struct Regions {
    known: RwLock<Arc<Vec<RegionId>>>,
}

impl Regions {
    /// These regions.
    #[must_use]
    pub fn new(known: Vec<RegionId>) -> Self {
        Self { known: RwLock::new(Arc::new(known)) }
    }

    /// Replaces them.
    pub fn replace(&self, known: Vec<RegionId>) {
        *self.known.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(known);
    }

    /// All of them, in the order of the configuration.
    #[must_use]
    pub fn all(&self) -> Arc<Vec<RegionId>> {
        Arc::clone(&self.known.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// The region of a request (contract §1): the listener's own, else the `RegionId` parameter, else a Host of the form
    /// `kms.REGION.…` or `kms-vpc.REGION.…`, else the only configured one. A Host that names no configured region says
    /// nothing: a KMS may well be called `kms.example.com`.
    ///
    /// # Errors
    /// `InvalidParameter` for a `RegionId` that is not configured, `MissingParameter` when nothing tells.
    pub fn resolve(
        &self,
        listener: Option<&RegionId>,
        parameter: Option<&str>,
        host: Option<&str>,
    ) -> Result<RegionId, ApiError> {
        if let Some(region) = listener {
            return Ok(region.clone());
        }
        let known = self.all();
        if let Some(name) = parameter {
            return known.iter().find(|region| region.as_str() == name).cloned().ok_or_else(|| {
                ApiError::invalid_parameter("RegionId").with_remedy("Name a region that is configured here.")
            });
        }
        if let Some(name) = host.and_then(region_in_host)
            && let Some(region) = known.iter().find(|region| region.as_str() == name)
        {
            return Ok(region.clone());
        }
        match known.as_slice() {
            [only] => Ok(only.clone()),
            _ => Err(ApiError::missing_parameter("RegionId")),
        }
    }
}

fn region_in_host(host: &str) -> Option<&str> {
    // One SDK sends its whole endpoint, scheme included, as the Host.
    let host = host.split_once("://").map_or(host, |(_, rest)| rest);
    let mut labels = host.split('.');
    let service = labels.next()?;
    let region = labels.next()?;
    labels.next()?;
    matches!(service, "kms" | "kms-vpc").then_some(region)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn region(name: &str) -> RegionId {
        name.parse().unwrap()
    }

    #[test]
    fn the_order_is_listener_parameter_host_only_region() {
        let regions = Regions::new(vec![region("cn-hangzhou"), region("cn-beijing")]);
        let host = Some("kms.cn-beijing.aliyuncs.com");
        let own = region("cn-shanghai");
        let resolve = |listener, parameter, host| regions.resolve(listener, parameter, host).map(|r| r.to_string());
        assert_eq!(resolve(Some(&own), Some("cn-hangzhou"), host).unwrap(), "cn-shanghai");
        assert_eq!(resolve(None, Some("cn-hangzhou"), host).unwrap(), "cn-hangzhou");
        assert_eq!(resolve(None, None, host).unwrap(), "cn-beijing");
        assert_eq!(resolve(None, None, Some("http://kms-vpc.cn-beijing.aliyuncs.com")).unwrap(), "cn-beijing");
        assert_eq!(resolve(None, None, Some("kms.example.com")).unwrap_err().code, "MissingParameter");
        assert_eq!(resolve(None, None, Some("127.0.0.1:8780")).unwrap_err().code, "MissingParameter");
        assert_eq!(resolve(None, Some("cn-x"), None).unwrap_err().code, "InvalidParameter");
        regions.replace(vec![region("cn-hangzhou")]);
        assert_eq!(regions.resolve(None, None, Some("kms.example.com")).unwrap(), region("cn-hangzhou"));
        assert_eq!(regions.resolve(None, None, None).unwrap(), region("cn-hangzhou"));
    }
}
