//! Hardware instances over SoftHSM2: migration end to end, crashes, and tokens that go away, refuse, fill up or hang.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    missing_docs,
    unreachable_pub
)]

mod faults;
#[allow(dead_code)]
#[path = "../migration/halting.rs"]
mod halting;
mod hsm;
mod moving;
#[allow(dead_code)]
#[path = "../migration/rewinding.rs"]
mod rewinding;
mod using;
#[allow(dead_code)]
#[path = "../migration/world.rs"]
mod world;
