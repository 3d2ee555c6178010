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

use crate::disk::field::{le16, le32};
use crate::disk::storage::read_at;

/// Where the superblock begins, and its length, in bytes.
const SUPERBLOCK: u64 = 1024;
const LEN: usize = 1024;
const MAGIC: u16 = 0xef53;

/// Why files should not be written to a filesystem before e2fsck has looked at it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NeedsFsck {
    /// It is none, or nothing is left of its superblock.
    NotExt4,
    /// The kernel found so many errors in it. 0: it did not count them.
    Errors(u32),
}

impl fmt::Display for NeedsFsck {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            NeedsFsck::NotExt4 => f.write_str("no ext4 filesystem, or its superblock is damaged"),
            NeedsFsck::Errors(count) => write!(f, "its filesystem is damaged ({count} errors on record)"),
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
    /// than it takes itself is left out, as mkfs does; the kernel's resize does not check that.
    pub fn on(&self, bytes: u64) -> u64 {
        // `parse` takes no superblock in which either of the two divisors is 0.
        let blocks = bytes.checked_div(self.block).unwrap_or(0);
        let tail = blocks.saturating_sub(self.first).checked_rem(self.group).unwrap_or(0);
        let useful = if tail < self.own { blocks.saturating_sub(tail) } else { blocks };
        useful.max(self.blocks)
    }
}

/// The size of the filesystem that begins at byte `offset` of `disk`; `None` if it is no ext4, or the disk ends within its
/// superblock.
///
/// # Errors
/// The storage's own.
pub fn size<S: Read + Seek>(disk: &mut S, offset: u64) -> Result<Option<Size>, S::Error> {
    Ok(superblock(disk, offset)?.and_then(|superblock| Size::parse(&superblock)))
}

/// The superblock of what begins at byte `offset`; `None` if the disk ends within it.
fn superblock<S: Read + Seek>(disk: &mut S, offset: u64) -> Result<Option<[u8; LEN]>, S::Error> {
    let mut superblock = [0; LEN];
    let read = read_at(disk, offset.saturating_add(SUPERBLOCK), &mut superblock)?;
    Ok((read == LEN).then_some(superblock))
}

impl Size {
    fn parse(superblock: &[u8; LEN]) -> Option<Size> {
        let number = |at| le32(superblock, at).map(u64::from);
        let short = |at| le16(superblock, at).map(u64::from);
        let (shift @ ..=6, MAGIC, group @ 1..) = (le32(superblock, 0x18)?, le16(superblock, 0x38)?, number(0x20)?)
        else {
            return None;
        };
        let block = 1024_u64 << shift;
        let wide = number(0x60)? & 0x80 != 0;
        let upper = if wide { number(0x150)? << 32 } else { 0 };
        let blocks = upper | number(0x04)?;
        let descriptor = if wide { short(0xfe)?.max(32) } else { 32 };
        let inodes = number(0x28)?.saturating_mul(short(0x58)?.max(128)).div_ceil(block);
        let descriptors = blocks.div_ceil(group).saturating_mul(descriptor).div_ceil(block);
        // Superblock, two bitmaps, and the 50 blocks that mkfs wants to be left.
        let own = [inodes, descriptors, short(0xce)?, 53].into_iter().fold(0, u64::saturating_add);
        Some(Size { block, blocks, first: number(0x14)?, group, own })
    }
}

/// Looks at the superblock of the filesystem that the whole of `partition` holds.
///
/// # Errors
/// The storage's own.
pub fn needs_fsck<S: Read + Seek>(partition: &mut S) -> Result<Option<NeedsFsck>, S::Error> {
    let superblock = superblock(partition, 0)?;
    let fields = superblock.and_then(|block| Some((le16(&block, 0x38)?, le16(&block, 0x3a)?, le32(&block, 0x194)?)));
    Ok(match fields {
        Some((MAGIC, state, errors)) if state & 2 != 0 || errors > 0 => Some(NeedsFsck::Errors(errors)),
        Some((MAGIC, ..)) => None,
        _ => Some(NeedsFsck::NotExt4),
    })
}
