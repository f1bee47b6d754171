//! What the next apply would do to what moved.

mod surroundings;

use std::collections::BTreeMap;

use super::configuration::Configuration;
use super::document::{Document, Form};
use super::evaluate::Scope;
use super::finding::{Assessment, Finding, Need, Rule};
use super::matching::{Certainty, Matched, Searched, Use};
use super::module::{Module, Resource};
use super::moved::Moved;
use super::provider::{
    DEFAULT_PROTECTION_LEVEL, INSTANCE_ID, Kind, PROTECTION_LEVEL, ProtectionLevel, Version, instance_id_computed,
    instance_id_known,
};
use super::state::State;
use super::value::Value;

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
}

/// Where a resource is described.
pub(super) fn home<'a>(module: &'a Module, resource: &Resource) -> Option<(&'a Document, usize)> {
    let (document, block) = module.block(*resource.places.first()?)?;
    Some((document, block.span.start))
}

fn subject(kind: Kind, names: &[String]) -> String {
    match names {
        [] => format!("this {}", kind.as_str()),
        [only] => format!("{} {only}", kind.as_str()),
        [first, rest @ ..] => format!("{} {first} (and {} more)", kind.as_str(), rest.len()),
    }
}
