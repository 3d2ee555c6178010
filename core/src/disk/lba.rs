//! Addresses on a disk, so that a sector number is never taken for a byte offset.

/// Logical block address: a sector number from the start of the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Lba(pub u64);

impl Lba {
    /// Byte offset of the sector; `None` past 2^64.
    pub const fn bytes(self, sector_size: u64) -> Option<u64> {
        self.0.checked_mul(sector_size)
    }

    /// The sector `count` further on; `None` past 2^64.
    pub const fn after(self, count: u64) -> Option<Lba> {
        match self.0.checked_add(count) {
            Some(lba) => Some(Lba(lba)),
            None => None,
        }
    }
}
