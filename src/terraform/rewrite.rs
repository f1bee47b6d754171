//! The change of a configuration that puts the remedies in.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::path::PathBuf;

use serde::Serialize;

use super::assess::{Ignored, ignored};
use super::configuration::{Configuration, told};
use super::document::{Document, Syntax};
use super::edit::{self, Edit, Refused};
use super::finding::{Assessment, Need};
use super::insertion::{Insertion, apply};
use super::module::{Module, Resource};
use super::provider::{Kind, PROTECTION_LEVEL, Strategy, Version, instance_id_known};
use super::{diff, hcl, json};

/// What is to be changed.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Rewrite {
    /// By file.
    pub files: Vec<FileChange>,
    /// What has to be changed by hand.
    pub left: Vec<Left>,
}

/// The change of a file.
#[derive(Debug, Clone, Serialize)]
pub struct FileChange {
    /// Which.
    #[serde(serialize_with = "told")]
    pub file: PathBuf,
    /// Resources that are changed in it.
    pub resources: Vec<String>,
    /// As a unified diff; `null` where a line that changes holds a secret.
    pub diff: Option<String>,
    #[serde(skip)]
    pub(super) real: PathBuf,
    #[serde(skip)]
    pub(super) before: String,
    #[serde(skip)]
    pub(super) after: String,
}

/// What is left for somebody to change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Left {
    /// Which resource.
    pub address: String,
    /// Where.
    #[serde(serialize_with = "told")]
    pub file: PathBuf,
    /// From 1.
    pub line: usize,
    /// Why.
    pub reason: String,
}

/// Makes the change. Nothing is written.
#[must_use]
pub fn rewrite(
    configuration: &Configuration,
    assessment: &Assessment,
    strategy: Strategy,
    version: Option<Version>,
) -> Rewrite {
    let mut made = Rewrite::default();
    let mut files: BTreeMap<PathBuf, Changed<'_>> = BTreeMap::new();
    let mut done = BTreeSet::new();
    for finding in &assessment.findings {
        let leave = |reason: String| Left {
            address: finding.address.clone(),
            file: finding.file.clone(),
            line: finding.line,
            reason,
        };
        let Some(block) = finding.block else {
            made.left.push(leave(finding.remedy.clone()));
            continue;
        };
        if !done.insert(block) {
            continue;
        }
        let found = configuration.modules.get(block.0);
        let found = found.and_then(|module| Some((module, module.resources.get(block.1)?)));
        let Some(((module, resource), need)) = found.zip(assessment.needs.get(&block)) else { continue };
        let work = Work { configuration, module, resource, need, strategy, version };
        let edits = match work.edits() {
            Ok(edits) => edits,
            Err(Reason::Here(reason)) => {
                made.left.push(leave(reason));
                continue;
            }
            Err(Reason::There(refused)) => {
                made.left.push(refused_at(module, refused, &finding.address));
                continue;
            }
        };
        for edit in edits {
            let Some(document) = module.documents.get(edit.document) else { continue };
            let changed = files.entry(document.real.clone()).or_insert_with(|| Changed {
                document,
                changes: Vec::new(),
                known: HashSet::new(),
                resources: Vec::new(),
            });
            // A file that is linked into several directories is changed once.
            for change in edit.changes {
                if changed.known.insert(change.clone()) {
                    changed.changes.push(change);
                }
            }
            if changed.resources.last() != Some(&finding.address) {
                changed.resources.push(finding.address.clone());
            }
        }
    }
    for (real, changed) in files {
        match changed.finish(configuration, real) {
            Ok(file) => made.files.push(file),
            Err(left) => made.left.extend(left),
        }
    }
    made
}

struct Changed<'a> {
    document: &'a Document,
    changes: Vec<Insertion>,
    known: HashSet<Insertion>,
    resources: Vec<String>,
}

impl Changed<'_> {
    /// The new text, read back before it is offered: a change that the parser does not understand is none.
    fn finish(self, configuration: &Configuration, real: PathBuf) -> Result<FileChange, Vec<Left>> {
        let document = self.document;
        let file = configuration.told(&real);
        let after = apply(&document.text, &self.changes).filter(|text| match document.syntax {
            Syntax::Native => hcl::parse(text).is_ok(),
            Syntax::Json => json::parse(text).is_ok(),
        });
        let Some(after) = after else {
            let left = |address: &String| Left {
                address: address.clone(),
                file: file.clone(),
                line: 1,
                reason: "the file is laid out in a way that cannot be changed safely".to_owned(),
            };
            return Err(self.resources.iter().map(left).collect());
        };
        let relative = if file.is_absolute() { real.strip_prefix(&configuration.real).unwrap_or(&real) } else { &file };
        let diff = diff::unified(document, &self.changes, &after, &relative.to_string_lossy());
        let mark = |text: String| if document.marked { format!("\u{feff}{text}") } else { text };
        Ok(FileChange {
            file,
            resources: self.resources,
            diff,
            real,
            before: mark(document.text.clone()),
            after: mark(after),
        })
    }
}

fn refused_at(module: &Module, refused: Refused, address: &str) -> Left {
    let document = module.documents.get(refused.document);
    Left {
        address: address.to_owned(),
        file: document.map(|document| document.path.clone()).unwrap_or_default(),
        line: document.map_or(1, |document| document.position(refused.at).0),
        reason: refused.reason,
    }
}

enum Reason {
    Here(String),
    There(Refused),
}

struct Work<'a> {
    configuration: &'a Configuration,
    module: &'a Module,
    resource: &'a Resource,
    need: &'a Need,
    strategy: Strategy,
    version: Option<Version>,
}

impl Work<'_> {
    fn edits(&self) -> Result<Vec<Edit>, Reason> {
        let need = self.need;
        if let (Some(why), false) = (&need.undecided, need.instance_id || need.protection || need.rotation) {
            return Err(Reason::Here(format!("{why}; give --state, or add the remedy by hand")));
        }
        let Some(kind) = Kind::of_type(&self.resource.kind) else { return Ok(Vec::new()) };
        if !instance_id_known(self.version) && need.instance_id {
            return Err(Reason::Here("this version of the provider knows no instances; use a newer one".to_owned()));
        }
        let mut edits = Vec::new();
        let mut stated = None;
        let list: Vec<&str> = match self.strategy {
            Strategy::IgnoreChanges => {
                let mut list = kind.remedy(self.version);
                // Whatever the version: where the ID differs by what is stated, only ignoring it helps.
                if need.instance_id && !list.contains(&super::provider::INSTANCE_ID) {
                    list.insert(0, super::provider::INSTANCE_ID);
                }
                if need.restores_rotation {
                    list.retain(|name| !kind.rotation().contains(name));
                }
                list
            }
            Strategy::InstanceId => {
                if need.instance_id {
                    stated = Some(self.instance().map_err(Reason::Here)?);
                }
                // What stating the instance does not solve.
                let mut list = Vec::new();
                if need.rotation {
                    list.extend(kind.rotation());
                }
                if need.protection {
                    list.push(PROTECTION_LEVEL);
                }
                list
            }
        };
        let missing: Vec<&str> = match ignored(self.module, self.resource) {
            Ignored::All => Vec::new(),
            Ignored::Names(names) => list.into_iter().filter(|name| !names.iter().any(|there| there == name)).collect(),
        };
        if let Some(id) = &stated {
            if let Some(edit) = edit::both_in_one_line(self.module, self.resource, id, &missing) {
                let edits = vec![edit];
                self.check_places(&edits)?;
                return Ok(edits);
            }
            edits.extend(edit::instance(self.module, self.resource, id).map_err(Reason::There)?);
        }
        if !missing.is_empty() {
            edits.extend(edit::ignore(self.module, self.resource, &missing).map_err(Reason::There)?);
        }
        self.check_places(&edits)?;
        Ok(edits)
    }

    /// The one instance that all of the resource is in.
    fn instance(&self) -> Result<String, String> {
        if !self.need.whole {
            return Err(
                "it stands for several resources, and not all of them are known to have moved; use the strategy \
                        ignore-changes, or give --state"
                    .to_owned(),
            );
        }
        match self.need.instances.iter().collect::<Vec<_>>().as_slice() {
            [Some(only)] => Ok(only.clone()),
            [None] => Err("the instance is not known; name it with --instance".to_owned()),
            _ => Err("it stands for resources in several instances; use the strategy ignore-changes".to_owned()),
        }
    }

    /// Only files below the directory that was given are changed.
    fn check_places(&self, edits: &[Edit]) -> Result<(), Reason> {
        for edit in edits {
            let Some(document) = self.module.documents.get(edit.document) else { continue };
            if !document.real.starts_with(&self.configuration.real) {
                return Err(Reason::Here(format!(
                    "its file {} lies outside of the directory; run the command on a directory that holds both",
                    document.real.display()
                )));
            }
        }
        Ok(())
    }
}
