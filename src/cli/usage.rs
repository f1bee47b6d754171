//! What cannot be typed: in clap's words, as JSON for whoever asked for that.

use std::ffi::OsString;

use clap::error::ErrorKind;

use super::{Exit, Failure, Terminal};

/// Tells what is wrong with the arguments, or what they ask clap for (help, version); answers the exit code.
pub(super) fn tell(error: &clap::Error, arguments: impl IntoIterator<Item = OsString>) -> u8 {
    if error.use_stderr() && asks_for_json(arguments) {
        return failure(error).report(&mut Terminal::of_process(true)).code();
    }
    // Who does not read it any more does not miss it.
    let _ = error.print();
    if error.use_stderr() { Exit::Usage.code() } else { Exit::Done.code() }
}

/// What cannot be parsed is searched as it stands.
fn asks_for_json(arguments: impl IntoIterator<Item = OsString>) -> bool {
    arguments.into_iter().skip(1).take_while(|argument| argument != "--").any(|argument| argument == "--json")
}

/// The first paragraph is what is wrong, the rest is how it is right.
fn failure(error: &clap::Error) -> Failure {
    let text = error.render().to_string();
    let (message, remedy) = if error.kind() == ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand {
        ("no command is named".to_owned(), "`--help` lists the commands".to_owned())
    } else {
        let mut paragraphs = text.split("\n\n").map(in_one_line);
        let message = paragraphs.next().unwrap_or_default();
        (message.trim_start_matches("error: ").to_owned(), paragraphs.collect::<Vec<_>>().join("; "))
    };
    Failure::new(Exit::Usage, "Usage", message, remedy)
}

fn in_one_line(paragraph: &str) -> String {
    paragraph.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::cli::Arguments;

    fn of(arguments: &[&str]) -> Failure {
        failure(&Arguments::try_parse_from(arguments).unwrap_err())
    }

    #[test]
    fn a_mistake_is_told_with_what_is_right() {
        let told = of(&["keyferry", "--json", "stauts"]);
        assert_eq!(told.error.message, "unrecognized subcommand 'stauts'");
        assert!(told.error.remedy.starts_with("tip: "), "{}", told.error.remedy);
        assert!(told.error.remedy.contains("Usage: keyferry [OPTIONS] <COMMAND>; "), "{}", told.error.remedy);
        assert_eq!(of(&["keyferry", "--json"]).exit, Exit::Usage);
        assert_eq!(of(&["keyferry", "job"]).error.message, "no command is named");
        let told = of(&["keyferry", "hold"]);
        assert!(told.error.message.contains("not provided: --reason <TEXT>"), "{}", told.error.message);
    }

    #[test]
    fn json_is_told_to_whoever_asked_for_it() {
        let asks = |arguments: &[&str]| asks_for_json(arguments.iter().map(OsString::from));
        assert!(asks(&["keyferry", "nonsense", "--json"]));
        assert!(!asks(&["keyferry", "nonsense"]) && !asks(&["keyferry", "explain", "--", "--json"]));
    }
}
