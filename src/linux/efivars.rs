//! The firmware's boot entries (UEFI 2.10 §3.3, variables `Boot0000` to `BootFFFF`), as Linux shows them in efivarfs: whether
//! one of them goes by a partition's GUID.
//!
//! An entry holds a device path; a partition in it is named by number, place, size and GUID (§10.3.5.1). A firmware that finds
//! no partition with that GUID drops the entry, or asks for a key.

use core::mem::MaybeUninit;

use rustix::fd::OwnedFd;
use rustix::fs::{OFlags, RawDir, access};

use crate::linux::device::Device;
use crate::linux::folder::open_folder;
use crate::linux::mount::{self, Access, Kind};
use kubesolo_core::disk::guid::Guid;
use kubesolo_core::disk::storage::read_at;

/// This folder exists if UEFI started the kernel.
const FIRMWARE: &str = "/sys/firmware/efi";
/// Most of an entry that is looked into, in bytes: the device path stands near its beginning.
const LEN_MAX: usize = 4096;

/// Whether a boot entry may name that GUID: also if there are entries that cannot be read.
pub fn may_name(guid: Guid) -> bool {
    if access(FIRMWARE, rustix::fs::Access::EXISTS).is_err() {
        return false;
    }
    mount::detached("efivarfs", Kind::Efivars, Access::Read).map_or(true, |variables| name(&variables, guid))
}

/// The same, of the variables in that folder: `Boot0001-8be4df61-…`, each four bytes of attributes and the entry.
pub fn name(variables: &OwnedFd, guid: Guid) -> bool {
    let Ok(folder) = open_folder(variables, ".") else { return true };
    let mut buffer = [MaybeUninit::uninit(); 2048];
    let mut entries = RawDir::new(&folder, &mut buffer);
    while let Some(entry) = entries.next() {
        let Ok(entry) = entry else { return true };
        let Ok(file) = entry.file_name().to_str() else { continue };
        let number = file.strip_prefix("Boot").and_then(|rest| rest.get(..5));
        if !number.is_some_and(|number| number.ends_with('-') && number.trim_end_matches('-').len() == 4) {
            continue;
        }
        let mut bytes = [0; LEN_MAX];
        let read = Device::open(&folder, file, OFlags::RDONLY)
            .and_then(|mut variable| read_at(&mut variable, 0, &mut bytes).map_err(|error| error.0));
        let Ok(len) = read else { return true };
        if bytes.get(..len).unwrap_or_default().windows(guid.0.len()).any(|part| part == guid.0) {
            return true;
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::vec::Vec;

    /// A boot entry as OVMF writes one for `\EFI\BOOT\BOOTX64.EFI` on a partition.
    fn entry(guid: Guid) -> Vec<u8> {
        let text = |text: &str| text.encode_utf16().chain([0]).flat_map(u16::to_le_bytes).collect::<Vec<_>>();
        let mut partition = Vec::from([4, 1, 42, 0, 1, 0, 0, 0]);
        partition.extend([0x800_u64.to_le_bytes(), 0x11000_u64.to_le_bytes()].concat());
        partition.extend(guid.0);
        partition.extend([2, 2]);
        let file = text("\\EFI\\BOOT\\BOOTX64.EFI");
        assert_eq!(file.len(), 48 - 4);
        let file = [&[4, 4, 48, 0], &file[..], &[0x7f, 0xff, 4, 0]].concat();
        let path = [partition, file].concat();
        let head = [&7_u32.to_le_bytes()[..], &1_u32.to_le_bytes(), &(path.len() as u16).to_le_bytes()].concat();
        [head, text("UEFI OS"), path].concat()
    }

    #[test]
    fn an_entry_that_names_the_partition_is_found_among_others() {
        let (ours, other) = (Guid::random([7; 16]), Guid::random([9; 16]));
        let folder = std::env::temp_dir().join(std::format!("ksolo-efivars-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let write = |name: &str, bytes: &[u8]| {
            fs::write(folder.join(std::format!("{name}-8be4df61-93ca-11d2-aa0d-00e098032b8c")), bytes).unwrap();
        };
        let named = || {
            let fd = open_folder(rustix::fs::CWD, folder.to_str().unwrap()).unwrap();
            name(&fd, ours)
        };
        assert!(!named(), "no entries");
        write("Boot0000", &entry(other));
        write("Boot0001", &[]);
        // Not boot entries.
        for name in ["BootOrder", "BootCurrent", "Boot0000Extra", "OsIndications", "Key0001"] {
            write(name, &entry(ours));
        }
        assert!(!named());
        write("Boot00FF", &entry(ours));
        assert!(named());
        fs::remove_dir_all(&folder).unwrap();
        // An entry that cannot be read may name it.
        fs::create_dir_all(folder.join("Boot0002-8be4df61-93ca-11d2-aa0d-00e098032b8c")).unwrap();
        assert!(named());
        fs::remove_dir_all(&folder).unwrap();
    }
}
