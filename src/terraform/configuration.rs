//! A directory with its modules, read whole.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::{Component, Path, PathBuf};

use serde::Serialize;

use super::TerraformError;
use super::address::Segment;
use super::document::{Document, Syntax};
use super::evaluate::{Each, Repetition, Scope};
use super::module::{Module, is_override};
use super::provider::{Kind, Version, instance_id_computed};
use super::{hcl, json};

/// What could not be read, followed or understood; the rest was.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Problem {
    /// Where.
    #[serde(serialize_with = "told")]
    pub file: PathBuf,
    /// From 1.
    pub line: Option<usize>,
    /// What; never what is written there.
    pub message: String,
}

/// A path as text, also one that is not UTF-8.
pub(super) fn told<S: serde::Serializer>(path: &Path, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_str(&path.to_string_lossy())
}

/// A configuration.
#[derive(Debug, Default)]
pub struct Configuration {
    /// The directory as it was given.
    pub(super) dir: PathBuf,
    /// Without symbolic links.
    pub(super) real: PathBuf,
    pub(super) modules: Vec<Module>,
    /// Every use of a module, root modules first.
    pub(super) nodes: Vec<Node>,
    pub(super) problems: Vec<Problem>,
    /// Calls of modules that lie elsewhere.
    pub(super) remote: Vec<Remote>,
    pub(super) provider: Option<Version>,
}

/// A use of a module.
#[derive(Debug)]
pub(super) struct Node {
    pub(super) module: usize,
    pub(super) parent: Option<Parent>,
    /// From its root module inwards; an index is `None` also where it is not known.
    pub(super) path: Vec<Segment>,
    /// Which one of a repeated call.
    pub(super) each: Option<Each>,
}

#[derive(Debug)]
pub(super) struct Parent {
    pub(super) node: usize,
    pub(super) call: usize,
}

/// A call of a module that is not a local directory.
#[derive(Debug)]
pub(super) struct Remote {
    pub(super) file: PathBuf,
    pub(super) line: usize,
    pub(super) path: Vec<Segment>,
}

/// Modules may call each other this deep.
const MAX_MODULE_DEPTH: usize = 24;
/// Uses of modules that are told apart.
const MAX_NODES: usize = 20_000;

impl Configuration {
    /// Reads a directory, the directories below it and the local modules that they call. Directories that begin with a
    /// dot, such as `.terraform`, are left out. `variables` are files as Terraform takes them with `-var-file`.
    ///
    /// # Errors
    /// When the directory or a file of variables cannot be read, or there is no configuration. A file of the
    /// configuration that cannot be read or understood is a [`Problem`].
    pub fn read(dir: &Path, variables: &[PathBuf]) -> Result<Self, TerraformError> {
        let unreadable =
            |error: std::io::Error| TerraformError::Directory { path: dir.to_owned(), cause: error.to_string() };
        let real = dir.canonicalize().map_err(unreadable)?;
        std::fs::read_dir(&real).map_err(unreadable)?;
        let mut configuration = Self { dir: dir.to_owned(), real: real.clone(), ..Self::default() };
        let mut loader = Loader::default();
        for below in configuration.directories(&real) {
            loader.load(&mut configuration, &below);
        }
        let own = configuration.modules.len();
        if own == 0 && configuration.problems.is_empty() {
            return Err(TerraformError::Empty(dir.to_owned()));
        }
        loader.follow(&mut configuration);
        configuration.give_variables(variables)?;
        configuration.expand(own);
        configuration.provider = configuration.locked_provider();
        Ok(configuration)
    }

    /// What could not be read, followed or understood.
    #[must_use]
    pub fn problems(&self) -> &[Problem] {
        &self.problems
    }

    /// The version of the provider, from `.terraform.lock.hcl` or an exact constraint.
    #[must_use]
    pub const fn provider(&self) -> Option<Version> {
        self.provider
    }

    /// A real path as it is told: below the directory as that was given.
    pub(super) fn told(&self, real: &Path) -> PathBuf {
        match real.strip_prefix(&self.real) {
            Ok(relative) => {
                let clean: PathBuf = self.dir.components().filter(|part| *part != Component::CurDir).collect();
                clean.join(relative)
            }
            Err(_) => real.to_owned(),
        }
    }

    fn directories(&mut self, dir: &Path) -> Vec<PathBuf> {
        let mut found = vec![dir.to_owned()];
        let entries = match std::fs::read_dir(dir) {
            Ok(entries) => entries,
            Err(error) => {
                self.problem(dir, None, format!("the directory cannot be read ({error})"));
                return Vec::new();
            }
        };
        let mut below: Vec<PathBuf> = entries
            .flatten()
            .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()))
            .filter(|entry| !entry.file_name().to_string_lossy().starts_with('.'))
            .map(|entry| entry.path())
            .collect();
        below.sort();
        for dir in below {
            found.extend(self.directories(&dir));
        }
        found
    }

    fn problem(&mut self, file: &Path, line: Option<usize>, message: impl Into<String>) {
        let file = self.told(file);
        self.problems.push(Problem { file, line, message: message.into() });
    }

    /// `terraform.tfvars`, `*.auto.tfvars` and the files that were named, for root modules; later ones win.
    fn give_variables(&mut self, named: &[PathBuf]) -> Result<(), TerraformError> {
        let mut given = Vec::new();
        for path in named {
            let unreadable = |cause: String| TerraformError::File { path: path.clone(), cause };
            let text =
                std::fs::read_to_string(path).map_err(|error| unreadable(format!("cannot be read ({error})")))?;
            let values = variables(path, &text).map_err(|mistake| {
                unreadable(format!("is not understood: line {}: {}", mistake.line, mistake.message))
            })?;
            given.insert(0, values);
        }
        for index in 0..self.modules.len() {
            let Some(dir) = self.modules.get(index).map(|module| module.dir.clone()) else { continue };
            let mut own = Vec::new();
            for path in variable_files(&dir) {
                match std::fs::read_to_string(&path) {
                    Ok(text) => match variables(&path, &text) {
                        Ok(values) => own.insert(0, values),
                        Err(mistake) => self.problem(&path, Some(mistake.line), mistake.message),
                    },
                    Err(error) => self.problem(&path, None, format!("the file cannot be read ({error})")),
                }
            }
            if let Some(module) = self.modules.get_mut(index) {
                module.given = given.iter().cloned().chain(own).collect();
            }
        }
        Ok(())
    }

    /// Makes a node of each use of a module.
    fn expand(&mut self, own: usize) {
        let called: HashSet<usize> =
            self.modules.iter().flat_map(|module| module.calls.iter().filter_map(|call| call.target)).collect();
        let roots = (0..own).filter(|index| !called.contains(index));
        let roots: Vec<usize> = roots.collect();
        for module in roots {
            self.nodes.push(Node { module, parent: None, path: Vec::new(), each: None });
        }
        let mut next = 0;
        while next < self.nodes.len() && self.nodes.len() < MAX_NODES {
            let (made, remote) = self.calls_of(next);
            self.nodes.extend(made);
            self.remote.extend(remote);
            next = next.saturating_add(1);
        }
        if self.nodes.len() >= MAX_NODES {
            let dir = self.real.clone();
            self.problem(&dir, None, format!("modules are used more than {MAX_NODES} times; the rest was left out"));
        }
    }

    fn calls_of(&self, node: usize) -> (Vec<Node>, Vec<Remote>) {
        let (mut made, mut remote) = (Vec::new(), Vec::new());
        let scope = Scope { configuration: self, node, each: None };
        let Some((module, own)) = scope.module().zip(self.nodes.get(node)) else {
            return (made, remote);
        };
        if own.path.len() >= MAX_MODULE_DEPTH {
            return (made, remote);
        }
        for (index, call) in module.calls.iter().enumerate() {
            let repetition = scope.repetition(call.arguments.get("count"), call.arguments.get("for_each"));
            let each: Vec<Option<Each>> = match repetition {
                Repetition::Once | Repetition::Unknown => vec![None],
                Repetition::Known(each) => each.into_iter().map(Some).collect(),
            };
            for each in each {
                let mut path = own.path.clone();
                path.push(Segment { name: call.name.clone(), index: each.as_ref().and_then(Each::written) });
                match call.target {
                    Some(target) => {
                        made.push(Node { module: target, parent: Some(Parent { node, call: index }), path, each });
                    }
                    None => {
                        let Some((document, block)) = module.block(call.place) else { continue };
                        let line = document.position(block.span.start).0;
                        remote.push(Remote { file: document.path.clone(), line, path });
                    }
                }
            }
        }
        (made, remote)
    }

    /// The lowest version that lock files and constraints name.
    fn locked_provider(&self) -> Option<Version> {
        let roots = self.nodes.iter().filter(|node| node.parent.is_none());
        let versions = roots.filter_map(|node| {
            let module = self.modules.get(node.module)?;
            let constrained = || module.constraint.as_deref().and_then(|text| exact(text).or_else(|| new_enough(text)));
            locked(&module.dir).or_else(constrained)
        });
        versions.min()
    }
}

/// The version in a lock file. What was locked is in a block `provider "registry.terraform.io/aliyun/alicloud"`.
fn locked(dir: &Path) -> Option<Version> {
    let text = std::fs::read_to_string(dir.join(".terraform.lock.hcl")).ok()?;
    let body = hcl::parse(&text).ok()?;
    let ours = |label: &String| label.ends_with("/alicloud");
    let found = body.blocks_of("provider").find(|block| block.labels.first().is_some_and(ours))?;
    found.body.attribute("version")?.value.literal()?.parse().ok()
}

fn exact(constraint: &str) -> Option<Version> {
    let text = constraint.trim();
    text.strip_prefix('=').unwrap_or(text).trim().parse().ok()
}

/// The lowest version that a constraint allows, where already that one computes the instance ID of keys: then all do.
fn new_enough(constraint: &str) -> Option<Version> {
    let bounds = constraint.split(',').filter_map(|part| {
        let part = part.trim();
        let bound = part.strip_prefix(">=").or_else(|| part.strip_prefix("~>")).or_else(|| part.strip_prefix('>'))?;
        bound.trim().parse::<Version>().ok()
    });
    bounds.max().filter(|lowest| instance_id_computed(Kind::Key, Some(*lowest)))
}

/// Terraform's own order: `terraform.tfvars`, `terraform.tfvars.json`, then `*.auto.tfvars(.json)` by name.
fn variable_files(dir: &Path) -> Vec<PathBuf> {
    let mut found = vec![dir.join("terraform.tfvars"), dir.join("terraform.tfvars.json")];
    found.retain(|path| path.is_file());
    let automatic = std::fs::read_dir(dir).into_iter().flatten().flatten().map(|entry| entry.path());
    let automatic = automatic.filter(|path| {
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        name.ends_with(".auto.tfvars") || name.ends_with(".auto.tfvars.json")
    });
    let mut automatic: Vec<PathBuf> = automatic.collect();
    automatic.sort();
    found.extend(automatic);
    found
}

fn variables(path: &Path, text: &str) -> Result<HashMap<String, super::document::Expression>, hcl::Mistake> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let is_json = path.extension().is_some_and(|extension| extension == "json");
    let body = if is_json { json::parse_variables(text)? } else { hcl::parse(text)? };
    Ok(body.attributes.into_iter().map(|attribute| (attribute.name, attribute.value)).collect())
}

/// Directories by their real path.
#[derive(Default)]
struct Loader {
    known: BTreeMap<PathBuf, Option<usize>>,
}

impl Loader {
    /// The module of a directory; `None` where it has no file of a configuration.
    fn load(&mut self, configuration: &mut Configuration, dir: &Path) -> Option<usize> {
        if let Some(known) = self.known.get(dir) {
            return *known;
        }
        let files = configuration_files(dir);
        let mut documents: Vec<Document> = Vec::new();
        for file in &files {
            documents.extend(read_document(configuration, file));
        }
        // Override files are merged last; the sort is stable.
        documents.sort_by_key(is_override);
        let index = if files.is_empty() {
            None
        } else {
            configuration.modules.push(Module::of(dir.to_owned(), documents));
            Some(configuration.modules.len().saturating_sub(1))
        };
        self.known.insert(dir.to_owned(), index);
        index
    }

    /// Follows calls of local modules, until there are no more.
    fn follow(&mut self, configuration: &mut Configuration) {
        let mut next = 0;
        while let Some(module) = configuration.modules.get(next) {
            let dir = module.dir.clone();
            let calls: Vec<(usize, String, PathBuf, usize)> = module
                .calls
                .iter()
                .enumerate()
                .filter_map(|(index, call)| {
                    let source = call.source.clone()?;
                    let (document, block) = module.block(call.place)?;
                    Some((index, source, document.real.clone(), document.position(block.span.start).0))
                })
                .collect();
            for (index, source, file, line) in calls {
                if !(source.starts_with("./") || source.starts_with("../")) {
                    continue;
                }
                let target = dir.join(&source).canonicalize().ok().and_then(|dir| self.load(configuration, &dir));
                if target.is_none() {
                    configuration.problem(&file, Some(line), format!("there is no module at {source}"));
                }
                if let Some(call) = configuration.modules.get_mut(next).and_then(|m| m.calls.get_mut(index)) {
                    call.target = target;
                }
            }
            next = next.saturating_add(1);
        }
    }
}

/// The files that Terraform reads in a directory, by name. Those of editors are left out, as Terraform does.
fn configuration_files(dir: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(dir).into_iter().flatten().flatten().map(|entry| entry.path());
    let mut files: Vec<PathBuf> = entries
        .filter(|path| {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            let kept = !name.starts_with('.') && !name.starts_with('#');
            kept && (name.ends_with(".tf") || name.ends_with(".tf.json")) && !path.is_dir()
        })
        .collect();
    files.sort();
    files
}

fn read_document(configuration: &mut Configuration, file: &Path) -> Option<Document> {
    let bytes = match std::fs::read(file) {
        Ok(bytes) => bytes,
        Err(error) => {
            configuration.problem(file, None, format!("the file cannot be read ({error})"));
            return None;
        }
    };
    let Ok(text) = String::from_utf8(bytes) else {
        configuration.problem(file, None, "the file is not UTF-8, as Terraform wants it");
        return None;
    };
    let (marked, text) = match text.strip_prefix('\u{feff}') {
        Some(rest) => (true, rest.to_owned()),
        None => (false, text),
    };
    let syntax =
        if file.extension().is_some_and(|extension| extension == "json") { Syntax::Json } else { Syntax::Native };
    let read = match syntax {
        Syntax::Native => hcl::parse(&text),
        Syntax::Json => json::parse(&text),
    };
    match read {
        Ok(body) => {
            let real = file.canonicalize().unwrap_or_else(|_| file.to_owned());
            let lines = Document::line_starts(&text);
            Some(Document { path: configuration.told(file), real, text, marked, syntax, body, lines })
        }
        Err(mistake) => {
            let message = format!("column {}: {}; nothing in this file was looked at", mistake.column, mistake.message);
            configuration.problem(file, Some(mistake.line), message);
            None
        }
    }
}
