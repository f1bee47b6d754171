//! The reader alone, with a consumer that does what hyper does: the head to its end, its request taken up, then the body.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

use std::io;

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _};
use tokio_util::io::StreamReader;

use super::{LONG, Lines, MAX_DROPPED_BYTES, MAX_LINE_BYTES, Query, REFUSED, Requests};
use crate::api::ApiError;

/// A connection on which `bytes` arrive in pieces of one size.
fn pieces(bytes: &[u8], size: usize) -> impl AsyncRead + Unpin {
    let pieces: Vec<_> = bytes.chunks(size).map(|piece| Ok::<_, io::Error>(Bytes::copy_from_slice(piece))).collect();
    StreamReader::new(futures::stream::iter(pieces))
}

/// A head; the reader must not give anything behind it.
async fn head<R: AsyncRead + Unpin>(lines: &mut Lines<R>) -> String {
    let (mut head, mut part) = (Vec::new(), vec![0; 100_000]);
    while !head.ends_with(b"\r\n\r\n") {
        let count = lines.read(&mut part).await.unwrap();
        assert_ne!(count, 0, "ended within {}", String::from_utf8_lossy(&head));
        head.extend_from_slice(&part[..count]);
    }
    let head = String::from_utf8(head).unwrap();
    assert_eq!(head.find("\r\n\r\n").unwrap(), head.len() - 4, "more than one head");
    head
}

async fn body<R: AsyncRead + Unpin>(lines: &mut Lines<R>, length: usize) -> Vec<u8> {
    let (mut body, mut part) = (Vec::new(), vec![0; 100_000]);
    while body.len() < length {
        let count = lines.read(&mut part).await.unwrap();
        body.extend_from_slice(&part[..count]);
    }
    assert_eq!(body.len(), length, "more than the body");
    body
}

async fn refused(line: &[u8]) -> (String, &'static str) {
    let bytes = [line, b"host: x\r\n\r\n".as_slice()].concat();
    let (mut lines, requests) = Lines::new(bytes.as_slice());
    let head = head(&mut lines).await;
    let code = taken(&requests, 0).err().map_or("", |error| error.code);
    (head, code)
}

/// `None`: the query is where it was.
fn taken(requests: &Requests, length: u64) -> Result<Option<String>, ApiError> {
    Ok(match requests.take_up(Some(length))? {
        Query::InPlace => None,
        Query::Carried(query) => Some(query.to_string()),
    })
}

#[tokio::test]
async fn every_request_has_its_own_query_however_it_arrives() {
    let long = |name: char| format!("{name}={}", "%E5".repeat(LONG / 3));
    let (first, third) = (long('a'), long('c'));
    // All at once, as if pipelined; an empty line before a request is skipped, and a body may look like a request.
    let bytes = format!(
        "POST /?{first} HTTP/1.1\r\nhost: x\r\ncontent-length: 5\r\n\r\na?b\r\nGET /?b=1 HTTP/1.1\r\nhost: x\r\n\r\n\r\n\
         PUT http://h/x?{third}#?d HTTP/1.0\r\n\r\nGET /?{third} HTTP/1.1\nhost: x\r\n\r\nPOST / HTTP/1.1\r\nhost: x\r\n\r\n\
         GET / HTTP/1.1\r\n\r\n\r\nGET /"
    );
    for size in [1, 7, 1000, 8192, 1_000_000] {
        let (mut lines, requests) = Lines::new(pieces(bytes.as_bytes(), size));
        assert_eq!(head(&mut lines).await, "POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 5\r\n\r\n");
        assert_eq!(taken(&requests, 5).unwrap().as_ref(), Some(&first));
        assert_eq!(body(&mut lines, 5).await, b"a?b\r\n");
        assert_eq!(head(&mut lines).await, "GET /?b=1 HTTP/1.1\r\nhost: x\r\n\r\n");
        assert_eq!(taken(&requests, 0).unwrap(), None);
        assert_eq!(head(&mut lines).await, "PUT http://h/x HTTP/1.0\r\n\r\n");
        assert_eq!(taken(&requests, 0).unwrap().as_ref(), Some(&third));
        assert_eq!(head(&mut lines).await, "GET / HTTP/1.1\nhost: x\r\n\r\n");
        assert_eq!(taken(&requests, 0).unwrap().as_ref(), Some(&third));
        assert_eq!(head(&mut lines).await, "POST / HTTP/1.1\r\nhost: x\r\n\r\n");
        assert_eq!(taken(&requests, 0).unwrap(), None);
        assert_eq!(head(&mut lines).await, "GET / HTTP/1.1\r\n\r\n");
        assert_eq!(taken(&requests, 0).unwrap(), None);
        assert_eq!(body(&mut lines, 5).await, b"GET /", "what the connection's end cut off");
        assert_eq!(lines.read(&mut [0; 9]).await.unwrap(), 0);
    }
}

#[tokio::test]
async fn lines_are_carried_up_to_the_limit_and_refused_beyond() {
    for (extra, code) in [(0, ""), (1, "RequestTooLarge"), (100_000, "RequestTooLarge")] {
        let query = "q".repeat(MAX_LINE_BYTES + extra - "GET /? HTTP/1.1\r\n".len());
        for size in [1000, 1_000_000] {
            let bytes = format!("GET /?{query} HTTP/1.1\r\nhost: x\r\n\r\nGET /?b HTTP/1.1\r\n\r\n");
            let (mut lines, requests) = Lines::new(pieces(bytes.as_bytes(), size));
            let method = if extra == 0 { "GET" } else { "POST" };
            assert_eq!(head(&mut lines).await, format!("{method} / HTTP/1.1\r\nhost: x\r\n\r\n"));
            match taken(&requests, 0) {
                Ok(carried) => assert_eq!((carried.unwrap().len(), code), (query.len(), "")),
                Err(error) => assert_eq!(error.code, code),
            }
            // A refusal is for one request, too.
            assert_eq!(head(&mut lines).await, "GET /?b HTTP/1.1\r\n\r\n");
            assert_eq!(taken(&requests, 0).unwrap(), None);
        }
    }
}

#[tokio::test]
async fn a_line_without_end_is_answered_and_not_kept() {
    let endless = tokio::io::repeat(b'a').take(u64::try_from(MAX_DROPPED_BYTES).unwrap() * 2);
    let (mut lines, requests) = Lines::new(b"GET /?".chain(endless));
    assert_eq!(head(&mut lines).await, "POST / HTTP/1.1\r\n\r\n");
    assert!(lines.input.capacity() < 100_000, "{}", lines.input.capacity());
    assert_eq!(taken(&requests, 0).unwrap_err().code, "RequestTooLarge");
    assert_eq!(lines.read(&mut [0; 9]).await.unwrap(), 0, "the rest is dropped");
}

#[tokio::test]
async fn long_lines_that_are_none_are_refused() {
    let text = "q".repeat(LONG);
    let refusal = format!("{}host: x\r\n\r\n", String::from_utf8_lossy(REFUSED));
    for line in [format!("GET /?{text}\r\n"), format!("GET{text}\r\n"), format!("GET /?{text}\x01 HTTP/1.1\r\n")] {
        assert_eq!(refused(line.as_bytes()).await, (refusal.clone(), "ParseRequestParameterException"));
    }
    let latin = [b"GET /?\xe4".as_slice(), text.as_bytes(), b" HTTP/1.1\r\n"].concat();
    assert_eq!(refused(&latin).await, (refusal.clone(), "ParseRequestParameterException"));
    for path in [format!("GET /{text} HTTP/1.1\r\n"), format!("GET /{text}?a=b HTTP/1.1\r\n")] {
        assert_eq!(refused(path.as_bytes()).await, (refusal.clone(), "RequestTooLarge"));
    }
    // What stands behind the target stays there, for hyper to refuse.
    let (head, code) = refused(format!("GET /?{text} x HTTP/1.1\r\n").as_bytes()).await;
    assert_eq!((head.as_str(), code), ("GET / x HTTP/1.1\r\nhost: x\r\n\r\n", ""));
}

#[tokio::test]
async fn what_is_no_request_is_passed_on_at_once() {
    let (mut client, server) = tokio::io::duplex(1000);
    let (mut lines, requests) = Lines::new(server);
    client.write_all(b"\x16\x03\x01\x02").await.unwrap();
    assert_eq!(body(&mut lines, 4).await, b"\x16\x03\x01\x02");
    // And is no request: there was no line.
    assert_eq!(taken(&requests, 0).unwrap_err().code, "InternalFailure");
}

#[tokio::test]
async fn where_a_request_is_not_taken_up_the_connection_ends() {
    let (mut lines, _requests) = Lines::new(b"GET /?a HTTP/1.1\r\n\r\nGET /?b HTTP/1.1\r\n\r\n".as_slice());
    head(&mut lines).await;
    let error = lines.read(&mut [0; 100]).await.unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::InvalidData);
}

#[tokio::test]
async fn nothing_is_taken_up_behind_a_chunked_body() {
    let rest = b"1\r\na\r\n0\r\n\r\nGET /?b HTTP/1.1\r\n\r\n";
    let bytes = [b"POST /?a HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n".as_slice(), rest].concat();
    let (mut lines, requests) = Lines::new(bytes.as_slice());
    head(&mut lines).await;
    assert!(requests.take_up(None).is_ok());
    assert_eq!(body(&mut lines, rest.len()).await, rest);
    assert_eq!(taken(&requests, 0).unwrap_err().code, "InternalFailure");
}
