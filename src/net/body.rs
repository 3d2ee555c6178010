//! Where the body of a response ends (RFC 9112 section 6): after its length, after its last chunk, or where it says neither, with
//! the connection. Whether such a body is whole, only what is in it tells: a hash, a signature, the end of a JSON object.

use crate::net::connection::{Connection, Error};
use kubesolo_core::net::http::{Framing, chunk_length};

/// Longest line between chunks with its break, and most lines behind the last.
const LINE_MAX: usize = 256;
const TRAILERS_MAX: u32 = 32;

/// How much of a body is still to come.
#[derive(Clone, Copy)]
enum Remaining {
    /// So many bytes.
    Bytes(u64),
    /// A line with a chunk's length, behind a line break unless it is the first.
    ChunkLine {
        /// Whether it is.
        first: bool,
    },
    /// So many bytes of a chunk.
    Chunk(u64),
    /// As many as come.
    Unknown,
}

/// A body on its way.
pub struct Body {
    connection: Connection,
    left: Remaining,
}

impl Body {
    /// The body that comes next on `connection`.
    pub fn new(connection: Connection, framing: Framing) -> Body {
        let left = match framing {
            Framing::Length(length) => Remaining::Bytes(length),
            Framing::Chunked => Remaining::ChunkLine { first: true },
            Framing::Unknown => Remaining::Unknown,
        };
        Body { connection, left }
    }

    /// The connection, to ask for more; `None` before the body's end, and where the connection's end is the body's.
    pub fn into_connection(self) -> Option<Connection> {
        (matches!(self.left, Remaining::Bytes(0)) && self.connection.is_idle()).then_some(self.connection)
    }

    /// Reads the next bytes; 0 only at the body's own end.
    ///
    /// # Errors
    /// If the body ends before its end, stalls, or is malformed.
    pub fn read(&mut self, buffer: &mut [u8]) -> Result<usize, Error> {
        self.read_next(buffer).map_err(|error| if let Error::Timeout = error { Error::Stalled } else { error })
    }

    fn read_next(&mut self, buffer: &mut [u8]) -> Result<usize, Error> {
        if let Remaining::ChunkLine { first } = self.left {
            self.left = self.next_chunk(first)?;
        }
        let (Remaining::Bytes(left) | Remaining::Chunk(left)) = self.left else { return self.connection.read(buffer) };
        let most = buffer.len().min(usize::try_from(left).unwrap_or(usize::MAX));
        if most == 0 {
            return Ok(0);
        }
        let count = self.connection.read(buffer.get_mut(..most).unwrap_or_default())?;
        if count == 0 {
            return Err(Error::Truncated);
        }
        let left = left.saturating_sub(count as u64);
        self.left = match self.left {
            // The line break behind a chunk is read with the next one, so that these bytes are given out without waiting for it.
            Remaining::Chunk(_) if left == 0 => Remaining::ChunkLine { first: false },
            Remaining::Chunk(_) => Remaining::Chunk(left),
            _ => Remaining::Bytes(left),
        };
        Ok(count)
    }

    /// Reads to the beginning of the next chunk, or over the trailers to the end.
    fn next_chunk(&mut self, first: bool) -> Result<Remaining, Error> {
        if !first && !is_blank(&self.line()?) {
            return Err(Error::Chunk);
        }
        let length = chunk_length(&self.line()?).ok_or(Error::Chunk)?;
        if length > 0 {
            return Ok(Remaining::Chunk(length));
        }
        for _ in 0..TRAILERS_MAX {
            if is_blank(&self.line()?) {
                return Ok(Remaining::Bytes(0));
            }
        }
        Err(Error::Chunk)
    }

    /// A short line with its break.
    fn line(&mut self) -> Result<heapless::Vec<u8, LINE_MAX>, Error> {
        let mut line = heapless::Vec::new();
        loop {
            let byte = self.connection.byte()?;
            line.push(byte).map_err(|_| Error::Chunk)?;
            if byte == b'\n' {
                return Ok(line);
            }
        }
    }
}

fn is_blank(line: &[u8]) -> bool {
    matches!(line, b"\n" | b"\r\n")
}
