//! Stages of a secret's versions: each points to one version; `ACSCurrent` and `ACSPrevious` can move but not vanish.

use std::collections::BTreeSet;

use crate::kms::KmsError;
use crate::model::{SecretVersionId, SecretVersionRecord};
use crate::store::Stored;

/// The version that is read where none is named.
pub const CURRENT: &str = "ACSCurrent";
/// The version that was current before.
pub const PREVIOUS: &str = "ACSPrevious";
/// Versions a secret may have. The vendor does not document its limit; this is ours.
pub const MAX_VERSIONS: usize = 100;
/// Stages one version may be given at a time.
const MAX_STAGES: usize = 10;

/// UpdateSecretVersionStage.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StageMove {
    /// The stage.
    pub stage: String,
    /// Where it goes.
    pub to: Option<SecretVersionId>,
    /// Where it is taken from.
    pub from: Option<SecretVersionId>,
}

/// The versions of one secret, oldest first, while their stages are being moved.
pub(super) struct Board {
    versions: Vec<Entry>,
}

struct Entry {
    record: Stored<SecretVersionRecord>,
    changed: bool,
}

impl Board {
    pub(super) fn new(versions: Vec<Stored<SecretVersionRecord>>) -> Self {
        Self { versions: versions.into_iter().map(|record| Entry { record, changed: false }).collect() }
    }

    /// The number of the next version: numbers are never used again, since the newest version is never the one to go.
    pub(super) fn next_number(&self) -> u32 {
        self.versions.iter().map(|entry| entry.record.number).max().unwrap_or(0).saturating_add(1)
    }

    /// Clears the way for a new version that gets `stages`.
    pub(super) fn give_to_new(&mut self, stages: &BTreeSet<String>) {
        if stages.contains(CURRENT) {
            self.step_back();
        }
        for stage in stages {
            self.lift(stage);
        }
    }

    /// The oldest version without a stage, when there are too many with a new one; it goes.
    pub(super) fn crowded_out(&mut self) -> Result<Option<Stored<SecretVersionRecord>>, KmsError> {
        if self.versions.len() < MAX_VERSIONS {
            return Ok(None);
        }
        let oldest = self.versions.iter().position(|entry| entry.record.stages.is_empty());
        let oldest = oldest.ok_or_else(|| {
            KmsError::LimitExceeded(format!("The secret has {MAX_VERSIONS} versions, all with a stage."))
        })?;
        let entry = self.versions.remove(oldest);
        // The stored record is compared as it was read; only the revision counts.
        Ok(Some(entry.record))
    }

    /// Moves or removes a stage.
    pub(super) fn shift(&mut self, order: &StageMove) -> Result<(), KmsError> {
        let built_in = [CURRENT, PREVIOUS].contains(&order.stage.as_str());
        if order.to.is_none() && (built_in || order.from.is_none()) {
            return Err(KmsError::MissingParameter("MoveToVersion"));
        }
        if let Some(from) = &order.from
            && !self.find(from)?.record.stages.contains(&order.stage)
        {
            let reason = "the stage does not point to this version".to_owned();
            return Err(KmsError::InvalidParameterBecause { name: "RemoveFromVersion", reason });
        }
        let Some(to) = &order.to else {
            self.lift(&order.stage);
            return Ok(());
        };
        if self.find(to)?.record.stages.contains(&order.stage) {
            return Ok(());
        }
        if order.stage == CURRENT {
            self.step_back();
        }
        self.lift(&order.stage);
        let entry = self.find(to)?;
        entry.record.stages.insert(order.stage.clone());
        entry.changed = true;
        Ok(())
    }

    /// The versions whose stages changed.
    pub(super) fn changed(&self) -> impl Iterator<Item = &Stored<SecretVersionRecord>> {
        self.versions.iter().filter(|entry| entry.changed).map(|entry| &entry.record)
    }

    /// The current version becomes the previous one.
    fn step_back(&mut self) {
        self.lift(PREVIOUS);
        for entry in &mut self.versions {
            if entry.record.stages.contains(CURRENT) {
                entry.record.stages.insert(PREVIOUS.to_owned());
                entry.changed = true;
            }
        }
    }

    fn lift(&mut self, stage: &str) {
        for entry in &mut self.versions {
            if entry.record.stages.remove(stage) {
                entry.changed = true;
            }
        }
    }

    fn find(&mut self, id: &SecretVersionId) -> Result<&mut Entry, KmsError> {
        self.versions.iter_mut().find(|entry| entry.record.id == *id).ok_or(KmsError::ResourceNotFound)
    }
}

/// Checks the stages of a new version; none means `ACSCurrent`.
pub(super) fn stages_of_new(asked: Option<&[String]>) -> Result<BTreeSet<String>, KmsError> {
    let invalid = |reason: &str| KmsError::InvalidParameterBecause { name: "VersionStages", reason: reason.to_owned() };
    let asked: BTreeSet<String> = match asked {
        None => BTreeSet::from([CURRENT.to_owned()]),
        Some(stages) => stages.iter().cloned().collect(),
    };
    if asked.is_empty() || asked.len() > MAX_STAGES {
        return Err(invalid("name 1 to 10 stages"));
    }
    if asked.contains(CURRENT) && asked.contains(PREVIOUS) {
        return Err(invalid("the current version becomes ACSPrevious when another one becomes ACSCurrent"));
    }
    if asked.iter().all(|stage| is_stage(stage)) {
        Ok(asked)
    } else {
        Err(invalid("a stage has 1 to 64 letters, digits and _ / + = . - @"))
    }
}

/// Whether a text can be a stage: formed like a version ID.
pub(super) fn is_stage(text: &str) -> bool {
    text.parse::<SecretVersionId>().is_ok()
}
