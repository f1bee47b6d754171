//! The catalogue of events as people read it: `docs/events.md` and the journal's `systemd/keyferry.catalog` are made from
//! it (`KEYFERRY_WRITE=1 cargo test --lib observe::catalogue`), and a test holds them to it.

use super::Event;

/// What somebody who reads the event should do; `None`: nothing.
#[must_use]
pub const fn remedy(event: Event) -> Option<&'static str> {
    Some(match event {
        Event::ConfigRejected => {
            "Nothing has changed. Put right what the message names and reload again; `keyferry config check` tells all mistakes."
        }
        Event::SealGenerated => {
            "Keep a copy of the named file in a safe place: without it nothing of this keystore opens."
        }
        Event::StoreDegraded => {
            "Look at the disk and at the text; run `keyferry doctor`. Keep the last backup until that is clean."
        }
        Event::BackupFailed => {
            "Put right what the message names: space, rights, or the key file. It is tried again every minute."
        }
        Event::ClockStepped => {
            "See what set the clock (NTP, a snapshot). Deadlines may wait for `keyferry clock confirm`."
        }
        Event::ScheduleMissed => {
            "See the reason in the message; run it by hand with `keyferry migrate`, or change `at`."
        }
        Event::MigrationAwaitingApproval => "Look at its plan, then `keyferry job approve JOB` as somebody else.",
        Event::MigrationRefused => {
            "Put right what the problems name (`keyferry plan` shows them all), then run it again."
        }
        Event::MigrationWindowEnding => {
            "Nothing: at the window's end everything is rolled back. Plan a longer window next time."
        }
        Event::MigrationFailed => {
            "Everything is as it was before. `keyferry job show JOB` has cause and remedy; run it again after that."
        }
        Event::MigrationCanceled | Event::MigrationRolledBack => "Nothing: the scope is as it was before.",
        Event::MigrationResumed => "See why the daemon was restarted; the job goes on by itself.",
        Event::LockOverdue => {
            "See what the job waits for: `keyferry job show JOB`, and the events of that job before this one."
        }
        Event::RotationFailed => "See the message; it is tried again. The present version stays in use.",
        Event::RotationUnserved => "Rotate the secret by hand, or give it a rotator.",
        Event::RotationStranded => {
            "Rotation goes on by itself. Look into what became of the job that the mark names; report it if nobody planted the mark."
        }
        Event::ResourceLeftBehind => "Nothing, if it is to stay; else see its reason in `keyferry check`.",
        Event::VerificationFailed => {
            "Nothing has moved. Look into the instance's store and hardware before running it again."
        }
        Event::InstanceUnreachable => "See to the instance or the network to it; the step is tried again by itself.",
        Event::InstanceExpiring => {
            "Renew the instance and change its `expires`; until then no migration starts whose window ends later."
        }
        Event::CertificateExpiring => "Put a new certificate into the named file and reload.",
        Event::KeyUsageHigh => "Make a new version (`CreateKeyVersion`), or switch rotation on.",
        Event::RequestDenied => "If it repeats: find the client at the named address, its access key or its clock.",
        Event::LogSuppressed => "See the message that is quoted; only its repetitions are missing.",
        Event::NotifyUndelivered => "See to the receiver that is named; the log has what it was not told.",
        Event::WorkerStalled => {
            "Nothing under systemd with WatchdogSec: the daemon is restarted and goes on. Report it with the log."
        }
        _ => return None,
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::fmt::Write as _;
    use std::path::Path;

    use super::*;
    use crate::observe::Severity;

    const fn level(event: Event) -> &'static str {
        match event.severity() {
            Severity::Info => "INFO",
            Severity::Warn => "WARN",
            Severity::Error => "ERROR",
        }
    }

    fn page() -> String {
        let mut text = String::from(
            "# Events\n\nMade from `src/observe/events.rs` by a test. What the lines around them look like is in \
             [observability.md](observability.md). Names and levels are an interface: they do not change. `MESSAGE_ID` is \
             what `journalctl MESSAGE_ID=…` takes.\n\n| event | level | says | do | MESSAGE_ID |\n|---|---|---|---|---|\n",
        );
        for event in Event::ALL {
            let _ = writeln!(
                text,
                "| `{}` | {} | {} | {} | `{}` |",
                event.as_str(),
                level(*event),
                event.description(),
                remedy(*event).unwrap_or("-"),
                event.message_id()
            );
        }
        text
    }

    fn journal_catalog() -> String {
        let mut text = String::from("# Message catalog of keyferry for the journal; made from its events by a test.\n");
        for event in Event::ALL {
            let _ = write!(
                text,
                "\n-- {}\nSubject: {}\nDefined-By: keyferry\n\n{}\n",
                event.message_id(),
                event.as_str(),
                event.description()
            );
            if let Some(remedy) = remedy(*event) {
                let _ = write!(text, "\n{remedy}\n");
            }
        }
        text
    }

    /// Holds a file of the repository to `text`, or writes it when asked to.
    fn hold(path: &str, text: &str) {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
        if std::env::var_os("KEYFERRY_WRITE").is_some() {
            std::fs::write(&path, text).unwrap();
        }
        let found = std::fs::read_to_string(&path).unwrap_or_default();
        assert_eq!(found, text, "{}: run KEYFERRY_WRITE=1 cargo test --lib observe::catalogue", path.display());
    }

    #[test]
    fn the_pages_are_what_the_code_says() {
        hold("docs/events.md", &page());
        hold("systemd/keyferry.catalog", &journal_catalog());
    }

    #[test]
    fn whatever_is_no_good_news_says_what_to_do() {
        for event in Event::ALL {
            assert!(event.description().ends_with('.'), "{}", event.as_str());
            assert_eq!(event.severity() >= Severity::Warn, remedy(*event).is_some(), "{}", event.as_str());
        }
    }
}
