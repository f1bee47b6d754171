//! The `keyferry` program.

use std::process::ExitCode;

use tikv_jemallocator::Jemalloc;
use zeroizing_alloc::ZeroAlloc;

/// Memory is wiped when it is given back, so that no request, value or key outlives its use in buffers of libraries
/// that know nothing of secrets. The allocator beneath gives what is not used for ten seconds back to the system: what a
/// start or a migration needed is not held until the next one.
#[global_allocator]
static MEMORY: ZeroAlloc<Jemalloc> = ZeroAlloc(Jemalloc);

fn main() -> ExitCode {
    keyferry::cli::main()
}
