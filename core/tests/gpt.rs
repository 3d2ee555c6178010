//! Partition tables as the real sgdisk writes them, whole and damaged in every way: the table's partitions or an error
//! that names the damage, never a panic and never wrong partitions.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "a test that panics has failed"
)]

mod scene;

use std::convert::Infallible;
use std::fs;
use std::path::Path;
use std::sync::OnceLock;

use embedded_io::{ErrorType, Read, Seek, SeekFrom};
use kubesolo_core::disk::gpt::{self, Error, Table};
use scene::{Folder, Random, cases, must, seed, tool};

const SECTOR: usize = 512;
const NAMES: [&str; 4] = ["KSOLOEFI", "KSOLOA", "KSOLOB", "KSOLODATA"];

/// A disk in memory.
struct Disk<'a> {
    bytes: &'a [u8],
    position: u64,
}

impl ErrorType for Disk<'_> {
    type Error = Infallible;
}

impl Read for Disk<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> Result<usize, Infallible> {
        let rest = usize::try_from(self.position).ok().and_then(|at| self.bytes.get(at..)).unwrap_or_default();
        let count = rest.len().min(buffer.len());
        buffer[..count].copy_from_slice(&rest[..count]);
        self.position += count as u64;
        Ok(count)
    }
}

impl Seek for Disk<'_> {
    fn seek(&mut self, to: SeekFrom) -> Result<u64, Infallible> {
        self.position = match to {
            SeekFrom::Start(at) => at,
            SeekFrom::End(by) => (self.bytes.len() as u64).strict_add_signed(by),
            SeekFrom::Current(by) => self.position.strict_add_signed(by),
        };
        Ok(self.position)
    }
}

fn read(bytes: &[u8]) -> Result<Table, Error<Infallible>> {
    gpt::read(&mut Disk { bytes, position: 0 })
}

/// A 2 MiB disk with our four partitions, and what `more` tells sgdisk; `None` without sgdisk.
fn made_by_sgdisk(more: &[&str]) -> Option<Vec<u8>> {
    // sgdisk waits for all of the machine's disks, so the plain one is made once.
    static PLAIN: OnceLock<Option<Vec<u8>>> = OnceLock::new();
    tool("sgdisk")?;
    if more.is_empty() { PLAIN.get_or_init(|| make(&[])).clone() } else { make(more) }
}

fn make(more: &[&str]) -> Option<Vec<u8>> {
    let sgdisk = tool("sgdisk")?;
    let folder = Folder::new();
    let image = folder.text("disk");
    fs::File::create(&image).unwrap().set_len(2 << 20).unwrap();
    let words: Vec<String> = (1..)
        .zip(NAMES)
        .flat_map(|(number, name)| {
            let first = 600 + 300 * number;
            [format!("-n{number}:{first}:{}", first + 199), format!("-c{number}:{name}")]
        })
        .collect();
    let mut all = vec!["-a1"];
    all.extend(more.iter().take_while(|word| word.starts_with("-S")));
    all.extend(words.iter().map(String::as_str));
    all.extend(more.iter().skip_while(|word| word.starts_with("-S")));
    all.push(&image);
    must(&sgdisk, &all);
    Some(fs::read(&image).unwrap())
}

fn le32(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap())
}

fn le64(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(bytes[at..at + 8].try_into().unwrap())
}

/// Offsets of the primary and the backup header.
fn headers(disk: &[u8]) -> [usize; 2] {
    [SECTOR, disk.len() - SECTOR]
}

/// Changes a header and makes both of its checksums right again.
fn forge(disk: &mut [u8], header: usize, change: impl Fn(&mut [u8])) {
    change(&mut disk[header..header + 92]);
    let count = le32(disk, header + 80) as usize;
    let size = le32(disk, header + 84) as usize;
    let start = (le64(disk, header + 72) as usize).saturating_mul(SECTOR);
    if let Some(entries) = disk.get(start..start.saturating_add(count.saturating_mul(size))) {
        let crc = crc32fast::hash(entries);
        disk[header + 88..header + 92].copy_from_slice(&crc.to_le_bytes());
    }
    seal(disk, header);
}

/// Makes the header's own checksum right.
fn seal(disk: &mut [u8], header: usize) {
    let len = (le32(disk, header + 12) as usize).clamp(92, SECTOR);
    disk[header + 16..header + 20].fill(0);
    let crc = crc32fast::hash(&disk[header..header + len]);
    disk[header + 16..header + 20].copy_from_slice(&crc.to_le_bytes());
}

/// Number, first and last sector and name of each partition.
fn partitions(table: &Table) -> Vec<(u32, u64, u64, &str)> {
    table
        .partitions
        .iter()
        .map(|partition| (partition.number, partition.first.0, partition.last.0, partition.name.as_str()))
        .collect()
}

const OURS: [(u32, u64, u64, &str); 4] =
    [(1, 900, 1099, "KSOLOEFI"), (2, 1200, 1399, "KSOLOA"), (3, 1500, 1699, "KSOLOB"), (4, 1800, 1999, "KSOLODATA")];

#[test]
fn a_table_by_sgdisk_is_read_as_it_was_made() {
    let guid = "-u2:0FC63DAF-8483-4772-8E79-3D69D8477DE4";
    let Some(disk) = made_by_sgdisk(&[guid]) else { return };
    let table = read(&disk).unwrap();
    assert_eq!(partitions(&table), OURS);
    assert_eq!((table.sector_size, table.from_backup), (512, false));
    assert!(table.named("KSOLOA").unwrap().guid.is("0fc63daf-8483-4772-8e79-3d69d8477de4"));
    assert_eq!(table.named("KSOLO"), None);
}

#[test]
fn names_that_are_not_ascii_and_gaps_in_the_table_are_read() {
    let Some(disk) =
        made_by_sgdisk(&["-d3", "-c2:Grüße 中文", "-n9:2100:2100", "-c9:123456789012345678901234567890123456"])
    else {
        return;
    };
    assert_eq!(
        partitions(&read(&disk).unwrap()),
        [OURS[0], (2, 1200, 1399, "Grüße 中文"), OURS[3], (9, 2100, 2100, "123456789012345678901234567890123456")]
    );
}

#[test]
fn tables_of_more_than_128_entries_are_read_up_to_1024() {
    for count in [128, 132, 256, 1024] {
        let Some(disk) =
            made_by_sgdisk(&[&format!("-S{count}"), &format!("-n{count}:2300:2301"), &format!("-c{count}:last")])
        else {
            return;
        };
        for damaged in [false, true] {
            let mut disk = disk.clone();
            if damaged {
                disk[SECTOR] = 0;
            }
            let table = read(&disk).unwrap();
            assert_eq!(partitions(&table)[..4], OURS, "{count}");
            assert_eq!(partitions(&table)[4], (count, 2300, 2301, "last"));
            assert_eq!(table.from_backup, damaged);
        }
    }
    for count in [1028, 2048] {
        let Some(disk) = made_by_sgdisk(&[&format!("-S{count}")]) else { return };
        assert_eq!(read(&disk), Err(Error::TooManyEntries(count)));
        assert!(Error::<Infallible>::TooManyEntries(count).to_string().contains(&count.to_string()));
    }
}

#[test]
fn of_many_partitions_the_first_sixteen_are_kept() {
    let more: Vec<String> = (5..=40).map(|number| format!("-n{number}:{0}:{0}", 2100 + number)).collect();
    let more: Vec<&str> = more.iter().map(String::as_str).collect();
    let Some(disk) = made_by_sgdisk(&more) else { return };
    let table = read(&disk).unwrap();
    assert_eq!(partitions(&table)[..4], OURS);
    assert_eq!(table.partitions.len(), gpt::PARTITIONS_MAX);
}

/// A disk with 4096-byte sectors, which sgdisk makes only on a device: the 512-byte one laid out anew.
#[test]
fn a_disk_with_sectors_of_4096_bytes_is_read() {
    let Some(small) = made_by_sgdisk(&[]) else { return };
    let mut disk = vec![0; 2048 * 4096];
    let [primary, _] = headers(&small);
    let entries = &small[2 * SECTOR..34 * SECTOR];
    let last = disk.len() / 4096 - 1;
    for (lba, entries_lba, other) in [(1, 2, last), (last, last - 4, 1)] {
        let at = lba * 4096;
        disk[at..at + 92].copy_from_slice(&small[primary..primary + 92]);
        for (field, value) in [(24, lba), (32, other), (72, entries_lba)] {
            disk[at + field..at + field + 8].copy_from_slice(&(value as u64).to_le_bytes());
        }
        seal(&mut disk, at);
        disk[entries_lba * 4096..entries_lba * 4096 + entries.len()].copy_from_slice(entries);
    }
    let table = read(&disk).unwrap();
    assert_eq!((table.sector_size, table.from_backup), (4096, false));
    assert_eq!(partitions(&table), OURS);
    disk[4096 + 30] ^= 1;
    let table = read(&disk).unwrap();
    assert_eq!((table.sector_size, table.from_backup), (4096, true));
    assert_eq!(partitions(&table), OURS);
}

#[test]
fn a_damaged_primary_table_falls_to_the_backup() {
    let Some(disk) = made_by_sgdisk(&[]) else { return };
    // Every byte of the header that means anything, the zeroed sector, and the entries.
    let bytes = (SECTOR..SECTOR + 92).chain([2 * SECTOR, 2 * SECTOR + 56, 20 * SECTOR, 34 * SECTOR - 1]);
    for at in bytes {
        let mut disk = disk.clone();
        disk[at] ^= 0x10;
        let table = read(&disk).unwrap();
        assert!(table.from_backup, "byte {at}");
        assert_eq!(partitions(&table), OURS, "byte {at}");
    }
    let mut wiped = disk.clone();
    wiped[..34 * SECTOR].fill(0);
    assert!(read(&wiped).unwrap().from_backup);
}

#[test]
fn damage_to_both_tables_is_an_error_that_names_it() {
    let Some(disk) = made_by_sgdisk(&[]) else { return };
    let [primary, backup] = headers(&disk);
    let end = disk.len();
    let entries = [2 * SECTOR, end - 33 * SECTOR];
    type Change = fn(&mut [u8]);
    let rows: &[(&str, Change, &str)] = &[
        ("wrong my_lba", |header| header[24] = 7, "GPT header says it stands in sector 7"),
        ("entry size 0", |header| header[84] = 0, "GPT entry size 0 is not supported"),
        ("entry size 127", |header| header[84] = 127, "GPT entry size 127 is not supported"),
        ("entry size 192", |header| header[84] = 192, "GPT entry size 192 is not supported"),
        ("entry size 4096", |header| header[84..86].copy_from_slice(&[0, 16]), "GPT entry size 4096 is not supported"),
        (
            "1025 entries",
            |header| header[80..84].copy_from_slice(&1025_u32.to_le_bytes()),
            "GPT with 1025 entries, at most 1024",
        ),
        ("2^32 - 1 entries", |header| header[80..84].fill(255), "GPT with 4294967295 entries"),
        ("entries behind the end", |header| header[76] = 1, "past the end of the disk"),
        ("entries at 2^64 - 1", |header| header[72..80].fill(255), "past the end of the disk"),
        ("header of 91 bytes", |header| header[12] = 91, "GPT header size 91 is impossible"),
        ("header of 513 bytes", |header| header[12..14].copy_from_slice(&[1, 2]), "GPT header size 513 is impossible"),
    ];
    for (name, change, want) in rows {
        let mut disk = disk.clone();
        forge(&mut disk, backup, change);
        assert_eq!(partitions(&read(&disk).unwrap()), OURS, "{name}: in the backup it does not matter");
        forge(&mut disk, primary, change);
        let said = read(&disk).unwrap_err().to_string();
        assert!(said.contains(want), "{name}: {said}");
    }

    let mut torn = disk.clone();
    torn[primary + 40] ^= 1;
    torn[backup + 40] ^= 1;
    assert!(matches!(read(&torn), Err(Error::HeaderCrc { .. })));
    let mut torn = disk.clone();
    entries.iter().for_each(|at| torn[at + 300] ^= 1);
    assert!(matches!(read(&torn), Err(Error::EntriesCrc { .. })));
    let mut wiped = disk.clone();
    wiped[primary..primary + SECTOR].fill(0);
    wiped[backup..].fill(0);
    assert_eq!(read(&wiped), Err(Error::NoSignature));
}

#[test]
fn a_partition_past_the_end_or_backwards_is_an_error_or_the_backup() {
    let Some(disk) = made_by_sgdisk(&[]) else { return };
    let [primary, backup] = headers(&disk);
    let sectors = (disk.len() / SECTOR) as u64;
    let tables = [2 * SECTOR, disk.len() - 33 * SECTOR];
    for (first, last) in
        [(900, sectors), (900, u64::MAX), (u64::MAX, u64::MAX), (900, 899), (u64::MAX / 512 + 1, u64::MAX / 512 + 2)]
    {
        let mut disk = disk.clone();
        let mut put = |table: usize, header: usize| {
            disk[table + 32..table + 40].copy_from_slice(&first.to_le_bytes());
            disk[table + 40..table + 48].copy_from_slice(&last.to_le_bytes());
            forge(&mut disk, header, |_| ());
            read(&disk)
        };
        let table = put(tables[0], primary).unwrap();
        assert!(table.from_backup);
        assert_eq!(partitions(&table), OURS);
        let error = put(tables[1], backup).unwrap_err();
        assert_eq!(error, Error::OutOfBounds(kubesolo_core::disk::lba::Lba(last)), "{first}–{last}");
    }
}

#[test]
fn a_disk_that_ends_early_is_an_error() {
    let Some(disk) = made_by_sgdisk(&[]) else { return };
    let needed = 2000 * SECTOR;
    for len in (0..2048).chain((2048..needed).step_by(4093)) {
        let Err(error) = read(&disk[..len]) else { panic!("{len} bytes") };
        assert!(!error.to_string().is_empty());
    }
    assert_eq!(partitions(&read(&disk[..needed]).unwrap()), OURS);
    // A disk that has grown still has its primary table; the backup is not at the end any more.
    let mut grown = disk.clone();
    grown.resize(disk.len() + 4096, 0);
    assert_eq!(partitions(&read(&grown).unwrap()), OURS);
    grown[SECTOR + 20] ^= 1;
    assert!(matches!(read(&grown), Err(Error::HeaderCrc { .. })));
}

#[test]
fn random_flips_give_the_same_partitions_or_an_error() {
    let Some(whole) = made_by_sgdisk(&[]) else { return };
    let mut random = Random::seeded(seed());
    let mut disk = whole.clone();
    let (mut from_backup, mut errors) = (0, 0);
    for case in 0..cases(3000) {
        let mut places = Vec::new();
        let (at_start, at_end) = [(true, false), (false, true), (true, true)][case % 3];
        for _ in 0..=random.below(4) {
            if at_start {
                places.push(random.below(34 * SECTOR));
                // Half of them where it counts: in the header and the used entries.
                places.push(SECTOR + random.below(92) + random.below(2) * random.below(SECTOR));
            }
            if at_end {
                places.push(whole.len() - 1 - random.below(33 * SECTOR));
                places.push(whole.len() - SECTOR + random.below(92));
            }
        }
        places.sort_unstable();
        places.dedup();
        for place in &places {
            disk[*place] ^= 1 << random.below(8);
        }
        match read(&disk) {
            Ok(table) => {
                assert_eq!(partitions(&table), OURS, "flipped: {places:?}");
                assert!(!table.from_backup || at_start);
                from_backup += usize::from(table.from_backup);
            }
            Err(error) => {
                assert!(at_start && at_end, "{places:?}: {error}");
                assert!(!error.to_string().is_empty());
                errors += 1;
            }
        }
        for place in &places {
            disk[*place] = whole[*place];
        }
    }
    println!("{from_backup} read from the backup, {errors} errors");
    assert!(from_backup > 0 && errors > 0);
}

/// Checksums keep chance out, not intent: headers of random fields with right checksums.
#[test]
fn forged_headers_never_panic_and_stay_on_the_disk() {
    let Some(whole) = made_by_sgdisk(&[]) else { return };
    let mut random = Random::seeded(seed() ^ 2);
    let end = (whole.len() / SECTOR) as u64;
    let mut disk = whole.clone();
    for _ in 0..cases(2000) {
        for header in headers(&whole) {
            disk[header..header + SECTOR].copy_from_slice(&whole[header..header + SECTOR]);
        }
        let mut fields = Vec::new();
        for _ in 0..=random.below(3) {
            let at = *random.pick(&[12, 24, 40, 48, 72, 80, 84]);
            let value = match random.below(5) {
                0 => random.next(),
                1 => u64::MAX - random.below(3) as u64,
                2 => random.below(3) as u64,
                3 => end.wrapping_add(random.below(5) as u64).wrapping_sub(2),
                _ => 1 << random.below(64),
            };
            fields.push((at, value));
        }
        for header in headers(&whole) {
            forge(&mut disk, header, |header| {
                for (at, value) in &fields {
                    let len = if matches!(at, 12 | 80 | 84) { 4 } else { 8 };
                    header[*at..at + len].copy_from_slice(&value.to_le_bytes()[..len]);
                }
            });
        }
        if let Ok(table) = read(&disk) {
            for partition in &table.partitions {
                assert!(partition.first <= partition.last && partition.last.0 < end, "{fields:?}: {partition:?}");
            }
        }
    }
}

#[test]
fn random_bytes_behind_the_signature_never_panic() {
    let mut random = Random::seeded(seed() ^ 3);
    for _ in 0..cases(400) {
        let mut disk: Vec<u8> = (0..8192 + random.below(4096)).map(|_| random.next() as u8).collect();
        for at in [512, 4096] {
            disk[at..at + 8].copy_from_slice(b"EFI PART");
        }
        let last = disk.len() / SECTOR * SECTOR - SECTOR;
        disk[last..last + 8].copy_from_slice(b"EFI PART");
        read(&disk).unwrap_err();
    }
}

/// What sgdisk itself thinks of the disk that these tests start from.
#[test]
fn the_disk_of_these_tests_is_sound() {
    let (Some(disk), Some(sgdisk)) = (made_by_sgdisk(&[]), tool("sgdisk")) else { return };
    let folder = Folder::new();
    folder.write("disk", &disk);
    let ran = scene::run(sgdisk, ["-v", &folder.text("disk")], Path::new("/"));
    assert!(ran.out().contains("No problems found"), "{}", ran.out());
}
