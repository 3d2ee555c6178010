//! Which disk is ours: image files in a folder that stands for `/dev`, folders that stand for `/sys/class/block`.

use std::fs;
use std::os::unix::fs::{FileExt, symlink};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::scene::{Folder, must, tool};
use kubesolo_boot::disk::chosen::{self, Chosen};
use kubesolo_boot::disk::partitions::{ChosenBy, Disk};
use kubesolo_boot::disk::search::Search;
use kubesolo_boot::failure::{Exit, Failure};
use kubesolo_boot::linux::children::Hanging;
use kubesolo_boot::linux::device::Device;
use kubesolo_boot::linux::process::Process;
use kubesolo_boot::linux::sysblock::{self, Uevent};
use kubesolo_core::disk::ext4::{self, NeedsFsck};
use rustix::fs::OFlags;

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

/// Where a disk stands in the tree of devices.
const PCI: &str = "devices/pci0000:00/0000:00:01.0/virtio0/block";
const VIRTUAL: &str = "devices/virtual/block";

/// A machine with disks, as Linux 6.1 lists them: links in `sys` to folders in the tree of devices, nodes in `dev`.
struct Machine(Folder);

/// What is known of the boot.
#[derive(Default)]
struct Boot<'a> {
    partuuid: Option<&'a str>,
    /// The disks whose block says what GRUB counted.
    counted: Option<&'a [&'a str]>,
    thorough: bool,
}

impl Machine {
    fn new() -> Machine {
        let folder = Folder::new();
        for name in ["sys", "dev", "run"] {
            fs::create_dir(folder.path(name)).unwrap();
        }
        Machine(folder)
    }

    /// A disk of 16 MiB without a table.
    fn blank(&self, name: &str) {
        self.blank_in(PCI, name);
    }

    fn blank_in(&self, tree: &str, name: &str) {
        static NEXT: AtomicU32 = AtomicU32::new(1);
        let seq = NEXT.fetch_add(1, Ordering::Relaxed);
        let folder = format!("{tree}/{name}");
        self.0.write(
            &format!("{folder}/uevent"),
            format!("MAJOR=254\nMINOR=0\nDEVNAME={name}\nDEVTYPE=disk\nDISKSEQ={seq}\n"),
        );
        self.0.write(&format!("{folder}/ro"), "0\n");
        self.0.write(&format!("{folder}/size"), "32768\n");
        fs::create_dir(self.0.path(&format!("{folder}/holders"))).unwrap();
        symlink(format!("../{folder}"), self.0.path(&format!("sys/{name}"))).unwrap();
        fs::File::create(self.0.path(&format!("dev/{name}"))).unwrap().set_len(DISK_LEN).unwrap();
    }

    /// The kernel's list has this partition of the disk.
    fn list(&self, disk: &str, number: usize, name: &str) {
        let place = fs::read_link(self.0.path(&format!("sys/{disk}"))).unwrap();
        let node = format!("{disk}{number}");
        let folder = format!("{}/{node}", place.to_str().unwrap().trim_start_matches("../"));
        self.0.write(
            &format!("{folder}/uevent"),
            format!(
                "MAJOR=254\nMINOR={number}\nDEVNAME={node}\nDEVTYPE=partition\nDISKSEQ=1\nPARTN={number}\n\
                 PARTNAME={name}\n"
            ),
        );
        self.0.write(&format!("{folder}/partition"), format!("{number}\n"));
        symlink(format!("../{folder}"), self.0.path(&format!("sys/{node}"))).unwrap();
        self.0.write(&format!("dev/{node}"), "");
    }

    /// A disk with four partitions; their GUIDs end in `digits`. `named`: with our names in the GPT. The kernel has not
    /// looked at its table.
    fn unlisted(&self, name: &str, digits: &str, named: bool) -> Option<()> {
        self.unlisted_in(PCI, name, digits, named)
    }

    fn unlisted_in(&self, tree: &str, name: &str, digits: &str, named: bool) -> Option<()> {
        let [head, tail] = tables(digits, named)?;
        self.blank_in(tree, name);
        self.put(name, 0, &head);
        self.put(name, DISK_LEN - tail.len() as u64, &tail);
        Some(())
    }

    /// A disk of ours, as the kernel lists it.
    fn disk(&self, name: &str, digits: &str) -> Option<()> {
        self.disk_in(PCI, name, digits)
    }

    fn disk_in(&self, tree: &str, name: &str, digits: &str) -> Option<()> {
        self.unlisted_in(tree, name, digits, true)?;
        (1..).zip(NAMES).for_each(|(number, text)| self.list(name, number, text));
        Some(())
    }

    fn put(&self, name: &str, at: u64, bytes: &[u8]) {
        let path = self.0.path(&format!("dev/{name}"));
        fs::OpenOptions::new().write(true).open(path).unwrap().write_all_at(bytes, at).unwrap();
    }

    fn search<T>(&self, boot: &Boot<'_>, work: impl FnOnce(&Search<'_>) -> T) -> T {
        let counted = |disk: &Disk| boot.counted.unwrap().iter().any(|name| self.dev(name) == disk.path.as_str());
        work(&Search {
            sys: &self.0.text("sys"),
            dev: &self.0.text("dev"),
            process: Process::BARE,
            deadline: Duration::from_secs(10),
            partuuid: boot.partuuid,
            counted: boot.counted.map(|_| &counted as &dyn Fn(&Disk) -> bool),
            chosen: Chosen::read(&self.0.text("run")),
        })
    }

    fn find_in(&self, boot: &Boot<'_>) -> Result<Disk, Failure> {
        self.search(boot, |search| search.find(&mut Hanging::none(), boot.thorough))
    }

    fn find(&self) -> Result<Disk, Failure> {
        self.find_in(&Boot::default())
    }

    fn at(&self, path: &str) -> Result<Disk, Failure> {
        self.search(&Boot::default(), |search| search.at(&mut Hanging::none(), path))
    }

    fn dev(&self, name: &str) -> String {
        self.0.text(&format!("dev/{name}"))
    }

    /// Nobody can tell which: both are named.
    fn is_ambiguous(&self, boot: &Boot<'_>, [one, other]: [&str; 2]) {
        let failure = self.find_in(boot).unwrap_err();
        assert_eq!(failure.exit(), Exit::AmbiguousDisk);
        let said = failure.to_string();
        assert!(said.contains(&self.dev(one)) && said.contains(&self.dev(other)), "{said}");
    }

    /// It is that disk, for that reason.
    fn is(&self, boot: &Boot<'_>, name: &str, why: Option<ChosenBy>) -> Disk {
        let found = self.find_in(boot).unwrap();
        assert_eq!((found.path.as_str(), found.choice.as_ref().map(|choice| choice.0)), (&*self.dev(name), why));
        found
    }
}

/// GUID of partition 2 of a disk.
fn partuuid(digits: &str) -> String {
    format!("00000000-0000-4000-8000-000002{digits}")
}

#[test]
fn the_only_disk_of_ours_is_found_among_others() {
    let machine = Machine::new();
    if machine.disk("sdb", "000001").is_none() {
        return;
    }
    machine.blank("sda");
    // A disk that has gone, one that nothing is known of, and a node that is a folder.
    symlink("../devices/gone", machine.0.path("sys/sdc")).unwrap();
    fs::create_dir_all(machine.0.path("sys/sdd")).unwrap();
    fs::create_dir_all(machine.0.path("dev/sdd")).unwrap();
    let found = machine.find().unwrap();
    assert_eq!(found.path.as_str(), machine.dev("sdb"));
    assert_eq!(found.partition("KSOLOB").unwrap().as_str(), machine.dev("sdb3"));
    let failure = found.partition("KSOLOC").unwrap_err();
    assert_eq!(failure.exit(), Exit::NoDisk);
}

/// The kernel has read the names: nothing on any disk is needed for it, not even of the one that is found.
#[test]
fn what_the_kernel_lists_is_found_without_reading_a_disk() {
    let machine = Machine::new();
    for disk in ["sda", "nvme0n1", "mmcblk0"] {
        machine.blank(disk);
    }
    for (place, name) in (1..).zip(NAMES) {
        // Names are looked up, not counted: the third disk has them the other way round.
        machine.list("mmcblk0", 5 - place, name);
    }
    machine.list("sda", 1, "KSOLOC");
    fs::remove_dir_all(machine.0.path("dev")).unwrap();
    let found = machine.is(&Boot::default(), "mmcblk0", None);
    assert!(found.sure);
    assert_eq!(found.partition("KSOLODATA").unwrap().as_str(), machine.dev("mmcblk01"));
}

#[test]
fn the_kernels_own_words_are_understood() {
    // Linux 6.1, /sys/class/block/vda1/uevent of a box.
    let text = "MAJOR=254\nMINOR=1\nDEVNAME=vda1\nDEVTYPE=partition\nDISKSEQ=1\nPARTN=1\nPARTNAME=KSOLOEFI\n";
    let want = Uevent { node: Some("vda1"), is_partition: true, seq: 1, name: Some("KSOLOEFI"), is_drive: false };
    assert_eq!(Uevent::parse(text), want);
    // And of an array controller's disk, which is called cciss!c0d0 in the list.
    let want = Uevent { node: Some("cciss/c0d0"), ..Uevent::default() };
    assert_eq!(Uevent::parse("MAJOR=104\nDEVNAME=cciss/c0d0\nDEVTYPE=disk\n"), want);
    assert_eq!(Uevent::parse("DRIVER=sd\nnonsense\n=\nDISKSEQ=many\n"), Uevent::default());
}

/// A look at an empty drive takes seconds, and each fills the console with the kernel's errors.
#[test]
fn a_drive_for_optical_or_floppy_disks_is_not_looked_into() {
    let machine = Machine::new();
    if machine.disk("sda", "000001").is_none() {
        return;
    }
    for (name, major) in [("sr0", 11), ("fd0", 2)] {
        machine.disk(name, "000001");
        let uevent = format!("MAJOR={major}\nMINOR=0\nDEVNAME={name}\nDEVTYPE=disk\nDISKSEQ=9\n");
        machine.0.write(&format!("{PCI}/{name}/uevent"), uevent);
        machine.0.write(&format!("{PCI}/{name}/size"), "2097151\n");
        let sys = machine.0.text("sys");
        let mut seen = Vec::new();
        sysblock::each_disk(&sys, &mut |disk| seen.push(disk.node.to_string())).unwrap();
        assert_eq!(seen, ["sda"], "{name}");
        assert!(!sysblock::has_medium(&sys, name) && sysblock::has_medium(&sys, "sda"));
        machine.0.write(&format!("{PCI}/{name}/size"), "1433600\n");
        assert!(sysblock::has_medium(&sys, name));
        machine.0.write(&format!("{PCI}/{name}/size"), "0\n");
        assert!(!sysblock::has_medium(&sys, name));
    }
}

#[test]
fn two_disks_with_the_same_names_are_an_error_that_names_both() {
    let machine = Machine::new();
    if machine.disk("sda", "000001").is_none() {
        return;
    }
    machine.disk("sdb", "000002").unwrap();
    machine.is_ambiguous(&Boot::default(), ["sda", "sdb"]);

    // Each way to pick one.
    for (name, digits) in [("sda", "000001"), ("sdb", "000002")] {
        assert_eq!(machine.at(&machine.dev(name)).unwrap().path.as_str(), machine.dev(name));
        let guid = partuuid(digits);
        for guid in [guid.clone(), guid.to_uppercase()] {
            machine.is(&Boot { partuuid: Some(&guid), ..Boot::default() }, name, Some(ChosenBy::Partuuid));
        }
    }
    // A partition of neither disk decides nothing.
    let guid = partuuid("000003");
    machine.is_ambiguous(&Boot { partuuid: Some(&guid), ..Boot::default() }, ["sda", "sdb"]);
}

/// The same image written to two disks of one box: their partitions carry the same GUIDs too.
#[test]
fn of_two_copies_of_the_booted_disk_it_is_the_one_that_grub_counted() {
    let machine = Machine::new();
    if machine.disk("sda", "000001").is_none() {
        return;
    }
    machine.disk("sdb", "000001").unwrap();
    machine.disk("sdc", "000002").unwrap();
    let guid = partuuid("000001");
    let counted = |counted| Boot { partuuid: Some(&guid), counted: Some(counted), thorough: false };
    for nobody_knows in [&[][..], &["sda", "sdb"], &["sdc"]] {
        machine.is_ambiguous(&counted(nobody_knows), ["sda", "sdb"]);
    }
    let found = machine.is(&counted(&["sdb"]), "sdb", Some(ChosenBy::Counted));
    assert!(found.sure);
    // The third has another GUID, whatever its block says.
    machine.is(&counted(&["sda", "sdc"]), "sda", Some(ChosenBy::Counted));

    // Later in this boot it still is that one: its block was written since, it may have new GUIDs, and a copy may be new.
    chosen::store(&machine.0.text("run"), &found).unwrap();
    machine.is(&counted(&["sda"]), "sdb", Some(ChosenBy::Counted));
    machine.is(&Boot { partuuid: Some(&partuuid("000002")), ..Boot::default() }, "sdb", Some(ChosenBy::Counted));
    // Not if it was unplugged, and another has its name now.
    machine.0.write(&format!("{PCI}/sdb/uevent"), "DEVNAME=sdb\nDEVTYPE=disk\nDISKSEQ=100000\n");
    machine.is(&counted(&["sda"]), "sda", Some(ChosenBy::Counted));
    for damage in ["", "x", "/dev/sda", "/dev/sda x", "\u{fffd} 1 2 3 4"] {
        machine.0.write("run/disk", damage);
        machine.is(&counted(&["sda"]), "sda", Some(ChosenBy::Counted));
    }
}

/// Where there is time, even an only one is looked at: the one that GRUB booted may be on its way.
#[test]
fn an_only_disk_that_grub_did_not_boot_is_not_for_sure() {
    let machine = Machine::new();
    if machine.disk("sda", "000001").is_none() {
        return;
    }
    let (ours, other) = (partuuid("000001"), partuuid("000002"));
    let (yes, no): (&[&str], &[&str]) = (&["sda"], &[]);
    for (partuuid, counted, sure) in [
        (None, None, true),
        (Some(&ours), Some(yes), true),
        (Some(&ours), Some(no), false),
        (Some(&other), Some(yes), false),
        (None, Some(yes), true),
        (None, Some(no), false),
    ] {
        let boot = Boot { partuuid: partuuid.map(String::as_str), counted, thorough: true };
        assert_eq!(machine.is(&boot, "sda", None).sure, sure, "{partuuid:?} {counted:?}");
        let boot = Boot { thorough: false, ..boot };
        assert!(machine.is(&boot, "sda", None).sure, "nobody looked");
    }
}

/// The kernel lists the partitions of a disk one after the other.
#[test]
fn a_disk_without_all_partitions_is_not_for_sure_and_worth_less() {
    let machine = Machine::new();
    machine.blank("sda");
    machine.list("sda", 1, "KSOLODATA");
    for thorough in [false, true] {
        let found = machine.is(&Boot { thorough, ..Boot::default() }, "sda", None);
        assert!(!found.sure && found.partition("KSOLOA").is_err());
    }
    if machine.disk("sdb", "000001").is_some() {
        let found = machine.is(&Boot::default(), "sdb", Some(ChosenBy::Whole));
        assert_eq!(found.choice.unwrap().1.as_str(), machine.dev("sda"));
    }
}

#[test]
fn what_no_firmware_boots_from_is_worth_less_than_a_disk() {
    for (copies, want) in [
        // An image on a loop device.
        (&[("loop0", VIRTUAL, "")][..], "sda"),
        // A CD of it, and a card whose switch is at "lock".
        (&[("sr0", PCI, "ro"), ("mmcblk0", PCI, "ro")], "sda"),
        // Two halves of a mirror, which is the only one that may be written.
        (&[("sdb", PCI, "holders/md0"), ("sda", PCI, "holders/md0"), ("md0", VIRTUAL, "")], "md0"),
    ] {
        let machine = Machine::new();
        if machine.disk("sda", "000001").is_none() {
            return;
        }
        for (name, tree, file) in copies {
            if *name != "sda" {
                machine.disk_in(tree, name, "000001").unwrap();
            }
            if !file.is_empty() {
                machine.0.write(&format!("{tree}/{name}/{file}"), "1\n");
            }
        }
        machine.is(&Boot::default(), want, Some(ChosenBy::Whole));
        // The GUIDs are the same on all of them.
        machine.is(&Boot { partuuid: Some(&partuuid("000001")), ..Boot::default() }, want, Some(ChosenBy::Whole));
    }
}

/// A disk that once was ours and got a partition table of the old kind since; grub.cfg makes the kernel look for a GPT all
/// the same.
#[test]
fn a_gpt_under_another_table_is_worth_less_than_one_that_counts() {
    let machine = Machine::new();
    if machine.disk("sda", "000001").is_none() {
        return;
    }
    machine.disk("sdb", "000001").unwrap();
    machine.is_ambiguous(&Boot::default(), ["sda", "sdb"]);
    let mut linux = [0; 16];
    linux[4] = 0x83;
    machine.put("sda", 446, &linux);
    machine.is(&Boot::default(), "sdb", Some(ChosenBy::Whole));
    // A hybrid has both.
    machine.put("sda", 462 + 4, &[0xee]);
    machine.is_ambiguous(&Boot::default(), ["sda", "sdb"]);
    // A sector that was overwritten, or lost its partitions, says nothing.
    for sector in [[0; 512], [0x83; 512], [&[0; 510][..], b"\x55\xaa"].concat().try_into().unwrap()] {
        machine.put("sda", 0, &sector);
        machine.is_ambiguous(&Boot::default(), ["sda", "sdb"]);
    }
    // The only one is taken as it is; where there is time, one that counts may turn up.
    machine.put("sda", 446, &linux);
    machine.put("sda", 510, b"\x55\xaa");
    fs::remove_dir_all(machine.0.path(&format!("{PCI}/sdb"))).unwrap();
    machine.is(&Boot::default(), "sda", None);
    assert!(!machine.is(&Boot { thorough: true, ..Boot::default() }, "sda", None).sure);
}

#[test]
fn a_partition_is_not_taken_for_a_disk() {
    let machine = Machine::new();
    if machine.unlisted("sda", "000001", true).is_none() {
        return;
    }
    machine.list("sda", 1, "");
    // It holds a table of its own.
    let [head, tail] = tables("000002", true).unwrap();
    fs::File::create(machine.0.path("dev/sda1")).unwrap().set_len(DISK_LEN).unwrap();
    machine.put("sda1", 0, &head);
    machine.put("sda1", DISK_LEN - tail.len() as u64, &tail);
    assert_eq!(machine.find().unwrap().path.as_str(), machine.dev("sda"));
}

#[test]
fn a_disk_that_is_asked_for_is_ours_or_an_error() {
    let machine = Machine::new();
    if machine.disk("sda", "000001").is_none() {
        return;
    }
    machine.blank("sdb");
    machine.unlisted("sdc", "000002", false).unwrap();
    let long = "x".repeat(200);
    for (path, want) in [
        (machine.dev("sdb"), "no GUID partition table"),
        (machine.dev("sdc"), "none of its partitions is called KSOLOEFI"),
        (machine.dev("sdz"), "No such file or directory"),
        (machine.dev(""), ""),
        (long, "too long"),
    ] {
        let failure = machine.at(&path).unwrap_err();
        assert_eq!(failure.exit(), Exit::NoDisk);
        assert!(failure.to_string().starts_with("find disk: "), "{failure}");
        assert!(failure.to_string().contains(want), "{failure}");
    }
    // It may be an image file, in which a partition begins at a byte.
    let place = machine.at(&machine.dev("sda")).unwrap().partition("KSOLOB").unwrap();
    assert_eq!(place.as_str(), format!("{}@{}", machine.dev("sda"), 12288 * 512));
}

#[test]
fn a_damaged_disk_is_named_only_if_there_is_no_other() {
    let machine = Machine::new();
    if machine.unlisted("sda", "000001", true).is_none() {
        return;
    }
    for at in [512 + 40, DISK_LEN - 512 + 40] {
        machine.put("sda", at, b"?");
    }
    let failure = machine.find().unwrap_err();
    assert_eq!(failure.exit(), Exit::NoDisk);
    let said = failure.to_string();
    assert!(said.contains(&machine.dev("sda")) && said.contains("GPT header checksum is"), "{said}");

    machine.unlisted("sdb", "000002", true).unwrap();
    assert_eq!(machine.find().unwrap().path.as_str(), machine.dev("sdb"));
}

/// Without the word `gpt` the kernel does not look for the backup. It has no nodes for the partitions then, and that is said.
#[test]
fn a_damaged_primary_table_does_not_hide_the_disk() {
    let machine = Machine::new();
    if machine.unlisted("sda", "000001", true).is_none() {
        return;
    }
    machine.put("sda", 0, &[0; 34 * 512]);
    let found = machine.find().unwrap();
    assert_eq!(found.partition("KSOLOA").unwrap().as_str(), format!("{}@{}", machine.dev("sda"), 10240 * 512));
}

#[test]
fn no_disk_is_an_error_that_says_what_was_looked_for_and_what_there_is() {
    let machine = Machine::new();
    machine.blank("sda");
    machine.blank("sr0");
    machine.0.write(&format!("{PCI}/sr0/size"), "0\n");
    machine.blank_in(VIRTUAL, "loop0");
    let failure = machine.find().unwrap_err();
    assert_eq!(failure.exit(), Exit::NoDisk);
    for name in NAMES {
        assert!(failure.to_string().contains(name), "{failure}");
    }
    assert!(failure.to_string().ends_with("There is: sda"), "{failure}");
    fs::remove_dir_all(machine.0.path("sys")).unwrap();
    let failure = machine.find().unwrap_err();
    assert_eq!(failure.exit(), Exit::NoDisk);
    assert!(failure.to_string().contains("sys: No such file or directory"), "{failure}");
}

#[test]
fn partitions_without_names_go_by_their_filesystems_labels() {
    let machine = Machine::new();
    let (Some(fat), Some(ext4)) = (tool("mkfs.fat"), tool("mkfs.ext4")) else { return };
    if machine.unlisted("sda", "000001", false).is_none() {
        return;
    }
    assert_eq!(machine.find().unwrap_err().exit(), Exit::NoDisk, "no labels yet");
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
        let found = machine.find().unwrap();
        for (name, (first, _)) in NAMES.iter().zip(LAYOUT) {
            let want = format!("{}@{}", machine.dev("sda"), first * 512);
            assert_eq!(found.partition(name).unwrap().as_str(), want, "FAT{bits}");
        }
    }
    // A copy of the file systems counts for nothing beside a disk that has the names, whether the kernel knows of them or not.
    machine.unlisted("sdb", "000001", true).unwrap();
    machine.is(&Boot::default(), "sdb", None);
    machine.disk("sdc", "000001").unwrap();
    machine.is(&Boot::default(), "sdc", None);
}

#[test]
fn gpt_names_count_before_labels() {
    let machine = Machine::new();
    let Some(ext4) = tool("mkfs.ext4") else { return };
    if machine.unlisted("sda", "000001", true).is_none() {
        return;
    }
    // KSOLOB's filesystem calls itself KSOLOA.
    let made = machine.0.text("filesystem");
    fs::File::create(&made).unwrap().set_len(LAYOUT[2].1 * 512).unwrap();
    must(&ext4, &["-q", "-F", "-L", "KSOLOA", &made]);
    let bytes = fs::read(&made).unwrap();
    machine.put("sda", 12288 * 512, &bytes);
    let place = machine.find().unwrap().partition("KSOLOA").unwrap();
    assert_eq!(place.as_str(), format!("{}@{}", machine.dev("sda"), 10240 * 512));
}

#[test]
fn the_one_among_sixty_four_disks_is_found() {
    let machine = Machine::new();
    for number in 0..64 {
        machine.blank(&format!("a-disk-with-a-long-name-{number}"));
    }
    if machine.unlisted("nvme0n1", "000001", true).is_none() {
        return;
    }
    assert_eq!(machine.find().unwrap().path.as_str(), machine.dev("nvme0n1"));
    machine.unlisted("nvme1n1", "000002", true).unwrap();
    machine.is_ambiguous(&Boot::default(), ["nvme0n1", "nvme1n1"]);
    machine.disk("nvme2n1", "000003").unwrap();
    machine.is(&Boot::default(), "nvme2n1", None);
}

#[test]
fn a_damaged_filesystem_says_so_itself() {
    let folder = Folder::new();
    let (Some(mkfs), Some(debugfs)) = (tool("mkfs.ext4"), tool("debugfs")) else { return };
    let image = folder.text("image");
    fs::File::create(&image).unwrap().set_len(4 << 20).unwrap();
    let looked = || {
        let mut device = Device::open(rustix::fs::CWD, &image, OFlags::RDONLY).unwrap();
        ext4::needs_fsck(&mut device).unwrap()
    };
    assert_eq!(looked(), Some(NeedsFsck::NotExt4));
    must(&mkfs, &["-q", "-F", &image]);
    assert_eq!(looked(), None);
    must(&debugfs, &["-w", "-R", "set_super_value error_count 3", &image]);
    assert_eq!(looked(), Some(NeedsFsck::Errors(3)));
    must(&mkfs, &["-q", "-F", &image]);
    must(&debugfs, &["-w", "-R", "set_super_value state 3", &image]);
    assert_eq!(looked(), Some(NeedsFsck::Errors(0)));
}
