//! What the next apply would do to what moved.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::path::PathBuf;

use serde::Serialize;

use super::configuration::{Configuration, Problem, told};
use super::document::{Document, Form};
use super::evaluate::Scope;
use super::matching::{Certainty, Matched, Searched, Use};
use super::module::{Module, Resource};
use super::moved::Moved;
use super::provider::{
    DEFAULT_PROTECTION_LEVEL, INSTANCE_ID, Kind, PROTECTION_LEVEL, ProtectionLevel, Version, effect_on_dependent,
    instance_id_computed, instance_id_known,
};
use super::state::State;
use super::value::Value;

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

/// Holds a configuration to what moved. `version`: the provider's, where it is known.
#[must_use]
pub fn assess(configuration: &Configuration, state: &State, moved: &Moved, version: Option<Version>) -> Assessment {
    let searched = Searched::of(configuration, state);
    let matched = searched.matched(moved);
    let mut work = Work { configuration, searched: &searched, moved, version, out: Assessment::default() };
    // Uses of one block, in the order of modules.
    let mut blocks: BTreeMap<(usize, usize), Vec<(Use, &Matched)>> = BTreeMap::new();
    for (place, found) in &matched {
        let Some(node) = searched.node(*place) else { continue };
        blocks.entry((node.module, place.resource)).or_default().push((*place, found));
    }
    for (block, mut uses) in blocks {
        uses.sort_by_key(|(place, _)| place.node);
        work.block(block, &uses);
    }
    work.elsewhere(state);
    work.not_seen(&matched, state);
    work.dependents();
    work.inventory(&matched);
    let mut out = work.out;
    out.problems = configuration.problems.clone();
    out.findings.sort_by(|a, b| (&a.file, a.line, a.rule).cmp(&(&b.file, b.line, b.rule)));
    out.resources.sort_by(|a, b| (&a.file, a.line, &a.address).cmp(&(&b.file, b.line, &b.address)));
    // The same file, linked into several directories.
    out.findings.dedup_by(|a, b| a.file == b.file && a.line == b.line && a.rule == b.rule && a.address == b.address);
    out
}

/// What a `lifecycle` ignores.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Ignored {
    All,
    Names(Vec<String>),
}

impl Ignored {
    fn covers(&self, name: &str) -> bool {
        match self {
            Self::All => true,
            Self::Names(names) => names.iter().any(|ignored| ignored == name),
        }
    }
}

/// What a resource ignores: an override file's list takes the place of the others.
pub(super) fn ignored(module: &Module, resource: &Resource) -> Ignored {
    let list = resource.places.iter().rev().find_map(|place| {
        let (_, block) = module.block(*place)?;
        block.body.blocks_of("lifecycle").find_map(|lifecycle| lifecycle.body.attribute("ignore_changes"))
    });
    match list.map(|attribute| &attribute.value.form) {
        Some(Form::List(items)) => {
            let names = items.iter().filter_map(|item| match &item.form {
                Form::Text(name) => Some(name.clone()),
                Form::Path { root, .. } => Some(root.clone()),
                _ => None,
            });
            let names: Vec<String> = names.collect();
            if names.iter().any(|name| name == "*") { Ignored::All } else { Ignored::Names(names) }
        }
        Some(Form::Path { root, steps }) if root == "all" && steps.is_empty() => Ignored::All,
        Some(Form::Text(text)) if text == "all" => Ignored::All,
        _ => Ignored::Names(Vec::new()),
    }
}

struct Work<'a> {
    configuration: &'a Configuration,
    searched: &'a Searched<'a>,
    moved: &'a Moved,
    version: Option<Version>,
    out: Assessment,
}

/// What a resource meets in the next apply, for one that moved.
#[derive(Debug, Default)]
struct Met {
    instance_id: bool,
    protection: bool,
    rotation: bool,
    restores_rotation: bool,
    /// An attribute is only known to Terraform.
    unsure: bool,
}

/// What is known of what moved.
struct Facts<'f> {
    instance: Option<&'f str>,
    protection: Option<ProtectionLevel>,
    rotates: Option<bool>,
}

impl Work<'_> {
    fn block(&mut self, block: (usize, usize), uses: &[(Use, &Matched)]) {
        let Some((first, _)) = uses.first() else { return };
        let Some((scope, resource)) = self.searched.resolve(*first) else { return };
        let Some((kind, module)) = Kind::of_type(&resource.kind).zip(scope.module()) else { return };
        let ignored = ignored(module, resource);
        let mut need = Need { whole: true, ..Need::default() };
        let mut names: Vec<String> = Vec::new();
        let mut certainty: Option<Certainty> = None;
        let mut unsure = false;
        for (place, found) in uses {
            need.whole &= found.whole;
            let Some((scope, resource)) = self.searched.resolve(*place) else { continue };
            for index in &found.places {
                let Some((name, facts)) = self.facts(kind, *index) else { continue };
                let met = self.meets(scope, resource, kind, &ignored, &facts);
                need.instance_id |= met.instance_id;
                need.protection |= met.protection;
                need.rotation |= met.rotation;
                need.restores_rotation |= met.restores_rotation;
                unsure |= met.unsure;
                need.instances.insert(facts.instance.map(str::to_owned));
                if !names.contains(&name) {
                    names.push(name);
                }
                certainty = certainty.max(found.certainty);
            }
            if let Some(why) = &found.undecided {
                let facts = Facts { instance: None, protection: None, rotates: None };
                if self.meets(scope, resource, kind, &ignored, &facts).instance_id {
                    need.undecided.get_or_insert_with(|| why.clone());
                }
            }
        }
        let mut certainty = certainty.unwrap_or(Certainty::Undecided);
        if unsure {
            certainty = certainty.min(Certainty::Likely);
        }
        let Some((document, at)) = home(module, resource) else { return };
        let (line, column) = document.position(at);
        let instance = match need.instances.iter().collect::<Vec<_>>().as_slice() {
            [Some(only)] => Some(only.clone()),
            _ => None,
        };
        let finding = Finding {
            rule: Rule::WouldBeReplaced,
            kind: kind.as_str(),
            address: self.address(*first),
            file: document.path.clone(),
            line,
            column,
            certainty,
            moved: names,
            instance,
            attributes: Vec::new(),
            message: String::new(),
            remedy: String::new(),
            dependents: Vec::new(),
            block: Some(block),
        };
        if need.instance_id || need.protection {
            let flags = [(need.instance_id, INSTANCE_ID), (need.protection, PROTECTION_LEVEL)];
            let attributes: Vec<&str> = flags.iter().filter(|(met, _)| *met).map(|(_, name)| *name).collect();
            let message = format!(
                "{} has moved{}, and {} makes the next apply destroy it and create another one",
                subject(kind, &finding.moved),
                finding.instance.as_ref().map_or_else(String::new, |instance| format!(" into {instance}")),
                attributes.join(" and ")
            );
            let remedy = self.remedy(kind, &need);
            self.out.findings.push(Finding { attributes, message, remedy, ..finding.clone() });
        }
        if need.rotation {
            let (switch, off, _) = kind.rotation_switch();
            let message = format!(
                "{} rotates, but the configuration says {switch} = {off}: the next apply would switch it off",
                subject(kind, &finding.moved)
            );
            let remedy = format!("state it as it is, or add {} to ignore_changes", kind.rotation().join(", "));
            let rule = Rule::WouldStopRotating;
            self.out.findings.push(Finding { rule, attributes: vec![switch], message, remedy, ..finding.clone() });
        }
        if let (Some(why), false) = (&need.undecided, need.instance_id || need.protection) {
            let message = format!("{why}; if it moved, the next apply would destroy it and create another one");
            let remedy = "give --state, so that it is known, or add the remedy by hand".to_owned();
            let (rule, certainty) = (Rule::Undecided, Certainty::Undecided);
            let attributes = vec![INSTANCE_ID];
            self.out.findings.push(Finding { rule, certainty, attributes, message, remedy, ..finding });
        }
        self.out.needs.insert(block, need);
    }

    fn remedy(&self, kind: Kind, need: &Need) -> String {
        let mut list = kind.remedy(self.version);
        if need.restores_rotation {
            list.retain(|name| !kind.rotation().contains(name));
        }
        format!("lifecycle {{ ignore_changes = [{}] }}; `keyferry terraform rewrite` puts it in", list.join(", "))
    }

    fn facts(&self, kind: Kind, place: usize) -> Option<(String, Facts<'_>)> {
        match kind {
            Kind::Key => self.moved.keys.get(place).map(|key| {
                let facts =
                    Facts { instance: key.instance.as_deref(), protection: key.protection, rotates: key.rotates };
                (key.name().to_owned(), facts)
            }),
            Kind::Secret => self.moved.secrets.get(place).map(|secret| {
                let facts = Facts { instance: secret.instance.as_deref(), protection: None, rotates: secret.rotates };
                (secret.name.clone(), facts)
            }),
        }
    }

    /// The rule of replacement (`docs/terraform.md`, "The model").
    fn meets(&self, scope: Scope<'_>, resource: &Resource, kind: Kind, ignored: &Ignored, facts: &Facts<'_>) -> Met {
        let mut met = Met::default();
        let stated = |name: &str| self.stated(scope, resource, name);
        if instance_id_known(self.version) && !ignored.covers(INSTANCE_ID) {
            match (stated(INSTANCE_ID), facts.instance) {
                // Not stated: a difference unless it is computed.
                (Value::Null, _) => met.instance_id = !instance_id_computed(kind, self.version),
                (Value::Text(text), _) if text.is_empty() => {
                    met.instance_id = !instance_id_computed(kind, self.version);
                }
                (Value::Text(text), Some(instance)) => met.instance_id = text != instance,
                // Somebody stated an instance, and which one holds it is not known here.
                (Value::Text(_), None) => {}
                _ => {
                    met.instance_id = true;
                    met.unsure = true;
                }
            }
        }
        let actual = facts.protection.filter(|_| kind == Kind::Key && !ignored.covers(PROTECTION_LEVEL));
        if let Some(actual) = actual {
            match stated(PROTECTION_LEVEL) {
                Value::Null => met.protection = actual != DEFAULT_PROTECTION_LEVEL,
                Value::Text(text) => met.protection = text != actual.as_str(),
                _ => {
                    met.protection = actual != DEFAULT_PROTECTION_LEVEL;
                    met.unsure = true;
                }
            }
        }
        let (switch, off, on) = kind.rotation_switch();
        let wanted = stated(switch).text();
        if facts.rotates == Some(true) && wanted.as_deref() == Some(off) {
            met.rotation = !ignored.covers(switch);
        }
        met.restores_rotation = facts.rotates == Some(false) && wanted.as_deref() == Some(on);
        met
    }

    /// What the configuration states; [`Value::Null`] where it states nothing.
    fn stated(&self, scope: Scope<'_>, resource: &Resource, name: &str) -> Value {
        let Some(module) = scope.module() else { return Value::Unknown };
        if module.attribute(resource, name).is_none() {
            return Value::Null;
        }
        let scope = Scope { configuration: self.configuration, node: scope.node, each: None };
        let mut values = self.searched.values(scope, resource, name);
        values.dedup();
        match values.as_slice() {
            [only] => only.clone(),
            _ => Value::Unknown,
        }
    }

    fn address(&self, place: Use) -> String {
        let Some((node, (_, resource))) = self.searched.node(place).zip(self.searched.resolve(place)) else {
            return String::new();
        };
        let mut text = String::new();
        for segment in &node.path {
            let index = segment.index.as_ref().map_or_else(String::new, |index| format!("[{index}]"));
            text.push_str(&format!("module.{}{index}.", segment.name));
        }
        let data = if resource.managed { "" } else { "data." };
        let address = format!("{text}{data}{}.{}", resource.kind, resource.name);
        // A label may be any text; what is told must not steer a terminal.
        address.replace(char::is_control, "\u{fffd}")
    }

    /// What the state holds and moved, but no file that was read describes.
    fn elsewhere(&mut self, state: &State) {
        let mut described: HashSet<(Vec<String>, &str, &str)> = HashSet::new();
        let mut seen: HashSet<*const super::state::StateItem> = HashSet::new();
        for place in self.searched.uses() {
            let Some((node, (_, resource))) = self.searched.node(place).zip(self.searched.resolve(place)) else {
                continue;
            };
            let modules = node.path.iter().map(|segment| segment.name.clone()).collect();
            described.insert((modules, &resource.kind, &resource.name));
            if let Some(identity) = self.searched.identity(place) {
                seen.extend(identity.stated.iter().map(|item| std::ptr::from_ref(*item)));
            }
        }
        let keys: HashMap<&str, Option<&str>> =
            self.moved.keys.iter().map(|key| (key.id.as_str(), key.instance.as_deref())).collect();
        let secrets: HashMap<&str, Option<&str>> =
            self.moved.secrets.iter().map(|secret| (secret.name.as_str(), secret.instance.as_deref())).collect();
        for item in &state.items {
            let Some(kind) = Kind::of_type(&item.kind) else { continue };
            let moved = match kind {
                Kind::Key => keys.get(item.id.as_str()),
                Kind::Secret => secrets.get(item.id.as_str()),
            };
            let modules: Vec<String> = item.modules.iter().map(|segment| segment.name.clone()).collect();
            let Some(instance) = moved else { continue };
            if seen.contains(&std::ptr::from_ref(item))
                || described.contains(&(modules.clone(), &item.kind, &item.name))
            {
                continue;
            }
            let path = modules.iter().map(|name| format!("module.{name}.")).collect::<String>();
            let index = item.index.as_ref().map_or_else(String::new, |index| format!("[{index}]"));
            let address = format!("{path}{}.{}{index}", item.kind, item.name);
            let within = self.configuration.remote.iter().find(|remote| {
                let names: Vec<String> = remote.path.iter().map(|segment| segment.name.clone()).collect();
                modules.starts_with(&names)
            });
            let Some(remote) = within else {
                self.out.notes.push(format!(
                    "{address} is in the state and has moved, but no file that was read describes it: Terraform would destroy it"
                ));
                continue;
            };
            self.out.findings.push(Finding {
                rule: Rule::WouldBeReplaced,
                kind: kind.as_str(),
                address,
                file: remote.file.clone(),
                line: remote.line,
                column: 1,
                certainty: Certainty::Likely,
                moved: vec![item.id.clone()],
                instance: instance.map(str::to_owned),
                attributes: vec![INSTANCE_ID],
                message: format!(
                    "{} has moved, and is described in a module that lies elsewhere and was not read",
                    subject(kind, std::slice::from_ref(&item.id))
                ),
                remedy: "put the remedy into the module, or use a local copy of it".to_owned(),
                dependents: Vec::new(),
                block: None,
            });
        }
    }

    /// What moved but was found nowhere, and where it may be.
    fn not_seen(&mut self, matched: &HashMap<Use, Matched>, state: &State) {
        let (mut keys, mut secrets): (HashSet<usize>, HashSet<usize>) = (HashSet::new(), HashSet::new());
        for (place, found) in matched {
            match self.searched.resolve(*place).and_then(|(_, resource)| Kind::of_type(&resource.kind)) {
                Some(Kind::Key) => keys.extend(&found.places),
                Some(Kind::Secret) => secrets.extend(&found.places),
                None => {}
            }
        }
        let open = self.moved.keys.iter().enumerate().filter(|(place, _)| !keys.contains(place));
        let mut names: Vec<String> = open.map(|(_, key)| format!("key {}", key.name())).collect();
        let open = self.moved.secrets.iter().enumerate().filter(|(place, _)| !secrets.contains(place));
        names.extend(open.map(|(_, secret)| format!("secret {}", secret.name)));
        if names.is_empty() {
            return;
        }
        self.out.notes.push(format!("of what moved, this was found in no file: {}", some_of(&names)));
        if state.is_empty() && !self.configuration.remote.is_empty() {
            let calls = self.configuration.remote.iter().map(|remote| {
                let names = remote.path.iter().map(|segment| format!("module.{}", segment.name));
                names.collect::<Vec<_>>().join(".")
            });
            let calls: Vec<String> = calls.collect();
            self.out.notes.push(format!(
                "modules that lie elsewhere were not read, and --state would tell what is in them: {}",
                some_of(&calls)
            ));
        }
    }

    /// What names a key that would be replaced.
    fn dependents(&mut self) {
        let mut wanted: HashMap<(usize, usize), usize> = HashMap::new();
        for (index, finding) in self.out.findings.iter().enumerate() {
            if let (Rule::WouldBeReplaced, Some(block)) = (finding.rule, finding.block) {
                wanted.insert(block, index);
            }
        }
        let mut found: Vec<(usize, Dependent)> = Vec::new();
        for place in self.searched.every_use() {
            let Some((scope, resource)) = self.searched.resolve(place) else { continue };
            let Some(effect) = effect_on_dependent(&resource.kind).filter(|_| resource.managed) else { continue };
            let attribute = if resource.kind == "alicloud_kms_secret" { "encryption_key_id" } else { "key_id" };
            let key = self.searched.key_of(place, attribute);
            let block = key.and_then(|key| Some((self.searched.node(key)?.module, key.resource)));
            let Some(index) = block.and_then(|block| wanted.get(&block)).copied() else { continue };
            let Some((document, at)) = scope.module().and_then(|module| home(module, resource)) else { continue };
            let (file, line) = (document.path.clone(), document.position(at).0);
            found.push((index, Dependent { address: self.address(place), file, line, effect }));
        }
        for (index, dependent) in found {
            if let Some(finding) = self.out.findings.get_mut(index) {
                finding.dependents.push(dependent);
            }
        }
    }

    fn inventory(&mut self, matched: &HashMap<Use, Matched>) {
        let found: HashSet<(usize, usize)> = self.out.findings.iter().filter_map(|finding| finding.block).collect();
        let aliases: HashSet<&str> =
            self.moved.keys.iter().flat_map(|key| key.aliases.iter().map(String::as_str)).collect();
        let ids: HashSet<&str> = self.moved.keys.iter().map(|key| key.id.as_str()).collect();
        let mut items = Vec::new();
        for place in self.searched.every_use() {
            let Some((scope, resource)) = self.searched.resolve(place) else { continue };
            let Some(module) = scope.module() else { continue };
            let Some((document, at)) = home(module, resource) else { continue };
            let block = self.searched.node(place).map(|node| (node.module, place.resource));
            let mut moved: Vec<String> = match (Kind::of_type(&resource.kind), matched.get(&place)) {
                (Some(kind), Some(matched)) => {
                    matched.places.iter().filter_map(|index| Some(self.facts(kind, *index)?.0)).collect()
                }
                _ => Vec::new(),
            };
            if Kind::of_type(&resource.kind).is_none() || !resource.managed {
                for (name, known) in [("alias_name", &aliases), ("key_id", &ids), ("key_id", &aliases)] {
                    let values = self.searched.values(scope, resource, name);
                    moved.extend(values.iter().filter_map(Value::text).filter(|text| known.contains(text.as_str())));
                }
            }
            let verdict = match (resource.managed, Kind::of_type(&resource.kind)) {
                (false, _) => Verdict::ReadOnly,
                (true, Some(_)) if block.is_some_and(|block| found.contains(&block)) => Verdict::Finding,
                (true, Some(_)) if moved.is_empty() => Verdict::NotMoved,
                (true, Some(_)) => Verdict::Safe,
                (true, None) if effect_on_dependent(&resource.kind).is_some() => Verdict::FollowsItsKey,
                (true, None) => Verdict::Unaffected,
            };
            let (file, line) = (document.path.clone(), document.position(at).0);
            items.push(Item { address: self.address(place), file, line, verdict, moved });
        }
        self.out.resources = items;
    }
}

/// Where a resource is described.
pub(super) fn home<'a>(module: &'a Module, resource: &Resource) -> Option<(&'a Document, usize)> {
    let (document, block) = module.block(*resource.places.first()?)?;
    Some((document, block.span.start))
}

/// The first few, and how many more.
fn some_of(names: &[String]) -> String {
    const SHOWN: usize = 5;
    let shown = names.iter().take(SHOWN).cloned().collect::<Vec<_>>().join(", ");
    match names.len().saturating_sub(SHOWN) {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}

fn subject(kind: Kind, names: &[String]) -> String {
    match names {
        [] => format!("this {}", kind.as_str()),
        [only] => format!("{} {only}", kind.as_str()),
        [first, rest @ ..] => format!("{} {first} (and {} more)", kind.as_str(), rest.len()),
    }
}
