//! Finding the KubeSolo OS disk and its partitions, by the partition tables themselves: no udev, no blkid.

use core::fmt;

use embedded_io::Seek;
use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags, RawDir, access, open, openat, stat, statat};

use crate::device::Device;
use crate::failure::{Exit, Failure, Reason};
use crate::gpt::{self, Partition, Table};
use crate::label;
use crate::slot::Slot;

/// GPT partition names, and filesystem labels, of the four partitions.
pub const NAMES: [&str; 4] = [ESP, Slot::A.partition(), Slot::B.partition(), DATA];
/// The same, as text.
pub const NAMES_TEXT: &str = "KSOLOEFI KSOLOA KSOLOB KSOLODATA";
/// The EFI system partition with GRUB and the env block.
pub const ESP: &str = "KSOLOEFI";
/// The partition for everything that lives longer than a slot.
pub const DATA: &str = "KSOLODATA";

/// A path under `/dev`, or that of an image file.
pub type Path = heapless::String<128>;

/// How to pick the disk.
#[derive(Clone, Copy, Debug, Default)]
pub struct Wanted<'a> {
    /// This disk (or image file) and no other: `--disk`, or `ksolo.disk=`.
    pub disk: Option<&'a str>,
    /// If several disks fit, the one disk with this partition: the booted slot's GPT partition GUID.
    pub partuuid: Option<&'a str>,
}

/// A disk with KubeSolo OS partitions.
#[derive(Clone, Debug)]
pub struct Disk {
    /// Device node or image file.
    pub path: Path,
    /// Its table; partitions without a GPT name carry their filesystem label as name.
    pub table: Table,
    is_file: bool,
}

/// Where a partition can be opened: a device node, or `FILE@OFFSET` (bytes) within an image file, as mtools write it.
pub type Place = heapless::String<160>;

impl Disk {
    /// The device node of that partition.
    ///
    /// # Errors
    /// [`Exit::NoDisk`] if the disk has no such partition, or the kernel no node for it.
    pub fn partition(&self, name: &str) -> Result<Place, Failure> {
        let Some(partition) = self.table.named(name) else {
            return Err(Failure::new(
                Exit::NoDisk,
                format_args!("find {name}: {}: no partition of that name; see its table with sgdisk -p", self.path),
            ));
        };
        let place = self.place(partition);
        if !self.is_file && access(place.as_str(), rustix::fs::Access::EXISTS).is_err() {
            return Err(Failure::new(
                Exit::NoDisk,
                format_args!(
                    "find {name}: {place}: the kernel made no such node; its view of the table of {} differs \
                     (boot with the parameter gpt if the primary GPT is damaged)",
                    self.path
                ),
            ));
        }
        Ok(place)
    }

    /// Whether it is an image file: no partition of it can be opened by itself.
    pub fn is_file(&self) -> bool {
        self.is_file
    }

    fn place(&self, partition: &Partition) -> Place {
        let mut place = Place::new();
        let written = if self.is_file {
            let offset = partition.first.bytes(self.table.sector_size).unwrap_or_default();
            fmt::write(&mut place, format_args!("{}@{offset}", self.path))
        } else {
            // A disk whose name ends in a digit has a `p` before the partition's number: nvme0n1p2, but sda2.
            let between = if self.path.ends_with(|last: char| last.is_ascii_digit()) { "p" } else { "" };
            fmt::write(&mut place, format_args!("{}{between}{}", self.path, partition.number))
        };
        // Path and number fit by the sizes of the two types.
        written.map_or_else(|_| Place::new(), |()| place)
    }

    fn has_ours(&self) -> bool {
        NAMES.iter().any(|name| self.table.named(name).is_some())
    }

    fn has_guid(&self, partuuid: &str) -> bool {
        self.table.partitions.iter().any(|partition| partition.guid.is(partuuid))
    }
}

/// Finds the one disk to work on among those that `sys_block` (`/sys/class/block`) lists, as nodes under `dev`.
///
/// # Errors
/// [`Exit::NoDisk`], [`Exit::AmbiguousDisk`] naming two of the disks.
pub fn find(sys_block: &str, dev: &str, wanted: Wanted<'_>) -> Result<Disk, Failure> {
    if let Some(path) = wanted.disk {
        return open_wanted(path);
    }
    let list = open(sys_block, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
        .map_err(|errno| Failure::new(Exit::NoDisk, format_args!("find disk: {sys_block}: {}", Reason(errno))))?;
    let mut buffer = [core::mem::MaybeUninit::uninit(); 2048];
    let mut entries = RawDir::new(&list, &mut buffer);
    let mut found: Option<Disk> = None;
    let mut found_booted = false;
    let mut rival: Option<Path> = None;
    let mut damaged: Option<Failure> = None;

    while let Some(entry) = entries.next() {
        let entry = entry
            .map_err(|errno| Failure::new(Exit::NoDisk, format_args!("find disk: {sys_block}: {}", Reason(errno))))?;
        let Ok(name) = entry.file_name().to_str() else { continue };
        if name.starts_with('.') || is_partition(&list, name) {
            continue;
        }
        let mut path = Path::new();
        if fmt::write(&mut path, format_args!("{dev}/{name}")).is_err() {
            continue;
        }
        match examine(&path) {
            Ok(disk) if !disk.has_ours() => {}
            Ok(disk) => {
                // The same image on two disks gives them the same GUIDs too: the booted slot's is no reason to stop.
                let booted = wanted.partuuid.is_some_and(|guid| disk.has_guid(guid));
                if found.is_none() || booted && !found_booted {
                    (found, found_booted, rival) = (Some(disk), booted, None);
                } else if booted == found_booted {
                    rival = Some(disk.path);
                }
            }
            // A disk without a medium, without a table or that only root may read is none of ours.
            Err(gpt::Error::NoSignature | gpt::Error::Io(_) | gpt::Error::Short) => {}
            Err(error) => {
                damaged = Some(Failure::new(Exit::NoDisk, format_args!("find disk: {path}: {error}")));
            }
        }
    }
    match (found, rival) {
        (Some(one), Some(other)) => Err(Failure::new(
            Exit::AmbiguousDisk,
            format_args!(
                "find disk: {} and {other} both carry KubeSolo OS partitions; choose one with --disk or ksolo.disk=, \
                 or unplug one",
                one.path
            ),
        )),
        (Some(disk), None) => Ok(disk),
        (None, _) => Err(damaged.unwrap_or_else(|| {
            Failure::new(
                Exit::NoDisk,
                format_args!(
                    "find disk: none of the disks in {sys_block} has a GPT with partitions {}; is its driver loaded, \
                     and are you root?",
                    NAMES_TEXT
                ),
            )
        })),
    }
}

fn open_wanted(path: &str) -> Result<Disk, Failure> {
    let fail = |reason: fmt::Arguments<'_>| Failure::new(Exit::NoDisk, format_args!("find disk: {path}: {reason}"));
    let path_text = Path::try_from(path).map_err(|_| fail(format_args!("the path is too long")))?;
    match examine(&path_text) {
        Ok(disk) if disk.has_ours() => Ok(disk),
        Ok(_) => Err(fail(format_args!("none of its partitions is called {}", NAMES_TEXT))),
        Err(error) => Err(fail(format_args!("{error}"))),
    }
}

fn is_partition(list: &impl rustix::fd::AsFd, name: &str) -> bool {
    let mut file = Path::new();
    fmt::write(&mut file, format_args!("{name}/partition")).is_ok()
        && statat(list, file.as_str(), AtFlags::empty()).is_ok()
}

fn examine(path: &Path) -> Result<Disk, gpt::Error<crate::device::IoError>> {
    let mut device = Device::open(CWD, path.as_str(), OFlags::RDONLY | OFlags::NONBLOCK)
        .map_err(|errno| gpt::Error::Io(errno.into()))?;
    let table = gpt::read(&mut device)?;
    let is_file = stat(path.as_str()).is_ok_and(|stat| FileType::from_raw_mode(stat.st_mode).is_file());
    let mut disk = Disk { path: path.clone(), table, is_file };
    if !disk.has_ours() {
        name_by_labels(&mut disk.table, &mut device);
    }
    Ok(disk)
}

/// Where the GPT carries none of our names, a partition goes by its filesystem's label.
fn name_by_labels<D: embedded_io::Read + Seek>(table: &mut Table, device: &mut D) {
    let sector_size = table.sector_size;
    for partition in &mut table.partitions {
        let Some(offset) = partition.first.bytes(sector_size) else { continue };
        let Ok(label) = label::read(device, offset) else { continue };
        if NAMES.contains(&label.as_str()) {
            partition.name = gpt::Name::try_from(label.as_str()).unwrap_or_default();
        }
    }
}

/// A path's folder and the name in it.
pub fn folder_and_name(path: &str) -> (&str, &str) {
    match path.rsplit_once('/') {
        Some(("", name)) => ("/", name),
        Some(parts) => parts,
        None => (".", path),
    }
}

/// Opens a folder for use with `*at` calls.
///
/// # Errors
/// The kernel's.
pub fn open_folder(base: impl rustix::fd::AsFd, path: &str) -> rustix::io::Result<rustix::fd::OwnedFd> {
    openat(base, path, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
}
