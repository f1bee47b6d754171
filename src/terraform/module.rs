//! A directory of a configuration: its files put together as Terraform puts them together.

use std::collections::HashMap;
use std::path::PathBuf;

use super::address::Address;
use super::document::{Attribute, Block, Document, Expression};
use super::provider::TYPE_PREFIX;

/// A directory with its files.
#[derive(Debug, Default)]
pub(super) struct Module {
    /// Without symbolic links.
    pub(super) dir: PathBuf,
    pub(super) documents: Vec<Document>,
    /// Defaults; `None` where there is none.
    pub(super) variables: HashMap<String, Option<Expression>>,
    /// Files of variables, later ones first.
    pub(super) given: Vec<HashMap<String, Expression>>,
    pub(super) locals: HashMap<String, Expression>,
    pub(super) outputs: HashMap<String, Expression>,
    pub(super) calls: Vec<Call>,
    /// Those of the KMS.
    pub(super) resources: Vec<Resource>,
    /// Keys that are managed, by name: places in `resources`.
    pub(super) keys: HashMap<String, usize>,
    /// From where, to where.
    pub(super) moves: Vec<(Address, Address)>,
    /// What is imported, and its ID.
    pub(super) imports: Vec<(Address, Expression)>,
    /// What `required_providers` says of the version, for the provider of this product.
    pub(super) constraint: Option<String>,
}

/// Where a block lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) document: usize,
    pub(super) block: usize,
}

/// A resource or a data source.
#[derive(Debug)]
pub(super) struct Resource {
    pub(super) managed: bool,
    pub(super) kind: String,
    pub(super) name: String,
    /// The block, and those of override files that are merged into it, in their order.
    pub(super) places: Vec<Place>,
}

/// A call of another module.
#[derive(Debug)]
pub(super) struct Call {
    pub(super) name: String,
    pub(super) place: Place,
    pub(super) source: Option<String>,
    pub(super) arguments: HashMap<String, Expression>,
    /// The module, where it was followed.
    pub(super) target: Option<usize>,
}

impl Module {
    /// Puts files together; `documents` in Terraform's order: by name, override files last.
    pub(super) fn of(dir: PathBuf, documents: Vec<Document>) -> Self {
        let mut module = Self { dir, ..Self::default() };
        for (index, document) in documents.iter().enumerate() {
            let overrides = is_override(document);
            for (number, block) in document.body.blocks.iter().enumerate() {
                module.take(block, Place { document: index, block: number }, overrides);
            }
        }
        module.documents = documents;
        module
    }

    pub(super) fn block(&self, place: Place) -> Option<(&Document, &Block)> {
        let document = self.documents.get(place.document)?;
        Some((document, document.body.blocks.get(place.block)?))
    }

    /// An attribute of a resource as it holds: the last one that states it wins.
    pub(super) fn attribute<'a>(&'a self, resource: &Resource, name: &str) -> Option<(&'a Document, &'a Attribute)> {
        resource.places.iter().rev().find_map(|place| {
            let (document, block) = self.block(*place)?;
            Some((document, block.body.attribute(name)?))
        })
    }

    fn take(&mut self, block: &Block, place: Place, overrides: bool) {
        let value = |name: &str| block.body.attribute(name).map(|attribute| attribute.value.clone());
        match (block.kind.as_str(), block.labels.as_slice()) {
            ("resource" | "data", [kind, name]) if kind.starts_with(TYPE_PREFIX) => {
                let managed = block.kind == "resource";
                let same =
                    |known: &&mut Resource| known.managed == managed && known.kind == *kind && known.name == *name;
                let known = if overrides { self.resources.iter_mut().rev().find(same) } else { None };
                match known {
                    Some(known) => known.places.push(place),
                    None => {
                        if managed && kind == "alicloud_kms_key" {
                            self.keys.insert(name.clone(), self.resources.len());
                        }
                        let (kind, name) = (kind.clone(), name.clone());
                        self.resources.push(Resource { managed, kind, name, places: vec![place] });
                    }
                }
            }
            ("module", [name]) => {
                let source = block.body.attribute("source").and_then(|a| a.value.literal()).map(str::to_owned);
                let arguments =
                    block.body.attributes.iter().map(|attribute| (attribute.name.clone(), attribute.value.clone()));
                match self.calls.iter_mut().find(|known| overrides && known.name == *name) {
                    Some(known) => {
                        known.arguments.extend(arguments);
                        known.source = source.or(known.source.take());
                    }
                    None => self.calls.push(Call {
                        name: name.clone(),
                        place,
                        source,
                        arguments: arguments.collect(),
                        target: None,
                    }),
                }
            }
            ("variable", [name]) => {
                let default = value("default");
                let slot = self.variables.entry(name.clone()).or_default();
                *slot = default.or(slot.take());
            }
            ("output", [name]) => self.outputs.extend(value("value").map(|value| (name.clone(), value))),
            ("locals", []) => {
                let all = block.body.attributes.iter().map(|local| (local.name.clone(), local.value.clone()));
                self.locals.extend(all);
            }
            ("moved", []) => {
                let address = |name: &str| Address::of_expression(&value(name)?);
                self.moves.extend(address("from").zip(address("to")));
            }
            ("import", []) => {
                let to = value("to").as_ref().and_then(Address::of_expression);
                self.imports.extend(to.zip(value("id")));
            }
            ("terraform", []) => {
                let required = block.body.blocks_of("required_providers").find_map(|b| b.body.attribute("alicloud"));
                let version = required.and_then(|provider| version_of(&provider.value));
                self.constraint = version.or(self.constraint.take());
            }
            _ => {}
        }
    }
}

fn version_of(provider: &Expression) -> Option<String> {
    use super::document::Form;
    match &provider.form {
        Form::Text(version) => Some(version.clone()),
        Form::Object(members) => {
            members.iter().find(|(name, _)| name.literal() == Some("version"))?.1.literal().map(str::to_owned)
        }
        _ => None,
    }
}

/// Terraform merges the files `override.tf` and `*_override.tf` into the others.
pub(super) fn is_override(document: &Document) -> bool {
    let name = document.path.file_name().unwrap_or_default().to_string_lossy();
    let stem = name.strip_suffix(".tf.json").or_else(|| name.strip_suffix(".tf")).unwrap_or(&name);
    stem == "override" || stem.ends_with("_override")
}
