//! Which disk is ours: image files in a folder that stands for `/dev`, folders that stand for `/sys/class/block`.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "a test that panics has failed"
)]

mod scene;

use std::fs;
use std::os::unix::fs::FileExt;
use std::sync::{Mutex, PoisonError};

use kubesolo_boot::device::Device;
use kubesolo_boot::disk::{self, Disk, Wanted};
use kubesolo_boot::ext4::{self, Unsound};
use kubesolo_boot::failure::{Exit, Failure};
use rustix::fs::OFlags;
use scene::{Folder, must, tool};

const NAMES: [&str; 4] = ["KSOLOEFI", "KSOLOA", "KSOLOB", "KSOLODATA"];
/// First sector and length in sectors of each partition: room for the smallest FAT32 and ext4.
const LAYOUT: [(u64, u64); 4] = [(2048, 8192), (10240, 2048), (12288, 2048), (14336, 2048)];

const DISK_LEN: u64 = 16 << 20;

/// The sectors before and behind the partitions; sgdisk waits for the machine's disks, so each is made once.
fn tables(digits: &str, named: bool) -> Option<[Vec<u8>; 2]> {
    static MADE: Mutex<Vec<(String, [Vec<u8>; 2])>> = Mutex::new(Vec::new());
    let mut made = MADE.lock().unwrap_or_else(PoisonError::into_inner);
    let key = format!("{digits} {named}");
    if let Some((_, tables)) = made.iter().find(|(other, _)| *other == key) {
        return Some(tables.clone());
    }
    let sgdisk = tool("sgdisk")?;
    let folder = Folder::new();
    fs::File::create(folder.path("disk")).unwrap().set_len(DISK_LEN).unwrap();
    let mut words = vec!["-a1".to_owned()];
    for (number, ((first, len), text)) in (1..).zip(LAYOUT.iter().zip(NAMES)) {
        words.push(format!("-n{number}:{first}:{}", first + len - 1));
        words.push(format!("-u{number}:00000000-0000-4000-8000-00000{number}{digits}"));
        words.push(format!("-c{number}:{}", if named { text } else { "" }));
    }
    words.push(folder.text("disk"));
    must(&sgdisk, &words.iter().map(String::as_str).collect::<Vec<_>>());
    let disk = folder.read("disk").unwrap();
    let tables = [disk[..34 * 512].to_vec(), disk[disk.len() - 33 * 512..].to_vec()];
    made.push((key, tables.clone()));
    Some(tables)
}

/// A machine with disks.
struct Machine(Folder);

impl Machine {
    fn new() -> Machine {
        let folder = Folder::new();
        for name in ["sys", "dev"] {
            fs::create_dir(folder.path(name)).unwrap();
        }
        Machine(folder)
    }

    /// A disk of 16 MiB without a table.
    fn blank(&self, name: &str) {
        fs::create_dir(self.0.path(&format!("sys/{name}"))).unwrap();
        fs::File::create(self.0.path(&format!("dev/{name}"))).unwrap().set_len(DISK_LEN).unwrap();
    }

    /// A disk with four partitions; their GUIDs end in `digits`. `named`: with our names in the GPT.
    fn disk(&self, name: &str, digits: &str, named: bool) -> Option<()> {
        let [head, tail] = tables(digits, named)?;
        self.blank(name);
        self.put(name, 0, &head);
        self.put(name, DISK_LEN - tail.len() as u64, &tail);
        Some(())
    }

    fn put(&self, name: &str, at: u64, bytes: &[u8]) {
        let path = self.0.path(&format!("dev/{name}"));
        fs::OpenOptions::new().write(true).open(path).unwrap().write_all_at(bytes, at).unwrap();
    }

    fn find(&self, wanted: Wanted<'_>) -> Result<Disk, Failure> {
        disk::find(&self.0.text("sys"), &self.0.text("dev"), wanted)
    }

    fn dev(&self, name: &str) -> String {
        self.0.text(&format!("dev/{name}"))
    }
}

fn any() -> Wanted<'static> {
    Wanted::default()
}

/// GUID of partition 2 of a disk.
fn partuuid(digits: &str) -> String {
    format!("00000000-0000-4000-8000-000002{digits}")
}

#[test]
fn the_only_disk_of_ours_is_found_among_others() {
    let machine = Machine::new();
    if machine.disk("sdb", "000001", true).is_none() {
        return;
    }
    machine.blank("sda");
    // A disk that has gone, and a node that is a folder.
    fs::create_dir(machine.0.path("sys/sdc")).unwrap();
    fs::create_dir_all(machine.0.path("sys/sdd")).unwrap();
    fs::create_dir_all(machine.0.path("dev/sdd")).unwrap();
    let found = machine.find(any()).unwrap();
    assert_eq!(found.path.as_str(), machine.dev("sdb"));
    assert_eq!(found.partition("KSOLOB").unwrap().as_str(), format!("{}@{}", machine.dev("sdb"), 12288 * 512));
    let failure = found.partition("KSOLOC").unwrap_err();
    assert_eq!(failure.exit(), Exit::NoDisk);
}

#[test]
fn two_disks_with_the_same_names_are_an_error_that_names_both() {
    let machine = Machine::new();
    if machine.disk("sda", "000001", true).is_none() {
        return;
    }
    machine.disk("sdb", "000002", true).unwrap();
    let failure = machine.find(any()).unwrap_err();
    assert_eq!(failure.exit(), Exit::AmbiguousDisk);
    let said = failure.to_string();
    assert!(said.contains(&machine.dev("sda")) && said.contains(&machine.dev("sdb")), "{said}");

    // Each way to pick one.
    for (name, digits) in [("sda", "000001"), ("sdb", "000002")] {
        let path = machine.dev(name);
        assert_eq!(machine.find(Wanted { disk: Some(&path), partuuid: None }).unwrap().path.as_str(), path);
        let guid = partuuid(digits);
        for guid in [guid.clone(), guid.to_uppercase()] {
            assert_eq!(machine.find(Wanted { disk: None, partuuid: Some(&guid) }).unwrap().path.as_str(), path);
        }
    }
    // The disk wins over the partition, and a partition of neither disk decides nothing.
    let (path, guid) = (machine.dev("sda"), partuuid("000002"));
    assert_eq!(machine.find(Wanted { disk: Some(&path), partuuid: Some(&guid) }).unwrap().path.as_str(), path);
    let guid = partuuid("000003");
    assert_eq!(machine.find(Wanted { disk: None, partuuid: Some(&guid) }).unwrap_err().exit(), Exit::AmbiguousDisk);
}

/// The same image written to two disks of one box: their partitions carry the same GUIDs too.
#[test]
fn two_copies_of_the_booted_disk_are_an_error_that_names_both() {
    let machine = Machine::new();
    if machine.disk("sda", "000001", true).is_none() {
        return;
    }
    machine.disk("sdb", "000001", true).unwrap();
    machine.disk("sdc", "000002", true).unwrap();
    let guid = partuuid("000001");
    let failure = machine.find(Wanted { disk: None, partuuid: Some(&guid) }).unwrap_err();
    assert_eq!(failure.exit(), Exit::AmbiguousDisk);
    let said = failure.to_string();
    assert!(said.contains(&machine.dev("sda")) && said.contains(&machine.dev("sdb")), "{said}");
}

#[test]
fn a_partition_is_not_taken_for_a_disk() {
    let machine = Machine::new();
    if machine.disk("sda", "000001", true).is_none() {
        return;
    }
    machine.disk("sda1", "000002", true).unwrap();
    assert_eq!(machine.find(any()).unwrap_err().exit(), Exit::AmbiguousDisk);
    machine.0.write("sys/sda1/partition", "1\n");
    assert_eq!(machine.find(any()).unwrap().path.as_str(), machine.dev("sda"));
}

#[test]
fn a_disk_that_is_asked_for_is_ours_or_an_error() {
    let machine = Machine::new();
    if machine.disk("sda", "000001", true).is_none() {
        return;
    }
    machine.blank("sdb");
    machine.disk("sdc", "000002", false).unwrap();
    let long = "x".repeat(200);
    for (path, want) in [
        (machine.dev("sdb"), "no GUID partition table"),
        (machine.dev("sdc"), "none of its partitions is called KSOLOEFI"),
        (machine.dev("sdz"), "No such file or directory"),
        (machine.dev(""), ""),
        (long, "too long"),
    ] {
        let failure = machine.find(Wanted { disk: Some(&path), partuuid: None }).unwrap_err();
        assert_eq!(failure.exit(), Exit::NoDisk);
        assert!(failure.to_string().starts_with("find disk: "), "{failure}");
        assert!(failure.to_string().contains(want), "{failure}");
    }
}

#[test]
fn a_damaged_disk_is_named_only_if_there_is_no_other() {
    let machine = Machine::new();
    if machine.disk("sda", "000001", true).is_none() {
        return;
    }
    for at in [512 + 40, DISK_LEN - 512 + 40] {
        machine.put("sda", at, b"?");
    }
    let failure = machine.find(any()).unwrap_err();
    assert_eq!(failure.exit(), Exit::NoDisk);
    let said = failure.to_string();
    assert!(said.contains(&machine.dev("sda")) && said.contains("GPT header checksum is"), "{said}");

    machine.disk("sdb", "000002", true).unwrap();
    assert_eq!(machine.find(any()).unwrap().path.as_str(), machine.dev("sdb"));
}

#[test]
fn a_damaged_primary_table_does_not_hide_the_disk() {
    let machine = Machine::new();
    if machine.disk("sda", "000001", true).is_none() {
        return;
    }
    machine.put("sda", 0, &[0; 34 * 512]);
    let found = machine.find(any()).unwrap();
    assert!(found.table.from_backup);
    assert_eq!(found.partition("KSOLOA").unwrap().as_str(), format!("{}@{}", machine.dev("sda"), 10240 * 512));
}

#[test]
fn no_disk_is_an_error_that_says_what_was_looked_for() {
    let machine = Machine::new();
    for name in ["sda", "loop0"] {
        machine.blank(name);
    }
    let failure = machine.find(any()).unwrap_err();
    assert_eq!(failure.exit(), Exit::NoDisk);
    for name in NAMES {
        assert!(failure.to_string().contains(name), "{failure}");
    }
    let failure = disk::find(&machine.0.text("nosys"), "/dev", any()).unwrap_err();
    assert_eq!(failure.exit(), Exit::NoDisk);
    assert!(failure.to_string().contains("nosys: No such file or directory"), "{failure}");
}

#[test]
fn partitions_without_names_go_by_their_filesystems_labels() {
    let machine = Machine::new();
    let (Some(fat), Some(ext4)) = (tool("mkfs.fat"), tool("mkfs.ext4")) else { return };
    if machine.disk("sda", "000001", false).is_none() {
        return;
    }
    assert_eq!(machine.find(any()).unwrap_err().exit(), Exit::NoDisk, "no labels yet");
    for (bits, sectors) in [("12", "-s4"), ("16", "-s1"), ("32", "-s1")] {
        for ((first, len), name) in LAYOUT.iter().zip(NAMES) {
            let made = machine.0.text("filesystem");
            fs::File::create(&made).unwrap().set_len(len * 512).unwrap();
            if name == "KSOLOEFI" {
                must(&fat, &["-F", bits, sectors, "-n", name, &made]);
            } else {
                must(&ext4, &["-q", "-F", "-L", name, &made]);
            }
            let bytes = fs::read(&made).unwrap();
            machine.put("sda", first * 512, &bytes);
        }
        let found = machine.find(any()).unwrap();
        for (name, (first, _)) in NAMES.iter().zip(LAYOUT) {
            assert_eq!(found.table.named(name).unwrap().first.0, first, "FAT{bits}");
        }
    }
}

#[test]
fn gpt_names_count_before_labels() {
    let machine = Machine::new();
    let Some(ext4) = tool("mkfs.ext4") else { return };
    if machine.disk("sda", "000001", true).is_none() {
        return;
    }
    // KSOLOB's filesystem calls itself KSOLOA.
    let made = machine.0.text("filesystem");
    fs::File::create(&made).unwrap().set_len(LAYOUT[2].1 * 512).unwrap();
    must(&ext4, &["-q", "-F", "-L", "KSOLOA", &made]);
    let bytes = fs::read(&made).unwrap();
    machine.put("sda", 12288 * 512, &bytes);
    assert_eq!(machine.find(any()).unwrap().table.named("KSOLOA").unwrap().first.0, 10240);
}

#[test]
fn the_one_among_sixty_four_disks_is_found() {
    let machine = Machine::new();
    for number in 0..64 {
        machine.blank(&format!("a-disk-with-a-long-name-{number}"));
    }
    if machine.disk("nvme0n1", "000001", true).is_none() {
        return;
    }
    assert_eq!(machine.find(any()).unwrap().path.as_str(), machine.dev("nvme0n1"));
    machine.disk("nvme1n1", "000002", true).unwrap();
    assert_eq!(machine.find(any()).unwrap_err().exit(), Exit::AmbiguousDisk);
}

#[test]
fn a_damaged_filesystem_says_so_itself() {
    let folder = Folder::new();
    let (Some(mkfs), Some(debugfs)) = (tool("mkfs.ext4"), tool("debugfs")) else { return };
    let image = folder.text("image");
    fs::File::create(&image).unwrap().set_len(4 << 20).unwrap();
    let looked = || {
        let mut device = Device::open(rustix::fs::CWD, &image, OFlags::RDONLY).unwrap();
        ext4::unsound(&mut device).unwrap()
    };
    assert_eq!(looked(), Some(Unsound::NotExt4));
    must(&mkfs, &["-q", "-F", &image]);
    assert_eq!(looked(), None);
    must(&debugfs, &["-w", "-R", "set_super_value error_count 3", &image]);
    assert_eq!(looked(), Some(Unsound::Errors(3)));
    must(&mkfs, &["-q", "-F", &image]);
    must(&debugfs, &["-w", "-R", "set_super_value state 3", &image]);
    assert_eq!(looked(), Some(Unsound::Errors(0)));
}
