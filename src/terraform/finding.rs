//! What is told of a configuration.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use serde::Serialize;

use super::configuration::{Problem, told};
use super::matching::Certainty;

/// What is the matter with a resource.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub enum Rule {
    /// The next apply would destroy it and create another one.
    WouldBeReplaced,
    /// The next apply would switch its rotation off.
    WouldStopRotating,
    /// It may be one that moved, and then it would be replaced.
    Undecided,
}

impl Rule {
    /// Every rule.
    pub const ALL: [Self; 3] = [Self::WouldBeReplaced, Self::WouldStopRotating, Self::Undecided];

    /// The name in JSON and SARIF.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::WouldBeReplaced => "WouldBeReplaced",
            Self::WouldStopRotating => "WouldStopRotating",
            Self::Undecided => "Undecided",
        }
    }

    /// What it means, in a sentence.
    #[must_use]
    pub const fn description(self) -> &'static str {
        match self {
            Self::WouldBeReplaced => {
                "The key or secret has moved into an instance; the next apply would destroy it and create another one."
            }
            Self::WouldStopRotating => {
                "The key or secret rotates, but the configuration says that it must not; the next apply would switch it off."
            }
            Self::Undecided => {
                "The key or secret may be one that has moved into an instance; the next apply would then replace it."
            }
        }
    }
}

/// Something to do before the next apply.
#[derive(Debug, Clone, Serialize)]
pub struct Finding {
    /// What.
    pub rule: Rule,
    /// `key` or `secret`.
    pub kind: &'static str,
    /// In the first use of its module.
    pub address: String,
    /// Where the block is.
    #[serde(serialize_with = "told")]
    pub file: PathBuf,
    /// From 1.
    pub line: usize,
    /// From 1, in characters.
    pub column: usize,
    /// How sure.
    pub certainty: Certainty,
    /// Key IDs or secret names that it was matched to.
    pub moved: Vec<String>,
    /// The instance that holds them, where there is one and it is known.
    pub instance: Option<String>,
    /// Attributes that differ.
    pub attributes: Vec<&'static str>,
    /// In words.
    pub message: String,
    /// What to do.
    pub remedy: String,
    /// What would follow it.
    pub dependents: Vec<Dependent>,
    /// The block, for `rewrite`; `None`: it is in a module that lies elsewhere.
    #[serde(skip)]
    pub(super) block: Option<(usize, usize)>,
}

/// A resource that names a key which would be replaced.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Dependent {
    /// Its address.
    pub address: String,
    /// Where.
    #[serde(serialize_with = "told")]
    pub file: PathBuf,
    /// From 1.
    pub line: usize,
    /// What would happen to it.
    pub effect: &'static str,
}

/// What becomes of a resource or data source.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// There is a finding.
    Finding,
    /// It moved, and the configuration agrees or carries its remedy.
    Safe,
    /// It did not move, as far as is known.
    NotMoved,
    /// A data source: it is only read.
    ReadOnly,
    /// An alias, a version or a ciphertext: it depends on its key alone.
    FollowsItsKey,
    /// A resource of the KMS that does not take part in a migration.
    Unaffected,
}

/// A resource or data source of the KMS.
#[derive(Debug, Clone, Serialize)]
pub struct Item {
    /// Its address.
    pub address: String,
    /// Where.
    #[serde(serialize_with = "told")]
    pub file: PathBuf,
    /// From 1.
    pub line: usize,
    /// What becomes of it.
    pub verdict: Verdict,
    /// Key IDs, aliases or secret names that moved and that it is, or names.
    pub moved: Vec<String>,
}

/// The answer.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Assessment {
    /// By file and line.
    pub findings: Vec<Finding>,
    /// Every resource and data source of the KMS, by file and line.
    pub resources: Vec<Item>,
    /// What could not be read.
    pub problems: Vec<Problem>,
    /// What is worth knowing.
    pub notes: Vec<String>,
    #[serde(skip)]
    pub(super) needs: BTreeMap<(usize, usize), Need>,
}

impl Assessment {
    /// True when nothing is to be done and everything was read.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        self.findings.is_empty() && self.problems.is_empty()
    }
}

/// What a block needs.
#[derive(Debug, Clone, Default)]
pub(super) struct Need {
    /// The instance ID makes it be replaced.
    pub(super) instance_id: bool,
    /// The protection level does.
    pub(super) protection: bool,
    /// Its rotation would be switched off.
    pub(super) rotation: bool,
    /// Rotation is wanted but off: the next apply is to switch it on, so nothing about it is ignored.
    pub(super) restores_rotation: bool,
    /// Instances; `None` among them: not known.
    pub(super) instances: BTreeSet<Option<String>>,
    /// All that the block stands for has moved.
    pub(super) whole: bool,
    pub(super) undecided: Option<String>,
}
