//! How many requests a second an account may send in a region. Off unless the operator sets rates.
//!
//! Counted are correctly signed requests for known operations, by plane, as the vendor does (kms-protocol.md §9, quotas):
//! who cannot sign cannot use up what belongs to somebody else. The rate is held by the generic cell rate algorithm (ITU-T
//! I.371): each request moves a theoretical arrival time on by its share of a second, and may be early by a second at most,
//! so that a second's worth of requests may come at once.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError, RwLock};
use std::time::Duration;

use super::{ApiError, Plane};
use crate::model::{AccountId, RegionId};

/// Requests a second, by plane. 0: unlimited.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Rates {
    /// Cryptography and secret values.
    pub data: u32,
    /// What describes and lists.
    pub read: u32,
    /// What changes something.
    pub management: u32,
}

/// Remembers when each account's next request is due. One small entry for each account, region and plane that were seen:
/// all three are bounded by the configuration.
#[derive(Default)]
pub struct Throttle {
    rates: RwLock<Rates>,
    due: Mutex<HashMap<(AccountId, RegionId, Plane), Duration>>,
}

impl Throttle {
    /// With these rates.
    #[must_use]
    pub fn new(rates: Rates) -> Self {
        Self { rates: RwLock::new(rates), due: Mutex::default() }
    }

    /// Replaces the rates.
    pub fn replace(&self, rates: Rates) {
        *self.rates.write().unwrap_or_else(PoisonError::into_inner) = rates;
        self.due.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    /// Counts a request. `now` is monotonic.
    ///
    /// # Errors
    /// `Rejected.Throttling` for one too many, with the time to wait.
    pub fn admit(&self, account: &AccountId, region: &RegionId, plane: Plane, now: Duration) -> Result<(), ApiError> {
        let rates = *self.rates.read().unwrap_or_else(PoisonError::into_inner);
        let rate = match plane {
            Plane::Data => rates.data,
            Plane::Read => rates.read,
            Plane::Management => rates.management,
        };
        let Some(share) = SECOND.checked_div(rate) else {
            return Ok(());
        };
        let mut due = self.due.lock().unwrap_or_else(PoisonError::into_inner);
        let due = due.entry((account.clone(), region.clone(), plane)).or_default();
        let next = (*due).max(now).saturating_add(share);
        let early = next.saturating_sub(now);
        if early > SECOND {
            return Err(ApiError::throttled()
                .with_remedy(format!("The limit of this account is {rate} such requests a second."))
                .with_retry_after(early.saturating_sub(SECOND)));
        }
        *due = next;
        Ok(())
    }
}

const SECOND: Duration = Duration::from_secs(1);

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn admitted(throttle: &Throttle, account: &str, plane: Plane, at: Duration, tries: usize) -> usize {
        let (account, region) = (account.parse().unwrap(), "cn-hangzhou".parse().unwrap());
        (0..tries).filter(|_| throttle.admit(&account, &region, plane, at).is_ok()).count()
    }

    const ME: &str = "1000000000000001";

    #[test]
    fn a_seconds_worth_at_once_and_then_as_they_fall_due() {
        let throttle = Throttle::new(Rates { data: 10, ..Rates::default() });
        let at = |ms: u64| Duration::from_millis(5000 + ms);
        assert_eq!(admitted(&throttle, ME, Plane::Data, at(0), 50), 10);
        assert_eq!(admitted(&throttle, ME, Plane::Data, at(99), 50), 0);
        assert_eq!(admitted(&throttle, ME, Plane::Data, at(100), 50), 1);
        assert_eq!(admitted(&throttle, ME, Plane::Data, at(600), 50), 5);
        // Over a long time the rate holds, however the requests come.
        let total: usize = (601..20_601).step_by(7).map(|ms| admitted(&throttle, ME, Plane::Data, at(ms), 3)).sum();
        assert!((198..=202).contains(&total), "{total}");
        // What was not used is not saved up.
        assert_eq!(admitted(&throttle, ME, Plane::Data, at(3_600_000), 50), 10);
    }

    #[test]
    fn accounts_and_planes_do_not_share_and_zero_is_no_limit() {
        let throttle = Throttle::new(Rates { data: 2, read: 0, management: 1 });
        let now = Duration::from_secs(9);
        assert_eq!(admitted(&throttle, ME, Plane::Data, now, 5), 2);
        assert_eq!(admitted(&throttle, ME, Plane::Management, now, 5), 1);
        assert_eq!(admitted(&throttle, ME, Plane::Read, now, 5), 5);
        assert_eq!(admitted(&throttle, "1000000000000002", Plane::Data, now, 5), 2);
        throttle.replace(Rates::default());
        assert_eq!(admitted(&throttle, ME, Plane::Data, now, 5), 5);
    }

    #[test]
    fn a_refusal_says_when_to_come_back() {
        let throttle = Throttle::new(Rates { management: 1, ..Rates::default() });
        let (account, region) = (ME.parse().unwrap(), "cn-hangzhou".parse().unwrap());
        let ask = |ms| throttle.admit(&account, &region, Plane::Management, Duration::from_millis(ms));
        ask(0).unwrap();
        let error = ask(250).unwrap_err();
        assert_eq!((error.http, error.code), (429, "Rejected.Throttling"));
        assert_eq!(error.retry_after, Some(Duration::from_millis(750)));
        assert!(ask(1000).is_ok());
    }
}
