//! HTTP/1.1 (RFC 9110, RFC 9112), as far as fetching a file needs it: the head of a response, bytes → fields. No IO.
//!
//! httparse reads the syntax; this file interprets it. A head that two programs could understand differently is refused: two lengths
//! that differ, a length beside chunks, a folded header line.

use core::fmt;

use httparse::{EMPTY_HEADER, Status};

use crate::text::decimal::decimal;

/// Longest head, in bytes.
pub const HEAD_MAX: usize = 16 * 1024;

/// Most header lines in it.
pub const HEADERS_MAX: usize = 128;

/// Longest chunk, in bytes: 15 hexadecimal digits.
const CHUNK_MAX: u64 = (1 << 60) - 1;

/// A response's head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head<'a> {
    /// The three digits.
    pub status: u16,
    /// How the body ends.
    pub framing: Framing,
    /// Which part of the file the body is.
    pub range: Option<ContentRange>,
    /// Where a redirect leads.
    pub location: Option<&'a str>,
}

/// How a body ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// After so many bytes.
    Length(u64),
    /// After the last chunk.
    Chunked,
    /// With the connection: a whole body and one that was cut off look the same.
    Unknown,
}

/// `Content-Range: bytes FIRST-LAST/TOTAL`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ContentRange {
    /// Offset of the first byte.
    pub first: u64,
    /// Offset of the last byte.
    pub last: u64,
    /// Bytes of the whole file.
    pub total: u64,
}

/// Why a head is not understood. The texts are header names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Error {
    /// No HTTP/1 status line.
    NotHttp,
    /// A line that is no header.
    Line,
    /// More than [`HEADERS_MAX`] of them.
    TooManyLines,
    /// The header has a value it cannot have.
    Value(&'static str),
    /// The header stands there twice, with different values.
    Twice(&'static str),
    /// The body has a length and chunks.
    LengthAndChunks,
}

/// The length of the head that `bytes` begin with, its blank line included; `None` if it has not ended yet. The first
/// `seen` bytes were looked at before.
pub fn head_len(bytes: &[u8], seen: usize) -> Option<usize> {
    let start = seen.saturating_sub(3);
    let rest = bytes.get(start..)?;
    let blank = rest.windows(2).zip(0_usize..).find_map(|(pair, at)| {
        let after = rest.get(at.saturating_add(2)).copied();
        match pair {
            b"\n\n" => Some(at.saturating_add(2)),
            b"\n\r" if after == Some(b'\n') => Some(at.saturating_add(3)),
            _ => None,
        }
    })?;
    Some(start.saturating_add(blank))
}

/// The status alone, whatever else stands in the head.
///
/// # Errors
/// [`Error::NotHttp`] if there is none.
pub fn status(head: &[u8]) -> Result<u16, Error> {
    // httparse skips empty lines before the first one, and accepts status codes below 100.
    if !head.starts_with(b"HTTP/1.") {
        return Err(Error::NotHttp);
    }
    // Without room for headers it stops behind the status line: what it says of the rest is of no interest.
    let mut response = httparse::Response::new(&mut []);
    match response.parse(head).map_err(Error::from) {
        Err(Error::NotHttp) => Err(Error::NotHttp),
        _ => response.code.filter(|status| *status >= 100).ok_or(Error::NotHttp),
    }
}

impl<'a> Head<'a> {
    /// Reads a head with its blank line.
    ///
    /// # Errors
    /// If it is malformed or ambiguous.
    pub fn parse(head: &'a [u8]) -> Result<Head<'a>, Error> {
        let status = status(head)?;
        let mut headers = [EMPTY_HEADER; HEADERS_MAX];
        let mut response = httparse::Response::new(&mut headers);
        match response.parse(head) {
            Ok(Status::Complete(length)) if length == head.len() => {}
            Ok(_) => return Err(Error::Line),
            Err(error) => return Err(error.into()),
        }
        let (mut length, mut chunked, mut range, mut location) = (None, None, None, None);
        for httparse::Header { name, value } in &*response.headers {
            let mut places = [
                ("Content-Length", &mut length),
                ("Transfer-Encoding", &mut chunked),
                ("Content-Range", &mut range),
                ("Location", &mut location),
            ];
            if let Some((known, place)) = places.iter_mut().find(|(known, _)| name.eq_ignore_ascii_case(known)) {
                let value = core::str::from_utf8(value).map_err(|_| Error::Value(known))?;
                if place.is_some_and(|before| before != value) {
                    return Err(Error::Twice(known));
                }
                **place = Some(value);
            }
        }
        let framing = match (length, chunked) {
            (Some(_), Some(_)) => return Err(Error::LengthAndChunks),
            (Some(length), None) => Framing::Length(decimal(length).ok_or(Error::Value("Content-Length"))?),
            (None, Some(chunked)) if chunked.eq_ignore_ascii_case("chunked") => Framing::Chunked,
            (None, Some(_)) => return Err(Error::Value("Transfer-Encoding")),
            (None, None) => Framing::Unknown,
        };
        // Any other answer has nothing to say of parts.
        let range = match range.filter(|_| status == 206) {
            Some(range) => Some(ContentRange::parse(range).ok_or(Error::Value("Content-Range"))?),
            None => None,
        };
        Ok(Head { status, framing, range, location })
    }
}

/// Whether a server that answers with this status may answer otherwise a little later. 520 to 530 are what content delivery networks
/// say of a server behind them.
pub fn is_transient(status: u16) -> bool {
    matches!(status, 408 | 425 | 429 | 500 | 502..=504 | 520..=530)
}

impl ContentRange {
    fn parse(text: &str) -> Option<ContentRange> {
        let (first, rest) = text.strip_prefix("bytes ")?.split_once('-')?;
        let (last, total) = rest.split_once('/')?;
        let range = ContentRange { first: decimal(first)?, last: decimal(last)?, total: decimal(total)? };
        (range.first <= range.last && range.last < range.total).then_some(range)
    }
}

/// The length that a chunk's line, its break included, begins with; `None` if there is none.
pub fn chunk_length(line: &[u8]) -> Option<u64> {
    // httparse takes a line without digits for the last chunk's.
    line.first().filter(|digit| digit.is_ascii_hexdigit())?;
    match httparse::parse_chunk_size(line) {
        Ok(Status::Complete((read, length))) if read == line.len() && length <= CHUNK_MAX => Some(length),
        _ => None,
    }
}

impl From<httparse::Error> for Error {
    fn from(error: httparse::Error) -> Error {
        use httparse::Error as Syntax;
        match error {
            Syntax::Version | Syntax::Status | Syntax::Token => Error::NotHttp,
            Syntax::HeaderName | Syntax::HeaderValue | Syntax::NewLine => Error::Line,
            Syntax::TooManyHeaders => Error::TooManyLines,
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::NotHttp => f.write_str("the answer is not HTTP/1.1"),
            Error::Line => f.write_str("the answer has a malformed header line"),
            Error::TooManyLines => write!(f, "the answer has more than {HEADERS_MAX} header lines"),
            Error::Value(name) => write!(f, "the answer has a malformed {name}"),
            Error::Twice(name) => write!(f, "the answer has two different {name}"),
            Error::LengthAndChunks => f.write_str("the answer has both a length and chunks"),
        }
    }
}

impl core::error::Error for Error {}

#[cfg(test)]
mod tests {
    use super::*;
    use std::format;

    fn head(status: u16, framing: Framing) -> Head<'static> {
        Head { status, framing, range: None, location: None }
    }

    #[test]
    fn heads_and_what_they_say() {
        let ok = |length| Ok(head(200, Framing::Length(length)));
        let ranged = |first, last, total| {
            Ok(Head { range: Some(ContentRange { first, last, total }), ..head(206, Framing::Unknown) })
        };
        let rows: &[(&str, &str, Result<Head<'_>, Error>)] = &[
            ("plain", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", ok(5)),
            ("line feeds only", "HTTP/1.1 200 OK\nContent-Length: 5\n\n", ok(5)),
            ("HTTP/1.0, no reason", "HTTP/1.0 200\r\ncontent-length:5\r\n\r\n", ok(5)),
            ("the same length twice", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\n", ok(5)),
            ("3 GB", "HTTP/1.1 200 OK\r\nContent-Length: 3221225472\r\n\r\n", ok(3_221_225_472)),
            ("chunked", "HTTP/1.1 200 OK\r\nTransfer-Encoding: Chunked\r\n\r\n", Ok(head(200, Framing::Chunked))),
            ("no end", "HTTP/1.1 200 OK\r\nX-Y: z\r\n\r\n", Ok(head(200, Framing::Unknown))),
            ("range", "HTTP/1.1 206 Partial\r\nContent-Range: bytes 5-9/10\r\n\r\n", ranged(5, 9, 10)),
            ("416", "HTTP/1.1 416 No\r\nContent-Range: bytes */10\r\n\r\n", Ok(head(416, Framing::Unknown))),
            (
                "redirect",
                "HTTP/1.1 308 There\r\nlocation:  /x \r\n\r\n",
                Ok(Head { location: Some("/x"), ..head(308, Framing::Unknown) }),
            ),
            ("empty", "\r\n\r\n", Err(Error::NotHttp)),
            ("HTML", "<html>\r\n\r\n", Err(Error::NotHttp)),
            ("HTTP/2", "HTTP/2 200 OK\r\n\r\n", Err(Error::NotHttp)),
            ("status of two digits", "HTTP/1.1 20 OK\r\n\r\n", Err(Error::NotHttp)),
            ("status of four digits", "HTTP/1.1 2000 OK\r\n\r\n", Err(Error::NotHttp)),
            ("status with sign", "HTTP/1.1 +20 OK\r\n\r\n", Err(Error::NotHttp)),
            ("status below 100", "HTTP/1.1 099 OK\r\n\r\n", Err(Error::NotHttp)),
            ("no colon", "HTTP/1.1 200 OK\r\nContent-Length\r\n\r\n", Err(Error::Line)),
            ("no name", "HTTP/1.1 200 OK\r\n: 5\r\n\r\n", Err(Error::Line)),
            ("space before colon", "HTTP/1.1 200 OK\r\nContent-Length : 5\r\n\r\n", Err(Error::Line)),
            ("folded", "HTTP/1.1 200 OK\r\nX-Y: z\r\n Content-Length: 5\r\n\r\n", Err(Error::Line)),
            ("empty line first", "\r\nHTTP/1.1 200 OK\r\n\r\n", Err(Error::NotHttp)),
            ("HTTP/1.2", "HTTP/1.2 200 OK\r\n\r\n", Err(Error::NotHttp)),
            ("two spaces", "HTTP/1.1  200 OK\r\n\r\n", Err(Error::NotHttp)),
            ("control character in the reason", "HTTP/1.1 200 O\x01K\r\n\r\n", Err(Error::NotHttp)),
            ("folded at once", "HTTP/1.1 200 OK\r\n Content-Length: 5\r\n\r\n", Err(Error::Line)),
            ("no token", "HTTP/1.1 200 OK\r\nContent(Length): 5\r\n\r\n", Err(Error::Line)),
            ("not all of it", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n", Err(Error::Line)),
            ("more behind", "HTTP/1.1 200 OK\r\n\r\nContent-Length: 5\r\n\r\n", Err(Error::Line)),
            ("bare CR", "HTTP/1.1 200 OK\r\nX-Y: z\rContent-Length: 5\r\n\r\n", Err(Error::Line)),
            ("NUL", "HTTP/1.1 200 OK\r\nX-Y: \0\r\n\r\n", Err(Error::Line)),
            (
                "two lengths",
                "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n",
                Err(Error::Twice("Content-Length")),
            ),
            (
                "two lengths in a line",
                "HTTP/1.1 200 OK\r\nContent-Length: 5, 5\r\n\r\n",
                Err(Error::Value("Content-Length")),
            ),
            ("no length in it", "HTTP/1.1 200 OK\r\nContent-Length:\r\n\r\n", Err(Error::Value("Content-Length"))),
            ("length below 0", "HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n", Err(Error::Value("Content-Length"))),
            ("length with plus", "HTTP/1.1 200 OK\r\nContent-Length: +1\r\n\r\n", Err(Error::Value("Content-Length"))),
            (
                "length too large",
                "HTTP/1.1 200 OK\r\nContent-Length: 18446744073709551616\r\n\r\n",
                Err(Error::Value("Content-Length")),
            ),
            (
                "length and chunks",
                "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
                Err(Error::LengthAndChunks),
            ),
            (
                "other chunks",
                "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n",
                Err(Error::Value("Transfer-Encoding")),
            ),
            ("packed", "HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 5\r\n\r\n", ok(5)),
            (
                "packed twice",
                "HTTP/1.1 200 OK\r\nContent-Encoding: a\r\nContent-Encoding: b\r\n\r\n",
                Ok(head(200, Framing::Unknown)),
            ),
            ("range of a whole", "HTTP/1.1 200 OK\r\nContent-Range: x\r\nContent-Length: 5\r\n\r\n", ok(5)),
            ("two places", "HTTP/1.1 302 X\r\nLocation: /a\r\nLocation: /b\r\n\r\n", Err(Error::Twice("Location"))),
            (
                "range backwards",
                "HTTP/1.1 206 X\r\nContent-Range: bytes 9-5/10\r\n\r\n",
                Err(Error::Value("Content-Range")),
            ),
            (
                "range beyond",
                "HTTP/1.1 206 X\r\nContent-Range: bytes 5-10/10\r\n\r\n",
                Err(Error::Value("Content-Range")),
            ),
            (
                "range of what",
                "HTTP/1.1 206 X\r\nContent-Range: bytes 5-9/*\r\n\r\n",
                Err(Error::Value("Content-Range")),
            ),
            (
                "range of lines",
                "HTTP/1.1 206 X\r\nContent-Range: lines 5-9/10\r\n\r\n",
                Err(Error::Value("Content-Range")),
            ),
        ];
        for (name, text, want) in rows {
            assert_eq!(Head::parse(text.as_bytes()), *want, "{name}");
        }
    }

    #[test]
    fn no_more_lines_are_taken_than_there_is_room_for() {
        let lines = |count| format!("HTTP/1.1 200 OK\r\n{}\r\n", "X: y\r\n".repeat(count));
        assert_eq!(Head::parse(lines(HEADERS_MAX).as_bytes()), Ok(head(200, Framing::Unknown)));
        assert_eq!(Head::parse(lines(HEADERS_MAX + 1).as_bytes()), Err(Error::TooManyLines));
    }

    #[test]
    fn chunk_lines_and_the_lengths_in_them() {
        let rows: &[(&str, Option<u64>)] = &[
            ("0\r\n", Some(0)),
            ("1aF\r\n", Some(0x1af)),
            ("5;x=y\r\n", Some(5)),
            ("5 ;x\r\n", Some(5)),
            ("fffffffffffffff\r\n", Some(CHUNK_MAX)),
            ("1000000000000000\r\n", None),
            ("10000000000000005\r\n", None),
            ("00000000000000005\r\n", None),
            ("", None),
            ("\r\n", None),
            (";x\r\n", None),
            (" 5\r\n", None),
            ("-5\r\n", None),
            ("+5\r\n", None),
            ("0x5\r\n", None),
            ("5 5\r\n", None),
            ("5", None),
            ("5\n", None),
            ("5\r", None),
            ("5\r5\r\n", None),
            ("5;x\n", None),
            ("5\r\n5\r\n", None),
        ];
        for (line, want) in rows {
            assert_eq!(chunk_length(line.as_bytes()), *want, "{line:?}");
        }
    }

    #[test]
    fn a_status_stands_for_itself() {
        for (text, want) in [
            ("HTTP/1.1 200 OK\r\n\r\n", Ok(200)),
            ("HTTP/1.0 404\r\nContent-Length: 5\r\n\r\n", Ok(404)),
            ("HTTP/1.1 200 OK\r\nContent-Length: x\r\nContent-Length: y\r\nTransfer-Encoding: z\r\n\r\n", Ok(200)),
            ("HTTP/1.1 200 OK\r\nno header\r\n\r\n", Ok(200)),
            ("HTTP/1.1 099 OK\r\n\r\n", Err(Error::NotHttp)),
            ("HTTP/2 200 OK\r\n\r\n", Err(Error::NotHttp)),
            ("HTTP/1.1 20\r\n\r\n", Err(Error::NotHttp)),
            ("", Err(Error::NotHttp)),
        ] {
            assert_eq!(status(text.as_bytes()), want, "{text}");
        }
        for (status, transient) in [
            (200, false),
            (404, false),
            (500, true),
            (501, false),
            (503, true),
            (519, false),
            (520, true),
            (530, true),
            (531, false),
        ] {
            assert_eq!(is_transient(status), transient, "{status}");
        }
    }

    #[test]
    fn the_end_of_a_head_is_found_wherever_it_is_cut() {
        for text in [
            "HTTP/1.1 200 OK\r\nA: b\r\n\r\nbody\r\n\r\n",
            "HTTP/1.1 200 OK\nA: b\n\nbody",
            "HTTP/1.1 200 OK\nA: b\n\r\nbody",
        ] {
            let end = text.find("body").unwrap();
            for cut in 0..=text.len() {
                let whole = (cut >= end).then_some(end);
                assert_eq!(head_len(&text.as_bytes()[..cut], 0), whole, "{cut}");
                for seen in 0..=cut.min(end - 1) {
                    assert_eq!(head_len(&text.as_bytes()[..cut], seen), whole, "{cut} {seen}");
                }
            }
        }
    }
}
