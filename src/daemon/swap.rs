//! Keeping what is secret out of swap, where no service manager does it.
//!
//! Under the units in `systemd/` nothing is swapped (`MemorySwapMax=0`). Elsewhere, and where there is swap, all memory is
//! locked if the process may. Locked memory is not given back to the system while the process is idle: that is the price.

use std::fs;
use std::path::{Path, PathBuf};

use rustix::mm::{MlockAllFlags, mlockall};
use rustix::process::{Resource, getrlimit};
use rustix::thread::{CapabilitySet, capabilities};

/// Locks all memory of the process, present and to come, where it could be swapped out. What cannot be had is logged.
pub(super) fn keep_out_of_swap() {
    if !has_swap(&read("/proc/swaps")) || groups_without_swap(Path::new("/sys/fs/cgroup"), &read("/proc/self/cgroup")) {
        return;
    }
    // Memory that is not touched yet is locked when it is: reserved stacks cost nothing.
    let all = MlockAllFlags::CURRENT | MlockAllFlags::FUTURE | MlockAllFlags::ONFAULT;
    if may_lock() && mlockall(all).is_ok() {
        tracing::info!("this machine swaps: the memory of the process is locked");
        return;
    }
    tracing::warn!(
        "this machine swaps, and the memory of the process may be written to its disk: switch swap off or encrypt it, run \
         under the unit (MemorySwapMax=0), or let the process lock memory (LimitMEMLOCK=infinity)"
    );
}

/// Whether `/proc/swaps` names anything below its heading.
fn has_swap(swaps: &str) -> bool {
    swaps.lines().skip(1).any(|line| !line.trim().is_empty())
}

/// Whether the process's group, or one above it, has `memory.swap.max` 0 (cgroup v2).
fn groups_without_swap(root: &Path, own: &str) -> bool {
    let Some(group) = own.lines().find_map(|line| line.strip_prefix("0::/")) else { return false };
    let group: PathBuf = root.join(group);
    group
        .ancestors()
        .take_while(|group| group.starts_with(root))
        .any(|group| fs::read_to_string(group.join("memory.swap.max")).is_ok_and(|most| most.trim() == "0"))
}

/// Whether all memory may be locked for good. With less, a later allocation would fail, and the process with it: a limit, or
/// a capability that counts only inside of a user namespace, is not enough.
fn may_lock() -> bool {
    let unlimited = getrlimit(Resource::Memlock).current.is_none();
    let capable = || {
        let held = capabilities(None).is_ok_and(|held| held.effective.contains(CapabilitySet::IPC_LOCK));
        held && is_initial_namespace(&read("/proc/self/uid_map"))
    };
    unlimited || capable()
}

/// Whether a `uid_map` maps every user to itself.
fn is_initial_namespace(map: &str) -> bool {
    map.split_whitespace().eq(["0", "0", "4294967295"])
}

/// Nothing where it cannot be read: then there is nothing of the kind.
fn read(path: &str) -> String {
    fs::read_to_string(path).unwrap_or_default()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    const HEADING: &str = "Filename\t\t\t\tType\t\tSize\t\tUsed\t\tPriority\n";

    #[test]
    fn swap_is_what_stands_below_the_heading() {
        assert!(!has_swap(""));
        assert!(!has_swap(HEADING));
        assert!(has_swap(&format!("{HEADING}/dev/vda2    partition\t1048572\t0\t-2\n")));
    }

    #[test]
    fn a_group_may_not_swap_where_one_above_it_may_not() {
        let root = tempfile::tempdir().unwrap();
        let own = "0::/system.slice/keyferry.service\n";
        let slice = root.path().join("system.slice");
        let service = slice.join("keyferry.service");
        fs::create_dir_all(&service).unwrap();
        assert!(!groups_without_swap(root.path(), own));
        fs::write(service.join("memory.swap.max"), "max\n").unwrap();
        assert!(!groups_without_swap(root.path(), own));
        fs::write(slice.join("memory.swap.max"), "0\n").unwrap();
        assert!(groups_without_swap(root.path(), own));
        assert!(!groups_without_swap(root.path(), "4:memory:/system.slice/keyferry.service\n"));
    }

    #[test]
    fn a_user_namespace_is_not_the_machine() {
        assert!(is_initial_namespace("         0          0 4294967295\n"));
        assert!(!is_initial_namespace("         0       1000          1\n"));
        assert!(!is_initial_namespace("0 0 1\n1 1 4294967294\n"));
        assert!(!is_initial_namespace(""));
    }
}
