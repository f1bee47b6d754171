//! Resource directories: entities, and which account belongs to which.

use std::collections::HashMap;

use super::keys;
use super::reader::Table;
use super::resources::{ACCOUNT, Named};
use crate::model::{AccountId, Directories, Directory, Entity};

pub(super) fn directories(root: &Table<'_>, named: &Named) -> Directories {
    let (mut ids, mut members) = (HashMap::new(), HashMap::new());
    let tables = root.tables("directory", &keys::DIRECTORY);
    Directories(tables.iter().filter_map(|table| directory(table, named, &mut ids, &mut members)).collect())
}

fn directory(
    table: &Table<'_>,
    named: &Named,
    ids: &mut HashMap<String, usize>,
    members: &mut HashMap<AccountId, usize>,
) -> Option<Directory> {
    const ALLOWED: &str = "a name in quotes, such as \"rd-retail\"";
    let id = name(table, "id", ALLOWED, "directory", ids);
    let mut names = HashMap::new();
    if table.get("entity").is_none() {
        table.missing("[[directory.entity]]", "at least one entity with its accounts");
    }
    let entities = table.tables("entity", &keys::ENTITY);
    let entities = entities.iter().filter_map(|table| entity(table, named, &mut names, members)).collect();
    Some(Directory { id: id?, entities })
}

fn entity(
    table: &Table<'_>,
    named: &Named,
    names: &mut HashMap<String, usize>,
    members: &mut HashMap<AccountId, usize>,
) -> Option<Entity> {
    const ALLOWED: &str = "the name of the enterprise entity in quotes, such as \"Retail Ltd.\"";
    let name = name(table, "name", ALLOWED, "entity", names);
    let verified = table.boolean("verified").is_some_and(|found| found.value);
    let accounts = table.list::<AccountId>("accounts", ACCOUNT).unwrap_or_default();
    for account in &accounts {
        named.check_account(table, account);
        match members.get(&account.value) {
            Some(first) => {
                let found = format!("account {} as a member a second time", account.value);
                let line = table.source.line(*first);
                table.source.problem(
                    account.at,
                    found,
                    format!("each account in one entity of one directory (first in line {line})"),
                );
            }
            None => {
                members.insert(account.value.clone(), account.at);
            }
        }
    }
    Some(Entity { name: name?, verified, accounts: accounts.into_iter().map(|account| account.value).collect() })
}

/// A name that is there once.
fn name(
    table: &Table<'_>,
    key: &'static str,
    allowed: &'static str,
    what: &str,
    known: &mut HashMap<String, usize>,
) -> Option<String> {
    let name = table.required(key, allowed, table.string(key, allowed))?;
    if let Some(first) = known.get(name.value) {
        let found = format!("the {what} {:?} a second time", name.value);
        table.source.problem(name.at, found, format!("each {what} once (first in line {})", table.source.line(*first)));
    } else {
        known.insert(name.value.to_owned(), name.at);
    }
    Some(name.value.to_owned())
}
