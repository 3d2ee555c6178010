//! The disk with our partitions, and where each of them can be opened.

use core::fmt::{self, Write};

use rustix::fs::access;

use crate::failure::{Exit, Failure};
use crate::linux::children;
use crate::linux::sysblock::{Kind, Listed};
use kubesolo_core::boot::slot::Slot;

/// GPT partition names, and filesystem labels, of the four partitions.
pub const NAMES: [&str; 4] = [ESP, Slot::A.partition(), Slot::B.partition(), DATA];
/// The same, as text.
pub const NAMES_TEXT: &str = "KSOLOEFI KSOLOA KSOLOB KSOLODATA";
/// The EFI system partition with GRUB and the env block.
pub const ESP: &str = "KSOLOEFI";
/// The partition for everything that lives longer than a slot.
pub const DATA: &str = "KSOLODATA";

/// A path under `/dev`, or that of an image file.
pub type Path = children::Subject;

/// By what the disk was chosen, where another has our names too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChosenBy {
    /// It has the booted slot's partition.
    Partuuid,
    /// Its env block says what GRUB has just counted.
    Counted,
    /// It has all four partitions, and the other does not.
    Whole,
}

impl ChosenBy {
    /// All of them.
    pub const ALL: [ChosenBy; 3] = [ChosenBy::Partuuid, ChosenBy::Counted, ChosenBy::Whole];

    /// The word in records and JSON.
    pub const fn name(self) -> &'static str {
        match self {
            ChosenBy::Partuuid => "partuuid",
            ChosenBy::Counted => "counted",
            ChosenBy::Whole => "whole",
        }
    }
}

impl fmt::Display for ChosenBy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            ChosenBy::Partuuid => "it has the partition that GRUB booted",
            ChosenBy::Counted => "its env block says what GRUB counted at this boot",
            ChosenBy::Whole => "it is a disk with all four partitions, and the other is not",
        })
    }
}

/// A disk with KubeSolo OS partitions.
#[derive(Clone, Debug)]
pub struct Disk {
    /// Device node or image file.
    pub path: Path,
    /// The kernel's number of it; 0 if there is none.
    pub seq: u64,
    /// If another disk has our names: by what this one was chosen, and the other's path.
    pub choice: Option<(ChosenBy, Path)>,
    /// Whether all that is known matches this disk. If not, a better one may appear a little later.
    pub sure: bool,
    pub(super) kind: Kind,
    /// Where each partition can be opened.
    pub(super) places: [Option<PartitionPath>; 4],
    /// Whether the kernel itself found the partitions.
    pub(super) listed: bool,
}

/// Where a partition can be opened: a device node, or `FILE@OFFSET` (bytes) within an image file, as mtools write it.
pub type PartitionPath = heapless::String<160>;

impl Disk {
    /// The device node of that partition.
    ///
    /// # Errors
    /// [`Exit::NoDisk`] if the disk has no such partition, or the kernel no node for it.
    pub fn partition(&self, name: &str) -> Result<PartitionPath, Failure> {
        let place = NAMES.iter().position(|ours| *ours == name).and_then(|place| self.places.get(place));
        let Some(place) = place.and_then(Option::as_ref) else {
            return Err(Failure::new(
                Exit::NoDisk,
                format_args!("find {name}: {}: no partition of that name; see its table with sgdisk -p", self.path),
            ));
        };
        if !self.listed && !place.contains('@') && access(place.as_str(), rustix::fs::Access::EXISTS).is_err() {
            return Err(Failure::new(
                Exit::NoDisk,
                format_args!(
                    "find {name}: {place}: the kernel made no such node; its view of the table of {} differs \
                     (boot with the parameter gpt if the primary GPT is damaged)",
                    self.path
                ),
            ));
        }
        Ok(place.clone())
    }

    /// Whether it is an image file: no partition of it can be opened by itself.
    pub fn is_file(&self) -> bool {
        self.places.iter().flatten().any(|place| place.contains('@'))
    }

    /// Whether it has all four partitions.
    pub fn is_complete(&self) -> bool {
        self.places.iter().all(Option::is_some)
    }

    pub(super) fn listed(disk: &Listed, dev: &str) -> Option<Disk> {
        let mut places = [const { None }; 4];
        for (place, node) in places.iter_mut().zip(&disk.partitions) {
            let Some(node) = node else { continue };
            let mut path = PartitionPath::new();
            write!(path, "{dev}/{node}").ok()?;
            *place = Some(path);
        }
        let mut path = Path::new();
        write!(path, "{dev}/{}", disk.node).ok()?;
        Some(Disk { path, seq: disk.seq, choice: None, sure: true, kind: disk.kind, places, listed: true })
    }
}
