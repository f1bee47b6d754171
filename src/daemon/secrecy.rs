//! Keeping the memory of the process to itself, where no service manager does it.

use super::swap::keep_out_of_swap;
use rustix::process::{DumpableBehavior, Resource, Rlimit, set_dumpable_behavior, setrlimit};

/// No core dumps from now on, no reading of our memory by other processes of the same user, and nothing in swap. What the
/// system does not allow is logged: the unit in `systemd/` sees to the same (`LimitCORE=0`, `MemorySwapMax=0`).
pub(super) fn keep_to_ourselves() {
    if let Err(error) = setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) }) {
        tracing::warn!(%error, "core dumps could not be switched off");
    }
    if let Err(error) = set_dumpable_behavior(DumpableBehavior::NotDumpable) {
        tracing::warn!(%error, "the memory of the process could not be closed to other processes");
    }
    keep_out_of_swap();
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn the_process_leaves_no_core() {
        keep_to_ourselves();
        assert_eq!(rustix::process::getrlimit(Resource::Core).current, Some(0));
        assert_eq!(rustix::process::dumpable_behavior().unwrap(), DumpableBehavior::NotDumpable);
    }
}
