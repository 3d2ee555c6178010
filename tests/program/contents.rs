//! What a partition carries, on images that the real tools make: one of theirs over an ext4, that ext4 brought back by
//! `e2fsck -fy`, and an ext4 over one of theirs.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::Path;

use crate::scene::{self, Folder, must, run, tool};
use kubesolo_boot::disk::ours;
use kubesolo_boot::failure::Exit;
use kubesolo_boot::linux::device::Device;
use kubesolo_core::disk::contents::{Contents, identify};
use rustix::fs::{CWD, OFlags};

/// Large enough for each of them, and for backups of the superblock.
const LEN: u64 = 320 << 20;

/// A partition that is an image file of its own.
struct Partition(Folder);

impl Partition {
    fn blank() -> Partition {
        let folder = Folder::on_disk();
        File::create(folder.path("part")).unwrap().set_len(LEN).unwrap();
        Partition(folder)
    }

    /// An ext4 as image/build makes one.
    fn ext4() -> Option<Partition> {
        let partition = Partition::blank();
        partition.make_ext4().then_some(partition)
    }

    fn make_ext4(&self) -> bool {
        let Some(mkfs) = tool("mkfs.ext4") else { return false };
        must(&mkfs, &["-q", "-F", "-b", "4096", "-L", "KSOLODATA", &self.path()]);
        true
    }

    fn path(&self) -> String {
        self.0.text("part")
    }

    fn put(&self, at: u64, bytes: &[u8]) {
        OpenOptions::new().write(true).open(self.path()).unwrap().write_all_at(bytes, at).unwrap();
    }

    fn look(&self) -> Contents {
        let mut device = Device::open(CWD, self.path(), OFlags::RDONLY).unwrap();
        let contents = identify(&mut device, 0, Some(LEN)).unwrap();
        assert_eq!(ours::look(&self.path()).unwrap(), contents);
        let checked = ours::check(&self.path());
        assert_eq!(checked.is_ok(), contents == Contents::Ext4);
        if let Err(failure) = checked {
            assert_eq!(failure.exit(), Exit::Refused);
            assert_eq!(failure.to_string(), format!("{} holds {contents}, not our ext4: left as it is", self.path()));
        }
        contents
    }
}

/// How others fill a partition: the tool, its words before the path, and what that is.
const OTHERS: &[(&str, &[&str], &str)] = &[
    ("mkswap", &["-f"], "swap space"),
    ("mkfs.fat", &["-I", "-F", "16"], "a FAT filesystem"),
    ("mkfs.fat", &["-I", "-F", "32"], "a FAT filesystem"),
    ("sgdisk", &["-Z", "-n1"], "a partition table"),
    (
        "cryptsetup",
        &["-q", "luksFormat", "--type", "luks1", "--pbkdf-force-iterations", "1000", "-d", "/proc/version"],
        LUKS,
    ),
    (
        "cryptsetup",
        &["-q", "luksFormat", "--pbkdf", "pbkdf2", "--pbkdf-force-iterations", "1000", "-d", "/proc/version"],
        LUKS,
    ),
    ("mkfs.btrfs", &["-q", "-f"], "a btrfs filesystem"),
    ("mkfs.xfs", &["-q", "-f"], "an XFS filesystem"),
    ("mkfs.f2fs", &["-q", "-f"], "an F2FS filesystem"),
    ("mkfs.exfat", &[], "an exFAT filesystem"),
    ("mkntfs", &["-q", "-Q", "-F"], "an NTFS filesystem"),
];
const LUKS: &str = "a LUKS container";

#[test]
fn what_others_made_is_known_and_e2fsck_makes_the_old_ext4_of_it() {
    let (mut tried, mut brought_back) = (0, 0);
    for (name, words, want) in OTHERS {
        let Some(tool) = tool(name) else { continue };
        let Some(partition) = Partition::ext4() else { return };
        must(&tool, &[words, &[&*partition.path()][..]].concat());
        assert_eq!(partition.look(), Contents::Other(want), "{name} {words:?}");
        tried += 1;
        // What `/init` did with exit code 8.
        let Some(e2fsck) = scene::tool("e2fsck") else { continue };
        let ran = run(&e2fsck, ["-fy", &partition.path()], Path::new("/"));
        let mut magic = [0; 2];
        File::open(partition.path()).unwrap().read_exact_at(&mut magic, 1080).unwrap();
        brought_back += usize::from(ran.exit == 1 && magic == [0x53, 0xef]);
        // Where it wrote over the signature, nothing is left to go by.
        if ["cryptsetup", "mkfs.fat", "mkfs.exfat"].contains(name) {
            assert_eq!(partition.look(), Contents::Other(want), "{name} {words:?}, and e2fsck -fy after it");
        }
    }
    println!("{tried} others made, of {}; e2fsck -fy made {brought_back} of them an ext4 again", OTHERS.len());
    assert!(tried >= 4 && brought_back >= 4, "{tried} {brought_back}");
}

#[test]
fn an_ext4_that_is_made_over_another_is_ours() {
    for (name, words, _) in OTHERS {
        let Some(tool) = tool(name) else { continue };
        let partition = Partition::blank();
        must(&tool, &[words, &[&*partition.path()][..]].concat());
        if !partition.make_ext4() {
            return;
        }
        assert_eq!(partition.look(), Contents::Ext4, "over {name} {words:?}");
    }
}

/// Those that leave an ext4's superblock standing, or whose tools may not be installed here, by the layouts that
/// `core/src/disk/contents.rs` names.
#[test]
fn another_signature_beside_a_superblock_makes_it_not_ours() {
    let Some(partition) = Partition::ext4() else { return };
    assert_eq!(partition.look(), Contents::Ext4);
    let raid = b"\xfc\x4e\x2b\xa9";
    let rows: &[(u64, &[u8], &str)] = &[
        (0, b"LUKS\xba\xbe\x00\x02", LUKS),
        (0x4000, b"SKUL\xba\xbe\x00\x02", LUKS),
        (0x40_0000, b"SKUL\xba\xbe\x00\x02", LUKS),
        (54, b"FAT12   ", "a FAT filesystem"),
        (82, b"FAT32   ", "a FAT filesystem"),
        (3, b"EXFAT   ", "an exFAT filesystem"),
        (3, b"-FVE-FS-", "a BitLocker volume"),
        (4086, b"SWAPSPACE2", "swap space"),
        (65526, b"SWAPSPACE2", "swap space"),
        (4086, b"S1SUSPEND\0", "swap space with a suspended system"),
        (0, raid, "a member of a RAID (md)"),
        (4096, raid, "a member of a RAID (md)"),
        (4120, b"\xc6\x85\x73\xf6\x4e\x1a\x45\xca\x82\x65\xf7\x5f\x48\xba\x6d\x81", "a bcache device"),
        (512, b"LABELONE\x01", "an LVM physical volume"),
        (16384, b"\x01\x01\0\0\0\0\0\0\0\0\0\x01\0\0\0\x24\0\0\0\x20\0\0\0\x07version\0", "a member of a ZFS pool"),
        (65588, b"ReIsEr2Fs", "a ReiserFS filesystem"),
        (65600, b"_BHRfS_M", "a btrfs filesystem"),
        (32769, b"CD001", "an ISO 9660 image"),
        (0, b"XFSB", "an XFS filesystem"),
    ];
    for (at, signature, want) in rows {
        let mut before = vec![0; signature.len()];
        File::open(partition.path()).unwrap().read_exact_at(&mut before, *at).unwrap();
        partition.put(*at, signature);
        assert_eq!(partition.look(), Contents::Other(want), "at {at}");
        partition.put(*at, &before);
    }
    // A boot sector's last two bytes alone are nobody's.
    partition.put(510, b"\x55\xaa");
    assert_eq!(partition.look(), Contents::Ext4);
}

/// Versions 1.0 and 0.90 of mdraid stand at the end, and leave the filesystem in a mirror readable as it is.
#[test]
fn a_raid_at_the_end_counts_only_behind_the_filesystem() {
    let Some(mkfs) = tool("mkfs.ext4") else { return };
    for from_the_end in [8 * 1024, 64 * 1024] {
        let partition = Partition::blank();
        partition.put(LEN - from_the_end, b"\xfc\x4e\x2b\xa9");
        let blocks = (LEN / 4096 - 32).to_string();
        must(&mkfs, &["-q", "-F", "-b", "4096", &partition.path(), &blocks]);
        assert_eq!(partition.look(), Contents::Other("a member of a RAID (md)"));
        // One that an earlier use of the disk left there, and over which the partition grew.
        assert!(partition.make_ext4());
        partition.put(LEN - from_the_end, b"\xfc\x4e\x2b\xa9");
        assert_eq!(partition.look(), Contents::Ext4);
    }
}

#[test]
fn a_superblock_of_two_ages_is_ours_and_one_that_is_gone_is_not() {
    let Some(partition) = Partition::ext4() else { return };
    // A power cut tore it: its second sector, with the checksum, is of another age.
    partition.put(1024 + 512, &[0x5a; 512]);
    assert_eq!(partition.look(), Contents::Ext4);
    let Some(partition) = Partition::ext4() else { return };
    partition.put(1024, &[0; 1024]);
    assert_eq!(partition.look(), Contents::Unknown);
    partition.put(0, &[0; 1 << 20]);
    assert_eq!(partition.look(), Contents::Blank);
}

#[test]
fn two_bytes_that_fit_are_no_filesystem() {
    let looked = |bytes: Vec<u8>| identify(&mut embedded(bytes), 0, None).unwrap();
    let mut noise: Vec<u8> = (0..70_000_u32).map(|number| (number.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    noise[1080..1082].copy_from_slice(b"\x53\xef");
    assert_eq!(looked(noise), Contents::Unknown);
    for len in [0, 1, 1081, 1535] {
        assert!(matches!(looked(vec![0; len]), Contents::Blank), "{len}");
        assert!(matches!(looked(vec![0xff; len]), Contents::Blank | Contents::Unknown), "{len}");
    }
}

#[test]
fn a_journal_that_stands_alone_is_not_ours() {
    let Some(mkfs) = tool("mkfs.ext4") else { return };
    let partition = Partition::blank();
    must(&mkfs, &["-q", "-F", "-b", "4096", "-O", "journal_dev", &partition.path()]);
    assert_eq!(partition.look(), Contents::Other("an external journal of ext4"));
}

/// Bytes in memory as a storage.
fn embedded(bytes: Vec<u8>) -> scene::medium::Medium {
    scene::medium::Medium::holding(&bytes)
}

#[test]
fn find_names_a_partition_for_repair_only_if_it_is_ours() {
    let (Some(sgdisk), Some(partition)) = (tool("sgdisk"), Partition::ext4()) else { return };
    let folder = Folder::on_disk();
    let disk = folder.text("disk");
    File::create(&disk).unwrap().set_len(8 << 20).unwrap();
    must(&sgdisk, &["-n1:2048", "-c1:KSOLODATA", &disk]);
    let find = || run(scene::binary(), ["find", "KSOLODATA", "--ext4", "--disk", &disk], Path::new("/"));
    let place = format!("{disk}@{}", 2048 * 512);
    assert_eq!(find().stderr, format!("kubesolo-boot: {place} holds nothing, not our ext4: left as it is\n"));
    assert_eq!(find().exit, 7);
    let mut head = vec![0; 1 << 20];
    File::open(partition.path()).unwrap().read_exact_at(&mut head, 0).unwrap();
    let image = OpenOptions::new().write(true).open(&disk).unwrap();
    image.write_all_at(&head, 2048 * 512).unwrap();
    assert_eq!((find().exit, find().out()), (0, &*format!("{place}\n")));
    image.write_all_at(b"LUKS\xba\xbe", 2048 * 512).unwrap();
    assert_eq!(find().stderr, format!("kubesolo-boot: {place} holds a LUKS container, not our ext4: left as it is\n"));
    assert_eq!(run(scene::binary(), ["find", "KSOLODATA", "--disk", &disk], Path::new("/")).exit, 0);
}
