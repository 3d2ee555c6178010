//! Enlarges the partition table of a disk that is larger than the table says: the new content of both copies, and the order in
//! which they are written so that a power cut at any moment leaves a disk that boots.
//!
//! Who reads what (tried, and read in their sources):
//! - GRUB (`grub-core/partmap/gpt.c`) reads only the primary copy, and no checksum. Whichever sectors of it are written,
//!   partitions 1 to 3 begin and end where they did: no entry crosses a sector boundary.
//! - Linux (`block/partitions/efi.c`) uses the primary copy if its checksums are right, else, with the word `gpt` on its command
//!   line, the one in the disk's last sector. So does [`gpt`]. UEFI firmware does too, and repairs the other one itself.
//!
//! | step, each synced | a cut within it or right after it leaves |
//! |---|---|
//! | 0. a damaged primary copy is rewritten from the backup, entries and then header | what was there before, or two valid copies |
//! | 1. backup: entries and header at the disk's end; read back | the old primary copy, whole, which all of them use |
//! | 2. primary: entries | a primary copy with a wrong checksum: Linux uses the backup, which is new; for GRUB nothing changes |
//! | 3. primary: header | both copies new |
//! | 4. the size in the protective MBR | the same; none of them uses that size |
//! | 5. the kernel's own view of the partition | the next kernel reads the table itself |
//! | 6. the filesystem, by ext4 | a filesystem that ends before its partition, or that ext4's journal completes |
//!
//! The next run finishes what a cut interrupted: it reads everything again and writes only what is not there yet. Steps 5 and 6 are
//! done by the verb `grow`.

use core::fmt;

use embedded_io::{Read, Seek};

use crate::disk::crc32::crc32;
use crate::disk::gpt::{self, Header, Stands, parse_entry, put_guid, put_last};
use crate::disk::guid::Guid;
use crate::disk::lba::Lba;
use crate::disk::storage::{Storage, read_at, write_at};

/// In a [`Wish`], in place of an entry's number: the disk itself.
pub const DISK: u32 = 0;
/// Smallest room that is used, in bytes: an image has nearly as much behind its last partition.
const WORTH: u64 = 1 << 20;
/// Partitions end at a multiple of this, in bytes: a block of the filesystem.
const BLOCK: u64 = 4096;
/// What is compared, and written where it differs: sectors are no smaller.
const PIECE: usize = 512;

/// What a disk's table should become.
#[derive(Clone, Copy, Debug)]
pub struct Wish<'a> {
    /// Number of the partition that gets the room behind it.
    pub data: u32,
    /// New GUIDs, by the number of the partition, or [`DISK`].
    pub guids: &'a [(u32, Guid)],
}

/// Why a table stays as it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Error<E> {
    /// The disk could not be read or written.
    Io(E),
    /// Neither copy of the table is usable.
    Table(gpt::Error<E>),
    /// Sector 0 is not a protective MBR: other systems use what it holds.
    NotProtective,
    /// It is one, and holds partitions as well: other systems may use these instead of the GPT.
    Hybrid,
    /// There is no such partition in the table.
    NoSuchPartition(u32),
    /// That partition has sectors in common with the one to be enlarged.
    Overlaps(u32),
    /// The backup would overwrite that partition: the disk is smaller than its table.
    BackupOnPartition(u32),
    /// The table's entries are where partitions may be.
    EntriesInTheWay,
    /// Other bytes were read back than were written.
    NotTaken,
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
            Error::Table(error) => error.fmt(f),
            Error::NotProtective => f.write_str("its first sector is not a protective MBR"),
            Error::Hybrid => f.write_str("its MBR holds partitions too (a hybrid one)"),
            Error::NoSuchPartition(number) => write!(f, "it has no partition {number}"),
            Error::Overlaps(number) => write!(f, "partition {number} overlaps the one to be enlarged"),
            Error::BackupOnPartition(number) => {
                write!(f, "partition {number} reaches to where the backup of the table belongs")
            }
            Error::EntriesInTheWay => f.write_str("its table stands where partitions may be"),
            Error::NotTaken => f.write_str("read-back mismatch"),
        }
    }
}

impl<E> Error<E> {
    const SHORT: Error<E> = Error::Table(gpt::Error::Short);

    /// Whether a rule forbids the change, and nothing failed.
    pub const fn is_refusal(&self) -> bool {
        !matches!(self, Error::Io(_) | Error::Table(_) | Error::NotTaken)
    }
}

/// What is to be written to a disk, and what changes by that.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Nothing is to be written: the table is as it should be.
    pub is_idle: bool,
    /// The primary copy is damaged, and the backup counts.
    pub from_backup: bool,
    /// The enlarged partition's first byte.
    pub start: u64,
    /// Its length in bytes before.
    pub len_before: u64,
    /// Its length in bytes.
    pub len: u64,
    /// How many GUIDs are new.
    pub guids: usize,
    sector_size: u64,
    header: Header,
    /// The primary copy as it is rewritten from the backup first, if it is damaged.
    restore: Option<Stands>,
    /// The two copies as they are to be: primary, backup.
    then: [Stands; 2],
    edit: Edit,
    mbr: Option<[u8; 512]>,
}

/// What changes in the entries.
#[derive(Clone, Debug, Default)]
struct Edit {
    last: Option<(u32, Lba)>,
    guids: heapless::Vec<(u32, Guid), 8>,
}

impl Edit {
    /// Changes the entry of that number; `None` if it is too short for that.
    fn entry(&self, number: u32, entry: &mut [u8]) -> Option<()> {
        if let Some((_, last)) = self.last.filter(|(data, _)| *data == number) {
            put_last(entry, last)?;
        }
        if let Some((_, guid)) = self.guids.iter().find(|(of, _)| *of == number) {
            put_guid(entry, *guid)?;
        }
        Some(())
    }
}

/// Looks at a disk and says what is to be written. Writes nothing.
///
/// # Errors
/// [`Error`], with which nothing may be written either.
pub fn look<S: Read + Seek>(disk: &mut S, wish: &Wish<'_>) -> Result<Plan, Error<S::Error>> {
    let size = disk.seek(embedded_io::SeekFrom::End(0))?;
    let (table, header) = gpt::find(disk).map_err(Error::Table)?;
    let sector_size = table.sector_size;
    let last = size.checked_div(sector_size).and_then(|sectors| sectors.checked_sub(1)).ok_or(Error::SHORT)?;
    let mbr = protective_mbr(disk, last)?;

    // Two copies of the entries, each with its header: behind the primary's, and before the backup's.
    let sectors = header.entries_len().div_ceil(sector_size);
    let primary_entries = match table.from_backup {
        false => header.entries,
        // Its own header, if only the entries do not fit; else where all tools put them.
        true => Header::read(disk, sector_size, Lba(1)).map_or(Lba(2), |torn| torn.entries),
    };
    if primary_entries < Lba(2) || primary_entries.after(sectors).is_none_or(|end| end > header.first_usable) {
        return Err(Error::EntriesInTheWay);
    }
    let backup_entries = Lba(last.saturating_sub(sectors));
    let at_the_end = table.from_backup || header.other == Lba(last);
    let last_usable = if at_the_end { header.last_usable } else { Lba(backup_entries.0.saturating_sub(1)) };

    let data = table.partitions.iter().find(|partition| partition.number == wish.data);
    let data = data.ok_or(Error::NoSuchPartition(wish.data))?;
    let mut room_to = last_usable;
    each_entry(disk, sector_size, &header, &mut |number, entry| {
        let Some(other) = parse_entry(entry, number).map_err(Error::Table)? else { return Ok(()) };
        if other.last >= backup_entries {
            return Err(Error::BackupOnPartition(number));
        }
        if number != data.number && other.first <= data.last && other.last >= data.first {
            return Err(Error::Overlaps(number));
        }
        if other.first > data.last {
            room_to = room_to.min(Lba(other.first.0.saturating_sub(1)));
        }
        Ok(())
    })?;

    let data_last = enlarged(data.last, room_to, sector_size);
    let mut edit = Edit { last: Some((data.number, data_last)), guids: heapless::Vec::new() };
    let guids = wish.guids.iter().filter(|(number, _)| *number != DISK);
    edit.guids.extend(guids.copied().take(edit.guids.capacity()));
    let entries_crc = {
        let mut crc = 0;
        each_entry(disk, sector_size, &header, &mut |number, entry| {
            edit.entry(number, entry).ok_or(Error::SHORT)?;
            crc = crc32(crc, entry);
            Ok(())
        })?;
        crc
    };
    let guid = wish.guids.iter().find(|(number, _)| *number == DISK).map_or(header.guid, |(_, guid)| *guid);

    let [primary, backup] = [(Lba(1), Lba(last), primary_entries), (Lba(last), Lba(1), backup_entries)];
    let stands = |(at, other, entries), last_usable, guid, entries_crc| Stands {
        at,
        other,
        entries,
        last_usable,
        guid,
        entries_crc,
    };
    let restore = table.from_backup.then(|| stands(primary, header.last_usable, header.guid, header.entries_crc));
    let then = [primary, backup].map(|copy| stands(copy, last_usable, guid, entries_crc));
    let bytes = |lba: Lba| lba.bytes(sector_size).ok_or(Error::Table(gpt::Error::OutOfBounds(lba)));
    let start = bytes(data.first)?;
    let len = |last: Lba| Ok::<_, Error<S::Error>>(bytes(last)?.saturating_add(sector_size).saturating_sub(start));
    let mut plan = Plan {
        is_idle: false,
        from_backup: table.from_backup,
        start,
        len_before: len(data.last)?,
        len: len(data_last)?,
        guids: wish.guids.len(),
        sector_size,
        header,
        restore,
        then,
        edit,
        mbr,
    };
    plan.is_idle = plan.mbr.is_none() && holds(disk, &plan, &plan.then[0])? && holds(disk, &plan, &plan.then[1])?;
    Ok(plan)
}

/// Writes what [`look`] found is to be written, and leaves alone what stands already.
///
/// # Errors
/// [`Error::Io`], [`Error::NotTaken`]: then a later run can go on.
pub fn carry_out<S: Storage>(disk: &mut S, plan: &Plan) -> Result<(), Error<S::Error>> {
    let [primary, backup] = &plan.then;
    if let Some(restored) = &plan.restore {
        write_copy(disk, plan, plan.header.entries, restored, &Edit::default(), Between::Sync)?;
    }
    // A torn backup does no harm here: all readers use the primary copy.
    write_copy(disk, plan, primary.entries, backup, &plan.edit, Between::Nothing)?;
    write_copy(disk, plan, primary.entries, primary, &plan.edit, Between::Sync)?;
    if let Some(mbr) = &plan.mbr {
        put(disk, 0, mbr)?;
        disk.sync()?;
    }
    Ok(())
}

/// What happens between a copy's entries and its header.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Between {
    Nothing,
    Sync,
}

/// Writes one copy of the table, with the entries that are read at `from`. Durable on return, and read back from the medium.
fn write_copy<S: Storage>(
    disk: &mut S,
    plan: &Plan,
    from: Lba,
    copy: &Stands,
    edit: &Edit,
    between: Between,
) -> Result<(), Error<S::Error>> {
    if holds(disk, plan, copy)? {
        return Ok(());
    }
    let offset = |lba: Lba| lba.bytes(plan.sector_size).ok_or(Error::EntriesInTheWay);
    let (from, to) = (offset(from)?, offset(copy.entries)?);
    each_piece(disk, from, &plan.header, &mut |disk, at, piece, numbers| {
        for (number, entry) in numbers.zip(piece.chunks_exact_mut(plan.header.entry_size)) {
            edit.entry(number, entry).ok_or(Error::SHORT)?;
        }
        put(disk, to.saturating_add(at), piece)
    })?;
    if between == Between::Sync {
        disk.sync()?;
    }
    put(disk, offset(copy.at)?, &plan.header.with(copy).ok_or(Error::SHORT)?)?;
    disk.sync()?;
    disk.drop_cache()?;
    if holds(disk, plan, copy)? { Ok(()) } else { Err(Error::NotTaken) }
}

/// Whether the disk holds that copy, header and entries.
fn holds<S: Read + Seek>(disk: &mut S, plan: &Plan, copy: &Stands) -> Result<bool, Error<S::Error>> {
    let (Some(at), Some(entries)) = (copy.at.bytes(plan.sector_size), copy.entries.bytes(plan.sector_size)) else {
        return Ok(false);
    };
    let mut header = [0; PIECE];
    if read_at(disk, at, &mut header)? != header.len() || Some(header) != plan.header.with(copy) {
        return Ok(false);
    }
    let mut crc = 0;
    each_piece(disk, entries, &plan.header, &mut |_, _, piece, _| {
        crc = crc32(crc, piece);
        Ok(())
    })?;
    Ok(crc == copy.entries_crc)
}

/// Writes a piece where it differs from what is there.
fn put<S: Storage>(disk: &mut S, at: u64, piece: &[u8]) -> Result<(), Error<S::Error>> {
    let mut there = [0; PIECE];
    let there = there.get_mut(..piece.len()).ok_or(Error::SHORT)?;
    let len = read_at(disk, at, there)?;
    if len == piece.len() && there == piece {
        return Ok(());
    }
    if write_at(disk, at, piece)? == piece.len() { Ok(()) } else { Err(Error::NotTaken) }
}

/// Calls `each` with every entry of the copy in use, and its number. Changes to the entry stay in memory.
fn each_entry<S: Read + Seek>(
    disk: &mut S,
    sector_size: u64,
    header: &Header,
    each: &mut dyn FnMut(u32, &mut [u8]) -> Result<(), Error<S::Error>>,
) -> Result<(), Error<S::Error>> {
    let from = header.entries.bytes(sector_size).ok_or(Error::EntriesInTheWay)?;
    each_piece(disk, from, header, &mut |_, _, piece, numbers| {
        numbers.zip(piece.chunks_exact_mut(header.entry_size)).try_for_each(|(number, entry)| each(number, entry))
    })
}

/// Takes a piece of entries, its offset from the first one and the numbers of its entries.
type Each<'a, S, E> = dyn FnMut(&mut S, u64, &mut [u8], core::ops::RangeFrom<u32>) -> Result<(), Error<E>> + 'a;

/// Reads the entries that begin at byte `from`, piece by piece.
fn each_piece<S: Read + Seek>(
    disk: &mut S,
    from: u64,
    header: &Header,
    each: &mut Each<'_, S, S::Error>,
) -> Result<(), Error<S::Error>> {
    let len = header.entries_len();
    let mut number = 1;
    let mut offset = 0;
    while offset < len {
        let mut piece = [0; PIECE];
        let left = usize::try_from(len.saturating_sub(offset)).unwrap_or(PIECE);
        let piece = piece.get_mut(..left.min(PIECE)).ok_or(Error::SHORT)?;
        if read_at(disk, from.saturating_add(offset), piece)? != piece.len() {
            return Err(Error::SHORT);
        }
        let entries = u32::try_from(piece.chunks_exact(header.entry_size).len()).map_err(|_| Error::SHORT)?;
        each(disk, offset, piece, number..)?;
        number = number.saturating_add(entries);
        offset = offset.saturating_add(PIECE as u64);
    }
    Ok(())
}

/// The last sector of a partition that may reach to `room_to`. The sector size is one of [`gpt`]'s, so that a block is a whole number
/// of sectors and no division is by 0.
fn enlarged(last: Lba, room_to: Lba, sector_size: u64) -> Lba {
    let sectors = |bytes: u64| bytes.checked_div(sector_size).unwrap_or(1);
    let end = room_to.0.saturating_add(1);
    let whole = end.saturating_sub(end.checked_rem(sectors(BLOCK)).unwrap_or(0));
    let aligned = Lba(whole.saturating_sub(1));
    if last.after(sectors(WORTH)).is_some_and(|least| aligned >= least) { aligned } else { last }
}

/// Looks at sector 0, which must be a protective MBR and nothing else; gives what it should be, if it says less than the disk
/// has.
///
/// | offset | size | meaning |
/// |---|---|---|
/// | 446 + 16 · n | 16 | partition n: 4: type, ee is "GPT"; 5: last sector as CHS; 8: first sector; 12: sectors |
/// | 510 | 2 | `55 aa` |
fn protective_mbr<S: Read + Seek>(disk: &mut S, last: u64) -> Result<Option<[u8; 512]>, Error<S::Error>> {
    let mut sector = [0; 512];
    if read_at(disk, 0, &mut sector)? != sector.len() {
        return Err(Error::NotProtective);
    }
    let [table @ .., 0x55, 0xaa] = &mut sector else { return Err(Error::NotProtective) };
    let (_, table) = table.split_last_chunk_mut::<64>().ok_or(Error::NotProtective)?;
    let sectors = u32::try_from(last).unwrap_or(u32::MAX);
    let (mut protects, mut grown, mut others) = (false, false, false);
    for partition in table.as_chunks_mut::<16>().0 {
        let [_, _, _, _, kind, chs @ .., a, b, c, d, e, f, g, h] = partition;
        let (first, size) = (u32::from_le_bytes([*a, *b, *c, *d]), u32::from_le_bytes([*e, *f, *g, *h]));
        match (*kind, first) {
            (0, _) => {}
            (0xee, 1) if !protects => {
                protects = true;
                if size < sectors {
                    grown = true;
                    chs.copy_from_slice(&cylinder_head_sector(last));
                    [*e, *f, *g, *h] = sectors.to_le_bytes();
                }
            }
            _ => others = true,
        }
    }
    match (protects, others) {
        (false, _) => Err(Error::NotProtective),
        (true, true) => Err(Error::Hybrid),
        (true, false) => Ok(grown.then_some(sector)),
    }
}

/// A sector number as cylinder, head and sector, with 255 heads and 63 sectors: three bytes, all ones if the number is too high.
fn cylinder_head_sector(lba: u64) -> [u8; 3] {
    let parts = || {
        let (track, sector) = (lba.checked_div(63)?, lba.checked_rem(63)?.checked_add(1)?);
        let (cylinder, head) = (track.checked_div(255)?, track.checked_rem(255)?);
        let [low, high, ..] = cylinder.to_le_bytes();
        let fits = cylinder < 1024;
        fits.then_some([u8::try_from(head).ok()?, u8::try_from(sector).ok()? | high << 6, low])
    };
    parts().unwrap_or([0xff; 3])
}
