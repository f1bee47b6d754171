//! Which resource of a configuration is which resource of the KMS.

use std::collections::{HashMap, HashSet};

use serde::Serialize;

use super::address::Segment;
use super::configuration::{Configuration, Node};
use super::document::{Expression, Form, Step};
use super::evaluate::{Repetition, Scope};
use super::module::Resource;
use super::moved::Moved;
use super::provider::Kind;
use super::state::{State, StateItem};
use super::value::Value;

/// How sure it is that a resource is the one that moved, and that the next apply meets the difference.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Certainty {
    /// It cannot be told; somebody has to look.
    Undecided,
    /// A key by its description, which only one of those that moved has; or what it meets needs Terraform to be known.
    Likely,
    /// By the state, an `import` block, a key's alias or a secret's name.
    Certain,
}

/// A resource in one use of its module.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Use {
    pub(super) node: usize,
    pub(super) resource: usize,
}

/// What is known of a resource without asking anybody.
pub(super) struct Identity<'a> {
    pub(super) kind: Kind,
    /// In state files.
    pub(super) stated: Vec<&'a StateItem>,
    /// IDs of `import` blocks.
    pub(super) imported: Vec<String>,
    /// Aliases of a key, names of a secret.
    pub(super) names: Vec<Value>,
    /// Descriptions of a key.
    descriptions: Vec<Value>,
    /// `count` or `for_each` is there.
    repeated: bool,
    /// There are several root modules: a state is that of one of them, and says nothing of the others.
    shared: bool,
}

/// What a use was matched to.
#[derive(Debug, Default)]
pub(super) struct Matched {
    /// Places in [`Moved`].
    pub(super) places: Vec<usize>,
    pub(super) certainty: Option<Certainty>,
    /// Every one of a repeated resource is among them.
    pub(super) whole: bool,
    /// Why it cannot be told, where it cannot.
    pub(super) undecided: Option<String>,
}

/// References may lead from one to the next this often.
const MAX_DEPTH: usize = 32;

/// A configuration with what is known of its keys and secrets.
pub(super) struct Searched<'a> {
    configuration: &'a Configuration,
    state: &'a State,
    aliases: HashMap<Use, Vec<Value>>,
    children: HashMap<(usize, usize), Vec<usize>>,
    roots: usize,
}

impl<'a> Searched<'a> {
    pub(super) fn of(configuration: &'a Configuration, state: &'a State) -> Self {
        let mut children: HashMap<(usize, usize), Vec<usize>> = HashMap::new();
        for (index, node) in configuration.nodes.iter().enumerate() {
            if let Some(parent) = &node.parent {
                children.entry((parent.node, parent.call)).or_default().push(index);
            }
        }
        let roots = configuration.nodes.iter().filter(|node| node.parent.is_none()).count();
        let mut searched = Self { configuration, state, aliases: HashMap::new(), children, roots };
        let mut aliases: HashMap<Use, Vec<Value>> = HashMap::new();
        for place in searched.every_use() {
            let Some((scope, resource)) = searched.resolve(place) else { continue };
            if !resource.managed || resource.kind != "alicloud_kms_alias" {
                continue;
            }
            if let Some(key) = searched.key_of(place, "key_id") {
                aliases.entry(key).or_default().extend(searched.values(scope, resource, "alias_name"));
            }
        }
        searched.aliases = aliases;
        searched
    }

    /// Every key and secret that is managed, in each use of its module.
    pub(super) fn uses(&self) -> Vec<Use> {
        let wanted = |place: &Use| {
            self.resolve(*place)
                .is_some_and(|(_, resource)| resource.managed && Kind::of_type(&resource.kind).is_some())
        };
        self.every_use().filter(wanted).collect()
    }

    /// Every resource and data source of the KMS.
    pub(super) fn every_use(&self) -> impl Iterator<Item = Use> + 'a {
        let configuration = self.configuration;
        configuration.nodes.iter().enumerate().flat_map(move |(node, of)| {
            let count = configuration.modules.get(of.module).map_or(0, |module| module.resources.len());
            (0..count).map(move |resource| Use { node, resource })
        })
    }

    pub(super) fn resolve(&self, place: Use) -> Option<(Scope<'a>, &'a Resource)> {
        let scope = Scope { configuration: self.configuration, node: place.node, each: None };
        Some((scope, scope.module()?.resources.get(place.resource)?))
    }

    pub(super) fn node(&self, place: Use) -> Option<&'a Node> {
        self.configuration.nodes.get(place.node)
    }

    /// The key that an attribute of a resource names, where that is one of the configuration.
    pub(super) fn key_of(&self, place: Use, attribute: &str) -> Option<Use> {
        let (scope, resource) = self.resolve(place)?;
        let (_, found) = scope.module()?.attribute(resource, attribute)?;
        self.referenced(scope, &found.value, 0)
    }

    /// An attribute in every one of a repeated resource.
    pub(super) fn values(&self, scope: Scope<'a>, resource: &Resource, name: &str) -> Vec<Value> {
        let Some(module) = scope.module() else { return Vec::new() };
        let Some((_, attribute)) = module.attribute(resource, name) else { return Vec::new() };
        match repetition(scope, resource) {
            Repetition::Once | Repetition::Unknown => vec![scope.value(&attribute.value)],
            Repetition::Known(each) => {
                each.iter().map(|each| Scope { each: Some(each), ..scope }.value(&attribute.value)).collect()
            }
        }
    }

    pub(super) fn identity(&self, place: Use) -> Option<Identity<'a>> {
        let (scope, resource) = self.resolve(place)?;
        let kind = Kind::of_type(&resource.kind)?;
        let node = self.node(place)?;
        Some(Identity {
            kind,
            stated: self.stated(node, scope, resource),
            imported: self.imported(node, resource),
            names: match kind {
                Kind::Key => self.aliases.get(&place).cloned().unwrap_or_default(),
                Kind::Secret => self.values(scope, resource, "secret_name"),
            },
            descriptions: match kind {
                Kind::Key => self.values(scope, resource, "description"),
                Kind::Secret => Vec::new(),
            },
            repeated: repetition(scope, resource) != Repetition::Once,
            shared: self.roots > 1,
        })
    }

    /// Matches every key and secret.
    pub(super) fn matched(&self, moved: &Moved) -> HashMap<Use, Matched> {
        let index = Index::of(moved);
        let mut found = HashMap::new();
        let mut claimed: HashSet<usize> = HashSet::new();
        let mut open = Vec::new();
        for place in self.uses() {
            let Some(identity) = self.identity(place) else { continue };
            match index.sure(&identity) {
                Some(matched) => {
                    if identity.kind == Kind::Key {
                        claimed.extend(&matched.places);
                    }
                    found.insert(place, matched);
                }
                None => open.push((place, identity)),
            }
        }
        for (place, identity) in open {
            let matched = match identity.kind {
                Kind::Key => index.likely_key(&identity, moved, &claimed),
                Kind::Secret => index.possible_secret(&identity, moved),
            };
            found.insert(place, matched);
        }
        found
    }

    fn stated(&self, node: &Node, scope: Scope<'a>, resource: &Resource) -> Vec<&'a StateItem> {
        let names: Vec<String> = node.path.iter().map(|segment| segment.name.clone()).collect();
        let fits = |item: &&StateItem| {
            item.modules.iter().zip(&node.path).all(|(there, here): (&Segment, &Segment)| {
                there.index.is_none() || here.index.is_none() || there.index == here.index
            })
        };
        let mut found: Vec<&StateItem> = self.state.of(&names, &resource.kind, &resource.name).filter(fits).collect();
        for (modules, name) in self.earlier(node, scope, resource) {
            found.extend(self.state.of(&modules, &resource.kind, &name));
        }
        found
    }

    /// Where `moved` blocks say that a resource was: a state may be older than they are.
    fn earlier(&self, node: &Node, scope: Scope<'a>, resource: &Resource) -> Vec<(Vec<String>, String)> {
        let own: Vec<String> = node.path.iter().map(|segment| segment.name.clone()).collect();
        let mut found = Vec::new();
        let mut at = (own, resource.name.clone());
        for _ in 0..MAX_DEPTH {
            let Some(before) = self.before(scope, resource, &at) else { break };
            if found.contains(&before) {
                break;
            }
            found.push(before.clone());
            at = before;
        }
        found
    }

    fn before(
        &self,
        scope: Scope<'a>,
        resource: &Resource,
        at: &(Vec<String>, String),
    ) -> Option<(Vec<String>, String)> {
        // A `moved` block stands in the module of what it moves, or in one that calls it.
        let mut holder = Some(scope.node);
        while let Some(number) = holder {
            let node = self.configuration.nodes.get(number)?;
            let module = self.configuration.modules.get(node.module)?;
            let base: Vec<String> = node.path.iter().map(|segment| segment.name.clone()).collect();
            for (from, to) in &module.moves {
                let path = |address: &super::address::Address| {
                    let inner = address.modules.iter().map(|segment| segment.name.clone());
                    base.iter().cloned().chain(inner).collect::<Vec<_>>()
                };
                match (&from.resource, &to.resource) {
                    (Some((from_kind, from_name)), Some((kind, name)))
                        if *kind == resource.kind && from_kind == kind && *name == at.1 && path(to) == at.0 =>
                    {
                        return Some((path(from), from_name.clone()));
                    }
                    (None, None) => {
                        if let Some(rest) = at.0.strip_prefix(path(to).as_slice()) {
                            let modules = path(from).into_iter().chain(rest.iter().cloned()).collect();
                            return Some((modules, at.1.clone()));
                        }
                    }
                    _ => {}
                }
            }
            holder = node.parent.as_ref().map(|parent| parent.node);
        }
        None
    }

    /// `import` blocks stand in root modules only.
    fn imported(&self, node: &Node, resource: &Resource) -> Vec<String> {
        let mut found = Vec::new();
        for (number, root) in self.configuration.nodes.iter().enumerate().filter(|(_, node)| node.parent.is_none()) {
            let Some(module) = self.configuration.modules.get(root.module) else { continue };
            for (address, id) in &module.imports {
                let names = |path: &[Segment]| path.iter().map(|segment| segment.name.clone()).collect::<Vec<_>>();
                let here = address.resource.as_ref() == Some(&(resource.kind.clone(), resource.name.clone()));
                if here && names(&address.modules) == names(&node.path) {
                    let scope = Scope { configuration: self.configuration, node: number, each: None };
                    found.extend(scope.value(id).text());
                }
            }
        }
        found
    }

    /// The first key of the configuration that an expression depends on, through variables, locals and outputs.
    fn referenced(&self, scope: Scope<'a>, expression: &'a Expression, depth: usize) -> Option<Use> {
        if depth > MAX_DEPTH {
            return None;
        }
        let mut paths: Vec<(&'a str, &'a [Step])> = Vec::new();
        expression.walk(&mut |inner| {
            if let Form::Path { root, steps } = &inner.form {
                paths.push((root, steps));
            }
        });
        let module = scope.module()?;
        let depth = depth.saturating_add(1);
        paths.into_iter().find_map(|(root, steps)| {
            let Some((Step::Attribute(name), rest)) = steps.split_first() else {
                return None;
            };
            match root {
                "alicloud_kms_key" => {
                    let resource = *module.keys.get(name)?;
                    Some(Use { node: scope.node, resource })
                }
                "var" => {
                    let (above, call) = scope.caller()?;
                    self.referenced(above, call.arguments.get(name)?, depth)
                }
                "local" => self.referenced(scope, module.locals.get(name)?, depth),
                "module" => {
                    let call = module.calls.iter().position(|call| call.name == *name)?;
                    let output = rest.iter().find_map(|step| match step {
                        Step::Attribute(output) => Some(output),
                        _ => None,
                    })?;
                    let child = *self.children.get(&(scope.node, call))?.first()?;
                    let below = Scope { node: child, each: None, ..scope };
                    self.referenced(below, below.module()?.outputs.get(output)?, depth)
                }
                _ => None,
            }
        })
    }
}

/// How often a resource counts.
pub(super) fn repetition(scope: Scope<'_>, resource: &Resource) -> Repetition {
    let Some(module) = scope.module() else { return Repetition::Unknown };
    let find = |name: &str| module.attribute(resource, name).map(|(_, attribute)| &attribute.value);
    scope.repetition(find("count"), find("for_each"))
}

/// What moved, by its names.
struct Index<'m> {
    ids: HashMap<&'m str, usize>,
    aliases: HashMap<&'m str, usize>,
    descriptions: HashMap<&'m str, Vec<usize>>,
    secrets: HashMap<&'m str, usize>,
}

impl<'m> Index<'m> {
    fn of(moved: &'m Moved) -> Self {
        let mut index = Self {
            ids: HashMap::new(),
            aliases: HashMap::new(),
            descriptions: HashMap::new(),
            secrets: HashMap::new(),
        };
        for (place, key) in moved.keys.iter().enumerate() {
            if !key.id.is_empty() {
                index.ids.insert(&key.id, place);
            }
            index.aliases.extend(key.aliases.iter().map(|alias| (alias.as_str(), place)));
            if let Some(description) = &key.description {
                index.descriptions.entry(description).or_default().push(place);
            }
        }
        index.secrets = moved.secrets.iter().enumerate().map(|(place, secret)| (secret.name.as_str(), place)).collect();
        index
    }

    /// By the state, an `import` block, an alias or a name. `None`: nothing of that says anything.
    fn sure(&self, identity: &Identity<'_>) -> Option<Matched> {
        let ids = match identity.kind {
            Kind::Key => &self.ids,
            Kind::Secret => &self.secrets,
        };
        let named: Vec<&str> = if identity.stated.is_empty() {
            identity.imported.iter().map(String::as_str).collect()
        } else {
            identity.stated.iter().map(|item| item.id.as_str()).collect()
        };
        if !named.is_empty() {
            let places: Vec<usize> = named.iter().filter_map(|id| ids.get(id).copied()).collect();
            let whole = places.len() == named.len();
            if !(places.is_empty() && identity.shared) {
                return Some(Matched::of(places, Certainty::Certain, whole));
            }
        }
        let names = match identity.kind {
            Kind::Key => &self.aliases,
            Kind::Secret => &self.secrets,
        };
        let known = || identity.names.iter().filter_map(Value::text);
        let mut places: Vec<usize> = known().filter_map(|name| names.get(name.as_str()).copied()).collect();
        let whole = known().count() == identity.names.len()
            && (!identity.repeated || (identity.kind == Kind::Secret && places.len() == identity.names.len()));
        places.sort_unstable();
        places.dedup();
        let told =
            identity.kind == Kind::Secret && !identity.names.is_empty() && identity.names.iter().all(Value::is_known);
        (!places.is_empty() || told).then(|| Matched::of(places, Certainty::Certain, whole))
    }

    fn likely_key(&self, identity: &Identity<'_>, moved: &Moved, claimed: &HashSet<usize>) -> Matched {
        let own: Vec<String> = identity.names.iter().filter_map(Value::text).collect();
        let free = |place: &usize| {
            // A key that has aliases, but not the one of the configuration, is another key.
            let aliases = moved.keys.get(*place).map_or(&[][..], |key| key.aliases.as_slice());
            !claimed.contains(place)
                && (aliases.is_empty() || own.is_empty() || own.iter().any(|alias| aliases.contains(alias)))
        };
        let mut places = Vec::new();
        let mut several = None;
        for description in identity.descriptions.iter().filter_map(Value::text).filter(|text| !text.is_empty()) {
            let found = self.descriptions.get(description.as_str()).into_iter().flatten().copied().filter(free);
            match found.collect::<Vec<_>>().as_slice() {
                [] => {}
                [only] => places.push(*only),
                more => several = Some(more.len()),
            }
        }
        places.sort_unstable();
        places.dedup();
        if !places.is_empty() {
            let whole = !identity.repeated && several.is_none();
            return Matched::of(places, Certainty::Likely, whole);
        }
        if let Some(count) = several {
            return Matched::undecided(format!("{count} keys that moved have its description"));
        }
        let may_be = |place: usize| {
            let key = moved.keys.get(place)?;
            let alias = identity.names.iter().any(|name| {
                !name.is_known() && (key.aliases.is_empty() || key.aliases.iter().any(|alias| name.may_be(alias)))
            });
            let described = match &key.description {
                // Without a description in the configuration the key has none.
                Some(text) if identity.descriptions.is_empty() => text.is_empty(),
                Some(text) => identity.descriptions.iter().any(|description| {
                    (!description.is_known() && description.may_be(text))
                        || (text.is_empty() && description.may_be(text))
                }),
                None => true,
            };
            Some(alias || described)
        };
        let candidates = (0..moved.keys.len()).filter(free).filter(|place| may_be(*place) == Some(true)).count();
        match candidates {
            0 => Matched::default(),
            1 => Matched::undecided("it may be a key that moved, but neither alias nor description tells".to_owned()),
            n => Matched::undecided(format!(
                "it may be one of {n} keys that moved, but neither alias nor description tells"
            )),
        }
    }

    fn possible_secret(&self, identity: &Identity<'_>, moved: &Moved) -> Matched {
        let open: Vec<&Value> = identity.names.iter().filter(|name| !name.is_known()).collect();
        let count = moved.secrets.iter().filter(|secret| open.iter().any(|name| name.may_be(&secret.name))).count();
        match count {
            0 => Matched::default(),
            n => Matched::undecided(format!(
                "its name is only known to Terraform, and {n} secret(s) that moved may be meant"
            )),
        }
    }
}

impl Matched {
    fn of(places: Vec<usize>, certainty: Certainty, whole: bool) -> Self {
        let certainty = (!places.is_empty()).then_some(certainty);
        Self { places, certainty, whole, undecided: None }
    }

    fn undecided(why: String) -> Self {
        Self { undecided: Some(why), certainty: Some(Certainty::Undecided), ..Self::default() }
    }
}
