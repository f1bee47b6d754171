//! Terraform configurations after a migration: which resources the next apply would replace, and the change that keeps
//! them.
//!
//! [`Configuration::read`] reads a directory with its local modules, [`assess`] holds it to what moved, [`rewrite`]
//! puts the remedies in. Nothing here runs Terraform or its provider: the rule by which the provider replaces is data in
//! [`provider`], with the versions it holds for. Files are changed by insertions at places that the parsers name, so that
//! everything else stays byte for byte.

mod address;
mod assess;
mod configuration;
mod diff;
mod document;
mod edit;
mod error;
mod evaluate;
mod finding;
mod hcl;
mod insertion;
mod json;
mod lists;
mod lookup;
mod matching;
mod module;
mod moved;
pub mod provider;
mod rewrite;
mod state;
#[cfg(test)]
mod tests;
mod value;
mod writing;

pub use assess::assess;
pub use configuration::{Configuration, Problem};
pub use error::TerraformError;
pub use finding::{Assessment, Dependent, Finding, Item, Rule, Verdict};
pub use lookup::{Names, names};
pub use matching::Certainty;
pub use moved::{Moved, MovedKey, MovedSecret};
pub use provider::{ProtectionLevel, Strategy, Version};
pub use rewrite::{FileChange, Left, Rewrite, rewrite};
pub use state::State;
