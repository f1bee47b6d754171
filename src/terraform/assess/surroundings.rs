//! What surrounds keys and secrets: what depends on them, what was seen nowhere, and the list of all there is.

use std::collections::{HashMap, HashSet};

use super::{Work, home, subject};
use crate::terraform::finding::{Dependent, Finding, Item, Rule, Verdict};
use crate::terraform::matching::{Certainty, Matched, Use};
use crate::terraform::provider::{INSTANCE_ID, Kind, effect_on_dependent};
use crate::terraform::state::{State, StateItem};
use crate::terraform::value::Value;

impl Work<'_> {
    /// What the state holds and moved, but no file that was read describes.
    pub(super) fn elsewhere(&mut self, state: &State) {
        let mut described: HashSet<(Vec<String>, &str, &str)> = HashSet::new();
        let mut seen: HashSet<*const StateItem> = HashSet::new();
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
    pub(super) fn not_seen(&mut self, matched: &HashMap<Use, Matched>, state: &State) {
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
    pub(super) fn dependents(&mut self) {
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

    pub(super) fn inventory(&mut self, matched: &HashMap<Use, Matched>) {
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

/// The first few, and how many more.
fn some_of(names: &[String]) -> String {
    const SHOWN: usize = 5;
    let shown = names.iter().take(SHOWN).cloned().collect::<Vec<_>>().join(", ");
    match names.len().saturating_sub(SHOWN) {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}
