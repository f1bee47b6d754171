//! What can go wrong with a token, from the module's return values.

use cryptoki::error::{Error, RvError};
use thiserror::Error;

/// A failure of a token.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum TokenError {
    /// It is not there, does not answer, or the session to it was lost.
    #[error("{0}")]
    Unreachable(String),
    /// It does not let us in. Not tried again with the same PIN, since tokens lock.
    #[error("{0}")]
    PinRefused(String),
    /// It has no room for another object.
    #[error("the token is full: {0}")]
    Full(String),
    /// A ciphertext or wrapped key does not open.
    #[error("the data does not open under this key")]
    Rejected,
    /// It does not offer that.
    #[error("{0}")]
    Unsuitable(&'static str),
    /// An object that a record names is not in it.
    #[error("the object {0} is not in the token")]
    Missing(String),
    /// The key behind an offer went with the session that it was made in.
    #[error("the token's session was lost, and with it the key that the keys of the job come in under")]
    OfferGone,
    /// The module answered what it should not.
    #[error("the token does not do what it should: {0}")]
    Failed(String),
}

/// What a call's failure means.
pub(super) fn classify(error: Error) -> TokenError {
    let Error::Pkcs11(rv, _) = &error else {
        return match error {
            Error::NullFunctionPointer | Error::NotSupported => TokenError::Unsuitable(NOT_OFFERED),
            other => TokenError::Failed(other.to_string()),
        };
    };
    let text = format!("the token answered {}", name(&error));
    match rv {
        RvError::DeviceMemory | RvError::HostMemory => TokenError::Full(text),
        RvError::PinIncorrect
        | RvError::PinInvalid
        | RvError::PinLenRange
        | RvError::PinExpired
        | RvError::PinLocked
        | RvError::UserPinNotInitialized => TokenError::PinRefused(text),
        RvError::EncryptedDataInvalid
        | RvError::EncryptedDataLenRange
        | RvError::WrappedKeyInvalid
        | RvError::WrappedKeyLenRange => TokenError::Rejected,
        RvError::MechanismInvalid
        | RvError::MechanismParamInvalid
        | RvError::CurveNotSupported
        | RvError::DomainParamsInvalid
        | RvError::KeySizeRange
        | RvError::FunctionNotSupported
        | RvError::ArgumentsBad
        | RvError::TemplateInconsistent
        | RvError::AttributeTypeInvalid
        | RvError::AttributeValueInvalid => TokenError::Unsuitable(NOT_OFFERED),
        // What says that token or session are gone, and what says nothing: a new session finds out.
        RvError::DeviceError
        | RvError::DeviceRemoved
        | RvError::TokenNotPresent
        | RvError::TokenNotRecognized
        | RvError::SessionClosed
        | RvError::SessionHandleInvalid
        | RvError::SessionCount
        | RvError::UserNotLoggedIn
        | RvError::CryptokiNotInitialized
        | RvError::SlotIdInvalid
        | RvError::OperationActive
        | RvError::GeneralError
        | RvError::FunctionFailed => TokenError::Unreachable(text),
        _ => TokenError::Failed(text),
    }
}

/// True when a handle we remember is not good any more.
pub(super) const fn is_stale(error: &Error) -> bool {
    matches!(
        error,
        Error::Pkcs11(
            RvError::KeyHandleInvalid | RvError::ObjectHandleInvalid | RvError::UnwrappingKeyHandleInvalid,
            _
        )
    )
}

/// The name of a return value, as in `CKR_DEVICE_REMOVED`, and the call that gave it.
pub(super) fn name(error: &Error) -> String {
    match error {
        Error::Pkcs11(rv, function) => format!("{rv:?} from C_{function:?}"),
        other => other.to_string(),
    }
}

/// For mechanisms, curves and sizes.
pub(super) const NOT_OFFERED: &str = "the token of its instance does not offer that";
