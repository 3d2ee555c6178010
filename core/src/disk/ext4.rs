//! What an ext4 superblock says about its filesystem: its health, and its size.
//!
//! It begins 1024 bytes into the partition; numbers are little-endian (Linux `Documentation/filesystems/ext4/super.rst`).
//!
//! | offset | size | meaning |
//! |---|---|---|
//! | 0x04, 0x150 | 4, 4 | blocks, lower and upper half |
//! | 0x14 | 4 | first block: 1 where a block is 1024 bytes |
//! | 0x18 | 4 | bytes of a block, as 1024 · 2^n |
//! | 0x20, 0x28 | 4, 4 | blocks and inodes of a group |
//! | 0x38 | 2 | magic, `53 ef` |
//! | 0x3a | 2 | state; bit 1: the kernel found errors |
//! | 0x58 | 2 | bytes of an inode |
//! | 0x60 | 4 | incompatible features; bit 7: more than 2^32 blocks |
//! | 0xce | 2 | blocks set aside in each group for more descriptors |
//! | 0xfe | 2 | bytes of a group's descriptor, if there is bit 7 |
//! | 0x194 | 4 | how many it found since the last full check |

use core::fmt;

use embedded_io::{Read, Seek};

use crate::disk::storage::read_at;

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

/// How large a filesystem is, and how large it could be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Size {
    /// Bytes of a block.
    pub block: u64,
    /// Its blocks.
    pub blocks: u64,
    first: u64,
    group: u64,
    /// Most blocks that a group has of its own, before any file has one.
    own: u64,
}

impl Size {
    /// How many blocks it can have on so many bytes, if it does not shrink. A last group that would have less room for files
    /// than it takes itself is left out, as mkfs does; ext4 itself does not look.
    pub fn on(&self, bytes: u64) -> u64 {
        let blocks = bytes.checked_div(self.block).unwrap_or_default();
        let tail = blocks.saturating_sub(self.first).checked_rem(self.group).unwrap_or_default();
        let useful = if tail < self.own { blocks.saturating_sub(tail) } else { blocks };
        useful.max(self.blocks)
    }
}

/// The size of the filesystem that begins at byte `offset` of `disk`; `None` if it is no ext4.
///
/// # Errors
/// The storage's own.
pub fn size<S: Read + Seek>(disk: &mut S, offset: u64) -> Result<Option<Size>, S::Error> {
    let mut bytes = [0; 1024];
    read_at(disk, offset.saturating_add(1024), &mut bytes)?;
    let le32 = |at: usize| bytes.get(at..).and_then(|rest| rest.first_chunk()).copied().map_or(0, u32::from_le_bytes);
    let le16 = |at: usize| bytes.get(at..).and_then(|rest| rest.first_chunk()).copied().map_or(0, u16::from_le_bytes);
    let wide = le32(0x60) & 0x80 != 0;
    let (shift @ ..=6, 0xef53, 1..) = (le32(0x18), le16(0x38), le32(0x20)) else { return Ok(None) };
    let block = 1024_u64 << shift;
    let upper = if wide { u64::from(le32(0x150)) << 32 } else { 0 };
    let blocks = upper | u64::from(le32(4));
    let group = u64::from(le32(0x20));
    let descriptor = if wide { u64::from(le16(0xfe)).max(32) } else { 32 };
    let inodes = u64::from(le32(0x28)).saturating_mul(le16(0x58).max(128).into()).div_ceil(block);
    let descriptors = blocks.div_ceil(group).saturating_mul(descriptor).div_ceil(block);
    // Superblock, two bitmaps, and the 50 blocks that mkfs wants to be left.
    let own = [inodes, descriptors, le16(0xce).into(), 53].into_iter().fold(0, u64::saturating_add);
    Ok(Some(Size { block, blocks, first: le32(0x14).into(), group, own }))
}

/// Looks at the superblock of the filesystem that the whole of `partition` holds.
///
/// # Errors
/// The storage's own.
pub fn needs_fsck<S: Read + Seek>(partition: &mut S) -> Result<Option<Unsound>, S::Error> {
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
