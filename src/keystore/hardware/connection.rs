//! The one session to a token: found by label, logged in, opened again when it is lost.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use cryptoki::context::Pkcs11;
use cryptoki::error::{Error, RvError};
use cryptoki::mechanism::MechanismType;
use cryptoki::object::{Attribute, ObjectClass, ObjectHandle};
use cryptoki::session::{Session, SessionState, UserType};
use cryptoki::slot::Slot;
use cryptoki::types::AuthPin;

use super::error::{classify, is_stale, name};
use super::import::Unwrapping;
use super::pin::PinHolder;
use super::{ObjectId, TokenAddress, TokenError, module};

/// A session that is logged in.
pub(super) struct Link {
    pub(super) context: Pkcs11,
    pub(super) slot: Slot,
    pub(super) session: Session,
    /// CKA_LABEL of our objects.
    pub(super) label: String,
    /// What was found to work for import; asked once a session.
    pub(super) unwrapping: Option<Unwrapping>,
    handles: HashMap<ObjectId, ObjectHandle>,
}

/// The link, or none at the moment.
pub(super) struct Connection {
    address: TokenAddress,
    pin: Arc<PinHolder>,
    link: Option<Link>,
    failed: Option<(Instant, TokenError)>,
}

/// A token that is away is looked for at most that often.
const LOOK_AGAIN: Duration = Duration::from_millis(500);
/// Handles that are remembered.
const HANDLES: usize = 50_000;

impl Connection {
    pub(super) const fn new(address: TokenAddress, pin: Arc<PinHolder>) -> Self {
        Self { address, pin, link: None, failed: None }
    }

    /// Uses the link. Where it turns out to be lost, or does not find an object that should be there, and the operation
    /// may be done twice, it is done once more over a new one. One that may not is begun over a link that is there.
    pub(super) fn using<T>(
        &mut self,
        again: bool,
        mut operation: impl FnMut(&mut Link) -> Result<T, TokenError>,
    ) -> Result<T, TokenError> {
        if !again && self.link.as_ref().is_some_and(Link::is_lost) {
            self.link = None;
        }
        let fresh = self.link.is_none();
        let outcome = operation(self.link()?);
        let lost = matches!(outcome, Err(TokenError::Unreachable(_) | TokenError::Missing(_)));
        if !lost {
            return outcome;
        }
        self.link = None;
        if fresh || !again {
            return outcome;
        }
        let outcome = operation(self.link()?);
        if matches!(outcome, Err(TokenError::Unreachable(_))) {
            self.link = None;
        }
        outcome
    }

    /// Has the next use look for the token, however short ago it was not there.
    pub(super) fn look_again(&mut self) {
        self.failed = None;
    }

    fn link(&mut self) -> Result<&mut Link, TokenError> {
        if self.link.is_none() {
            if let Some((at, error)) = &self.failed
                && at.elapsed() < LOOK_AGAIN
                && !matches!(error, TokenError::PinRefused(_))
            {
                return Err(error.clone());
            }
            match self.connect() {
                Ok(link) => {
                    self.failed = None;
                    self.link = Some(link);
                }
                Err(error) => {
                    self.failed = Some((Instant::now(), error.clone()));
                    return Err(error);
                }
            }
        }
        self.link.as_mut().ok_or_else(|| TokenError::Failed("no session".to_owned()))
    }

    fn connect(&self) -> Result<Link, TokenError> {
        let TokenAddress { module, label, instance } = &self.address;
        let pin = self.pin.get().map_err(TokenError::PinRefused)?;
        let context = module::load(module)?;
        let slot = find(&context, label)?;
        let info = context.get_token_info(slot).map_err(classify)?;
        let refused = |why: &str| {
            let text = format!(
                "the token {label:?} does not let us in: {why}. The PIN is not tried again, since tokens lock: set it \
                 right and reload the configuration (SIGHUP)"
            );
            self.pin.refuse(&pin, &text);
            TokenError::PinRefused(text)
        };
        if info.user_pin_locked() {
            return Err(refused("its user PIN is locked; unlock it with the means of its maker"));
        }
        if info.user_pin_final_try() {
            return Err(refused("one more wrong PIN would lock it; log in once with the means of its maker"));
        }
        let session = context.open_rw_session(slot).map_err(classify)?;
        match session.login(UserType::User, Some(&AuthPin::from(pin.expose()))) {
            Ok(()) | Err(Error::Pkcs11(RvError::UserAlreadyLoggedIn, _)) => {}
            Err(error) => {
                return Err(match classify(error) {
                    TokenError::PinRefused(why) => refused(&why),
                    other => other,
                });
            }
        }
        let label = format!("keyferry {instance}");
        Ok(Link { context, slot, session, label, unwrapping: None, handles: HashMap::new() })
    }
}

/// The slot of a token. Numbers of slots change; labels stay.
fn find(context: &Pkcs11, label: &str) -> Result<Slot, TokenError> {
    let mut found = Vec::new();
    for slot in context.get_slots_with_initialized_token().map_err(classify)? {
        if context.get_token_info(slot).is_ok_and(|info| info.label() == label) {
            found.push(slot);
        }
    }
    match found.as_slice() {
        [slot] => Ok(*slot),
        [] => Err(TokenError::Unreachable(format!("there is no token with the label {label:?}"))),
        _ => Err(TokenError::Unreachable(format!("several tokens have the label {label:?}: give each its own"))),
    }
}

impl Link {
    /// Whether the session has ended, or is not logged in any more.
    fn is_lost(&self) -> bool {
        match self.session.get_session_info() {
            Ok(info) => matches!(info.session_state(), SessionState::RoPublic | SessionState::RwPublic),
            Err(_) => true,
        }
    }

    /// Looks whether the token is there, and the session logged in.
    pub(super) fn present(&self) -> Result<(), TokenError> {
        if self.is_lost() {
            return Err(TokenError::Unreachable("the session with the token was lost".to_owned()));
        }
        self.context.get_token_info(self.slot).map(drop).map_err(classify)
    }

    /// Whether the token offers a mechanism.
    pub(super) fn offers(&self, mechanism: MechanismType) -> bool {
        self.context.get_mechanism_info(self.slot, mechanism).is_ok()
    }

    /// The object of this name. [`TokenError::Missing`] when there is none.
    pub(super) fn handle(&mut self, id: ObjectId) -> Result<ObjectHandle, TokenError> {
        if let Some(handle) = self.handles.get(&id) {
            return Ok(*handle);
        }
        for class in [ObjectClass::SECRET_KEY, ObjectClass::PRIVATE_KEY] {
            let template = [Attribute::Class(class), Attribute::Id(id.0.to_vec())];
            if let Some(handle) = self.session.find_objects(&template).map_err(classify)?.first() {
                self.remember(id, *handle);
                return Ok(*handle);
            }
        }
        Err(TokenError::Missing(id.to_string()))
    }

    /// Keeps a handle for the next use.
    pub(super) fn remember(&mut self, id: ObjectId, handle: ObjectHandle) {
        if self.handles.len() >= HANDLES {
            self.handles.clear();
        }
        self.handles.insert(id, handle);
    }

    /// Forgets a handle.
    pub(super) fn forget(&mut self, id: ObjectId) {
        self.handles.remove(&id);
    }

    /// Calls the module with an object; a handle that is not good any more is looked up once more.
    pub(super) fn with_key<T>(
        &mut self,
        id: ObjectId,
        call: impl Fn(&Session, ObjectHandle) -> Result<T, Error>,
    ) -> Result<T, CallError> {
        for _ in 0..2 {
            let handle = self.handle(id).map_err(CallError::Token)?;
            match call(&self.session, handle) {
                Err(error) if is_stale(&error) => self.forget(id),
                Err(error) => return Err(CallError::Module(error)),
                Ok(done) => return Ok(done),
            }
        }
        Err(CallError::Token(TokenError::Missing(id.to_string())))
    }
}

/// A failure before it is known what it means.
pub(super) enum CallError {
    /// As the module gave it.
    Module(Error),
    /// Ours.
    Token(TokenError),
}

impl From<CallError> for TokenError {
    fn from(error: CallError) -> Self {
        match error {
            CallError::Module(error) => classify(error),
            CallError::Token(error) => error,
        }
    }
}

impl CallError {
    /// True where a damaged ciphertext and a token in trouble may look alike.
    pub(super) const fn is_vague(&self) -> bool {
        matches!(
            self,
            Self::Module(Error::Pkcs11(RvError::GeneralError | RvError::FunctionFailed | RvError::DeviceError, _))
        )
    }

    /// For the log.
    pub(super) fn text(&self) -> String {
        match self {
            Self::Module(error) => name(error),
            Self::Token(error) => error.to_string(),
        }
    }
}
