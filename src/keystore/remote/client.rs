//! The gateway's end: sends a call, verifies who answered, and keeps track of how the instance stands.

use std::sync::{Mutex, MutexGuard, PoisonError, RwLock};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use reqwest::StatusCode;
use zeroize::Zeroizing;

use super::failure::Failure;
use super::link::Clients;
pub use super::link::{Link, Timeouts};
use super::wire::{
    Bytes, CALL, Call, HELLO, Hello, MAX_ANSWER, PROTOCOL_HEADER, PURPOSE, Protocols, Reply, Request, SIGNATURE_HEADER,
    Welcome, encode, statement,
};
use crate::crypto::parcel::PublicIdentity;
use crate::keystore::{KeystoreError, Unfit};
use crate::model::{InstanceEvent, InstanceId, InstanceState, KeystoreId, Random};
use crate::observe::{Event, Fields, emit};
use crate::tls::TlsError;

/// An instance on another host.
pub struct RemoteKeystore {
    pub(super) id: KeystoreId,
    instance: InstanceId,
    link: Link,
    timeouts: Timeouts,
    pub(super) random: std::sync::Arc<dyn Random>,
    http: RwLock<Result<Clients, TlsError>>,
    standing: Mutex<Standing>,
}

/// What is known of the other end.
struct Standing {
    state: InstanceState,
    /// What was wrong with the last call.
    trouble: Option<String>,
    /// The identity that has to answer; `None` until it was seen and pinned for the first time.
    pinned: Option<PublicIdentity>,
    /// The one that answered last.
    seen: Option<PublicIdentity>,
    /// The protocol agreed upon; `None`: it has to be asked again.
    protocol: Option<u16>,
    /// The end of the certificate that was presented last.
    presented: Option<Timestamp>,
}

/// How a call may be handled when its answer does not come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Repeat {
    /// It has the same effect however often it is carried out.
    Idempotent,
    /// It creates what has a fresh random name: when a first try may have come through, finding it there is success.
    Creates,
    /// Not to be sent twice.
    Never,
}

/// Tries of a call whose connection broke: a pooled connection may have been closed by the other end at any time.
const TRIES: u32 = 3;

impl RemoteKeystore {
    /// For an instance whose pinned identity is `pinned`, if it was ever seen. Nothing is sent yet. Files that cannot be read
    /// make the instance unusable until [`RemoteKeystore::reload`].
    #[must_use]
    pub fn new(
        instance: InstanceId,
        link: Link,
        timeouts: Timeouts,
        pinned: Option<PublicIdentity>,
        random: std::sync::Arc<dyn Random>,
    ) -> Self {
        let http = RwLock::new(link.clients(&timeouts));
        Self {
            id: KeystoreId::Instance(instance.clone()),
            instance,
            link,
            timeouts,
            random,
            http,
            standing: Mutex::new(Standing {
                trouble: None,
                state: InstanceState::Connecting,
                pinned,
                seen: None,
                protocol: None,
                presented: None,
            }),
        }
    }

    /// Where it is.
    #[must_use]
    pub const fn link(&self) -> &Link {
        &self.link
    }

    /// Reads certificates and keys again; later connections use them. What is wrong with them shows in the state.
    pub fn reload(&self) {
        *self.http.write().unwrap_or_else(PoisonError::into_inner) = self.link.clients(&self.timeouts);
        let mut standing = self.standing();
        standing.protocol = None;
        standing.state = standing.state.next(InstanceEvent::Enable);
    }

    /// From now on only this identity may answer.
    pub fn pin(&self, identity: PublicIdentity) {
        self.standing().pinned = Some(identity);
    }

    /// Says hello, and answers who is there. To be called every few seconds: it notices that an instance went or came back.
    ///
    /// # Errors
    /// Away, or unfit.
    pub async fn probe(&self) -> Result<PublicIdentity, KeystoreError> {
        let outcome = self.hello().await;
        self.note(&outcome);
        outcome
    }

    /// When the certificate ends that the instance presented at the last hello.
    #[must_use]
    pub fn presented_until(&self) -> Option<Timestamp> {
        self.standing().presented
    }

    /// How it stands.
    pub(super) fn current_state(&self) -> InstanceState {
        self.standing().state
    }

    /// What was wrong with the last call.
    pub(super) fn current_trouble(&self) -> Option<String> {
        self.standing().trouble.clone()
    }

    /// The identity that answered last, else the pinned one.
    pub(super) fn known_identity(&self) -> Option<PublicIdentity> {
        let standing = self.standing();
        standing.seen.or(standing.pinned)
    }

    /// Sends a call and returns its verified answer.
    pub(super) async fn call(&self, call: Call, slow: bool, repeat: Repeat) -> Result<Reply, KeystoreError> {
        let outcome = self.call_through(call, slow, repeat).await;
        self.note(&outcome);
        outcome
    }

    async fn call_through(&self, call: Call, slow: bool, repeat: Repeat) -> Result<Reply, KeystoreError> {
        let timeout = if slow { self.timeouts.slow } else { self.timeouts.quick };
        let body = encode(&Request { id: self.fresh_id(), call });
        let body = body.map_err(|error| self.away(format!("the request cannot be written ({error})")))?;
        let mut perhaps_done = false;
        let mut tries = 0;
        loop {
            let protocol = self.agree().await?;
            tries += 1;
            let failure = match self.send(CALL, &body, timeout, Some(protocol)).await {
                Ok(answer) => {
                    return match self.verified(&body, &answer)? {
                        Reply::Failed(refusal) => match refusal.into_error(&self.id) {
                            KeystoreError::Exists if perhaps_done && repeat == Repeat::Creates => Ok(Reply::Done),
                            error => Err(error),
                        },
                        reply => Ok(reply),
                    };
                }
                Err(failure) => failure,
            };
            let again = match &failure {
                Sending::OtherProtocol => {
                    self.standing().protocol = None;
                    true
                }
                Sending::Failed(Failure::Broken(_)) => {
                    perhaps_done = true;
                    repeat != Repeat::Never
                }
                Sending::Failed(_) | Sending::Refused(_) => false,
            };
            if !again || tries >= TRIES {
                return Err(self.failed(failure));
            }
        }
    }

    /// The protocol agreed upon; asks for it where it is not known.
    async fn agree(&self) -> Result<u16, KeystoreError> {
        if let Some(protocol) = self.standing().protocol {
            return Ok(protocol);
        }
        self.hello().await?;
        self.standing().protocol.ok_or_else(|| self.away("no protocol was agreed upon".to_owned()))
    }

    async fn hello(&self) -> Result<PublicIdentity, KeystoreError> {
        let hello = Hello { id: self.fresh_id(), protocols: Protocols::SPOKEN, instance: self.instance.clone() };
        let body = encode(&hello).map_err(|error| self.away(format!("the request cannot be written ({error})")))?;
        let mut tries = 0;
        let answer = loop {
            tries += 1;
            match self.send(HELLO, &body, self.timeouts.quick, None).await {
                Ok(answer) => break answer,
                Err(Sending::Failed(Failure::Broken(_))) if tries < TRIES => {}
                Err(failure) => return Err(self.failed(failure)),
            }
        };
        let welcome: Welcome = serde_json::from_slice(&answer.body)
            .map_err(|_| self.away("what answers there is no instance of keyferry".to_owned()))?;
        let proved = welcome.identity.verify(PURPOSE, &statement(&body, &answer.body), &answer.signature).is_ok();
        let stranger = |detail: String| KeystoreError::Unfit {
            keystore: self.id.clone(),
            fault: Unfit::Identity,
            detail,
            remedy: "find out who answers in its place before anything moves there".to_owned(),
        };
        if !proved {
            return Err(stranger("what answers does not hold the identity that it shows".to_owned()));
        }
        if welcome.instance != self.instance {
            return Err(stranger(format!("{} answers in its place", welcome.instance)));
        }
        let mut standing = self.standing();
        standing.seen = Some(welcome.identity);
        if standing.pinned.is_some_and(|pinned| pinned != welcome.identity) {
            standing.protocol = None;
            drop(standing);
            return Err(stranger("it shows another identity than the one pinned when it was set up".to_owned()));
        }
        standing.protocol = Protocols::SPOKEN.common(welcome.protocols);
        let agreed = standing.protocol;
        drop(standing);
        if agreed.is_none() {
            let (theirs, ours) = (welcome.protocols, Protocols::SPOKEN);
            let older = if theirs.newest < ours.oldest { "the instance" } else { "this gateway" };
            return Err(KeystoreError::Unfit {
                keystore: self.id.clone(),
                fault: Unfit::Protocol,
                detail: format!(
                    "it is keyferry {} and speaks protocol {theirs}; this is {} and speaks {ours}",
                    welcome.version,
                    env!("CARGO_PKG_VERSION")
                ),
                remedy: format!("upgrade {older} to a release that speaks the other's protocol"),
            });
        }
        Ok(welcome.identity)
    }

    async fn send(
        &self,
        path: &str,
        body: &Zeroizing<Vec<u8>>,
        timeout: Duration,
        protocol: Option<u16>,
    ) -> Result<Signed, Sending> {
        let http = match &*self.http.read().unwrap_or_else(PoisonError::into_inner) {
            Ok(clients) if path == HELLO => clients.fresh.clone(),
            Ok(clients) => clients.pooled.clone(),
            Err(error) => {
                return Err(Sending::Failed(Failure::Certificate {
                    detail: error.to_string(),
                    remedy: "put ca, certificate and private_key of `remote` right, and reload".to_owned(),
                }));
            }
        };
        let mut request = http.post(format!("{}{path}", self.link.endpoint)).timeout(timeout).body(body.to_vec());
        if let Some(protocol) = protocol {
            request = request.header(PROTOCOL_HEADER, protocol.to_string());
        }
        let failed = |error: reqwest::Error| Sending::Failed(Failure::of(&error));
        let mut response = request.send().await.map_err(failed)?;
        if path == HELLO
            && let Some(end) = presented(&response)
        {
            self.standing().presented = Some(end);
        }
        let status = response.status();
        if status == StatusCode::UPGRADE_REQUIRED {
            return Err(Sending::OtherProtocol);
        }
        if status != StatusCode::OK {
            return Err(Sending::Refused(format!("it answered {status}")));
        }
        let signature = response.headers().get(SIGNATURE_HEADER).and_then(|value| STANDARD.decode(value).ok());
        let signature = signature.ok_or_else(|| Sending::Refused("its answer is not signed".to_owned()))?;
        let announced = response.content_length().and_then(|n| usize::try_from(n).ok()).unwrap_or_default();
        let mut whole = Zeroizing::new(Vec::with_capacity(announced.min(MAX_ANSWER)));
        while let Some(chunk) = response.chunk().await.map_err(failed)? {
            if whole.len().saturating_add(chunk.len()) > MAX_ANSWER {
                return Err(Sending::Refused("its answer is too long".to_owned()));
            }
            whole.extend_from_slice(&chunk);
        }
        Ok(Signed { body: whole, signature })
    }

    /// The answer, if the pinned identity gave it to exactly this request.
    fn verified(&self, request: &[u8], answer: &Signed) -> Result<Reply, KeystoreError> {
        let identity = {
            let standing = self.standing();
            standing.pinned.or(standing.seen)
        };
        let statement = statement(request, &answer.body);
        if identity.is_none_or(|identity| identity.verify(PURPOSE, &statement, &answer.signature).is_err()) {
            return Err(KeystoreError::Unfit {
                keystore: self.id.clone(),
                fault: Unfit::Identity,
                detail: "an answer is not signed by the identity pinned when it was set up".to_owned(),
                remedy: "find out who answers in its place before anything moves there".to_owned(),
            });
        }
        serde_json::from_slice(&answer.body).map_err(|error| self.away(format!("its answer cannot be read ({error})")))
    }

    fn failed(&self, failure: Sending) -> KeystoreError {
        match failure {
            Sending::Failed(Failure::Certificate { detail, remedy }) => {
                KeystoreError::Unfit { keystore: self.id.clone(), fault: Unfit::Certificate, detail, remedy }
            }
            Sending::Failed(Failure::NoConnection(detail)) => self.away(format!("no connection: {detail}")),
            Sending::Failed(Failure::TimedOut(detail)) => self.away(format!("no answer in time: {detail}")),
            Sending::Failed(Failure::Broken(detail)) => self.away(format!("the connection broke: {detail}")),
            Sending::Refused(detail) => self.away(detail),
            Sending::OtherProtocol => self.away("it changed its protocol".to_owned()),
        }
    }

    pub(super) fn away(&self, detail: String) -> KeystoreError {
        KeystoreError::Unavailable { keystore: self.id.clone(), detail }
    }

    fn fresh_id(&self) -> Bytes {
        let mut id = vec![0; 16];
        self.random.fill(&mut id);
        Bytes(id)
    }

    /// Tells, once, that an instance went or came back.
    fn note<T>(&self, outcome: &Result<T, KeystoreError>) {
        let event = match outcome {
            Err(KeystoreError::Unfit { .. }) => InstanceEvent::Unfit,
            Err(error @ KeystoreError::Unavailable { .. }) if error.is_unavailable() => InstanceEvent::Lost,
            _ => InstanceEvent::Answered,
        };
        let (before, after) = {
            let mut standing = self.standing();
            let before = standing.state;
            standing.state = before.next(event);
            standing.trouble = match (event, outcome) {
                (InstanceEvent::Unfit | InstanceEvent::Lost, Err(error)) => Some(error.to_string()),
                _ => None,
            };
            (before, standing.state)
        };
        if before == after {
            return;
        }
        let fields = Fields::new().instance(&self.instance);
        match (after, outcome) {
            (InstanceState::Connected, _) => {
                emit(Event::InstanceConnected, &fields, &format!("{} answers", self.instance));
            }
            (_, Err(error)) => emit(Event::InstanceUnreachable, &fields, &error.to_string()),
            _ => {}
        }
    }

    fn standing(&self) -> MutexGuard<'_, Standing> {
        self.standing.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The end of the certificate that the other end of a connection presented.
fn presented(response: &reqwest::Response) -> Option<Timestamp> {
    let shown = response.extensions().get::<reqwest::tls::TlsInfo>()?.peer_certificate()?;
    crate::tls::end_of(shown).ok()
}

/// An answer with its signature, not verified yet.
struct Signed {
    body: Zeroizing<Vec<u8>>,
    signature: Vec<u8>,
}

/// Why there is none.
enum Sending {
    Failed(Failure),
    Refused(String),
    OtherProtocol,
}
