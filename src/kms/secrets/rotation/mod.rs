//! Rotation of managed secrets: a new value, committed as a version without a stage, is made valid outside by a rotator,
//! and then becomes current.
//!
//! `begin` commits the value with the record of the rotation; `drive` registers it as in flight, calls the rotator, and
//! `finish` moves the stages or notes the failure. A crash at any point is continued from the record with the same
//! rotation ID, and nothing of it happens in a locked scope (design §6, steps 3 and 4).

mod begin;
mod drive;
mod finish;
#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
mod tests;
mod value;

pub(in crate::kms) use begin::Begun;
pub use drive::{Driven, RotationReport};
