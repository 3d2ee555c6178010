//! A partition table that is to fill a larger disk: what becomes of it, against sgdisk; what is refused; and the power going at
//! any moment of the writing.

use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::Path;
use std::sync::OnceLock;

use crate::scene::faults::Fault;
use crate::scene::medium::{Fuse, Medium};
use crate::scene::{self, Folder, Random, must, seed, tool};
use embedded_io::{ErrorType, Read, Seek, SeekFrom, Write};
use kubesolo_boot::linux::device::Device;
use kubesolo_core::disk::ext4;
use kubesolo_core::disk::gpt::{self, Table};
use kubesolo_core::disk::grow::{self, DISK, Error, Plan, Wish};
use kubesolo_core::disk::guid::Guid;
use kubesolo_core::disk::storage::Storage;

const SECTOR: usize = 512;
const NAMES: [&str; 4] = ["KSOLOEFI", "KSOLOA", "KSOLOB", "KSOLODATA"];
/// Of the disk, and of its four partitions, as image/build makes them.
const OLD_GUIDS: [&str; 5] = [
    "00000000-1111-8111-a111-000000000000",
    "00000000-1111-8111-a111-000000000001",
    "00000000-1111-8111-a111-000000000002",
    "00000000-1111-8111-a111-000000000003",
    "00000000-1111-8111-a111-000000000004",
];
/// First and last sector of the four partitions.
const LAYOUT: [(u64, u64); 4] = [(104, 143), (144, 183), (184, 223), (224, 519)];
/// Sectors of the image, and of the disk that it is written to.
const IMAGE: usize = 600;
const DISK_LEN: usize = 3200;
/// Where the last partition ends on that disk: sector 3166 is the last one to be used, and eight make a block.
const END: u64 = 3159;
/// The same with sectors of 4096 bytes, of which there are 1024: the last five are the backup.
const LARGE_LEN: usize = 8192;
const LARGE_END: u64 = 1018;

fn new_guids() -> Vec<(u32, Guid)> {
    (0..=4).map(|number| (number, Guid::random([0x30 + number as u8; 16]))).collect()
}

fn wish(guids: &[(u32, Guid)]) -> Wish<'_> {
    Wish { data: 4, guids }
}

/// An image, and what `more` tells sgdisk; `None` without sgdisk.
fn image(more: &[&str]) -> Option<Vec<u8>> {
    // sgdisk waits for all of the machine's disks, so the plain one is made once.
    static PLAIN: OnceLock<Option<Vec<u8>>> = OnceLock::new();
    if more.is_empty() { PLAIN.get_or_init(|| make(&[])).clone() } else { make(more) }
}

fn make(more: &[&str]) -> Option<Vec<u8>> {
    let mut words: Vec<String> = vec!["-a1".into()];
    words.extend(more.iter().filter(|word| word.starts_with("-S")).map(ToString::to_string));
    words.push(format!("-U{}", OLD_GUIDS[0]));
    for (number, ((first, last), name)) in (1..).zip(LAYOUT.iter().zip(NAMES)) {
        words.push(format!("-n{number}:{first}:{last}"));
        words.push(format!("-c{number}:{name}"));
        words.push(format!("-u{number}:{}", OLD_GUIDS[number]));
    }
    words.extend(more.iter().filter(|word| !word.starts_with("-S")).map(ToString::to_string));
    let mut bytes = vec![0; IMAGE * SECTOR];
    // GRUB's code for BIOS: not to be lost.
    bytes[..440].fill(0x90);
    sgdisk(&bytes, &words.iter().map(String::as_str).collect::<Vec<_>>())
}

/// The disk as sgdisk leaves it.
fn sgdisk(bytes: &[u8], words: &[&str]) -> Option<Vec<u8>> {
    let sgdisk = tool("sgdisk")?;
    let folder = Folder::new();
    folder.write("disk", bytes);
    let disk = folder.text("disk");
    must(&sgdisk, &[words, &[&disk]].concat());
    folder.read("disk")
}

/// What sgdisk says about it.
fn verified(bytes: &[u8]) -> String {
    let folder = Folder::new();
    folder.write("disk", bytes);
    let disk = folder.text("disk");
    scene::run(tool("sgdisk").unwrap(), ["-v", "-p", &disk], Path::new("/")).out().to_owned()
}

/// The image on a disk of so many sectors.
fn written_to(image: &[u8], sectors: usize) -> Vec<u8> {
    let mut disk = image.to_vec();
    disk.resize(sectors * SECTOR, 0);
    disk
}

/// The same disk with sectors of 4096 bytes: the tables laid out anew, each partition at the same sector numbers.
fn with_large_sectors(disk: &[u8]) -> Vec<u8> {
    let sectors = disk.len() / SECTOR;
    let mut large = vec![0; sectors * 4096];
    large[..SECTOR].copy_from_slice(&disk[..SECTOR]);
    let (last, entries) = (sectors - 1, &disk[2 * SECTOR..34 * SECTOR]);
    for (lba, entries_lba, other) in [(1, 2, last), (last, last - 4, 1)] {
        let at = lba * 4096;
        large[at..at + 92].copy_from_slice(&disk[SECTOR..SECTOR + 92]);
        for (field, value) in [(24, lba), (32, other), (72, entries_lba)] {
            large[at + field..at + field + 8].copy_from_slice(&(value as u64).to_le_bytes());
        }
        seal(&mut large, at);
        large[entries_lba * 4096..entries_lba * 4096 + entries.len()].copy_from_slice(entries);
    }
    large
}

/// Makes the checksum of the header there right.
fn seal(disk: &mut [u8], header: usize) {
    disk[header + 16..header + 20].fill(0);
    let crc = crc32fast::hash(&disk[header..header + 92]);
    disk[header + 16..header + 20].copy_from_slice(&crc.to_le_bytes());
}

fn look(disk: &[u8], guids: &[(u32, Guid)]) -> Result<Plan, Error<Fault>> {
    grow::look(&mut Medium::holding(disk), &wish(guids))
}

/// Looks and carries out, as one run of the verb does.
fn run(medium: &mut Medium, guids: &[(u32, Guid)]) -> Result<Plan, Error<Fault>> {
    let plan = grow::look(medium, &wish(guids))?;
    if !plan.is_idle {
        grow::carry_out(medium, &plan)?;
    }
    Ok(plan)
}

/// The disk after an uncut run; everything on it is durable, and a second run finds nothing to do.
fn grown(disk: &[u8], guids: &[(u32, Guid)]) -> Vec<u8> {
    let mut medium = Medium::holding(disk);
    run(&mut medium, guids).unwrap();
    assert!(medium.pending.is_empty(), "all that is written is synced");
    let mut again = Medium::holding(&medium.durable);
    assert!(run(&mut again, guids).unwrap().is_idle && run(&mut again, &[]).unwrap().is_idle);
    assert_eq!(again.sectors_written, 0);
    medium.durable
}

fn read(disk: &[u8]) -> Result<Table, gpt::Error<Fault>> {
    gpt::read(&mut Medium::holding(disk))
}

/// First and last sector and name of each partition.
fn partitions(table: &Table) -> Vec<(u64, u64, &str)> {
    table.partitions.iter().map(|part| (part.first.0, part.last.0, part.name.as_str())).collect()
}

fn ours(end: u64) -> Vec<(u64, u64, &'static str)> {
    let mut all: Vec<_> = LAYOUT.iter().zip(NAMES).map(|((first, last), name)| (*first, *last, name)).collect();
    all[3].1 = end;
    all
}

/// First and last sector of the partitions as GRUB finds them: in the primary table, by no checksum.
fn grubs_view(disk: &[u8]) -> Option<Vec<(u64, u64)>> {
    let le = |at: usize, len: usize| disk[at..at + len].iter().rev().fold(0, |sum, byte| sum << 8 | u64::from(*byte));
    let protective = (0..4).any(|number| disk[446 + 16 * number + 4] == 0xee);
    let sector = [512, 4096].into_iter().find(|at| disk[*at..].starts_with(b"EFI PART"))?;
    let (entries, count, size) = (le(sector + 72, 8) as usize * sector, le(sector + 80, 4), le(sector + 84, 4));
    let entries = (0..count).map(|number| entries + (number * size) as usize);
    let used = entries.filter(|at| disk[*at..*at + 16] != [0; 16]).map(|at| (le(at + 32, 8), le(at + 40, 8)));
    (protective && le(510, 2) == 0xaa55).then(|| used.collect())
}

#[test]
fn the_table_is_the_one_that_sgdisk_makes() {
    for (more, sectors) in
        [(&[][..], DISK_LEN), (&[], 40_001), (&["-S132"], DISK_LEN), (&["-S256"], DISK_LEN), (&["-n9:36:37"], DISK_LEN)]
    {
        let Some(image) = image(more) else { return };
        let disk = written_to(&image, sectors);
        let plan = look(&disk, &new_guids()).unwrap();
        let (start, end) = (plan.start / 512, (plan.start + plan.len) / 512 - 1);
        assert_eq!((start, end % 8), (224, 7), "it ends with a block");
        let data = [format!("-n4:224:{end}"), "-c4:KSOLODATA".into()];
        let mut words = vec!["-a1".to_owned(), "-e".into(), "-d4".into()];
        words.extend(data);
        words.extend(new_guids().iter().map(|(number, guid)| match *number {
            DISK => format!("-U{guid}"),
            number => format!("-u{number}:{guid}"),
        }));
        let theirs = sgdisk(&disk, &words.iter().map(String::as_str).collect::<Vec<_>>()).unwrap();
        let mut mine = grown(&disk, &new_guids());
        assert_eq!(partitions(&read(&mine).unwrap())[..4], ours(end));
        assert!(verified(&mine).contains("No problems found"), "{}", verified(&mine));
        assert_eq!(mine[..440], disk[..440], "GRUB's code");
        // Where the old backup was is now the partition's.
        let old = (IMAGE - 65) * SECTOR..IMAGE * SECTOR; // Of 256 entries at most.
        mine[old.clone()].copy_from_slice(&theirs[old]);
        let differ: Vec<_> = (0..mine.len()).filter(|at| mine[*at] != theirs[*at]).take(40).collect();
        assert!(differ.is_empty(), "{more:?} on {sectors} sectors: {differ:?}");
    }
}

#[test]
fn a_disk_of_the_images_size_is_not_written_to() {
    let Some(image) = image(&[]) else { return };
    let disk = grown(&image, &[]);
    assert_eq!(disk, image);
    // Less than a MiB more, up to the gap that the image itself has.
    for more in [1, 7, 1990] {
        let disk = written_to(&image, IMAGE + more);
        let plan = look(&disk, &[]).unwrap();
        assert_eq!((plan.len, plan.is_idle), (plan.len_before, false), "the backup only moves to the end");
        let disk = grown(&disk, &[]);
        assert_eq!(partitions(&read(&disk).unwrap()), ours(LAYOUT[3].1));
    }
}

#[test]
fn guids_are_given_without_growing_too() {
    let Some(image) = image(&[]) else { return };
    let mut with_guids = grown(&image, &new_guids());
    let table = read(&with_guids).unwrap();
    assert_eq!(partitions(&table), ours(LAYOUT[3].1));
    for (number, guid) in new_guids() {
        let now = if number == DISK { table.guid } else { table.partitions[number as usize - 1].guid };
        assert_eq!(now, guid, "{number}");
    }
    // In both copies; and those that are not to change do not.
    with_guids[SECTOR] = 0;
    assert_eq!(Table { from_backup: false, ..read(&with_guids).unwrap() }, table);
    let some = read(&grown(&image, &new_guids()[3..])).unwrap();
    let old: Vec<_> = [some.guid].into_iter().chain(some.partitions.iter().map(|part| part.guid)).collect();
    assert!((0..3).all(|number| old[number].is(OLD_GUIDS[number])), "{old:?}");
    assert_eq!(old[3..], [new_guids()[3].1, new_guids()[4].1]);
}

#[test]
fn sectors_of_4096_bytes_grow_too() {
    let Some(image) = image(&[]) else { return };
    let disk = written_to(&with_large_sectors(&image), LARGE_LEN);
    let disk = grown(&disk, &new_guids());
    let table = read(&disk).unwrap();
    assert_eq!((table.sector_size, table.from_backup), (4096, false));
    assert_eq!(partitions(&table), ours(LARGE_END));
    assert_eq!(grubs_view(&disk).unwrap()[3], (224, LARGE_END));
}

#[test]
fn the_room_ends_at_the_next_partition() {
    let rows: &[(&[&str], u64)] = &[
        (&["-n5:520:520"], 519),
        (&["-n5:2500:2501"], 519),
        (&["-n5:2803:2803", "-n6:3000:3001"], 2799),
        (&["-d3", "-n3:3000:3001", "-c3:KSOLOB"], 2999),
        (&["-n5:36:37"], END),
    ];
    for (more, end) in rows {
        let Some(small) = image(&[]) else { return };
        // The other partitions are made on the large disk, and its backup goes where the image's was.
        let disk = sgdisk(&written_to(&small, DISK_LEN), &[&["-a1", "-e"], *more].concat()).unwrap();
        let before = read(&disk).unwrap();
        let disk = grown(&disk, &[]);
        let after = read(&disk).unwrap();
        assert_eq!(after.named("KSOLODATA").unwrap().last.0, *end, "{more:?}");
        let others = |table: &Table| {
            table.partitions.iter().filter(|part| part.name != "KSOLODATA").cloned().collect::<Vec<_>>()
        };
        assert_eq!(others(&before), others(&after), "{more:?}");
        assert!(verified(&disk).contains("No problems found"), "{}", verified(&disk));
    }
}

#[test]
fn what_is_not_understood_is_refused_and_not_written_to() {
    let Some(small) = image(&[]) else { return };
    let large = written_to(&small, DISK_LEN);
    type Change = fn(&mut Vec<u8>);
    let rows: &[(&str, Change, &str)] = &[
        ("no MBR", |disk| disk[510] = 0, "not a protective MBR"),
        ("an MBR that protects nothing", |disk| disk[450] = 0, "not a protective MBR"),
        ("an MBR of its own", |disk| disk[450] = 0x0c, "not a protective MBR"),
        ("one that protects something else", |disk| disk[454] = 63, "not a protective MBR"),
        ("a hybrid", |disk| disk[466] = 0x0c, "a hybrid one"),
        ("protected twice", |disk| disk.copy_within(446..462, 462), "a hybrid one"),
        ("both copies damaged", |disk| disk[SECTOR + 60] ^= 1, "GPT header checksum"),
        (
            "entries where GRUB is",
            |disk| {
                disk.copy_within(2 * SECTOR..34 * SECTOR, 4 * SECTOR);
                disk[SECTOR + 72] = 4;
                seal(disk, SECTOR);
            },
            "where partitions may be",
        ),
        (
            "overlapping partitions",
            |disk| {
                disk[3 * SECTOR..3 * SECTOR + 128].copy_within(0.., 0);
                disk.copy_within(2 * SECTOR + 384..3 * SECTOR, 3 * SECTOR);
                let crc = crc32fast::hash(&disk[2 * SECTOR..34 * SECTOR]);
                disk[SECTOR + 88..SECTOR + 92].copy_from_slice(&crc.to_le_bytes());
                seal(disk, SECTOR);
            },
            "partition 5 overlaps",
        ),
        (
            "a disk that ends in its table",
            |disk| disk.truncate(530 * SECTOR),
            "partition 4 reaches to where the backup",
        ),
        ("a disk that ends in a partition", |disk| disk.truncate(400 * SECTOR), "past the end of the disk"),
    ];
    for (what, change, want) in rows {
        let mut disk = large.clone();
        change(&mut disk);
        let mut medium = Medium::holding(&disk);
        let error = run(&mut medium, &new_guids()).unwrap_err();
        assert!(error.to_string().contains(want), "{what}: {error}");
        assert_eq!((medium.sectors_written, &medium.cached), (0, &disk), "{what}");
    }
    let error = grow::look(&mut Medium::holding(&large), &Wish { data: 5, guids: &[] }).unwrap_err();
    assert_eq!(error, Error::NoSuchPartition(5));
    assert!(error.is_refusal());
}

#[test]
fn a_disk_cut_short_behind_its_partitions_gets_a_backup_again() {
    let Some(small) = image(&[]) else { return };
    let disk = grown(&small[..560 * SECTOR], &[]);
    assert_eq!(partitions(&read(&disk).unwrap()), ours(LAYOUT[3].1));
    assert!(verified(&disk).contains("No problems found"), "{}", verified(&disk));
}

#[test]
fn each_copy_heals_the_other() {
    let Some(small) = image(&[]) else { return };
    let whole = grown(&written_to(&small, DISK_LEN), &new_guids());
    let end = whole.len();
    for at in [SECTOR, SECTOR + 60, 2 * SECTOR + 40, 20 * SECTOR, end - 1 - 500, end - 33 * SECTOR, end - 20 * SECTOR] {
        let mut damaged = whole.clone();
        damaged[at] ^= 0x20;
        assert_eq!(grown(&damaged, &[]), whole, "byte {at}");
    }
    let mut wiped = whole.clone();
    wiped[SECTOR..34 * SECTOR].fill(0);
    assert_eq!(grown(&wiped, &[]), whole);
    // What the backup says is all there is when a disk has grown and has another damage: no copy is to be found.
    wiped.resize(end + 4096 * SECTOR, 0);
    assert_eq!(look(&wiped, &[]).unwrap_err(), Error::Table(gpt::Error::NoSignature));
}

/// What a disk must be after a cut: `Ok`, or what is wrong with it.
fn judge(disk: &[u8], sector: usize, ends: [u64; 2]) -> Result<(), String> {
    let grub = grubs_view(disk).ok_or("GRUB finds no table")?;
    if grub[..3] != LAYOUT[..3] || grub.len() != 4 || grub[3].0 != LAYOUT[3].0 {
        return Err(format!("GRUB finds {grub:?}"));
    }
    let table = read(disk).map_err(|error| format!("Linux finds no table: {error}"))?;
    let found = partitions(&table);
    if ends.iter().all(|end| found != ours(*end)) || table.sector_size != sector as u64 {
        return Err(format!("Linux finds {found:?}"));
    }
    Ok(())
}

/// What may be on the medium after a cut now: all of what is pending, and samples where that is too much.
fn outcomes(medium: &Medium, random: &mut Random) -> Vec<Vec<u8>> {
    let count = medium.pending.len();
    if count < 5 {
        return medium.after_cut();
    }
    let mut outcomes = vec![medium.with(|_| false), medium.with(|_| true), medium.with(|number| number == count - 1)];
    for _ in 0..2 {
        let one = random.below(count);
        outcomes.extend([medium.with(|number| number == one), medium.with(|number| number != one)]);
        let arrived: Vec<bool> = (0..count).map(|_| random.one_in(2)).collect();
        outcomes.push(medium.with(|number| arrived[number]));
    }
    outcomes
}

/// Cuts a run over `disk` at every step; gives how many stops and how many disks there were, and one disk a stop.
fn cut_everywhere(disk: &[u8], sector: usize, ends: [u64; 2]) -> (usize, usize, Vec<Vec<u8>>) {
    let mut random = Random::seeded(seed());
    let fuse = Fuse::endless();
    let mut uncut = Medium::holding(disk).on(&fuse);
    run(&mut uncut, &new_guids()).unwrap();
    assert_ne!(uncut.durable, disk, "the uncut run changed something");
    let steps = fuse.steps();
    let (mut disks, mut samples) = (0, Vec::new());
    for stop in 0..=steps {
        let mut medium = Medium::holding(disk).on(&Fuse::blows_after(stop));
        assert_eq!(run(&mut medium, &new_guids()).is_ok(), stop == steps);
        for after in outcomes(&medium, &mut random) {
            disks += 1;
            judge(&after, sector, ends).unwrap_or_else(|wrong| panic!("stop {stop} of {steps}: {wrong}"));
            // The box boots, and the next run finishes: also when it has GUIDs of its own to give.
            let guids = [new_guids(), (0..=4).map(|number| (number, Guid::random([0x77; 16]))).collect()];
            let guids = &guids[random.below(2)];
            let mut again = Medium::holding(&after);
            run(&mut again, guids).unwrap();
            assert!(look(&again.durable, &[]).unwrap().is_idle);
            let table = read(&again.durable).unwrap();
            assert_eq!(partitions(&table), ours(ends[1]), "stop {stop} of {steps}");
            assert_eq!(table.partitions[3].guid.version(), 4);
            if samples.len() == stop {
                samples.push(after);
            }
        }
    }
    (steps, disks, samples)
}

#[test]
fn a_cut_at_any_write_leaves_a_disk_that_boots_and_is_finished_later() {
    let Some(small) = image(&[]) else { return };
    let large = written_to(&small, DISK_LEN);
    let mut torn = grown(&large, &new_guids());
    torn[2 * SECTOR..3 * SECTOR].copy_from_slice(&large[2 * SECTOR..3 * SECTOR]);
    let mut used = large.clone();
    used[IMAGE * SECTOR..].fill(0xa5);
    let rows: &[(&str, Vec<u8>, usize, [u64; 2])] = &[
        ("a large disk", large.clone(), SECTOR, [LAYOUT[3].1, END]),
        ("a disk that was used before", used, SECTOR, [LAYOUT[3].1, END]),
        ("a disk of the image's size", small.clone(), SECTOR, [LAYOUT[3].1; 2]),
        ("one sector more", written_to(&small, IMAGE + 1), SECTOR, [LAYOUT[3].1; 2]),
        ("20 sectors more: the backups overlap", written_to(&small, IMAGE + 20), SECTOR, [LAYOUT[3].1; 2]),
        ("5 sectors less", written_to(&small, IMAGE - 5), SECTOR, [LAYOUT[3].1; 2]),
        ("large sectors", written_to(&with_large_sectors(&small), LARGE_LEN), 4096, [LAYOUT[3].1, LARGE_END]),
        ("an earlier cut", torn, SECTOR, [END, END]),
    ];
    for (what, disk, sector, ends) in rows {
        let (steps, disks, samples) = cut_everywhere(disk, *sector, *ends);
        println!("{what}: {steps} steps, {disks} disks");
        assert!(steps >= 3, "{what}");
        if what != &"a disk that was used before" {
            continue;
        }
        // In the middle of the backup, and around each sync of the primary copy.
        for after in [steps / 3, steps - 6, steps - 4, steps - 3, steps] {
            let said = verified(&samples[after]);
            for ((first, last), name) in LAYOUT.iter().zip(NAMES) {
                let line = said.lines().find(|line| line.ends_with(&format!(" {name}")));
                let mut numbers = line.unwrap_or_else(|| panic!("{what}, {after}: {said}")).split_whitespace().skip(1);
                assert_eq!(numbers.next(), Some(&first.to_string()[..]), "{what}, {after}");
                let end = numbers.next().unwrap();
                assert!(end == last.to_string() || name == "KSOLODATA" && end == ends[1].to_string(), "{said}");
            }
        }
    }
}

/// Each of these is wrong, and the judge says so.
#[test]
fn a_wrong_order_is_caught() {
    let Some(small) = image(&[]) else { return };
    let disk = written_to(&small, DISK_LEN);
    let then = grown(&disk, &new_guids());
    let end = disk.len() / SECTOR;
    let (header, entries, backup) = (vec![1], vec![2], (end - 33..end).collect::<Vec<_>>());
    let orders: [(&str, Vec<Vec<usize>>, bool); 4] = [
        ("as it is done", vec![backup.clone(), entries.clone(), header.clone()], false),
        ("the primary first", vec![entries.clone(), header.clone(), backup.clone()], true),
        ("the header first", vec![header.clone(), backup.clone(), entries.clone()], true),
        ("the backup not synced", vec![[backup, entries].concat(), header], true),
    ];
    for (what, order, wrong) in orders {
        let mut random = Random::seeded(seed());
        let mut medium = Medium::holding(&disk);
        let mut found = Vec::new();
        for group in order {
            for sector in group {
                let at = sector * SECTOR;
                medium.seek(SeekFrom::Start(at as u64)).unwrap();
                medium.write(&then[at..at + SECTOR]).unwrap();
                let outcomes = outcomes(&medium, &mut random);
                found.extend(outcomes.iter().filter_map(|disk| judge(disk, SECTOR, [LAYOUT[3].1, END]).err()));
            }
            medium.sync().unwrap();
        }
        assert_eq!(!found.is_empty(), wrong, "{what}: {found:?}");
    }
}

/// A medium that takes writes and forgets them, behind a cache that does not: the primary copy is not touched.
#[test]
fn a_medium_that_forgets_is_not_believed() {
    struct Forgetful(Medium);
    impl ErrorType for Forgetful {
        type Error = Fault;
    }
    impl Read for Forgetful {
        fn read(&mut self, buffer: &mut [u8]) -> Result<usize, Fault> {
            self.0.read(buffer)
        }
    }
    impl Write for Forgetful {
        fn write(&mut self, bytes: &[u8]) -> Result<usize, Fault> {
            self.0.write(bytes)
        }
        fn flush(&mut self) -> Result<(), Fault> {
            Ok(())
        }
    }
    impl Seek for Forgetful {
        fn seek(&mut self, to: SeekFrom) -> Result<u64, Fault> {
            self.0.seek(to)
        }
    }
    impl Storage for Forgetful {
        fn sync(&mut self) -> Result<(), Fault> {
            self.0.pending.clear();
            Ok(())
        }
        fn drop_cache(&mut self) -> Result<(), Fault> {
            self.0.drop_cache()
        }
    }
    let Some(small) = image(&[]) else { return };
    let disk = written_to(&small, DISK_LEN);
    let mut medium = Forgetful(Medium::holding(&disk));
    let plan = grow::look(&mut medium, &wish(&[])).unwrap();
    assert_eq!(grow::carry_out(&mut medium, &plan), Err(Error::NotTaken));
    assert_eq!(medium.0.cached[..34 * SECTOR], disk[..34 * SECTOR]);
    assert!(!Error::<Fault>::NotTaken.is_refusal());
}

/// A disk as a file, whose data partition holds ext4 as far as its superblock says; the program run on it.
struct OnFile(Folder);

impl OnFile {
    fn new(disk: &[u8]) -> OnFile {
        let folder = Folder::new();
        let mut disk = disk.to_vec();
        let superblock = LAYOUT[3].0 as usize * SECTOR + 1024;
        disk[superblock + 0x38..superblock + 0x3a].copy_from_slice(&[0x53, 0xef]);
        disk[superblock + 0x21] = 0x80;
        folder.write("disk", disk);
        OnFile(folder)
    }

    fn disk(&self) -> Vec<u8> {
        self.0.read("disk").unwrap()
    }

    fn run(&self, more: &[&str]) -> scene::Ran {
        let [disk, conf] = ["disk", "conf"].map(|name| self.0.text(name));
        let words = [&["grow", "--disk", &disk, "--conf", &conf], more].concat();
        scene::run(scene::binary(), words, Path::new("/"))
    }
}

#[test]
fn an_image_file_gets_a_larger_table_and_keeps_its_guids() {
    let Some(small) = image(&[]) else { return };
    let file = OnFile::new(&written_to(&small, DISK_LEN));
    file.0.write("conf", "grow=no\n");
    let before = file.disk();
    let ran = file.run(&[]);
    assert_eq!((ran.exit, ran.out(), ran.stderr.as_str()), (0, "grow=no: the disk stays as it is.\n", ""));
    assert_eq!(file.disk(), before);
    file.0.write("conf", "grow=off\n");
    assert_eq!(file.run(&[]).exit, 2, "who wrote that did not mean yes");
    assert_eq!(file.disk(), before);

    file.0.write("conf", "grow=no\n");
    let ran = file.run(&["--grow=yes"]);
    assert_eq!(ran.exit, 0, "{}", ran.stderr);
    assert!(
        ran.out().contains("was 0 MiB, is 1 MiB") && ran.out().contains("is a file: only its table is enlarged"),
        "{}",
        ran.out()
    );
    let after = file.disk();
    assert_eq!(partitions(&read(&after).unwrap()), ours(END));
    assert!(read(&after).unwrap().guid.is(OLD_GUIDS[0]), "each box that gets the image must give its own");
    assert_eq!(after[2048 * SECTOR..3160 * SECTOR], before[2048 * SECTOR..3160 * SECTOR]);
    assert!(verified(&after).contains("No problems found"));

    // Nothing to do: nothing written, also where nothing can be.
    let path = file.0.path("disk");
    let stamp = || {
        let told = std::fs::metadata(&path).unwrap();
        (told.mtime(), told.mtime_nsec(), told.ctime(), told.ctime_nsec())
    };
    let before = stamp();
    assert_eq!(file.run(&["--grow=yes"]).exit, 0);
    assert_eq!(stamp(), before);
}

#[test]
fn a_data_partition_that_is_not_ours_is_left_alone() {
    let Some(small) = image(&[]) else { return };
    let file = OnFile::new(&written_to(&small, DISK_LEN));
    file.0.write("conf", "");
    let mut disk = file.disk();
    // LUKS, and no superblock.
    let at = LAYOUT[3].0 as usize * SECTOR;
    disk[at..at + 6].copy_from_slice(b"LUKS\xba\xbe");
    disk[at + 1024 + 0x38] = 0;
    file.0.write("disk", &disk);
    let ran = file.run(&[]);
    assert_eq!(ran.exit, 7);
    assert!(ran.stderr.contains("holds no ext4 filesystem; the disk stays as it is"), "{}", ran.stderr);
    assert_eq!(file.disk(), disk);
    // A table that is refused.
    let file = OnFile::new(&written_to(&small, DISK_LEN));
    file.0.write("conf", "");
    let mut disk = file.disk();
    disk[466] = 0x0c;
    file.0.write("disk", &disk);
    let ran = file.run(&[]);
    assert_eq!(ran.exit, 7);
    assert!(ran.stderr.contains("a hybrid one"), "{}", ran.stderr);
    assert_eq!(file.disk(), disk);
}

#[test]
fn somebody_else_at_the_table_is_waited_for() {
    let (Some(small), Some(flock)) = (image(&[]), tool("flock")) else { return };
    let file = OnFile::new(&written_to(&small, DISK_LEN));
    file.0.write("conf", "");
    let disk = file.0.text("disk");
    // The lock is let go when the one who reads from the pipe gets to its end.
    let mut holder = std::process::Command::new(flock)
        .args(["--no-fork", &disk, "cat"])
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let mut pipe = holder.stdin.take().unwrap();
    std::io::Write::write_all(&mut pipe, b"held").unwrap();
    std::io::Read::read_exact(holder.stdout.as_mut().unwrap(), &mut [0; 4]).unwrap();
    let before = file.disk();
    let ran = file.run(&[]);
    assert_eq!(ran.exit, 8, "{}", ran.stderr);
    assert!(ran.stderr.contains("somebody else works on its partition table"), "{}", ran.stderr);
    assert_eq!(file.disk(), before);
    drop(pipe);
    holder.wait().unwrap();
    assert_eq!(file.run(&[]).exit, 0);
    assert_ne!(file.disk(), before);
}

/// As large as a real disk: the CHS numbers and the size in the protective MBR end before it does.
#[test]
fn a_large_disk_gets_the_table_that_sgdisk_makes() {
    let (Some(small), Some(sgdisk)) = (image(&[]), tool("sgdisk")) else { return };
    for size in [16_u64 << 30, 3 << 40] {
        let file = OnFile::new(&small);
        file.0.write("conf", "");
        std::fs::copy(file.0.path("disk"), file.0.path("theirs")).unwrap();
        let disks = ["disk", "theirs"].map(|name| {
            let disk = std::fs::OpenOptions::new().read(true).write(true).open(file.0.path(name)).unwrap();
            disk.set_len(size).unwrap();
            disk
        });
        assert_eq!(file.run(&[]).exit, 0);
        let end = size / 512 - 34 - (size / 512 - 33) % 8;
        let guid = format!("-u4:{}", OLD_GUIDS[4]);
        let new = format!("-n4:224:{end}");
        must(&sgdisk, &["-a1", "-e", "-d4", &new, "-c4:KSOLODATA", &guid, &file.0.text("theirs")]);
        for (at, len) in [(0, 34 * SECTOR), (size - 33 * 512, 33 * SECTOR)] {
            let both = disks.each_ref().map(|disk| {
                let mut bytes = vec![0; len];
                disk.read_exact_at(&mut bytes, at).unwrap();
                bytes
            });
            let differ: Vec<_> = (0..len).filter(|byte| both[0][*byte] != both[1][*byte]).collect();
            assert!(differ.is_empty(), "{size} bytes, at {at}: {differ:?}");
        }
    }
}

#[test]
fn a_filesystem_is_as_large_as_mkfs_makes_one() {
    let (Some(mkfs), folder) = (tool("mkfs.ext4"), Folder::new()) else { return };
    let size = |blocks: u64| {
        let path = folder.text("filesystem");
        std::fs::File::create(&path).unwrap().set_len(blocks * 4096).unwrap();
        must(&mkfs, &["-q", "-F", "-b", "4096", "-I", "256", "-O", "^has_journal,64bit,resize_inode", &path]);
        let mut device = Device::open(rustix::fs::CWD, &path, rustix::fs::OFlags::RDONLY).unwrap();
        ext4::size(&mut device, 0).unwrap().unwrap()
    };
    let small = size(8192);
    assert_eq!((small.block, small.blocks), (4096, 8192));
    for blocks in [8191, 8192, 8193, 40_000, 262_144, 262_145, 262_400, 262_700, 262_900, 300_000] {
        let (ours, theirs) = (small.on(blocks * 4096), size(blocks).blocks);
        if blocks <= 8192 {
            assert_eq!(ours, 8192, "it does not shrink");
        } else {
            // mkfs knows better which groups have copies of the superblock.
            assert!(ours <= theirs && theirs - ours < 1024, "{blocks}: {ours}, mkfs {theirs}");
        }
        let mut then = small;
        then.blocks = ours;
        assert_eq!(then.on(blocks * 4096), ours, "then there is nothing more to do");
    }
}

/// Disks of random sizes, and tables damaged at random: what is written never moves a partition, and never stops short.
#[test]
fn random_disks_are_grown_or_left_alone() {
    let Some(small) = image(&[]) else { return };
    let mut random = Random::seeded(seed() ^ 5);
    let mut counts = [0; 2];
    let cases = scene::cases(300);
    for _ in 0..cases {
        let mut disk = written_to(&small, 515 + random.below(3000));
        for _ in 0..random.below(4) {
            let end = disk.len();
            let at = *random.pick(&[446, 510, SECTOR, 2 * SECTOR, end - SECTOR, end - 33 * SECTOR]) + random.below(100);
            if at < end {
                disk[at] = random.next() as u8;
            }
        }
        let before = read(&disk);
        let mut medium = Medium::holding(&disk);
        if run(&mut medium, &new_guids()).is_err() {
            assert_eq!(medium.sectors_written, 0);
            counts[0] += 1;
            continue;
        }
        counts[1] += 1;
        let (before, after) = (before.unwrap(), read(&medium.durable).unwrap());
        for (old, new) in before.partitions.iter().zip(&after.partitions) {
            assert_eq!((old.first, &old.name), (new.first, &new.name));
            assert!(new.last == old.last || new.name == "KSOLODATA" && new.last > old.last);
        }
        assert!(look(&medium.durable, &[]).unwrap().is_idle);
    }
    println!("{} left alone, {} grown", counts[0], counts[1]);
    assert!(counts.iter().all(|count| *count > cases / 15), "{counts:?}");
}
