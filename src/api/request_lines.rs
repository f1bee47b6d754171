//! Request lines longer than the `http` crate takes. SDKs put every parameter into the query, and percent-encoding makes
//! three bytes of one, so that a secret of 30,720 bytes does not fit into the crate's 65,534.
//!
//! [`Lines`] stands between a connection and hyper. A long request line goes on to hyper without its query, which waits
//! in [`Requests`] until the service of the same connection takes it up; no header carries it, so no client can forge it.
//! What keeps queries and requests together is that hyper never gets a byte of a message before it took up the one
//! before: the head goes to it up to its empty line and no further, then as many bytes as hyper says that the body has.
//! Where the two do not agree, the connection ends.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};

use bytes::{Buf as _, BytesMut};
use tokio::io::{AsyncRead, ReadBuf};
use tokio_util::io::poll_read_buf;
use zeroize::Zeroizing;

use super::ApiError;
use super::request::MAX_BODY_BYTES;

/// The longest request line that is served, its line end included: as much as a body, for it may carry the same.
pub const MAX_LINE_BYTES: usize = MAX_BODY_BYTES;
/// Longer request lines go to hyper without their query. Below the crate's limit, which is for the target alone.
const LONG: usize = 60_000;
/// A line that is too long is read to its end, so that the client is done sending when it is answered. One of more bytes
/// than this is answered where it stands.
const MAX_DROPPED_BYTES: usize = 4 * 1024 * 1024;
const CHUNK: usize = 8 * 1024;
/// What hyper gets in place of a request line that is refused.
const REFUSED: &[u8] = b"POST / HTTP/1.1\r\n";

/// Where a request's query is.
#[derive(PartialEq, Eq)]
pub enum Query {
    /// In its URI, if it has any.
    InPlace,
    /// It was taken out of the request line: undecoded, without its `?`.
    Carried(Zeroizing<String>),
}

/// What the reader of a connection and its service tell each other.
#[derive(Clone, Default)]
pub struct Requests(Arc<Mutex<Exchange>>);

#[derive(Default)]
struct Exchange {
    /// From the reader: of the head that hyper got last, until its request is taken up.
    line: Option<Result<Query, ApiError>>,
    /// From the service: what follows the head of the request taken up last, until the reader goes on.
    body: Option<Body>,
}

#[derive(Clone, Copy)]
enum Body {
    Bytes(u64),
    /// Only hyper knows where it ends.
    Chunked,
}

/// The reading side of a connection, as hyper gets it.
pub struct Lines<R> {
    connection: R,
    requests: Requests,
    stage: Stage,
    /// Read from the connection, not yet judged.
    input: BytesMut,
    /// For hyper.
    output: BytesMut,
    ended: bool,
}

enum Stage {
    /// A request line, collected until it is whole; so many bytes hold no line end.
    Line { seen: usize },
    /// A request line that is too long: so many bytes of it were dropped.
    TooLong { dropped: usize },
    /// Headers, up to the empty line; `fresh`: at the beginning of a line.
    Headers { fresh: bool },
    /// hyper has a whole head, and takes it up before it reads on.
    Taken,
    /// So many bytes of a body are left.
    Body { left: u64 },
    /// Nothing more is told apart, and no further request is taken up.
    Unframed,
    /// Nothing more goes on to hyper.
    Dropping,
}

impl Requests {
    /// Takes up the request whose head hyper parsed: its query, or why it is refused. To be called once for each request,
    /// before hyper reads on; `body` is the length of its body, `None` when it is chunked: then the connection has to end
    /// with its answer.
    ///
    /// # Errors
    /// `RequestTooLarge`, `ParseRequestParameterException`; `InternalFailure` for a request that the reader did not see.
    pub fn take_up(&self, body: Option<u64>) -> Result<Query, ApiError> {
        let mut exchange = self.lock();
        exchange.body = Some(body.map_or(Body::Chunked, Body::Bytes));
        exchange.line.take().unwrap_or_else(|| Err(ApiError::internal("a request came without its request line")))
    }

    fn lock(&self) -> MutexGuard<'_, Exchange> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<R> Lines<R> {
    /// Wraps a connection; its service takes requests up with the other half.
    pub fn new(connection: R) -> (Self, Requests) {
        let requests = Requests::default();
        let lines = Self {
            connection,
            requests: requests.clone(),
            stage: Stage::Line { seen: 0 },
            input: BytesMut::new(),
            output: BytesMut::new(),
            ended: false,
        };
        (lines, requests)
    }

    /// Judges what was read, until there is something for hyper or more has to be read.
    fn advance(&mut self) -> io::Result<()> {
        loop {
            match self.stage {
                Stage::Line { seen } => match line_end(&self.input, seen) {
                    Some(end) => self.line(end)?,
                    None => return self.half_line(seen),
                },
                Stage::TooLong { dropped } => match line_end(&self.input, 0) {
                    Some(end) => {
                        self.input.advance(end);
                        self.head(REFUSED, Err(too_long()))?;
                    }
                    None => {
                        let dropped = dropped.saturating_add(self.input.len());
                        self.input.clear();
                        self.stage = Stage::TooLong { dropped };
                        if dropped > MAX_DROPPED_BYTES {
                            self.head(REFUSED, Err(too_long()))?;
                            self.output.extend_from_slice(b"\r\n");
                            self.stage = Stage::Dropping;
                        }
                        return Ok(());
                    }
                },
                Stage::Headers { fresh } => {
                    self.headers(fresh);
                    return Ok(());
                }
                Stage::Taken => match self.requests.lock().body.take() {
                    Some(Body::Bytes(left)) => self.stage = Stage::Body { left },
                    Some(Body::Chunked) => self.stage = Stage::Unframed,
                    None => return Err(disagreed()),
                },
                Stage::Body { left: 0 } => self.stage = Stage::Line { seen: 0 },
                Stage::Body { left } => {
                    let part = self.input.len().min(usize::try_from(left).unwrap_or(usize::MAX));
                    self.pass(part);
                    self.stage = Stage::Body { left: left.saturating_sub(u64::try_from(part).unwrap_or(u64::MAX)) };
                    return Ok(());
                }
                Stage::Unframed => {
                    self.pass(self.input.len());
                    return Ok(());
                }
                Stage::Dropping => {
                    self.input.clear();
                    return Ok(());
                }
            }
        }
    }

    /// A whole line: a request line, or one of the empty lines that may come before it.
    fn line(&mut self, length: usize) -> io::Result<()> {
        let line = self.input.split_to(length);
        if matches!(line.as_ref(), b"\n" | b"\r\n") {
            self.stage = Stage::Line { seen: 0 };
            return Ok(());
        }
        if line.len() <= LONG {
            return self.head(&line, Ok(Query::InPlace));
        }
        // The rest moves, so that the room of the long line does not stay with the connection.
        self.input = BytesMut::from(self.input.as_ref());
        match shorten(&line) {
            Ok((short, query)) => self.head(&short, Ok(Query::Carried(query))),
            Err(error) => self.head(REFUSED, Err(error)),
        }
    }

    /// The beginning of a line, of which `seen` bytes were looked at before.
    fn half_line(&mut self, seen: usize) -> io::Result<()> {
        let fresh = self.input.get(seen..).unwrap_or_default();
        if self.ended || fresh.iter().any(|byte| byte.is_ascii_control() && *byte != b'\r') {
            // No request line, and hyper says so at once.
            self.stage = Stage::Unframed;
            self.pass(self.input.len());
        } else if self.input.len() > MAX_LINE_BYTES {
            self.stage = Stage::TooLong { dropped: self.input.len() };
            self.input = BytesMut::new();
        } else {
            self.stage = Stage::Line { seen: self.input.len() };
        }
        Ok(())
    }

    /// Begins a head.
    fn head(&mut self, line: &[u8], what: Result<Query, ApiError>) -> io::Result<()> {
        if self.requests.lock().line.replace(what).is_some() {
            return Err(disagreed());
        }
        self.output.extend_from_slice(line);
        self.stage = Stage::Headers { fresh: true };
        Ok(())
    }

    /// Passes headers on, up to the first empty line: no parser ends the head before it.
    fn headers(&mut self, mut fresh: bool) {
        let end = self.input.iter().position(|byte| {
            let empty = fresh && *byte == b'\n';
            fresh = *byte == b'\n' || (fresh && *byte == b'\r');
            empty
        });
        self.pass(end.map_or(self.input.len(), |at| at.saturating_add(1)));
        self.stage = if end.is_some() { Stage::Taken } else { Stage::Headers { fresh } };
    }

    fn pass(&mut self, length: usize) {
        self.output.unsplit(self.input.split_to(length));
    }
}

impl<R: AsyncRead + Unpin> AsyncRead for Lines<R> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        loop {
            // Only when hyper has everything from before: the next message must not follow on its heels.
            if this.output.is_empty() {
                this.advance()?;
            }
            if !this.output.is_empty() {
                buffer.put_slice(&this.output.split_to(this.output.len().min(buffer.remaining())));
                return Poll::Ready(Ok(()));
            }
            if this.ended {
                return Poll::Ready(Ok(()));
            }
            // What was passed on may hold secrets: it is given back, which wipes it, and not overwritten some day.
            this.output = BytesMut::new();
            if this.input.is_empty() {
                this.input = BytesMut::new();
            }
            this.input.reserve(CHUNK);
            this.ended = ready!(poll_read_buf(Pin::new(&mut this.connection), cx, &mut this.input))? == 0;
        }
    }
}

/// The length of the first line in `bytes`, with its line end; the first `seen` bytes hold none.
fn line_end(bytes: &[u8], seen: usize) -> Option<usize> {
    let at = bytes.get(seen..)?.iter().position(|byte| *byte == b'\n')?;
    Some(at.saturating_add(seen).saturating_add(1))
}

/// Takes the query out of a request line.
fn shorten(line: &[u8]) -> Result<(Vec<u8>, Zeroizing<String>), ApiError> {
    if line.len() > MAX_LINE_BYTES {
        return Err(too_long());
    }
    let (before, target, version) = split(line, b' ')
        .and_then(|(method, rest)| split(rest, b' ').map(|(target, version)| (method, target, version)))
        .ok_or_else(ApiError::unparsable)?;
    // As the `http` crate does it: the query begins at the first question mark, and no fragment belongs to it.
    let target = split(target, b'#').map_or(target, |(target, _)| target);
    let (path, query) = split(target, b'?').unwrap_or((target, b""));
    let query = std::str::from_utf8(query).ok().filter(|text| !text.bytes().any(|byte| byte.is_ascii_control()));
    let query = query.ok_or_else(ApiError::unparsable)?;
    let short = [before, path, version].join(&b' ');
    // A path that is too long by itself.
    if short.len() > LONG { Err(too_long()) } else { Ok((short, Zeroizing::new(query.to_owned()))) }
}

fn split(text: &[u8], at: u8) -> Option<(&[u8], &[u8])> {
    let mut halves = text.splitn(2, |byte| *byte == at);
    Some((halves.next()?, halves.next()?))
}

fn too_long() -> ApiError {
    ApiError::request_too_large().with_remedy("Send a request line of at most 256 KiB, or parameters in a form body.")
}

fn disagreed() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "where the request begins is in doubt")
}

#[cfg(test)]
#[path = "request_lines_tests.rs"]
mod tests;
