//! The nonces of the last half hour, in memory.
//!
//! Every correctly signed request claims its nonce here, management or not, so that both see each other. A management
//! operation puts its claim into its transaction as well, which also holds after a restart; a read or a cryptographic
//! operation that is repeated just after a restart changes nothing.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use aws_lc_rs::digest;
use jiff::{SignedDuration, Timestamp};

use super::ApiError;
use crate::model::NonceClaim;

/// Remembers which (access key, nonce) were used. 24 bytes and a hash map's slack for each.
pub struct NonceMemory {
    shards: Vec<Mutex<Shard>>,
}

impl NonceMemory {
    /// An empty memory.
    #[must_use]
    pub fn new() -> Self {
        Self { shards: (0..SHARDS).map(|_| Mutex::default()).collect() }
    }

    /// Uses a nonce up. Only for requests whose signature was found right.
    ///
    /// # Errors
    /// `SignatureNonceUsed` when it was used before and its claim has not expired.
    pub fn claim(&self, claim: &NonceClaim, now: Timestamp) -> Result<(), ApiError> {
        let print = fingerprint(claim);
        let index = usize::from(print.first().copied().unwrap_or_default()).checked_rem(SHARDS).unwrap_or_default();
        let Some(shard) = self.shards.get(index) else {
            return Err(ApiError::internal("no shard for a nonce"));
        };
        let mut shard = shard.lock().unwrap_or_else(PoisonError::into_inner);
        shard.sweep(now);
        match shard.expiries.get(&print) {
            Some(expires_at) if *expires_at >= now.as_second() => Err(ApiError::nonce_used()),
            _ => {
                // The second after, so that a claim never ends within its last second.
                shard.expiries.insert(print, claim.expires_at.as_second().saturating_add(1));
                Ok(())
            }
        }
    }

    /// How many are remembered.
    #[must_use]
    pub fn len(&self) -> usize {
        self.shards.iter().map(|shard| shard.lock().unwrap_or_else(PoisonError::into_inner).expiries.len()).sum()
    }

    /// Whether none is.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl Default for NonceMemory {
    fn default() -> Self {
        Self::new()
    }
}

type Fingerprint = [u8; 16];

#[derive(Default)]
struct Shard {
    /// Until which second each counts.
    expiries: HashMap<Fingerprint, i64>,
    next_sweep: Option<Timestamp>,
}

impl Shard {
    fn sweep(&mut self, now: Timestamp) {
        if self.next_sweep.is_some_and(|at| now < at) {
            return;
        }
        let second = now.as_second();
        self.expiries.retain(|_, expires_at| *expires_at >= second);
        self.next_sweep = now.checked_add(SWEEP_EVERY).ok();
    }
}

const SHARDS: usize = 64;
const SWEEP_EVERY: SignedDuration = SignedDuration::from_secs(60);

/// Half of SHA-256: nobody finds two nonces with the same one.
fn fingerprint(claim: &NonceClaim) -> Fingerprint {
    let mut context = digest::Context::new(&digest::SHA256);
    context.update(&claim.access_key_id.len().to_be_bytes());
    context.update(claim.access_key_id.as_bytes());
    context.update(claim.nonce.as_bytes());
    context.finish().as_ref().first_chunk().copied().unwrap_or_default()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(1_700_000_000 + seconds).unwrap()
    }

    fn claim(access_key_id: &str, nonce: &str, expires: i64) -> NonceClaim {
        NonceClaim { access_key_id: access_key_id.to_owned(), nonce: nonce.to_owned(), expires_at: at(expires) }
    }

    #[test]
    fn a_nonce_counts_once_for_each_access_key_until_it_expires() {
        let memory = NonceMemory::new();
        memory.claim(&claim("a", "n", 900), at(0)).unwrap();
        assert_eq!(memory.claim(&claim("a", "n", 900), at(1)).unwrap_err().code, "SignatureNonceUsed");
        memory.claim(&claim("b", "n", 900), at(1)).unwrap();
        memory.claim(&claim("an", "", 900), at(1)).unwrap();
        assert!(memory.claim(&claim("a", "n", 900), at(900)).is_err());
        memory.claim(&claim("a", "n", 1900), at(902)).unwrap();
        assert!(memory.claim(&claim("a", "n", 1900), at(902)).is_err());
    }

    #[test]
    fn what_expired_is_forgotten() {
        let memory = NonceMemory::new();
        for n in 0..10_000 {
            memory.claim(&claim("a", &n.to_string(), 900), at(0)).unwrap();
        }
        assert_eq!(memory.len(), 10_000);
        for n in 0..2000 {
            memory.claim(&claim("b", &n.to_string(), 2000), at(1000)).unwrap();
        }
        assert_eq!(memory.len(), 2000);
    }

    #[test]
    fn of_many_at_once_one_wins() {
        let memory = NonceMemory::new();
        let won = std::thread::scope(|scope| {
            let threads: Vec<_> =
                (0..8).map(|_| scope.spawn(|| memory.claim(&claim("a", "n", 900), at(0)).is_ok())).collect();
            threads.into_iter().map(|t| t.join().unwrap()).filter(|won| *won).count()
        });
        assert_eq!(won, 1);
    }
}
