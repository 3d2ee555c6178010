//! What an ext4 superblock says about the health of its filesystem.
//!
//! It begins 1024 bytes into the partition; numbers are little-endian (Linux `Documentation/filesystems/ext4/super.rst`).
//!
//! | offset | size | meaning |
//! |---|---|---|
//! | 0x38 | 2 | magic, `53 ef` |
//! | 0x3a | 2 | state; bit 1: the kernel found errors |
//! | 0x194 | 4 | how many it found since the last full check |

use core::fmt;

use embedded_io::{Read, Seek};

use crate::storage::read_at;

/// Why files should not be written to a filesystem.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unsound {
    /// It is none, or nothing is left of its superblock.
    NotExt4,
    /// The kernel found so many errors in it. 0: it did not count them.
    Errors(u32),
}

impl fmt::Display for Unsound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Unsound::NotExt4 => f.write_str("no ext4 filesystem, or its superblock is damaged"),
            Unsound::Errors(count) => write!(f, "its filesystem is damaged ({count} errors on record)"),
        }
    }
}

/// Looks at the superblock of the filesystem that the whole of `partition` holds.
///
/// # Errors
/// The storage's own.
pub fn unsound<S: Read + Seek>(partition: &mut S) -> Result<Option<Unsound>, S::Error> {
    let mut block = [0; 1024];
    read_at(partition, 1024, &mut block)?;
    let field = |at: usize| block.get(at..).and_then(|rest| rest.first_chunk::<4>()).copied().unwrap_or_default();
    let [magic_low, magic_high, state, _] = field(0x38);
    let count = u32::from_le_bytes(field(0x194));
    Ok(if [magic_low, magic_high] != [0x53, 0xef] {
        Some(Unsound::NotExt4)
    } else if state & 2 != 0 || count > 0 {
        Some(Unsound::Errors(count))
    } else {
        None
    })
}
