//! Resource directories: with whom an instance can be shared.
//!
//! Principals of a share belong to one resource directory and, in it, to the owner's enterprise entity, which has passed
//! real-name verification. Without any directory there is nothing to hold a share to, and every share counts.

use thiserror::Error;

use super::AccountId;

/// A resource directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Directory {
    /// Its name.
    pub id: String,
    /// The enterprise entities in it, each with its member accounts.
    pub entities: Vec<Entity>,
}

/// An enterprise entity in a directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entity {
    /// Its name, unique in the directory.
    pub name: String,
    /// It has passed real-name verification.
    pub verified: bool,
    /// The member accounts that belong to it.
    pub accounts: Vec<AccountId>,
}

/// Every directory there is. An account is a member of at most one, for one entity.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Directories(pub Vec<Directory>);

/// Why an instance cannot be shared.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ShareRefusal {
    /// Owner or account is in no directory.
    #[error("account {0} is a member of no resource directory")]
    NotInDirectory(AccountId),
    /// They are in different directories.
    #[error(
        "the owner {owner} is a member of the resource directory {of_owner:?}, account {account} of {of_account:?}"
    )]
    OtherDirectory {
        /// The owner.
        owner: AccountId,
        /// The owner's directory.
        of_owner: String,
        /// The account.
        account: AccountId,
        /// The account's directory.
        of_account: String,
    },
    /// They belong to different entities.
    #[error("the owner {owner} belongs to the entity {of_owner:?}, account {account} to {of_account:?}")]
    OtherEntity {
        /// The owner.
        owner: AccountId,
        /// The owner's entity.
        of_owner: String,
        /// The account.
        account: AccountId,
        /// The account's entity.
        of_account: String,
    },
    /// The entity of both has not been verified.
    #[error("the entity {entity:?} in the resource directory {directory:?} has not passed real-name verification")]
    NotVerified {
        /// The entity.
        entity: String,
        /// The directory.
        directory: String,
    },
}

impl ShareRefusal {
    /// The code, an interface.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::NotInDirectory(_) => "NotInDirectory",
            Self::OtherDirectory { .. } => "OtherDirectory",
            Self::OtherEntity { .. } => "OtherEntity",
            Self::NotVerified { .. } => "EntityNotVerified",
        }
    }

    /// What to do.
    #[must_use]
    pub const fn remedy(&self) -> &'static str {
        match self {
            Self::NotInDirectory(_) => "make it a member in a [[directory]] of the configuration, and reload",
            Self::OtherDirectory { .. } => {
                "an instance is shared inside one resource directory only: give the account one of its own"
            }
            Self::OtherEntity { .. } => {
                "an instance is shared among accounts of one enterprise entity only: give the account one of its own"
            }
            Self::NotVerified { .. } => "have it verified, then set verified = true for it in its [[directory]]",
        }
    }
}

impl Directories {
    /// Whether `owner` can share its instances with `account`.
    ///
    /// # Errors
    /// The first reason against it: membership, then directory, then entity, then its verification.
    pub fn check_share(&self, owner: &AccountId, account: &AccountId) -> Result<(), ShareRefusal> {
        if self.0.is_empty() || owner == account {
            return Ok(());
        }
        let place = |id: &AccountId| self.place(id).ok_or_else(|| ShareRefusal::NotInDirectory(id.clone()));
        let (of_owner, of_account) = (place(owner)?, place(account)?);
        let refusal = if of_owner.0.id != of_account.0.id {
            ShareRefusal::OtherDirectory {
                owner: owner.clone(),
                of_owner: of_owner.0.id.clone(),
                account: account.clone(),
                of_account: of_account.0.id.clone(),
            }
        } else if of_owner.1.name != of_account.1.name {
            ShareRefusal::OtherEntity {
                owner: owner.clone(),
                of_owner: of_owner.1.name.clone(),
                account: account.clone(),
                of_account: of_account.1.name.clone(),
            }
        } else if !of_owner.1.verified {
            ShareRefusal::NotVerified { entity: of_owner.1.name.clone(), directory: of_owner.0.id.clone() }
        } else {
            return Ok(());
        };
        Err(refusal)
    }

    /// Where an account belongs.
    fn place(&self, account: &AccountId) -> Option<(&Directory, &Entity)> {
        self.0.iter().find_map(|directory| {
            let entity = directory.entities.iter().find(|entity| entity.accounts.contains(account))?;
            Some((directory, entity))
        })
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn account(n: usize) -> AccountId {
        format!("{n:016}").parse().unwrap()
    }

    fn entity(name: &str, verified: bool, accounts: &[usize]) -> Entity {
        Entity { name: name.to_owned(), verified, accounts: accounts.iter().map(|n| account(*n)).collect() }
    }

    fn world() -> Directories {
        Directories(vec![
            Directory {
                id: "rd-a".to_owned(),
                entities: vec![
                    entity("Retail", true, &[1, 2]),
                    entity("Other", true, &[3]),
                    entity("New", false, &[4, 5]),
                ],
            },
            Directory { id: "rd-b".to_owned(), entities: vec![entity("Retail", true, &[6])] },
        ])
    }

    #[test]
    fn each_reason_is_told_exactly() {
        let told =
            |owner, other| world().check_share(&account(owner), &account(other)).map_err(|refusal| refusal.code());
        assert_eq!(told(1, 2), Ok(()));
        assert_eq!(told(9, 9), Ok(()), "its owner needs no share");
        assert_eq!(told(1, 9), Err("NotInDirectory"));
        assert_eq!(told(9, 1), Err("NotInDirectory"));
        assert_eq!(told(1, 6), Err("OtherDirectory"), "the same name of an entity elsewhere is another entity");
        assert_eq!(told(1, 3), Err("OtherEntity"));
        assert_eq!(told(4, 5), Err("EntityNotVerified"));
        assert_eq!(Directories::default().check_share(&account(1), &account(9)), Ok(()), "no directory, no rule");
        let refusal = world().check_share(&account(1), &account(3)).unwrap_err().to_string();
        assert_eq!(
            refusal,
            "the owner 0000000000000001 belongs to the entity \"Retail\", account 0000000000000003 to \"Other\""
        );
    }

    proptest! {
        /// A share is possible exactly for two accounts of one verified entity in one directory, in both directions.
        #[test]
        fn exactly_members_of_one_verified_entity_share(
            places in prop::collection::vec((0..3_usize, 0..3_usize), 6),
            verified in prop::collection::vec(any::<bool>(), 9),
            (owner, other) in (0..8_usize, 0..8_usize),
        ) {
            let entities = |d: usize| (0..3).map(move |e| (d, e));
            let directories = Directories((0..3).map(|d| Directory {
                id: format!("rd-{d}"),
                entities: entities(d).map(|(d, e)| Entity {
                    name: format!("entity {e}"),
                    verified: verified.get(d * 3 + e).copied().unwrap(),
                    accounts: (0..6).filter(|n| places.get(*n) == Some(&(d, e))).map(account).collect(),
                }).collect(),
            }).collect());
            let expected = owner == other || match (places.get(owner), places.get(other)) {
                (Some(a), Some(b)) => a == b && verified.get(a.0 * 3 + a.1).copied().unwrap(),
                _ => false,
            };
            prop_assert_eq!(directories.check_share(&account(owner), &account(other)).is_ok(), expected);
            prop_assert_eq!(directories.check_share(&account(other), &account(owner)).is_ok(), expected);
        }
    }
}
