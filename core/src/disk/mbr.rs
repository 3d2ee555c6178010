//! The first sector: whether it holds an MBR partition table, which makes a GPT on the same disk a leftover.
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

const TABLE: usize = 4 * ENTRY;
const ENTRY: usize = 16;
const GPT: u8 = 0xee;

/// Whether it says that the disk has other partitions than those of its GPT. A sector without the signature, such as a
/// damaged one, holds no table and hides nothing.
///
/// # Errors
/// The storage's own.
pub fn hides_gpt<S: Read + Seek>(disk: &mut S) -> Result<bool, S::Error> {
    let mut sector = [0; 512];
    read_at(disk, 0, &mut sector)?;
    let [table @ .., 0x55, 0xaa] = &sector else { return Ok(false) };
    let Some((_, table)) = table.split_last_chunk::<TABLE>() else { return Ok(false) };
    let types = || table.as_chunks::<ENTRY>().0.iter().map(|[_, _, _, _, kind, ..]| *kind).filter(|kind| *kind != 0);
    Ok(types().count() > 0 && types().all(|kind| kind != GPT))
}
