//! PKCS#11 modules: each loaded and initialised once in a process, whoever asks first.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use cryptoki::context::{CInitializeArgs, CInitializeFlags, Pkcs11};
use cryptoki::error::{Error, RvError};

use super::TokenError;
use super::error::name;

static LOADED: Mutex<BTreeMap<PathBuf, Pkcs11>> = Mutex::new(BTreeMap::new());

/// The initialised module. Never finalised: other tokens of it may be in use.
pub(super) fn load(path: &Path) -> Result<Pkcs11, TokenError> {
    // One file under two names is one module.
    let path = path.canonicalize().map_err(|error| {
        TokenError::Unreachable(format!("the PKCS#11 module {} cannot be read: {error}", path.display()))
    })?;
    let mut loaded = LOADED.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(context) = loaded.get(&path) {
        return Ok(context.clone());
    }
    let failed = |what: &str, error: &Error| {
        TokenError::Unreachable(format!("the PKCS#11 module {} cannot be {what}: {}", path.display(), name(error)))
    };
    let context = Pkcs11::new(&path).map_err(|error| failed("loaded", &error))?;
    match context.initialize(CInitializeArgs::new(CInitializeFlags::OS_LOCKING_OK)) {
        Ok(()) | Err(Error::Pkcs11(RvError::CryptokiAlreadyInitialized, _)) => {}
        Err(error) => return Err(failed("initialised", &error)),
    }
    loaded.insert(path, context.clone());
    Ok(context)
}
