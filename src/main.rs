//! The `keyferry` program.

use std::process::ExitCode;

fn main() -> ExitCode {
    keyferry::cli::main()
}
