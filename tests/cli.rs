//! What commands say when they cannot do what was asked: cause, remedy and exit code, word by word.
//!
//! After a change that is meant: `TRYCMD=overwrite cargo test --test cli`, and read the difference.
#![allow(missing_docs)]

#[test]
fn what_commands_say() {
    trycmd::TestCases::new()
        // Neither the machine's configuration nor its daemon.
        .env("KEYFERRY_CONFIG", "/nonexistent/keyferry.toml")
        .env("KEYFERRY_SOCKET", "/nonexistent/admin.sock")
        .env("NO_COLOR", "1")
        .env("COLUMNS", "100")
        .case("tests/cli/*.trycmd");
}
