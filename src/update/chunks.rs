//! Chunk indexes as they are read: what the running slot has of a file, and what another one is made of.

use std::vec::Vec;

use crate::linux::device::Device;
use crate::update::target::{Target, index_name};
use kubesolo_core::disk::storage::read_at;
use kubesolo_core::update::held::{self, Place};
use kubesolo_core::update::index::{self, Chunk, ENTRY_LEN, HEAD_LEN, INDEX_MAX, Reader, chunks_of};

/// What the running slot has of a file, by the index beside it.
pub struct Held {
    file: Device,
    places: Vec<Place>,
}

impl Held {
    /// Of the slot `running`, the file of that name; `None` if it has no such file or no index of it. One that is no index, or none any
    /// more, costs what it could have saved and nothing else.
    pub fn of(running: &Target, name: &str) -> Option<Held> {
        let at = index_name(name);
        let (file, mut index, len) = (running.open(name).ok()?, running.open(at).ok()?, running.len(at));
        // At once: two that grow into each other would not fit into memory.
        let mut places = Vec::with_capacity(chunks_of(len.min(INDEX_MAX)) as usize);
        let mut take = |chunk: Chunk, at| places.push(Place::new(&chunk.hash, at));
        read_index(len, None, &mut reading(&mut index), &mut take).ok()?;
        held::sort(&mut places);
        Some(Held { file, places })
    }

    /// Whether it says that it has the chunk.
    pub fn has(&self, chunk: &Chunk) -> bool {
        held::find(&self.places, &chunk.hash).is_some()
    }

    /// Reads what it has for the chunk, which is as long as `buffer`; false if that is nothing, or cannot be read. It may have rotted.
    pub fn read(&mut self, chunk: &Chunk, buffer: &mut [u8]) -> bool {
        held::find(&self.places, &chunk.hash)
            .is_some_and(|at| read_at(&mut self.file, at, buffer).is_ok_and(|read| read == buffer.len()))
    }
}

/// Reads a file from its first byte to its last, for [`read_index`].
pub fn reading(file: &mut Device) -> impl FnMut(&mut [u8]) -> bool {
    let mut at = 0_u64;
    move |bytes| {
        let read = read_at(file, at, bytes);
        at = at.saturating_add(bytes.len() as u64);
        read.is_ok_and(|read| read == bytes.len())
    }
}

/// Reads an index of `len` bytes from its first to its last; `read` fills its buffer with the next ones. Calls `take` with each chunk
/// and where in the file it begins. `size` is that of the file, if it is known by other means.
///
/// # Errors
/// If it is none, or one of another file; then some chunks were taken.
pub fn read_index(
    len: u64,
    size: Option<u64>,
    read: &mut dyn FnMut(&mut [u8]) -> bool,
    take: &mut dyn FnMut(Chunk, u64),
) -> Result<(), index::Error> {
    let mut head = [0; HEAD_LEN];
    if !read(&mut head) {
        return Err(index::Error::Length(len));
    }
    let mut reader = Reader::new(&head, len, size.unwrap_or_else(|| index::file_size(&head)))?;
    let mut at = 0_u64;
    while reader.left() > 0 {
        let mut entry = [0; ENTRY_LEN];
        if !read(&mut entry) {
            return Err(index::Error::Length(len));
        }
        let chunk = reader.take(&entry)?;
        take(chunk, at);
        at = at.saturating_add(chunk.len.into());
    }
    Ok(())
}
