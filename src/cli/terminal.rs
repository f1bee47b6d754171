//! Where a command reads and writes: data to one stream, talk to another.

use std::io::{self, BufRead, IsTerminal, Write};

use serde::Serialize;

/// Standard input, output and error of a command.
pub struct Terminal {
    input: Box<dyn BufRead + Send>,
    data: Box<dyn Write + Send>,
    talk: Box<dyn Write + Send>,
    /// Somebody can be asked.
    asks: bool,
    /// Progress can be drawn on standard error.
    draws: bool,
    /// Text on standard output may be coloured.
    colours: bool,
    json: bool,
}

impl Terminal {
    /// The streams of this process. `NO_COLOR` (no-color.org) and streams that are no terminals are respected.
    #[must_use]
    pub fn of_process(json: bool) -> Self {
        let plain = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        let dumb = std::env::var_os("TERM").is_some_and(|value| value == "dumb");
        Self {
            input: Box::new(io::BufReader::new(io::stdin())),
            data: Box::new(io::stdout()),
            talk: Box::new(io::stderr()),
            asks: io::stdin().is_terminal() && io::stderr().is_terminal(),
            draws: io::stderr().is_terminal() && !dumb,
            colours: io::stdout().is_terminal() && !plain && !dumb,
            json,
        }
    }

    /// Streams of the caller's choice; `asks`: as if somebody sat there.
    #[must_use]
    pub fn of_streams(
        input: Box<dyn BufRead + Send>,
        data: Box<dyn Write + Send>,
        talk: Box<dyn Write + Send>,
        asks: bool,
        json: bool,
    ) -> Self {
        Self { input, data, talk, asks, draws: false, colours: false, json }
    }

    /// True when JSON was asked for.
    #[must_use]
    pub const fn json(&self) -> bool {
        self.json
    }

    /// True when somebody can be asked.
    #[must_use]
    pub const fn asks(&self) -> bool {
        self.asks
    }

    /// True when progress can be drawn.
    #[must_use]
    pub const fn draws(&self) -> bool {
        self.draws
    }

    /// True when text may be coloured.
    #[must_use]
    pub const fn colours(&self) -> bool {
        self.colours
    }

    /// Writes data, followed by a line end. A reader that has gone (`| head`) is no error.
    pub fn print(&mut self, text: &str) {
        let _ = writeln!(self.data, "{}", text.trim_end_matches('\n')).and_then(|()| self.data.flush());
    }

    /// Writes a JSON document as data.
    pub fn document(&mut self, value: &impl Serialize) {
        if let Ok(text) = serde_json::to_string_pretty(value) {
            self.print(&text);
        }
    }

    /// Writes a JSON document as one line of data.
    pub fn line(&mut self, value: &impl Serialize) {
        if let Ok(text) = serde_json::to_string(value) {
            self.print(&text);
        }
    }

    /// Says something to whoever sits there.
    pub fn talk(&mut self, text: &str) {
        let _ = writeln!(self.talk, "{text}").and_then(|()| self.talk.flush());
    }

    /// Asks a question; anything but `y` or `yes` is a no, as is the end of the input.
    pub fn ask(&mut self, question: &str) -> bool {
        let _ = write!(self.talk, "{question} [y/N] ").and_then(|()| self.talk.flush());
        let mut answer = String::new();
        let read = self.input.read_line(&mut answer);
        read.is_ok() && matches!(answer.trim().to_ascii_lowercase().as_str(), "y" | "yes")
    }
}
