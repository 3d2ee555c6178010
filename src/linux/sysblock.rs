//! What the kernel lists in `/sys/class/block`: the disks, and which of them have partitions of certain names. No disk is read
//! for it.
//!
//! | file | says |
//! |---|---|
//! | `NAME` | a link into the tree of devices; a partition's folder stands in its disk's |
//! | `NAME/uevent` | lines `KEY=value`: `DEVNAME`, the node under `/dev`; `DEVTYPE`, `disk` or `partition`; `DISKSEQ`, which no other disk of this boot has; `PARTNAME`; `MAJOR`, the driver: 11 is that of optical drives (`Documentation/admin-guide/devices.txt`) |
//! | `NAME/ro`, `NAME/size` | 1: cannot be written; sectors of 512 bytes, 0: no medium |
//! | `NAME/holders/` | what stands on top of the disk: md, device-mapper |
//!
//! Source: Linux `Documentation/ABI/stable/sysfs-block`, `block/genhd.c`, `block/partitions/core.c`.

use core::fmt;
use core::mem::MaybeUninit;

use rustix::fd::{AsFd, OwnedFd};
use rustix::fs::{OFlags, RawDir, readlinkat_raw};
use rustix::io::Errno;

use crate::linux::device::Device;
use crate::linux::folder::open_folder;
use kubesolo_core::disk::storage::read_at;
use kubesolo_core::text::decimal::decimal;

/// A node's path under `/dev`.
pub type Node = heapless::String<48>;

/// The numbers of the drivers of optical and of floppy drives.
const OPTICAL: &str = "11";
const FLOPPY: &str = "2";

/// Most disks with those names; more are skipped.
pub const DISKS_MAX: usize = 32;

/// The kinds of disks, by how likely a firmware boots from one: the last is the likeliest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// It is part of another device, such as an md mirror, which is to be used instead.
    Held,
    /// Not hardware: loop, md, device-mapper, zram.
    Virtual,
    /// A disk that cannot be written, like a CD-ROM.
    ReadOnly,
    /// A disk.
    Plain,
}

/// A disk in the list.
#[derive(Clone, Debug)]
pub struct Listed {
    /// Its node.
    pub node: Node,
    /// Its sequence number, unique in this boot; 0 if the kernel has none (before 5.15).
    pub seq: u64,
    /// What it is.
    pub kind: Kind,
    /// The nodes of its partitions with those names, in their order.
    pub partitions: [Option<Node>; 4],
}

/// What a `uevent` file says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Uevent<'a> {
    /// The node's path under `/dev`.
    pub node: Option<&'a str>,
    /// Whether it is a partition's.
    pub is_partition: bool,
    /// The disk's number.
    pub seq: u64,
    /// The partition's name.
    pub name: Option<&'a str>,
    /// Whether it is a drive for optical or floppy disks.
    pub is_drive: bool,
}

impl<'a> Uevent<'a> {
    /// Reads the known lines.
    pub fn parse(text: &'a str) -> Uevent<'a> {
        let mut uevent = Uevent::default();
        for (key, value) in text.lines().filter_map(|line| line.split_once('=')) {
            match key {
                "DEVNAME" => uevent.node = Some(value),
                "DEVTYPE" => uevent.is_partition = value == "partition",
                "DISKSEQ" => uevent.seq = decimal(value).unwrap_or_default(),
                "PARTNAME" => uevent.name = Some(value),
                "MAJOR" => uevent.is_drive = matches!(value, OPTICAL | FLOPPY),
                _ => {}
            }
        }
        uevent
    }
}

/// The disks on which the kernel found partitions of these names.
///
/// # Errors
/// The kernel's, if `sys_block` cannot be listed.
pub fn with_names(sys_block: &str, names: &[&str; 4]) -> Result<heapless::Vec<Listed, DISKS_MAX>, Errno> {
    let mut disks: heapless::Vec<Listed, DISKS_MAX> = heapless::Vec::new();
    each(sys_block, &mut |list, name, uevent| {
        let ours = uevent.name.and_then(|name| names.iter().position(|ours| *ours == name));
        let (true, Some(place), Some(node)) = (uevent.is_partition, ours, uevent.node) else { return };
        // The kernel follows the link before `..`, so this is the folder of the partition's disk.
        let Some(folder) = path(format_args!("{name}/..")) else { return };
        let Some(disk) = look(list, &folder, name) else { return };
        let (Ok(node), known) = (Node::try_from(node), disks.iter().position(|known| known.node == disk.node)) else {
            return;
        };
        let known = known.or_else(|| disks.push(disk).ok().and_then(|()| disks.len().checked_sub(1)));
        let partition = known.and_then(|known| disks.get_mut(known)).and_then(|disk| disk.partitions.get_mut(place));
        if let Some(partition @ None) = partition {
            *partition = Some(node);
        }
    })?;
    Ok(disks)
}

/// Calls `take` with every disk that has a medium, is not virtual, and is none that sits in a drive: nobody boots from such a one, and
/// a look at an empty drive takes seconds and fills the console with the kernel's errors.
///
/// # Errors
/// The kernel's, if `sys_block` cannot be listed.
pub fn each_disk(sys_block: &str, take: &mut dyn FnMut(Listed)) -> Result<(), Errno> {
    each(sys_block, &mut |list, name, uevent| {
        let (false, Some(folder)) = (uevent.is_partition || uevent.is_drive, path(format_args!("{name}"))) else {
            return;
        };
        let size = path(format_args!("{name}/size"));
        let mut buffer = [0; 32];
        let empty = size.and_then(|size| text(list, &size, &mut buffer)).is_some_and(|size| size == "0");
        if let Some(disk) = look(list, &folder, name).filter(|disk| disk.kind != Kind::Virtual && !empty) {
            take(disk);
        }
    })
}

/// The size, in sectors, that an optical drive has while no medium was read in it (Linux `drivers/scsi/sr.c`, `get_sectorsize`).
const NO_MEDIUM: &str = "2097151";

/// Whether a read of that entry of the list can be answered: false for an empty drive. The kernel knows without a look at the drive.
pub fn has_medium(sys_block: &str, name: &str) -> bool {
    let Ok(list) = open_folder(rustix::fs::CWD, sys_block) else { return true };
    let (mut buffer, mut size) = ([0; 1024], [0; 32]);
    let file = |name: Option<Path>, buffer| text(&list, &name?, buffer);
    let is_drive =
        file(path(format_args!("{name}/uevent")), &mut buffer[..]).is_some_and(|text| Uevent::parse(text).is_drive);
    let size = file(path(format_args!("{name}/size")), &mut size[..]);
    match size {
        Some("0") => false,
        Some(NO_MEDIUM) => !is_drive,
        _ => true,
    }
}

type Path = heapless::String<96>;

fn path(text: fmt::Arguments<'_>) -> Option<Path> {
    let mut path = Path::new();
    fmt::write(&mut path, text).ok().map(|()| path)
}

/// Calls `look` with each entry of the list and its `uevent`. An entry without one was removed meanwhile.
fn each(sys_block: &str, look: &mut dyn FnMut(&OwnedFd, &str, Uevent<'_>)) -> Result<(), Errno> {
    let list = open_folder(rustix::fs::CWD, sys_block)?;
    let mut buffer = [MaybeUninit::uninit(); 2048];
    let mut entries = RawDir::new(&list, &mut buffer);
    while let Some(entry) = entries.next() {
        let entry = entry?;
        let Ok(name) = entry.file_name().to_str() else { continue };
        let mut buffer = [0; 1024];
        if let Some(file) = path(format_args!("{name}/uevent")).filter(|_| !name.starts_with('.'))
            && let Some(uevent) = text(&list, &file, &mut buffer)
        {
            look(&list, name, Uevent::parse(uevent));
        }
    }
    Ok(())
}

/// What the disk in `folder` is; `name` is the entry that led there.
fn look(list: &OwnedFd, folder: &str, name: &str) -> Option<Listed> {
    let file = |name: &str| path(format_args!("{folder}/{name}"));
    let mut buffer = [0; 1024];
    let uevent = Uevent::parse(text(list, &file("uevent")?, &mut buffer)?);
    let node = Node::try_from(uevent.node?).ok()?;
    let mut buffer = [0; 4];
    let kind = if is_held(list, &file("holders")?) {
        Kind::Held
    } else if is_virtual(list, name) {
        Kind::Virtual
    } else if text(list, &file("ro")?, &mut buffer) == Some("1") {
        Kind::ReadOnly
    } else {
        Kind::Plain
    };
    Some(Listed { node, seq: uevent.seq, kind, partitions: [const { None }; 4] })
}

/// A small file's text, without the last line break.
fn text<'a>(list: &OwnedFd, path: &str, buffer: &'a mut [u8]) -> Option<&'a str> {
    let len = read_at(&mut Device::open(list, path, OFlags::RDONLY).ok()?, 0, buffer).ok()?;
    core::str::from_utf8(buffer.get(..len)?).ok().map(str::trim_ascii_end)
}

fn is_held(list: &OwnedFd, holders: &str) -> bool {
    let Ok(folder) = open_folder(list, holders) else { return false };
    let mut buffer = [MaybeUninit::uninit(); 512];
    let mut entries = RawDir::new(&folder, &mut buffer);
    while let Some(Ok(entry)) = entries.next() {
        if !entry.file_name().to_bytes().starts_with(b".") {
            return true;
        }
    }
    false
}

fn is_virtual(list: &OwnedFd, name: &str) -> bool {
    let mut buffer = [MaybeUninit::uninit(); 512];
    let link = readlinkat_raw(list.as_fd(), name, &mut buffer).map(|(link, _)| &*link);
    let needle = b"/virtual/block/";
    link.is_ok_and(|link| link.windows(needle.len()).any(|part| part == needle))
}
