//! What a partition carries, by the signatures that filesystems and containers have at fixed places.
//!
//! This runs before anything is repaired or mounted for writing: e2fsck on another's partition finds an old backup superblock and
//! restores the old filesystem from it. LUKS, FAT, swap and btrfs were destroyed like that in tests.
//!
//! An ext4 filesystem is ours only if its primary superblock is there and no other signature is. Both are there in two cases: a
//! container that does not overwrite the superblock (mdraid, bcache, ZFS), and a filesystem that e2fsck has "repaired" over.
//!
//! | offset | signature | of | source |
//! |---|---|---|---|
//! | 1080 | `53 ef` | ext2, ext3, ext4 | Linux `Documentation/filesystems/ext4/super.rst` |
//! | 0 | `LUKS ba be` | LUKS 1 and 2 | cryptsetup, LUKS2 On-Disk Format 1.1.3 §2.1 |
//! | 16 KiB … 4 MiB | `SKUL ba be` | LUKS 2, its second header | ″ |
//! | 54 | `FAT12   `, `FAT16   `, `FAT     ` | FAT | Microsoft FAT specification 1.03 |
//! | 82 | `FAT32   ` | FAT | ″ |
//! | 3 | `EXFAT   ` | exFAT | Microsoft exFAT specification §3.1 |
//! | 3 | `NTFS    ` | NTFS | Linux `fs/ntfs3/ntfs.h` |
//! | 3 | `-FVE-FS-` | BitLocker | cryptsetup `lib/bitlk/bitlk.c` |
//! | page − 10 | `SWAPSPACE2`, `SWAP-SPACE` | swap, pages of 4 to 64 KiB | Linux `include/linux/swap.h` |
//! | page − 10 | `S1SUSPEND`, `S2SUSPEND`, `ULSUSPEND`, `LINHIB0001` | swap with a suspended system | util-linux `swsuspend.c` |
//! | 65600 | `_BHRfS_M` | btrfs | Linux `fs/btrfs/fs.h` |
//! | 0 | `XFSB` | XFS | Linux `fs/xfs/libxfs/xfs_format.h` |
//! | 1024, 5120 | `10 20 f5 f2` | F2FS, both superblocks | Linux `include/linux/f2fs_fs.h` |
//! | 0, 512, 1024, 1536 | `LABELONE` | LVM | LVM2 `lib/label/label.h` |
//! | 0, 4096 | `fc 4e 2b a9` | mdraid 1.1, 1.2 | Linux `include/uapi/linux/raid/md_p.h` |
//! | 8 KiB before the end, 64 KiB before it | ″ | mdraid 1.0, 0.90 | ″ |
//! | 4120 | a UUID | bcache, bcachefs | Linux `drivers/md/bcache/bcache_ondisk.h`, `fs/bcachefs/bcachefs_format.h` |
//! | 16408 | `version` | ZFS: the first name of its label | ZFS On-Disk Specification §1.3.3 |
//! | 0 | `hsqs` | squashfs | Linux `fs/squashfs/squashfs_fs.h` |
//! | 1024 | `e2 e1 f5 e0` | EROFS | Linux `fs/erofs/erofs_fs.h` |
//! | 32769 | `CD001` | ISO 9660 | ECMA-119 §8.1 |
//! | 65588 | `ReIsEr` | ReiserFS | util-linux `reiserfs.c` |
//! | 32768 | `JFS1` | JFS | Linux `fs/jfs/jfs_superblock.h` |
//! | 32 | `NXSB` | APFS | Apple File System Reference |
//! | 0 | `integrt\0` | dm-integrity | Linux `drivers/md/dm-integrity.c` |
//! | 0 | `dmvdo001` | VDO | Linux `drivers/md/dm-vdo` |
//! | 0 | `bluestore block device` | Ceph | util-linux `bluestore.c` |
//! | 512, 4096 | `EFI PART` | a partition table | UEFI 2.10 §5.3.2 |

use core::fmt;

use embedded_io::{Read, Seek};

use crate::disk::ext4;
use crate::disk::field::{le16, le32};
use crate::disk::storage::read_at;

/// What a partition carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Contents {
    /// ext2, ext3 or ext4, and nothing else.
    Ext4,
    /// Something else, by its name with an article. A superblock of ext4 may stand beside it.
    Other(&'static str),
    /// Zeros at every place of a signature.
    Blank,
    /// No signature of any kind that is known here.
    Unknown,
}

impl fmt::Display for Contents {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Contents::Ext4 => "an ext4 filesystem",
            Contents::Other(name) => name,
            Contents::Blank => "nothing",
            Contents::Unknown => "something unknown",
        })
    }
}

const LUKS: &str = "a LUKS container";
const FAT: &str = "a FAT filesystem";
const SWAP: &str = "swap space";
const SUSPENDED: &str = "swap space with a suspended system";
const RAID: &str = "a member of a RAID (md)";
const LVM: &str = "an LVM physical volume";
const TABLE: &str = "a partition table";

const RAID_MAGIC: &[u8] = b"\xfc\x4e\x2b\xa9";
const LUKS2_SECOND: &[u8] = b"SKUL\xba\xbe";

/// What stands where: offset, signature, name.
const SIGNATURES: &[(u64, &[u8], &str)] = &[
    (0, b"LUKS\xba\xbe", LUKS),
    (0, b"XFSB", "an XFS filesystem"),
    (0, b"hsqs", "a squashfs image"),
    (0, b"integrt\0", "a dm-integrity device"),
    (0, b"dmvdo001", "a VDO volume"),
    (0, b"bluestore block device", "a Ceph store"),
    (0, b"LABELONE", LVM),
    (0, RAID_MAGIC, RAID),
    (3, b"NTFS    ", "an NTFS filesystem"),
    (3, b"EXFAT   ", "an exFAT filesystem"),
    (3, b"-FVE-FS-", "a BitLocker volume"),
    (32, b"NXSB", "an APFS container"),
    (54, b"FAT12   ", FAT),
    (54, b"FAT16   ", FAT),
    (54, b"FAT     ", FAT),
    (82, b"FAT32   ", FAT),
    (512, b"LABELONE", LVM),
    (512, b"EFI PART", TABLE),
    (1024, b"LABELONE", LVM),
    (1024, b"\x10\x20\xf5\xf2", "an F2FS filesystem"),
    (1024, b"\xe2\xe1\xf5\xe0", "an EROFS image"),
    (1536, b"LABELONE", LVM),
    (4096, RAID_MAGIC, RAID),
    (4096, b"EFI PART", TABLE),
    (4120, b"\xc6\x85\x73\xf6\x4e\x1a\x45\xca\x82\x65\xf7\x5f\x48\xba\x6d\x81", "a bcache device"),
    (4120, b"\xc6\x85\x73\xf6\x66\xce\x90\xa9\xd9\x6a\x60\xcf\x80\x3d\xf7\xef", "a bcachefs filesystem"),
    (5120, b"\x10\x20\xf5\xf2", "an F2FS filesystem"),
    (16408, b"version\0", "a member of a ZFS pool"),
    (32768, b"JFS1", "a JFS filesystem"),
    (32769, b"CD001", "an ISO 9660 image"),
    (65588, b"ReIsEr", "a ReiserFS filesystem"),
    (65600, b"_BHRfS_M", "a btrfs filesystem"),
];

/// What stands ten bytes before the end of the first page.
const AT_PAGE_END: [(&[u8], &str); 6] = [
    (b"SWAPSPACE2", SWAP),
    (b"SWAP-SPACE", SWAP),
    (b"S1SUSPEND", SUSPENDED),
    (b"S2SUSPEND", SUSPENDED),
    (b"ULSUSPEND", SUSPENDED),
    (b"LINHIB0001", SUSPENDED),
];
const PAGE_SIZES: [u64; 5] = [4096, 8192, 16384, 32768, 65536];
/// Where LUKS 2 may keep its second header.
const LUKS2_SECONDS: [u64; 9] =
    [0x4000, 0x8000, 0x1_0000, 0x2_0000, 0x4_0000, 0x8_0000, 0x10_0000, 0x20_0000, 0x40_0000];

/// Longest signature, in bytes.
const LONGEST: usize = 22;
const SUPERBLOCK: u64 = 1024;

/// Looks at the partition that begins at byte `start` of `disk`. `len` is its length in bytes, if that is known: some
/// signatures stand at the end.
///
/// # Errors
/// The storage's own.
pub fn identify<S: Read + Seek>(disk: &mut S, start: u64, len: Option<u64>) -> Result<Contents, S::Error> {
    let mut seen = Seen { disk, start, blank: true };
    for (offset, signature, name) in SIGNATURES {
        if seen.stands(*offset, signature)? {
            return Ok(Contents::Other(name));
        }
    }
    for page in PAGE_SIZES {
        for (signature, name) in AT_PAGE_END {
            if seen.stands(page.saturating_sub(10), signature)? {
                return Ok(Contents::Other(name));
            }
        }
    }
    for offset in LUKS2_SECONDS {
        if seen.stands(offset, LUKS2_SECOND)? {
            return Ok(Contents::Other(LUKS));
        }
    }
    let mut block = [0; 512];
    let read = read_at(seen.disk, start.saturating_add(SUPERBLOCK), &mut block)?;
    let superblock = block.get(..read).and_then(Superblock::parse);
    // If the filesystem reaches over such a place, the signature there is old: it was written before the partition grew.
    let size = if superblock.is_some() { ext4::size(seen.disk, start)? } else { None };
    let covered = size.map_or(0, |size| size.blocks.saturating_mul(size.block));
    for offset in len.into_iter().flat_map(raid_at_end) {
        if offset >= covered && seen.stands(offset, RAID_MAGIC)? {
            return Ok(Contents::Other(RAID));
        }
    }
    Ok(match superblock {
        Some(Superblock { journal: true }) => Contents::Other("an external journal of ext4"),
        Some(_) => Contents::Ext4,
        None if seen.blank && block.iter().all(|byte| *byte == 0) => Contents::Blank,
        None => Contents::Unknown,
    })
}

/// Where versions 1.0 and 0.90 of mdraid keep their superblocks in a partition of that length.
fn raid_at_end(len: u64) -> [u64; 2] {
    const RESERVED: u64 = 64 * 1024;
    let aligned = |to: u64, behind: u64| len.saturating_sub(behind) & !to.saturating_sub(1);
    [aligned(4096, 8192), aligned(RESERVED, 0).saturating_sub(RESERVED)]
}

/// The partition, and whether all that was seen of it are zeros.
struct Seen<'a, S> {
    disk: &'a mut S,
    start: u64,
    blank: bool,
}

impl<S: Read + Seek> Seen<'_, S> {
    fn stands(&mut self, offset: u64, signature: &[u8]) -> Result<bool, S::Error> {
        let mut bytes = [0; LONGEST];
        let Some(bytes) = bytes.get_mut(..signature.len()) else { return Ok(false) };
        let len = read_at(self.disk, self.start.saturating_add(offset), bytes)?;
        self.blank &= bytes.iter().all(|byte| *byte == 0);
        Ok(len == signature.len() && bytes == signature)
    }
}

/// The first sector of an ext4 superblock, which a power cut leaves old or new.
struct Superblock {
    journal: bool,
}

impl Superblock {
    /// A magic of two bytes may stand there by chance: the numbers must make sense as well.
    fn parse(block: &[u8]) -> Option<Superblock> {
        const JOURNAL_DEV: u32 = 8;
        let number = |at| le32(block, at);
        let (inodes, blocks, first, log_size) = (number(0)?, number(4)?, number(0x14)?, number(0x18)?);
        let journal = number(0x60)? & JOURNAL_DEV != 0;
        let makes_sense = log_size <= 6 && blocks > 0 && (journal || inodes > 0 && first <= 1);
        (le16(block, 0x38)? == 0xef53 && makes_sense).then_some(Superblock { journal })
    }
}
