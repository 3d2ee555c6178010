//! The GUID partition table: header and entries, their checksums and bounds, and the backup at the end of the disk.
//! This reads; [`crate::disk::grow`] writes. Source: UEFI 2.10 §5.3.
//!
//! Header, one sector at LBA 1, and again in the disk's last sector:
//!
//! | offset | size | meaning |
//! |---|---|---|
//! | 0 | 8 | `EFI PART` |
//! | 12 | 4 | header size, 92 or more |
//! | 16 | 4 | CRC-32 of the header with this field 0 |
//! | 24, 32 | 8, 8 | LBA of this header, and of the other one |
//! | 40, 48 | 8, 8 | first and last LBA that partitions may use |
//! | 56 | 16 | the disk's GUID |
//! | 72 | 8 | LBA of the entries |
//! | 80 | 4 | number of entries |
//! | 84 | 4 | size of an entry, 128 · 2^n |
//! | 88 | 4 | CRC-32 of all entries |
//!
//! Entry:
//!
//! | offset | size | meaning |
//! |---|---|---|
//! | 0 | 16 | type GUID; zero: unused |
//! | 16 | 16 | the partition's own GUID |
//! | 32, 40 | 8, 8 | first and last LBA |
//! | 56 | 72 | name, UTF-16LE, padded with NUL |

use core::fmt;

use embedded_io::{Read, Seek, SeekFrom};

use crate::disk::crc32::crc32;
use crate::disk::field::{self, le32, le64};
use crate::disk::guid::Guid;
use crate::disk::lba::Lba;
use crate::disk::storage::read_at;
use crate::ignore::ignore;

const SIGNATURE: &[u8] = b"EFI PART";
const HEADER_MIN: usize = 92;
const ENTRY_MIN: usize = 128;
/// An entry is read into the stack; the specification allows any 128 · 2^n, disks use 128.
const ENTRY_MAX: usize = 512;
/// Linux and sgdisk make 128; more than this is taken for damage.
const ENTRIES_MAX: u32 = 1024;
/// 512, and 4096 for "4K native" disks. The size is the one at which a header is found at LBA 1.
const SECTOR_SIZES: [u64; 2] = [512, 4096];

/// Most partitions that are read of one table; more are skipped.
pub const PARTITIONS_MAX: usize = 16;

/// Longest name an entry can hold, in UTF-16 units; as UTF-8 up to three times that.
const NAME_UNITS: usize = 36;

/// A partition's name, as text. Invalid UTF-16 is replaced.
pub type Name = heapless::String<{ NAME_UNITS * 3 }>;

/// Why there is no usable partition table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Error<E> {
    /// The disk could not be read.
    Io(E),
    /// No header signature, neither at LBA 1 nor in the last sector: not a GPT disk.
    NoSignature,
    /// The header is damaged: its checksum does not match.
    HeaderCrc {
        /// As the header says.
        want: u32,
        /// As computed.
        got: u32,
    },
    /// The entries are damaged: their checksum does not match.
    EntriesCrc {
        /// As the header says.
        want: u32,
        /// As computed.
        got: u32,
    },
    /// A header size outside 92 bytes to one sector.
    HeaderSize(u32),
    /// The header says that it is in another sector.
    MyLba(u64),
    /// More entries than any partitioning tool writes.
    TooManyEntries(u32),
    /// An entry size that is not 128 · 2^n up to 512 bytes.
    EntrySize(u32),
    /// The entries, or a partition, lie outside the disk.
    OutOfBounds(Lba),
    /// The disk ends before a structure does.
    Short,
}

impl<E> From<E> for Error<E> {
    fn from(error: E) -> Self {
        Error::Io(error)
    }
}

impl<E: fmt::Display> fmt::Display for Error<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::Io(error) => error.fmt(f),
            Error::NoSignature => f.write_str("no GUID partition table"),
            Error::HeaderCrc { want, got } => write!(f, "GPT header checksum is {got:08x}, should be {want:08x}"),
            Error::EntriesCrc { want, got } => write!(f, "GPT entries checksum is {got:08x}, should be {want:08x}"),
            Error::HeaderSize(size) => write!(f, "GPT header size {size} is impossible"),
            Error::MyLba(lba) => write!(f, "GPT header says it stands in sector {lba}"),
            Error::TooManyEntries(count) => write!(f, "GPT with {count} entries, at most {ENTRIES_MAX} are read"),
            Error::EntrySize(size) => write!(f, "GPT entry size {size} is not supported"),
            Error::OutOfBounds(lba) => write!(f, "GPT points to sector {}, past the end of the disk", lba.0),
            Error::Short => f.write_str("the disk ends inside its GPT"),
        }
    }
}

/// One used entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Partition {
    /// Place in the table, from 1, as in `/dev/sda1`.
    pub number: u32,
    /// The partition's own GUID.
    pub guid: Guid,
    /// First sector.
    pub first: Lba,
    /// Last sector, inclusive.
    pub last: Lba,
    /// GPT partition name.
    pub name: Name,
}

/// A table whose checksums and bounds have been verified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Table {
    /// Bytes a sector.
    pub sector_size: u64,
    /// The disk's own GUID.
    pub guid: Guid,
    /// Whether the primary header or entries were damaged, and the backup's were taken.
    pub from_backup: bool,
    /// The used entries, the first [`PARTITIONS_MAX`] of them.
    pub partitions: heapless::Vec<Partition, PARTITIONS_MAX>,
}

impl Table {
    /// The partition of that name.
    pub fn named(&self, name: &str) -> Option<&Partition> {
        self.partitions.iter().find(|partition| partition.name == name)
    }
}

/// Reads the primary table, and the backup where the primary is damaged.
///
/// # Errors
/// That of the primary header, if the backup is no better; [`Error::NoSignature`] for a disk without a GPT.
pub fn read<S: Read + Seek>(disk: &mut S) -> Result<Table, Error<S::Error>> {
    find(disk).map(|(table, _)| table)
}

/// The same, with the header that counts.
pub(crate) fn find<S: Read + Seek>(disk: &mut S) -> Result<(Table, Header), Error<S::Error>> {
    let size = disk.seek(SeekFrom::End(0))?;
    let mut damage = Error::NoSignature;
    for sector_size in SECTOR_SIZES {
        match read_table(disk, size, sector_size, Lba(1)) {
            Ok(found) => return Ok(found),
            Err(Error::NoSignature | Error::Short) => {}
            Err(error) => damage = error,
        }
    }
    for sector_size in SECTOR_SIZES {
        let Some(last) = size.checked_div(sector_size).and_then(|sectors| sectors.checked_sub(1)) else { continue };
        if let Ok((table, header)) = read_table(disk, size, sector_size, Lba(last)) {
            return Ok((Table { from_backup: true, ..table }, header));
        }
    }
    Err(damage)
}

fn read_table<S: Read + Seek>(
    disk: &mut S,
    size: u64,
    sector_size: u64,
    at: Lba,
) -> Result<(Table, Header), Error<S::Error>> {
    let header = Header::read(disk, sector_size, at)?;
    let entries_at = header.entries.bytes(sector_size).ok_or(Error::OutOfBounds(header.entries))?;
    let entries_len = header.entries_len();
    if entries_at.checked_add(entries_len).is_none_or(|end| end > size) {
        return Err(Error::OutOfBounds(header.entries));
    }

    let mut table = Table { sector_size, guid: header.guid, from_backup: false, partitions: heapless::Vec::new() };
    let mut got = 0;
    let mut chunk = [0; 4096];
    let mut number: u32 = 0;
    let mut offset = entries_at;
    let mut left = entries_len;
    let mut beyond = None;
    while left > 0 {
        let want = usize::try_from(left).map_or(chunk.len(), |left| left.min(chunk.len()));
        let bytes = chunk.get_mut(..want).ok_or(Error::Short)?;
        if read_at(disk, offset, bytes)? != want {
            return Err(Error::Short);
        }
        got = crc32(got, bytes);
        for entry in bytes.chunks_exact(header.entry_size) {
            number = number.saturating_add(1);
            let Some(partition) = parse_entry(entry, number)? else { continue };
            if partition.first > partition.last
                || partition.last.after(1).and_then(|end| end.bytes(sector_size)).is_none_or(|end| end > size)
            {
                beyond = beyond.or(Some(partition.last));
            }
            ignore(
                table.partitions.push(partition),
                "a KubeSolo disk has fewer, and the first ones are enough to recognise one",
            );
        }
        offset = offset.saturating_add(want as u64);
        left = left.saturating_sub(want as u64);
    }
    if got != header.entries_crc {
        return Err(Error::EntriesCrc { want: header.entries_crc, got });
    }
    match beyond {
        Some(lba) => Err(Error::OutOfBounds(lba)),
        None => Ok((table, header)),
    }
}

/// A header whose checksum is right.
#[derive(Clone, Debug)]
pub(crate) struct Header {
    /// The first bytes of its sector, of which `len` are the header.
    bytes: [u8; 512],
    len: usize,
    /// Where the other header is, by this one.
    pub other: Lba,
    /// The first sector that partitions may use.
    pub first_usable: Lba,
    /// The last one.
    pub last_usable: Lba,
    /// The disk's GUID.
    pub guid: Guid,
    /// Where the entries begin.
    pub entries: Lba,
    entry_count: u32,
    /// Bytes of an entry.
    pub entry_size: usize,
    /// The entries' checksum.
    pub entries_crc: u32,
}

/// New values for a header.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Stands {
    /// Where this header is.
    pub at: Lba,
    /// Where the other header is.
    pub other: Lba,
    /// Where its entries begin.
    pub entries: Lba,
    /// The last sector that partitions may use.
    pub last_usable: Lba,
    /// The disk's GUID.
    pub guid: Guid,
    /// The entries' checksum.
    pub entries_crc: u32,
}

impl Header {
    pub(crate) fn read<S: Read + Seek>(disk: &mut S, sector_size: u64, at: Lba) -> Result<Header, Error<S::Error>> {
        let mut bytes = [0; 512];
        let offset = at.bytes(sector_size).ok_or(Error::Short)?;
        if read_at(disk, offset, &mut bytes)? != bytes.len() {
            return Err(Error::Short);
        }
        if !bytes.starts_with(SIGNATURE) {
            return Err(Error::NoSignature);
        }
        let size = le32(&bytes, 12).ok_or(Error::Short)?;
        let len = usize::try_from(size).unwrap_or(usize::MAX);
        let header = bytes.get(..len).filter(|_| len >= HEADER_MIN).ok_or(Error::HeaderSize(size))?;
        let number = |field| le32(header, field).ok_or(Error::Short);
        let lba = |field| le64(header, field).map(Lba).ok_or(Error::Short);
        let (want, got) = (number(16)?, header_crc(header).ok_or(Error::Short)?);
        if got != want {
            return Err(Error::HeaderCrc { want, got });
        }
        let says_it_is_at = lba(24)?;
        if says_it_is_at != at {
            return Err(Error::MyLba(says_it_is_at.0));
        }
        let entry_count = number(80)?;
        if entry_count > ENTRIES_MAX {
            return Err(Error::TooManyEntries(entry_count));
        }
        let entry_size = number(84)?;
        let entry_len = usize::try_from(entry_size).unwrap_or(usize::MAX);
        if !(ENTRY_MIN..=ENTRY_MAX).contains(&entry_len) || !entry_len.is_power_of_two() {
            return Err(Error::EntrySize(entry_size));
        }
        let (other, first_usable, last_usable, entries) = (lba(32)?, lba(40)?, lba(48)?, lba(72)?);
        let guid = field::bytes(header, 56).map(Guid).ok_or(Error::Short)?;
        let entries_crc = number(88)?;
        Ok(Header {
            bytes,
            len,
            other,
            first_usable,
            last_usable,
            guid,
            entries,
            entry_count,
            entry_size: entry_len,
            entries_crc,
        })
    }

    /// Bytes that all entries take.
    pub(crate) fn entries_len(&self) -> u64 {
        u64::from(self.entry_count).saturating_mul(self.entry_size as u64)
    }

    /// The same header with other contents, and its checksum; `None` if they do not fit into it.
    pub(crate) fn with(&self, stands: &Stands) -> Option<[u8; 512]> {
        let mut bytes = self.bytes;
        let Stands { at, other, entries, last_usable, guid, entries_crc } = stands;
        for (field, lba) in [(24, at), (32, other), (48, last_usable), (72, entries)] {
            field::put(&mut bytes, field, &lba.0.to_le_bytes())?;
        }
        field::put(&mut bytes, 56, &guid.0)?;
        field::put(&mut bytes, 88, &entries_crc.to_le_bytes())?;
        let crc = header_crc(bytes.get(..self.len)?)?;
        field::put(&mut bytes, 16, &crc.to_le_bytes())?;
        Some(bytes)
    }
}

/// The checksum of a header, in which its own field counts as 0; `None` if the header ends before that field does.
fn header_crc(header: &[u8]) -> Option<u32> {
    Some([header.get(..16)?, &[0; 4], header.get(20..)?].into_iter().fold(0, crc32))
}

/// Sets an entry's GUID; `None` if the entry is too short for it.
pub(crate) fn put_guid(entry: &mut [u8], guid: Guid) -> Option<()> {
    field::put(entry, 16, &guid.0)
}

/// Sets an entry's last sector; `None` if the entry is too short for it.
pub(crate) fn put_last(entry: &mut [u8], last: Lba) -> Option<()> {
    field::put(entry, 40, &last.0.to_le_bytes())
}

/// Reads an entry; `None` if it is unused. `number` is its place in the table, from 1.
///
/// # Errors
/// [`Error::Short`] for less than 128 bytes.
pub(crate) fn parse_entry<E>(entry: &[u8], number: u32) -> Result<Option<Partition>, Error<E>> {
    let entry: &[u8; ENTRY_MIN] = entry.first_chunk().ok_or(Error::Short)?;
    if field::bytes(entry, 0).map(Guid) == Some(Guid::ZERO) {
        return Ok(None);
    }
    let guid = field::bytes(entry, 16).map(Guid).ok_or(Error::Short)?;
    let (first, last) = (le64(entry, 32).ok_or(Error::Short)?, le64(entry, 40).ok_or(Error::Short)?);
    let name = name_of(&field::bytes(entry, 56).ok_or(Error::Short)?);
    Ok(Some(Partition { number, guid, first: Lba(first), last: Lba(last), name }))
}

fn name_of(field: &[u8; NAME_UNITS * 2]) -> Name {
    let units = field.as_chunks().0.iter().map(|unit| u16::from_le_bytes(*unit));
    let mut name = Name::new();
    for character in char::decode_utf16(units.take_while(|unit| *unit != 0)) {
        ignore(name.push(character.unwrap_or(char::REPLACEMENT_CHARACTER)), "a name has room for three bytes a unit");
    }
    name
}
