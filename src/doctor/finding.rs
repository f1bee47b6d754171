//! What the doctor found, and what to do about it.

use serde::{Deserialize, Serialize};

use crate::keystore::Held;
use crate::model::{KeystoreId, ResourceId, Scope};

/// What an examination says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Examination {
    /// How much was looked at.
    pub examined: Examined,
    /// What is wrong.
    pub findings: Vec<Finding>,
}

/// How much was looked at.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Examined {
    /// Keys of the catalogue.
    pub keys: u64,
    /// Secrets of the catalogue.
    pub secrets: u64,
    /// Versions in the keystores, each opened.
    pub records: u64,
}

/// What is wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum FindingCode {
    /// The catalogue names a record that the keystore does not have.
    RecordMissing,
    /// A record does not open.
    DoesNotOpen,
    /// A record is labelled as another resource.
    LabelDiffers,
    /// A keystore cannot be examined.
    KeystoreUnreachable,
    /// The keystore has a record that the catalogue does not know.
    NotInCatalogue,
    /// The keystore has a copy of a resource that lives elsewhere.
    LeftBehind,
    /// A mark holds rotation back for a job that does not run.
    StrandedMark,
    /// A scope or an instance is locked by a job that does not run.
    StrandedLock,
}

impl FindingCode {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::RecordMissing,
        Self::DoesNotOpen,
        Self::LabelDiffers,
        Self::KeystoreUnreachable,
        Self::NotInCatalogue,
        Self::LeftBehind,
        Self::StrandedMark,
        Self::StrandedLock,
    ];

    /// What to do.
    #[must_use]
    pub const fn remedy(self) -> &'static str {
        match self {
            Self::RecordMissing | Self::DoesNotOpen | Self::LabelDiffers => {
                "restore a backup from before; keep the present state_dir until everything opens again"
            }
            Self::KeystoreUnreachable => "see that its store can be read, then ask again",
            Self::NotInCatalogue => {
                "`keyferry doctor --repair` rebuilds its entry from the label, if every version opens; compare with a backup \
                 first"
            }
            Self::LeftBehind => "it is not used; keep it until the reason is known",
            Self::StrandedMark => "the daemon clears it within seconds; if it stays, look into the log",
            Self::StrandedLock => "`keyferry doctor --repair` releases it",
        }
    }
}

/// Something that is wrong.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Finding {
    /// What kind.
    pub code: FindingCode,
    /// `key` or `secret`; absent where it concerns no resource.
    pub kind: Option<String>,
    /// Key ID or secret name.
    pub id: Option<String>,
    /// The account.
    pub account: Option<String>,
    /// The region.
    pub region: Option<String>,
    /// The keystore.
    pub keystore: Option<String>,
    /// What, in words.
    pub message: String,
    /// What to do.
    pub remedy: String,
}

impl Finding {
    /// Whether both say the same of the same thing, in whatever words.
    pub(super) fn is_about_the_same(&self, other: &Self) -> bool {
        let about = |f: &Self| (f.code, f.kind.clone(), f.id.clone(), f.account.clone(), f.region.clone());
        about(self) == about(other) && self.keystore == other.keystore
    }

    fn new(code: FindingCode, message: String) -> Self {
        let remedy = code.remedy().to_owned();
        Self { code, kind: None, id: None, account: None, region: None, keystore: None, message, remedy }
    }

    pub(super) fn of_keystore(code: FindingCode, keystore: &KeystoreId, message: String) -> Self {
        Self { keystore: Some(keystore.to_string()), ..Self::new(code, message) }
    }

    pub(super) fn of_scope(code: FindingCode, scope: &Scope, message: String) -> Self {
        let (account, region) = (Some(scope.account.to_string()), Some(scope.region.to_string()));
        Self { account, region, ..Self::new(code, message) }
    }

    pub(super) fn of_resource(
        code: FindingCode,
        scope: &Scope,
        resource: &ResourceId,
        keystore: Option<&KeystoreId>,
        message: String,
    ) -> Self {
        Self {
            kind: Some(resource.kind().to_string()),
            id: Some(resource.name().to_owned()),
            keystore: keystore.map(ToString::to_string),
            ..Self::of_scope(code, scope, message)
        }
    }

    /// A record that no entry leads to.
    pub(super) fn of_orphan(keystore: &KeystoreId, held: &Held, lives_elsewhere: bool) -> Self {
        let code = if lives_elsewhere { FindingCode::LeftBehind } else { FindingCode::NotInCatalogue };
        let message = format!("incarnation {} with {} version(s)", held.incarnation, held.versions.len());
        match &held.label {
            Ok(label) => Self::of_resource(code, &label.scope, &label.resource, Some(keystore), message),
            Err(why) => Self::of_keystore(code, keystore, format!("{message}: {why}")),
        }
    }
}
