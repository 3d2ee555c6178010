//! The chunk index of a file: `kubesolo_core::update::index` has its format.

use kubesolo_core::update::digest::Hash;
use kubesolo_core::update::index::{CHUNK_MAX, CHUNKS_MAX, Chunk, head};

use crate::{cut, gzip};

/// Shortest chunk of a packed file but the last: bytes that only look like a flush make no crumbs.
const PACKED_MIN: usize = 2048;

/// The index of `content`.
///
/// # Errors
/// If a box would not take it, since there are too many chunks.
pub fn of(content: &[u8]) -> Result<Vec<u8>, String> {
    let mut index = head(content.len() as u64).to_vec();
    let mut count = 0_usize;
    let mut add = |bytes: &[u8]| {
        count += 1;
        index.extend(Chunk { len: bytes.len() as u32, hash: Hash::of(bytes) }.to_bytes());
    };
    if is_flushed(content) {
        packed(content).for_each(&mut add);
    } else {
        cut::chunks(content).for_each(&mut add);
    }
    if count > CHUNKS_MAX as usize {
        return Err(format!("{count} chunks; a box takes {CHUNKS_MAX}"));
    }
    Ok(index)
}

/// Whether all of it but the end was flushed in time. Of what another tool packed that cannot be so.
fn is_flushed(content: &[u8]) -> bool {
    let mut chunks = packed(content).peekable();
    content.starts_with(&[0x1f, 0x8b])
        && std::iter::from_fn(|| chunks.next().map(|chunk| chunks.peek().is_none() || chunk.ends_with(&gzip::FLUSHED)))
            .all(|flushed| flushed)
}

/// A packed file, cut where it was flushed, and where it is longer than a chunk may be.
fn packed(content: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = content;
    std::iter::from_fn(move || {
        let longest = rest.len().min(CHUNK_MAX as usize);
        let here = rest.get(..longest)?;
        let flushed = here.windows(gzip::FLUSHED.len()).skip(PACKED_MIN).position(|bytes| bytes == gzip::FLUSHED);
        let len = flushed.map_or(longest, |at| at + PACKED_MIN + gzip::FLUSHED.len());
        let (chunk, behind) = rest.split_at_checked(len)?;
        rest = behind;
        (!chunk.is_empty()).then_some(chunk)
    })
}
