//! The disk or stick that carries a NoCloud seed: found by its filesystem's label, mounted read-only where no other
//! process sees it.
//!
//! | filesystem | offset | size | meaning | source |
//! |---|---|---|---|---|
//! | ISO 9660 | 32768 | 6 | `01` `CD001` | ECMA-119 §8.4 |
//! | ISO 9660 | 32808 | 32 | volume identifier, padded with spaces | ″ |
//!
//! | FAT | 11, 13, 14, 16 | 2, 1, 2, 1 | bytes a sector, sectors a cluster, reserved sectors, FATs | Microsoft FAT specification 1.03 |
//! | FAT | 17, 22 | 2, 2 | entries of the root folder, sectors a FAT; both 0 in FAT32 | ″ |
//! | FAT32 | 36, 44 | 4, 4 | sectors a FAT, first cluster of the root folder | ″ |
//! | entry of a folder | 0, 11 | 11, 1 | name, attributes; `08` is the volume's label | ″ |
//!
//! A FAT label in the boot sector is read by [`kubesolo_core::disk::label`]. Windows and mlabel set the one in the root folder alone.

use kubesolo_boot::failure::{Exit, Failure, Reason};
use kubesolo_boot::linux::device::Device;
use kubesolo_boot::linux::sysblock::has_medium;
use kubesolo_core::disk::label;
use kubesolo_core::disk::storage::read_at;
use rustix::fd::OwnedFd;
use rustix::fs::{CWD, OFlags};
use rustix::io::Errno;
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, fsconfig_create, fsconfig_set_flag, fsconfig_set_string, fsmount, fsopen,
};

/// The label, in either case.
const LABEL: &str = "cidata";
/// Most bytes of a root folder that are read: the largest cluster, and the most entries that FAT16 has.
const ROOT_MAX: u64 = 64 * 1024;

/// A filesystem with that label.
#[derive(Debug, PartialEq, Eq)]
pub struct Volume {
    /// Its device node.
    pub device: String,
    filesystem: &'static str,
}

/// Finds the volume among the disks and partitions that `sys` (`/sys/class/block`) lists, as nodes under `dev`.
///
/// # Errors
/// [`Exit::AmbiguousDisk`] naming two of them.
pub fn find(sys: &str, dev: &str) -> Result<Option<Volume>, Failure> {
    let mut names: Vec<String> = std::fs::read_dir(sys)
        .map(|entries| entries.flatten().filter_map(|entry| entry.file_name().into_string().ok()).collect())
        .unwrap_or_default();
    names.sort_unstable();
    let mut found: Option<Volume> = None;
    for name in names {
        if !has_medium(sys, &name) {
            continue;
        }
        let device = format!("{dev}/{name}");
        let Some(filesystem) = seed_filesystem(&device) else { continue };
        if let Some(before) = found {
            return Err(Failure::new(
                Exit::AmbiguousDisk,
                format_args!("{} and {device} both carry the label {LABEL}; unplug one", before.device),
            ));
        }
        found = Some(Volume { device, filesystem });
    }
    Ok(found)
}

/// The kernel's name for the filesystem, if the label fits. A disk that cannot be read carries none.
fn seed_filesystem(device: &str) -> Option<&'static str> {
    let mut disk = Device::open(CWD, device, OFlags::RDONLY | OFlags::NONBLOCK).ok()?;
    if label::read(&mut disk, 0).ok()?.eq_ignore_ascii_case(LABEL)
        || root_label(&mut disk).is_some_and(|label| label.trim_ascii_end().eq_ignore_ascii_case(LABEL.as_bytes()))
    {
        return Some("vfat");
    }
    let mut head = [0; 72];
    let len = read_at(&mut disk, 32768, &mut head).ok()?;
    let head = head.get(..len)?;
    let name = head.strip_prefix(b"\x01CD001")?.get(34..66)?;
    name.trim_ascii_end().eq_ignore_ascii_case(LABEL.as_bytes()).then_some("iso9660")
}

/// The label in the root folder of a FAT filesystem: of FAT32 in the folder's first cluster, where the tools put it.
fn root_label(disk: &mut Device) -> Option<[u8; 11]> {
    let mut boot = [0; 512];
    read_at(disk, 0, &mut boot).ok()?;
    if boot.get(510..)? != b"\x55\xaa"
        || !(boot.get(82..)?.starts_with(b"FAT32") || boot.get(54..)?.starts_with(b"FAT1"))
    {
        return None;
    }
    let short = |at: usize| Some(u64::from(u16::from_le_bytes(*boot.get(at..)?.first_chunk()?)));
    let long = |at: usize| Some(u64::from(u32::from_le_bytes(*boot.get(at..)?.first_chunk()?)));
    let byte = |at: usize| boot.get(at).copied().map(u64::from);
    let (sector, cluster, entries) = (short(11)?, byte(13)?, short(17)?);
    let fat = if short(22)? == 0 { long(36)? } else { short(22)? };
    let after_fats = short(14)?.checked_add(byte(16)?.checked_mul(fat)?)?;
    // What is no FAT32 has its root folder there, of that many entries. Clusters are counted from 2.
    let (first, len) = match entries {
        0 => (after_fats.checked_add(long(44)?.checked_sub(2)?.checked_mul(cluster)?)?, cluster.checked_mul(sector)?),
        _ => (after_fats, entries.checked_mul(32)?),
    };
    let mut folder = vec![0; usize::try_from(len.min(ROOT_MAX)).ok()?];
    let len = read_at(disk, first.checked_mul(sector)?, &mut folder).ok()?;
    let (entries, _) = folder.get(..len)?.as_chunks::<32>();
    let mut used = entries.iter().take_while(|entry| entry.first() != Some(&0));
    // A deleted entry begins with E5; of a long name's, more attributes are set.
    used.find(|entry| entry.first() != Some(&0xe5) && entry.get(11).is_some_and(|attributes| attributes & 0x3f == 8))?
        .first_chunk()
        .copied()
}

impl Volume {
    /// Mounts it; gone when the descriptor is closed, also when the process dies.
    ///
    /// # Errors
    /// [`Exit::Io`].
    pub fn mount(&self) -> Result<OwnedFd, Failure> {
        let mounted = || {
            let context = fsopen(self.filesystem, FsOpenFlags::FSOPEN_CLOEXEC)?;
            fsconfig_set_string(&context, "source", self.device.as_str())?;
            fsconfig_set_flag(&context, "ro")?;
            fsconfig_create(&context)?;
            let attributes = MountAttrFlags::MOUNT_ATTR_RDONLY
                | MountAttrFlags::MOUNT_ATTR_NOSUID
                | MountAttrFlags::MOUNT_ATTR_NODEV
                | MountAttrFlags::MOUNT_ATTR_NOEXEC;
            fsmount(&context, FsMountFlags::FSMOUNT_CLOEXEC, attributes)
        };
        mounted().map_err(|errno| {
            let advice = match errno {
                Errno::NODEV => "; the kernel has no driver for this filesystem loaded",
                Errno::PERM => "; run as root",
                _ => "",
            };
            let (device, filesystem) = (&self.device, self.filesystem);
            Failure::new(Exit::Io, format_args!("mount {device} ({filesystem}): {}{advice}", Reason(errno)))
        })
    }
}
