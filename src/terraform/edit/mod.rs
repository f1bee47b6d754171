//! The changes that put a remedy into a file.

mod json;
mod layout;
mod native;

use super::document::{Attribute, Block, Document, Expression, Form, Syntax};
use super::insertion::Insertion;
use super::module::{Module, Resource};
use super::provider::INSTANCE_ID;

/// Changes of one file of a module.
#[derive(Debug)]
pub(super) struct Edit {
    pub(super) document: usize,
    pub(super) changes: Vec<Insertion>,
}

/// What cannot be changed safely, and where that stands.
#[derive(Debug)]
pub(super) struct Refused {
    pub(super) document: usize,
    pub(super) at: usize,
    pub(super) reason: String,
}

/// Puts attributes into `ignore_changes`, merging into what is there. Those that are there already are not repeated.
pub(super) fn ignore(module: &Module, resource: &Resource, names: &[&str]) -> Result<Option<Edit>, Refused> {
    let mut base: Option<(usize, &Document, &Block, Option<&Block>)> = None;
    for place in resource.places.iter().rev() {
        let Some((document, block)) = module.block(*place) else { continue };
        let lifecycles: Vec<&Block> = block.body.blocks_of("lifecycle").collect();
        if lifecycles.len() > 1 {
            let reason = "there is more than one lifecycle block, which Terraform refuses".to_owned();
            return Err(Refused { document: place.document, at: block.span.start, reason });
        }
        let lifecycle = lifecycles.first().copied();
        if let Some(list) = lifecycle.and_then(|lifecycle| lifecycle.body.attribute("ignore_changes")) {
            return into_list(place.document, document, list, names);
        }
        base = Some((place.document, document, block, lifecycle));
    }
    let Some((index, document, block, lifecycle)) = base else { return Ok(None) };
    let changes = match (document.syntax, lifecycle) {
        (Syntax::Native, Some(lifecycle)) => {
            native::add_attribute(document, lifecycle, "ignore_changes", &format!("[{}]", names.join(", ")))
        }
        (Syntax::Native, None) => native::add_lifecycle(document, block, names),
        (Syntax::Json, Some(lifecycle)) => json::add_list(document, lifecycle, "ignore_changes", names),
        (Syntax::Json, None) => json::add_lifecycle(document, block, names),
    };
    Ok(Some(Edit { document: index, changes }))
}

/// States the instance ID.
pub(super) fn instance(module: &Module, resource: &Resource, id: &str) -> Result<Option<Edit>, Refused> {
    for place in resource.places.iter().rev() {
        let Some((_, block)) = module.block(*place) else { continue };
        let Some(attribute) = block.body.attribute(INSTANCE_ID) else { continue };
        return match &attribute.value.form {
            Form::Text(text) if text == id => Ok(None),
            Form::Text(_) | Form::Null => {
                let range = attribute.value.span.clone();
                let changes = vec![Insertion { range, text: format!("\"{id}\"") }];
                Ok(Some(Edit { document: place.document, changes }))
            }
            _ => {
                let reason = format!("dkms_instance_id is an expression; make it come out as {id} where it is made");
                Err(Refused { document: place.document, at: attribute.span.start, reason })
            }
        };
    }
    let Some(place) = resource.places.first() else { return Ok(None) };
    let Some((document, block)) = module.block(*place) else { return Ok(None) };
    let changes = match document.syntax {
        Syntax::Native => native::add_attribute(document, block, INSTANCE_ID, &format!("\"{id}\"")),
        Syntax::Json => json::add_text(document, block, INSTANCE_ID, id),
    };
    Ok(Some(Edit { document: place.document, changes }))
}

/// States the instance ID and puts attributes into `ignore_changes`, where both have to open a block of one line: that
/// is one change.
pub(super) fn both_in_one_line(module: &Module, resource: &Resource, id: &str, names: &[&str]) -> Option<Edit> {
    let [place] = resource.places.as_slice() else { return None };
    let (document, block) = module.block(*place)?;
    let plain = block.body.blocks.is_empty() && block.body.attribute(INSTANCE_ID).is_none();
    let one_line = !document.slice(&block.body.inside).contains('\n');
    if names.is_empty() || !plain || !one_line || document.syntax != Syntax::Native {
        return None;
    }
    Some(Edit { document: place.document, changes: native::add_both(document, block, &format!("\"{id}\""), names) })
}

fn into_list(index: usize, document: &Document, list: &Attribute, names: &[&str]) -> Result<Option<Edit>, Refused> {
    let items: &[Expression] = match &list.value.form {
        Form::List(items) => items,
        Form::Path { root, steps } if root == "all" && steps.is_empty() => return Ok(None),
        Form::Text(text) if text == "all" => return Ok(None),
        _ => {
            let reason = "ignore_changes is neither a list nor `all`".to_owned();
            return Err(Refused { document: index, at: list.span.start, reason });
        }
    };
    let there: Vec<&str> = items
        .iter()
        .filter_map(|item| match &item.form {
            Form::Text(text) => Some(text.as_str()),
            Form::Path { root, .. } => Some(root.as_str()),
            _ => None,
        })
        .collect();
    let missing: Vec<&str> = names.iter().copied().filter(|name| !there.contains(name)).collect();
    if missing.is_empty() || there.contains(&"*") {
        return Ok(None);
    }
    // Terraform 0.11 knew only quoted names; whoever writes them so keeps them so.
    let quoted = document.syntax == Syntax::Json
        || (!items.is_empty() && items.iter().all(|item| document.slice(&item.span).starts_with('"')));
    let written: Vec<String> =
        missing.iter().map(|name| if quoted { format!("\"{name}\"") } else { (*name).to_owned() }).collect();
    let changes = layout::extend_list(document, &list.value.span, items.last().map(|item| item.span.end), &written);
    Ok(Some(Edit { document: index, changes }))
}
