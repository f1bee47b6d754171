//! A keystore that fails on demand, to rehearse outages: unreachable, slow, hanging, a call that fails before or after it
//! took effect, an answer that is wrong.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;
use tokio::sync::watch;
use zeroize::Zeroizing;

use super::{Answer, Held, Keystore, KeystoreError, Label, Place, Prover, Readiness, Source, Target, WrapOrder};
use crate::crypto::envelope::SecretEnvelope;
use crate::crypto::mac::MacAlgorithm;
use crate::crypto::material::{DecryptAlgorithm, KeyMaterial, SignAlgorithm};
use crate::crypto::parcel::{Parcel, PublicIdentity, SignedOffer};
use crate::model::{Incarnation, InstanceState, JobId, KeystoreId, Scope};

/// What is to go wrong; shared between whoever breaks things and the keystore that breaks.
#[derive(Default)]
pub struct FaultPlan {
    unreachable: AtomicBool,
    frozen: watch::Sender<bool>,
    delay: Mutex<Duration>,
    faults: Mutex<HashMap<&'static str, (Fault, u64)>>,
    any: Mutex<Option<(Fault, u64)>>,
    hooks: Mutex<HashMap<&'static str, (Hook, u64)>>,
    calls: Mutex<HashMap<&'static str, u64>>,
}

/// What is to happen just before a call.
type Hook = Box<dyn FnOnce() + Send>;

/// How a call goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// It fails and has no effect.
    Before,
    /// It has its effect, but the answer is lost.
    After,
    /// A bit of the answer is flipped, where the answer has bits to flip.
    Flip,
    /// It hangs, and every later call with it, until [`FaultPlan::thaw`]; then they go on where they were.
    Freeze,
}

impl FaultPlan {
    /// Cuts the connection, or restores it.
    pub fn set_unreachable(&self, unreachable: bool) {
        self.unreachable.store(unreachable, Ordering::SeqCst);
    }

    /// Makes every call take so much longer.
    pub fn set_delay(&self, delay: Duration) {
        *lock(&self.delay) = delay;
    }

    /// The `nth` call from now (1 = the next) of a method, by the method's name, goes wrong. One plan a method.
    pub fn break_call(&self, method: &'static str, nth: u64, fault: Fault) {
        lock(&self.faults).insert(method, (fault, nth));
    }

    /// The `nth` call from now of whatever method goes wrong.
    pub fn break_any(&self, nth: u64, fault: Fault) {
        *lock(&self.any) = Some((fault, nth));
    }

    /// Does something just before the `nth` call from now of a method. One hook a method.
    pub fn before_call(&self, method: &'static str, nth: u64, hook: impl FnOnce() + Send + 'static) {
        lock(&self.hooks).insert(method, (Box::new(hook), nth));
    }

    /// Takes back what was planned and has not come yet.
    pub fn mend(&self) {
        lock(&self.faults).clear();
        lock(&self.hooks).clear();
        *lock(&self.any) = None;
    }

    /// Lets go on what hangs.
    pub fn thaw(&self) {
        self.frozen.send_replace(false);
    }

    /// Waits until a call hangs.
    pub async fn frozen(&self) {
        // The sender is ours, so it is there.
        let _ = self.frozen.subscribe().wait_for(|frozen| *frozen).await;
    }

    /// How often a method was called.
    #[must_use]
    pub fn calls(&self, method: &str) -> u64 {
        lock(&self.calls).get(method).copied().unwrap_or(0)
    }

    /// How often any method was called.
    #[must_use]
    pub fn all_calls(&self) -> u64 {
        lock(&self.calls).values().sum()
    }

    /// The fault that is due for this call, after what has to happen before it.
    async fn due(&self, method: &'static str) -> Option<Fault> {
        self.happen(method);
        let delay = *lock(&self.delay);
        if !delay.is_zero() {
            tokio::time::sleep(delay).await;
        }
        let fault = self.count(method);
        if fault == Some(Fault::Freeze) {
            self.frozen.send_replace(true);
        }
        let _ = self.frozen.subscribe().wait_for(|frozen| !*frozen).await;
        if self.unreachable.load(Ordering::SeqCst) {
            return Some(Fault::Before);
        }
        fault.filter(|fault| *fault != Fault::Freeze)
    }

    fn happen(&self, method: &'static str) {
        let hook = {
            let mut hooks = lock(&self.hooks);
            let due = hooks.get_mut(method).is_some_and(|(_, left)| {
                *left = left.saturating_sub(1);
                *left == 0
            });
            if due { hooks.remove(method) } else { None }
        };
        if let Some((hook, _)) = hook {
            hook();
        }
    }

    fn count(&self, method: &'static str) -> Option<Fault> {
        let mut calls = lock(&self.calls);
        let count = calls.entry(method).or_default();
        *count = count.saturating_add(1);
        let mut any = lock(&self.any);
        if let Some((fault, left)) = any.as_mut() {
            *left = left.saturating_sub(1);
            if *left == 0 {
                let fault = *fault;
                *any = None;
                return Some(fault);
            }
        }
        let mut faults = lock(&self.faults);
        let (fault, left) = faults.get_mut(method)?;
        *left = left.saturating_sub(1);
        if *left > 0 {
            return None;
        }
        let fault = *fault;
        faults.remove(method);
        Some(fault)
    }
}

/// A keystore with faults as planned.
pub struct Faulty<T: ?Sized> {
    inner: Arc<T>,
    plan: Arc<FaultPlan>,
}

impl<T: ?Sized> Faulty<T> {
    /// Puts the plan between a keystore and its users.
    #[must_use]
    pub const fn new(inner: Arc<T>, plan: Arc<FaultPlan>) -> Self {
        Self { inner, plan }
    }
}

/// An answer that can come out wrong.
trait Spoil {
    fn spoil(&mut self) {}
}

impl Spoil for () {}
impl Spoil for Readiness {}
impl Spoil for SecretEnvelope {}
impl Spoil for Vec<Held> {
    fn spoil(&mut self) {
        self.pop();
    }
}
impl Spoil for Vec<Label> {
    fn spoil(&mut self) {
        self.pop();
    }
}
impl Spoil for Vec<u8> {
    fn spoil(&mut self) {
        if let Some(byte) = self.last_mut() {
            *byte ^= 1;
        }
    }
}
impl Spoil for [u8; 32] {
    fn spoil(&mut self) {
        if let Some(byte) = self.last_mut() {
            *byte ^= 1;
        }
    }
}
impl Spoil for Option<[u8; 32]> {
    fn spoil(&mut self) {
        self.iter_mut().for_each(Spoil::spoil);
    }
}
impl Spoil for Zeroizing<Vec<u8>> {
    fn spoil(&mut self) {
        (**self).spoil();
    }
}
impl Spoil for Vec<Vec<u8>> {
    fn spoil(&mut self) {
        self.iter_mut().take(1).for_each(Spoil::spoil);
    }
}
impl Spoil for Vec<[u8; 32]> {
    fn spoil(&mut self) {
        self.iter_mut().take(1).for_each(Spoil::spoil);
    }
}
impl Spoil for SignedOffer {
    fn spoil(&mut self) {
        self.signature.spoil();
    }
}
impl Spoil for Parcel {
    fn spoil(&mut self) {
        self.signature.spoil();
    }
}
impl<T: Spoil> Spoil for Answer<T> {
    fn spoil(&mut self) {
        self.value.spoil();
    }
}

// The whole block comes from the macro, because `async_trait` has to see the methods expanded.
macro_rules! delegate {
    (
        impl $trait:ident where T: $bound:path;
        $(fn $plain:ident(&self) -> $result:ty;)*
        $(async fn $name:ident(&self $(, $arg:ident: $kind:ty)*) -> Result<$answer:ty, KeystoreError>;)*
    ) => {
        #[async_trait]
        impl<T: $bound + Keystore + ?Sized> $trait for Faulty<T> {
            $(fn $plain(&self) -> $result {
                self.inner.$plain()
            })*

            $(async fn $name(&self $(, $arg: $kind)*) -> Result<$answer, KeystoreError> {
                let lost = |when: &str| KeystoreError::Unavailable {
                    keystore: self.inner.id().clone(),
                    detail: format!("rehearsed outage {when} {}", stringify!($name)),
                };
                match self.plan.due(stringify!($name)).await {
                    None | Some(Fault::Freeze) => self.inner.$name($($arg),*).await,
                    Some(Fault::Before) => Err(lost("before")),
                    Some(Fault::After) => {
                        self.inner.$name($($arg),*).await?;
                        Err(lost("after"))
                    }
                    Some(Fault::Flip) => {
                        let mut answer = self.inner.$name($($arg),*).await?;
                        answer.spoil();
                        Ok(answer)
                    }
                }
            })*
        }
    };
}

delegate! {
    impl Keystore where T: Keystore;
    fn id(&self) -> &KeystoreId;
    async fn generate(&self, label: &Label, place: &Place) -> Result<(), KeystoreError>;
    async fn import(&self, label: &Label, place: &Place, material: KeyMaterial) -> Result<(), KeystoreError>;
    async fn put_value(&self, label: &Label, place: &Place, envelope: &SecretEnvelope) -> Result<(), KeystoreError>;
    async fn seal(&self, place: &Place, aad: &[u8], plaintext: &[u8]) -> Result<Answer<Vec<u8>>, KeystoreError>;
    async fn open(&self, place: &Place, aad: &[u8], sealed: &[u8]) -> Result<Answer<Zeroizing<Vec<u8>>>, KeystoreError>;
    async fn sign(&self, place: &Place, algorithm: SignAlgorithm, digest: &[u8]) -> Result<Answer<Vec<u8>>, KeystoreError>;
    async fn mac(&self, place: &Place, algorithm: MacAlgorithm, message: &[u8]) -> Result<Answer<Vec<u8>>, KeystoreError>;
    async fn decrypt(&self, place: &Place, algorithm: DecryptAlgorithm, ciphertext: &[u8]) -> Result<Answer<Zeroizing<Vec<u8>>>, KeystoreError>;
    async fn public_key(&self, place: &Place) -> Result<Answer<Vec<u8>>, KeystoreError>;
    async fn read_value(&self, place: &Place) -> Result<Answer<SecretEnvelope>, KeystoreError>;
    async fn destroy(&self, incarnation: &Incarnation, versions: Option<&[Place]>) -> Result<(), KeystoreError>;
    async fn destroy_orphan(&self, place: &Place) -> Result<(), KeystoreError>;
    async fn inventory(&self) -> Result<Vec<Held>, KeystoreError>;
}

delegate! {
    impl Prover where T: Prover;
    async fn seal_challenges(&self, job: &JobId, challenges: &[(Place, [u8; 32])]) -> Result<Vec<Vec<u8>>, KeystoreError>;
    async fn open_challenges(&self, job: &JobId, sealed: &[(Place, Vec<u8>)]) -> Result<Vec<[u8; 32]>, KeystoreError>;
    async fn public_keys(&self, job: &JobId, places: &[Place]) -> Result<Vec<Vec<u8>>, KeystoreError>;
    async fn prove_sign(&self, job: &JobId, place: &Place, algorithm: SignAlgorithm, digest: &[u8]) -> Result<Vec<u8>, KeystoreError>;
    async fn prove_decrypt(&self, job: &JobId, place: &Place, algorithm: DecryptAlgorithm, ciphertext: &[u8]) -> Result<Zeroizing<Vec<u8>>, KeystoreError>;
    async fn digests(&self, job: &JobId, places: &[Place]) -> Result<Vec<[u8; 32]>, KeystoreError>;
    async fn labels(&self, job: &JobId, incarnations: &[Incarnation]) -> Result<Vec<Label>, KeystoreError>;
}

delegate! {
    impl Source where T: Source;
    fn identity(&self) -> PublicIdentity;
    async fn nonce(&self, job: &JobId) -> Result<[u8; 32], KeystoreError>;
    async fn wrap_out(&self, offer: &SignedOffer, target: &PublicIdentity, now: Timestamp, resources: &[WrapOrder]) -> Result<Parcel, KeystoreError>;
    async fn purge(&self, job: &JobId, token: u64, incarnations: &[Incarnation]) -> Result<(), KeystoreError>;
    async fn shred(&self, job: &JobId, token: u64, scope: &Scope) -> Result<(), KeystoreError>;
    async fn close_session(&self, job: &JobId) -> Result<(), KeystoreError>;
}

delegate! {
    impl Target where T: Target;
    fn identity(&self) -> PublicIdentity;
    fn state(&self) -> InstanceState;
    fn trouble(&self) -> Option<String>;
    fn expect_offer(&self) -> ();
    async fn ready(&self) -> Result<Readiness, KeystoreError>;
    async fn offer(&self, job: &JobId, token: u64, nonce: [u8; 32], now: Timestamp) -> Result<SignedOffer, KeystoreError>;
    async fn stage(&self, parcel: &Parcel, source: &PublicIdentity) -> Result<(), KeystoreError>;
    async fn close(&self, job: &JobId, token: u64) -> Result<[u8; 32], KeystoreError>;
    async fn closed(&self, job: &JobId, token: u64) -> Result<Option<[u8; 32]>, KeystoreError>;
    async fn activate(&self, job: &JobId, token: u64, manifest: &[u8; 32]) -> Result<(), KeystoreError>;
    async fn confirm(&self, job: &JobId, token: u64, incarnations: &[Incarnation]) -> Result<(), KeystoreError>;
    async fn settle(&self, job: &JobId, token: u64) -> Result<(), KeystoreError>;
    async fn forget(&self, job: &JobId, token: u64) -> Result<(), KeystoreError>;
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
