//! One gzip member (RFC 1952) in which each chunk is packed on its own: a full flush between them, so that nothing in a chunk's
//! packed bytes depends on what was before it.

use std::io::{self, Write};

use miniz_oxide::deflate::core::{
    CompressorOxide, TDEFLFlush, TDEFLStatus, compress_to_output, create_comp_flags_from_zip_params,
};

use crate::cut;

/// As hard as miniz_oxide tries: about what `gzip -9` makes of it.
const LEVEL: i32 = 9;
/// Raw deflate, with neither zlib's head nor its checksum.
const RAW: i32 = -15;
/// Deflate, without name and time; packed as hard as possible, on Unix.
const HEAD: [u8; 10] = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 2, 3];
/// A block of deflate that has nothing and is the last: so no chunk is.
const LAST: [u8; 2] = [3, 0];

/// What a full flush ends with: an empty stored block (RFC 1951, 3.2.4).
pub const FLUSHED: [u8; 4] = [0, 0, 0xff, 0xff];

/// Packs `content`.
///
/// # Errors
/// Those of `out`.
pub fn pack(content: &[u8], out: &mut impl Write) -> io::Result<()> {
    out.write_all(&HEAD)?;
    for chunk in cut::chunks(content) {
        out.write_all(&deflate(chunk)?)?;
    }
    out.write_all(&LAST)?;
    out.write_all(&crc32fast::hash(content).to_le_bytes())?;
    // What it has of a length is 32 bits wide.
    out.write_all(&(content.len() as u32).to_le_bytes())
}

/// A chunk as it stands in the packed file.
fn deflate(chunk: &[u8]) -> io::Result<Vec<u8>> {
    let mut deflate = CompressorOxide::new(create_comp_flags_from_zip_params(LEVEL, RAW, 0));
    let mut packed = Vec::new();
    let (status, read) = compress_to_output(&mut deflate, chunk, TDEFLFlush::Full, |bytes| {
        packed.extend_from_slice(bytes);
        true
    });
    if status != TDEFLStatus::Okay || read != chunk.len() || !packed.ends_with(&FLUSHED) {
        return Err(io::Error::other(format!("deflate ends with {status:?} after {read} of {} bytes", chunk.len())));
    }
    Ok(packed)
}
