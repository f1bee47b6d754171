//! The `keyferry` program.

use std::alloc::System;
use std::process::ExitCode;

use zeroizing_alloc::ZeroAlloc;

/// Memory is wiped when it is given back, so that no request, value or key outlives its use in buffers of libraries
/// that know nothing of secrets.
#[global_allocator]
static MEMORY: ZeroAlloc<System> = ZeroAlloc(System);

fn main() -> ExitCode {
    keyferry::cli::main()
}
