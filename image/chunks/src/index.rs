//! The chunk index of a file: `kubesolo_core::update::index` has its format.

use kubesolo_core::update::digest::Hash;
use kubesolo_core::update::index::{CHUNK_MAX, CHUNKS_MAX, Chunk, head};

use crate::{cut, gzip};

/// Shortest chunk up to a flush: bytes that only look like a flush make no crumbs.
const PACKED_MIN: usize = 2048;

/// The index of `content`.
///
/// # Errors
/// If a box would not take it, since there are too many chunks.
pub fn of(content: &[u8]) -> Result<Vec<u8>, String> {
    let mut index = head(content.len() as u64).to_vec();
    let mut count = 0_usize;
    for bytes in cut::chunks_by(if is_archive(content) { first_of_archive } else { cut::first }, content) {
        count += 1;
        index.extend(Chunk { len: bytes.len() as u32, hash: Hash::of(bytes) }.to_bytes());
    }
    if count > CHUNKS_MAX as usize {
        return Err(format!("{count} chunks; a box takes {CHUNKS_MAX}"));
    }
    Ok(index)
}

/// Whether it is what a kernel unpacks: archives, packed or not, one behind the other.
fn is_archive(content: &[u8]) -> bool {
    content.starts_with(&[0x1f, 0x8b]) || content.starts_with(b"070701")
}

/// How long the first chunk of archives is: cut where they were flushed, and by their content where that was not done in time, as in one
/// that is not packed, or was by another tool.
fn first_of_archive(content: &[u8]) -> usize {
    let (here, _) = content.split_at(content.len().min(CHUNK_MAX as usize));
    let flushed = here.windows(gzip::FLUSHED.len()).skip(PACKED_MIN).position(|bytes| bytes == gzip::FLUSHED);
    flushed.map_or_else(|| cut::first(content), |at| at + PACKED_MIN + gzip::FLUSHED.len())
}
