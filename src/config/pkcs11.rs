//! `pkcs11` of a hardware instance: which token, and the PIN, which is never in the file itself.

use std::fmt;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::keys;
use super::reader::Table;
use super::resources::{Named, secret_in, secret_in_credential};
use super::secret::{AccessKeySecret, SecretOrigin};
use super::server::CREDENTIAL_NAME;

/// The token of a hardware instance.
#[derive(Clone, PartialEq, Eq)]
pub struct Pkcs11 {
    /// Which.
    pub token: TokenIdentity,
    /// The user PIN.
    pub pin: AccessKeySecret,
    /// Where the PIN was read.
    pub pin_origin: SecretOrigin,
}

/// What tells a token from others.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct TokenIdentity {
    /// The PKCS#11 module.
    pub module: PathBuf,
    /// The token's label.
    pub label: String,
}

impl fmt::Display for TokenIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} of {}", self.label, self.module.display())
    }
}

impl fmt::Debug for Pkcs11 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pkcs11")
            .field("token", &self.token)
            .field("pin_origin", &self.pin_origin)
            .finish_non_exhaustive()
    }
}

const TABLE: &str = "{ module = \"PATH\", token = \"LABEL\", pin_file = \"PATH\" }, or pin_credential = \"NAME\"";
/// CK_TOKEN_INFO has room for 32 bytes, padded with blanks.
const LONGEST_LABEL: usize = 32;

/// Reads `pkcs11`; `None`: there is none, or it has mistakes.
pub(super) fn pkcs11(table: &Table<'_>, hardware: bool, named: &mut Named) -> Option<Pkcs11> {
    if !hardware {
        if let Some(value) = table.get("pkcs11") {
            table.source.problem(value.span().start, "the key \"pkcs11\"", "pkcs11 with kind = \"hardware\" only");
        }
        return None;
    }
    let Some(inner) = table.table("pkcs11", &keys::PKCS11) else {
        if table.get("pkcs11").is_none() {
            table.missing("pkcs11", TABLE);
        }
        return None;
    };
    const MODULE: &str = "the path of a PKCS#11 module, such as \"/usr/lib/softhsm/libsofthsm2.so\"";
    const LABEL: &str = "the label of a token, 1 to 32 bytes";
    let module = inner.required("module", MODULE, inner.string("module", MODULE));
    let label = inner.required("token", LABEL, inner.string("token", LABEL));
    let label = label.filter(|label| {
        let fits = !label.value.trim().is_empty() && label.value.len() <= LONGEST_LABEL;
        if !fits {
            inner.source.problem(label.at, format!("{:?}", label.value), format!("token = {LABEL}"));
        }
        fits
    });
    let pin = pin(&inner);
    let (module, label) = (module?, label?);
    let token = TokenIdentity { module: inner.source.path(module.value), label: label.value.trim_end().to_owned() };
    named.token(&inner, &token, label.at);
    let (pin, pin_origin) = pin?;
    Some(Pkcs11 { token, pin, pin_origin })
}

fn pin(table: &Table<'_>) -> Option<(AccessKeySecret, SecretOrigin)> {
    const EITHER: &str = "pin_file = \"PATH\" or pin_credential = \"NAME\"";
    let file = table.string("pin_file", "the path of a file with the PIN");
    let credential = table.string("pin_credential", CREDENTIAL_NAME);
    match (file, credential) {
        (Some(file), None) => {
            let path = table.source.path(file.value);
            Some((secret_in(table, file.at, &path)?, SecretOrigin::File(path)))
        }
        (None, Some(name)) => {
            let secret = secret_in_credential(table, &name, "pin_file")?;
            Some((secret, SecretOrigin::Credential(name.value.to_owned())))
        }
        (Some(_), Some(_)) => {
            table.source.problem(table.at, "a PIN in more than one place", EITHER);
            None
        }
        (None, None) => {
            if table.get("pin_file").is_none() && table.get("pin_credential").is_none() {
                table.source.problem(table.at, "a token without its PIN", EITHER);
            }
            None
        }
    }
}
