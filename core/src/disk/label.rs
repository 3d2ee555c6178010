//! Filesystem labels, the fallback where a partition has no GPT name: ext4 superblock and FAT boot sector.
//!
//! | filesystem | offset | size | meaning | source |
//! |---|---|---|---|---|
//! | ext2/3/4 | 1080 | 2 | magic `53 ef` | Linux `Documentation/filesystems/ext4/super.rst` |
//! | ext2/3/4 | 1144 | 16 | volume name, padded with NUL | ″ |
//! | FAT32 | 71 | 11 | volume label, padded with spaces | Microsoft FAT specification 1.03 |
//! | FAT32 | 82 | 8 | `FAT32   ` | ″ |
//! | FAT12/16 | 43, 54 | 11, 8 | the same, `FAT1…` | ″ |

use embedded_io::{Read, Seek};

use crate::disk::storage::read_at;

/// A filesystem label as text; empty if there is none, or it is no text.
pub type Label = heapless::String<16>;

/// Reads the label of the filesystem that begins at byte `offset`; empty for an unknown filesystem.
///
/// # Errors
/// The storage's own.
pub fn read<S: Read + Seek>(disk: &mut S, offset: u64) -> Result<Label, S::Error> {
    let mut head = [0; 1160];
    let len = read_at(disk, offset, &mut head)?;
    // What the disk ends before is no field of it.
    let field = |at: usize, len_of_it: usize| head.get(..len)?.get(at..)?.get(..len_of_it);
    let raw = if field(1080, 2) == Some(b"\x53\xef") {
        field(1144, 16)
    } else if field(82, 5) == Some(b"FAT32") {
        field(71, 11)
    } else if field(54, 4) == Some(b"FAT1") {
        field(43, 11)
    } else {
        None
    };
    let text = raw.and_then(|raw| core::str::from_utf8(raw.split(|byte| *byte == 0).next()?).ok());
    let label = text.and_then(|text| Label::try_from(text.trim_end_matches(' ')).ok());
    Ok(label.unwrap_or_default())
}
