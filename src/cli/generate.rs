//! `generate`: what is made from the program itself, so that it cannot say anything else.
//!
//! `packaging/build` packs manual pages and completions; `docs/reference/` and `config/keyferry.schema.json` are kept in
//! the repository, and a test holds them to what this makes.

use std::path::{Path, PathBuf};

use clap::{Args, CommandFactory, ValueEnum};
use clap_complete::Shell;

use super::arguments::Arguments;
use super::explain;
use super::outcome::{Exit, Failure};
use crate::config::json_schema;

/// `generate`
#[derive(Debug, Args)]
pub struct GenerateArguments {
    /// What to make
    #[arg(value_enum)]
    pub what: What,
    /// Where to; made if it is not there
    pub directory: PathBuf,
}

/// What is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum What {
    /// Manual pages, one a command.
    Man,
    /// Completions for bash, zsh and fish.
    Completions,
    /// Reference pages: cli.md and codes.md.
    Reference,
    /// keyferry.schema.json: the configuration file for editors.
    Schema,
}

/// Writes it.
pub(super) fn generate(options: &GenerateArguments) -> Result<Exit, Failure> {
    let GenerateArguments { what, directory } = options;
    let written = std::fs::create_dir_all(directory).and_then(|()| match what {
        What::Man => man(directory),
        What::Completions => completions(directory),
        What::Reference => std::fs::write(directory.join("cli.md"), cli_reference())
            .and_then(|()| std::fs::write(directory.join("codes.md"), codes_reference())),
        What::Schema => std::fs::write(directory.join("keyferry.schema.json"), json_schema()),
    });
    written.map(|()| Exit::Done).map_err(|error| {
        let message = format!("{}: {error}", directory.display());
        Failure::new(Exit::Failed, "Generate", message, "name a directory that you can write to")
    })
}

/// What the manual page of the program itself has beside its arguments.
const MANUAL: &str = r#".SH "EXIT STATUS"
.TP
.B 0
done
.TP
.B 1
the job failed, was canceled or rolled back; or the command failed
.TP
.B 2
usage or configuration
.TP
.B 3
the daemon cannot be reached
.TP
.B 4
refused by preflight
.TP
.B 5
the scope is locked by another job
.TP
.B 130
Ctrl\-C while waiting for a job, which goes on
.SH ENVIRONMENT
.TP
.B KEYFERRY_CONFIG
the configuration file
.TP
.B KEYFERRY_SOCKET
the admin socket of the daemon
.TP
.B NO_COLOR
no colours
.SH FILES
.TP
.I /etc/keyferry/keyferry.toml
the configuration; documented key by key in /usr/share/doc/keyferry/examples/keyferry.toml
.TP
.I /var/lib/keyferry
the state: stores, slots, generated root keys
"#;

fn command() -> clap::Command {
    // The command `help` repeats every other one.
    Arguments::command().disable_help_subcommand(true).term_width(100)
}

fn man(directory: &Path) -> std::io::Result<()> {
    clap_mangen::generate_to(command(), directory)?;
    let path = directory.join("keyferry.1");
    let mut page = std::fs::read_to_string(&path)?;
    // Before the version, which ends the page.
    let at = page.find(".SH VERSION").unwrap_or(page.len());
    page.insert_str(at, MANUAL);
    std::fs::write(path, page)
}

fn completions(directory: &Path) -> std::io::Result<()> {
    for shell in [Shell::Bash, Shell::Zsh, Shell::Fish] {
        clap_complete::generate_to(shell, &mut command(), "keyferry", directory)?;
    }
    Ok(())
}

/// Every command with its help.
pub(super) fn cli_reference() -> String {
    let mut text = "# Command line\n\nThe help of each command, as it prints it. Made by `keyferry generate reference \
        docs/reference`; exit codes and error codes are in [codes.md](codes.md).\n"
        .to_owned();
    let mut root = command();
    root.build();
    describe(&mut root, "keyferry", &mut text);
    text
}

/// Every code with its meaning.
pub(super) fn codes_reference() -> String {
    "# Codes\n\nEvery code of a problem, error, warning and exit; `keyferry explain CODE` prints the page of one, and the pages \
     are in [docs/codes](../codes). Made by `keyferry generate reference docs/reference`.\n"
        .to_owned()
        + &explain::index()
}

fn describe(command: &mut clap::Command, name: &str, text: &mut String) {
    *text += &format!("\n## {name}\n\n```text\n{}```\n", trimmed(&command.render_long_help().to_string()));
    for inner in command.get_subcommands_mut().filter(|inner| !inner.is_hide_set()) {
        let name = format!("{name} {}", inner.get_name());
        describe(inner, &name, text);
    }
}

fn trimmed(help: &str) -> String {
    let lines = help.trim_end().lines().map(str::trim_end);
    lines.map(|line| format!("{line}\n")).collect()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn the_reference_pages_are_what_the_program_makes() {
        const HOW: &str = "run `keyferry generate reference docs/reference` and `keyferry generate schema config`";
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let made = [
            ("docs/reference/cli.md", cli_reference()),
            ("docs/reference/codes.md", codes_reference()),
            ("config/keyferry.schema.json", json_schema()),
        ];
        for (path, text) in made {
            let kept = std::fs::read_to_string(root.join(path)).unwrap_or_default();
            assert!(kept == text, "{path} is not up to date: {HOW}");
        }
    }

    #[test]
    fn manual_pages_and_completions_know_every_command() {
        let directory = tempfile::tempdir().unwrap();
        man(directory.path()).unwrap();
        completions(directory.path()).unwrap();
        let mut root = command();
        root.build();
        for inner in root.get_subcommands().filter(|inner| !inner.is_hide_set()) {
            let page = std::fs::read_to_string(directory.path().join(format!("keyferry-{}.1", inner.get_name())));
            assert!(page.unwrap().contains(".SH SYNOPSIS"));
            for file in ["keyferry.bash", "_keyferry", "keyferry.fish"] {
                let text = std::fs::read_to_string(directory.path().join(file)).unwrap();
                assert!(text.contains(inner.get_name()), "{file}: {}", inner.get_name());
            }
        }
        let page = std::fs::read_to_string(directory.path().join("keyferry.1")).unwrap();
        let at = |section: &str| page.find(section).unwrap();
        assert!(at(".SH SYNOPSIS") < at("EXIT STATUS") && at("EXIT STATUS") < at(".SH VERSION"));
        assert!(!directory.path().join("keyferry-generate.1").exists());
    }
}
