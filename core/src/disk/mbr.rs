//! The first sector: whether it holds a partition table of the old kind, beside which a GPT is only a leftover.
//!
//! | offset | size | meaning |
//! |---|---|---|
//! | 446 | 4 × 16 | entries; byte 4 of each: the type, 0 unused, `ee` stands for the GPT |
//! | 510 | 2 | `55 aa` |
//!
//! Source: UEFI 2.10 §5.2. GRUB takes a disk without an `ee` entry for one without a GPT, and so does Linux unless it is
//! started with the word `gpt`, which our grub.cfg gives it.

use embedded_io::{Read, Seek};

use crate::disk::storage::read_at;

const ENTRIES: usize = 446;
const ENTRY: usize = 16;
const GPT: u8 = 0xee;

/// Whether it says that the disk has other partitions than those of its GPT. A sector that says nothing, as one that was
/// damaged, does not.
///
/// # Errors
/// The storage's own.
pub fn hides_gpt<S: Read + Seek>(disk: &mut S) -> Result<bool, S::Error> {
    let mut sector = [0; 512];
    read_at(disk, 0, &mut sector)?;
    let table = sector.strip_suffix(b"\x55\xaa").and_then(|sector| sector.get(ENTRIES..)).unwrap_or_default();
    let types = || table.chunks_exact(ENTRY).filter_map(|entry| entry.get(4)).filter(|kind| **kind != 0);
    Ok(types().count() > 0 && types().all(|kind| *kind != GPT))
}
