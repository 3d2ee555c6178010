//! The chunk index of an image: which pieces a file is made of, so that a box fetches only those it does not have.
//!
//! | offset | size | meaning |
//! |---|---|---|
//! | 0 | 8 | `ksoloidx` |
//! | 8 | 8 | the file's size in bytes |
//! | 16 | 36 each | a chunk: its length in bytes (4), its SHA-256 (32) |
//!
//! Numbers are little-endian. The chunks are those of the file, from its first byte to its last, in order. The index has
//! nothing behind the last of them, so its own size says how many there are.

use core::fmt;

use crate::update::digest::Hash;

/// How an index begins.
pub const MAGIC: &[u8; 8] = b"ksoloidx";
/// Bytes before the first chunk.
pub const HEAD_LEN: usize = 16;
/// Bytes a chunk.
pub const ENTRY_LEN: usize = 36;
/// Longest chunk, in bytes. A chunk is hashed before its first byte goes into a slot, so this much is held in memory.
pub const CHUNK_MAX: u32 = 128 * 1024;
/// Most chunks of a file. A box keeps 16 bytes for each of those it has: half of its memory.
pub const CHUNKS_MAX: u32 = 32 * 1024;
/// Longest index, in bytes.
pub const INDEX_MAX: u64 = HEAD_LEN as u64 + ENTRY_LEN as u64 * CHUNKS_MAX as u64;

/// Why an index is not one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Error {
    /// It does not begin as one.
    NoMagic,
    /// No whole number of chunks is that long.
    Length(u64),
    /// It is longer than [`INDEX_MAX`]; its bytes.
    TooLong(u64),
    /// A chunk that is empty or longer than [`CHUNK_MAX`].
    Chunk(u32),
    /// The chunks are not as long as the file.
    Sum,
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Error::NoMagic => "not a chunk index",
            Error::Length(_) => "a chunk index that is cut",
            Error::TooLong(_) => "a chunk index that is too long",
            Error::Chunk(_) => "a chunk index with a chunk that is too long, or empty",
            Error::Sum => "a chunk index of another file: the lengths differ",
        })
    }
}

/// A piece of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Chunk {
    /// In bytes.
    pub len: u32,
    /// Of its bytes.
    pub hash: Hash,
}

impl Chunk {
    /// Reads what an index has of it. A length may be one that no chunk has.
    pub fn from_bytes(entry: &[u8; ENTRY_LEN]) -> Chunk {
        let [a, b, c, d, hash @ ..] = *entry;
        Chunk { len: u32::from_le_bytes([a, b, c, d]), hash: Hash(hash) }
    }

    /// As an index has it.
    pub fn to_bytes(&self) -> [u8; ENTRY_LEN] {
        let mut bytes = [0; ENTRY_LEN];
        let fields = self.len.to_le_bytes().into_iter().chain(self.hash.0);
        bytes.iter_mut().zip(fields).for_each(|(to, from)| *to = from);
        bytes
    }
}

/// How an index of a file of that many bytes begins.
pub fn head(file_size: u64) -> [u8; HEAD_LEN] {
    let mut bytes = [0; HEAD_LEN];
    let fields = MAGIC.iter().copied().chain(file_size.to_le_bytes());
    bytes.iter_mut().zip(fields).for_each(|(to, from)| *to = from);
    bytes
}

/// How many chunks are in an index of that many bytes.
pub fn chunks_of(index_len: u64) -> u32 {
    // What it begins with is shorter than a chunk's entry.
    index_len.checked_div(ENTRY_LEN as u64).and_then(|count| u32::try_from(count).ok()).unwrap_or(u32::MAX)
}

/// What an index that begins so says of the file's size.
pub fn file_size(head: &[u8; HEAD_LEN]) -> u64 {
    let [.., a, b, c, d, e, f, g, h] = *head;
    u64::from_le_bytes([a, b, c, d, e, f, g, h])
}

/// Reads an index, a chunk at a time, and sees to it that it is a whole one. What it says of a file's bytes is believed of no
/// chunk whose hash is another, and of no file.
#[derive(Clone, Copy, Debug)]
pub struct Reader {
    chunks: u32,
    bytes: u64,
}

impl Reader {
    /// Of an index of `index_len` bytes that begins with `bytes`, for a file of `file_size`.
    ///
    /// # Errors
    /// If it is none, or one for a file of another size.
    pub fn new(bytes: &[u8; HEAD_LEN], index_len: u64, file_size: u64) -> Result<Reader, Error> {
        if !bytes.starts_with(MAGIC) {
            return Err(Error::NoMagic);
        }
        let entries = index_len.checked_sub(HEAD_LEN as u64).ok_or(Error::Length(index_len))?;
        if !entries.is_multiple_of(ENTRY_LEN as u64) {
            return Err(Error::Length(index_len));
        }
        if index_len > INDEX_MAX {
            return Err(Error::TooLong(index_len));
        }
        let chunks = chunks_of(index_len);
        let reader = Reader { chunks, bytes: file_size };
        if self::file_size(bytes) != file_size || chunks == 0 && file_size > 0 {
            return Err(Error::Sum);
        }
        Ok(reader)
    }

    /// How many chunks are still to come.
    pub fn left(&self) -> u32 {
        self.chunks
    }

    /// The next chunk.
    ///
    /// # Errors
    /// If it is none, or the file is shorter than it, or as the last one leaves something of the file.
    pub fn take(&mut self, entry: &[u8; ENTRY_LEN]) -> Result<Chunk, Error> {
        let chunk = Chunk::from_bytes(entry);
        if !(1..=CHUNK_MAX).contains(&chunk.len) {
            return Err(Error::Chunk(chunk.len));
        }
        self.chunks = self.chunks.checked_sub(1).ok_or(Error::Sum)?;
        self.bytes = self.bytes.checked_sub(chunk.len.into()).ok_or(Error::Sum)?;
        if self.chunks == 0 && self.bytes != 0 {
            return Err(Error::Sum);
        }
        Ok(chunk)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::vec::Vec;

    fn index(file_size: u64, lens: &[u32]) -> Vec<u8> {
        let mut bytes = head(file_size).to_vec();
        lens.iter().for_each(|len| bytes.extend(Chunk { len: *len, hash: Hash::of(&len.to_le_bytes()) }.to_bytes()));
        bytes
    }

    fn read(bytes: &[u8], file_size: u64) -> Result<Vec<Chunk>, Error> {
        let (begins, entries) = bytes.split_first_chunk().ok_or(Error::Length(bytes.len() as u64))?;
        let mut reader = Reader::new(begins, bytes.len() as u64, file_size)?;
        let chunks: Result<Vec<_>, _> =
            entries.chunks_exact(ENTRY_LEN).map(|entry| reader.take(entry.try_into().unwrap())).collect();
        assert!(chunks.is_err() || reader.left() == 0);
        chunks
    }

    #[test]
    fn what_is_written_is_read() {
        let lens = [1, CHUNK_MAX, 70_000];
        let size = lens.iter().copied().map(u64::from).sum();
        let chunks = read(&index(size, &lens), size).unwrap();
        let want: Vec<_> = lens.iter().map(|len| Chunk { len: *len, hash: Hash::of(&len.to_le_bytes()) }).collect();
        assert_eq!(chunks, want);
        assert_eq!(read(&index(0, &[]), 0), Ok(Vec::new()));
    }

    #[test]
    fn what_is_none_is_refused() {
        let good = index(300, &[100, 200]);
        for (name, bytes, size, want) in [
            ("another size", good.clone(), 301, Error::Sum),
            ("shorter", good[..good.len() - ENTRY_LEN].to_vec(), 300, Error::Sum),
            ("cut", good[..good.len() - 1].to_vec(), 300, Error::Length(87)),
            ("longer", [&good[..], &good[HEAD_LEN..][..ENTRY_LEN]].concat(), 300, Error::Sum),
            ("more behind it", [&good[..], b"x"].concat(), 300, Error::Length(89)),
            ("other magic", [b"x", &good[1..]].concat(), 300, Error::NoMagic),
            ("an empty chunk", index(300, &[100, 0, 200]), 300, Error::Chunk(0)),
            ("a long chunk", index(u64::from(CHUNK_MAX) + 1, &[CHUNK_MAX + 1]), 131_073, Error::Chunk(131_073)),
            ("a chunk too much", index(300, &[100, 200, 1]), 300, Error::Sum),
            ("no chunk", index(300, &[]), 300, Error::Sum),
            ("chunks that wrap", index(1, &[CHUNK_MAX, CHUNK_MAX]), 1, Error::Sum),
        ] {
            assert_eq!(read(&bytes, size), Err(want), "{name}");
        }
        assert_eq!(read(&[], 0), Err(Error::Length(0)));
        let many = INDEX_MAX + ENTRY_LEN as u64;
        let head = head(1 << 40);
        assert_eq!(Reader::new(&head, many, 1 << 40).err(), Some(Error::TooLong(many)));
        assert!(Reader::new(&head, INDEX_MAX, 1 << 40).is_ok());
        assert_eq!(Reader::new(&head, u64::MAX, 1 << 40).err(), Some(Error::Length(u64::MAX)));
    }
}
