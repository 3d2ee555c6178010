//! Whether the data partition takes writes: 1 KiB written, synced, read back from the medium.

use rustix::fd::AsFd;
use rustix::fs::{AtFlags, CWD, OFlags, unlinkat};
use rustix::io::Errno;
use rustix::rand::{GetRandomFlags, getrandom};

use crate::failure::{Exit, Failure, Reason};
use crate::linux::device::Device;
use crate::linux::folder::open_folder;
use kubesolo_core::disk::storage::{Storage, read_at};
use kubesolo_core::ignore::ignore;

const LEN: usize = 1024;
/// The probe's file. If a power cut left it behind, the next probe removes it, also a link or a pipe of that name. If a folder has the
/// first name, the second is used.
const FILES: [&str; 2] = [".kubesolo-boot-probe", ".kubesolo-boot-probe.2"];

/// Probes `folder`. The file is removed again.
///
/// # Errors
/// [`Exit::No`] with the step that failed.
pub fn disk_writable(folder: &str) -> Result<(), Failure> {
    let failed = |step: &str, file: &str, errno: Errno| {
        let advice = match errno {
            Errno::ROFS => "; the filesystem is read-only, dmesg may say why",
            Errno::NOSPC => "; the disk is full",
            _ => "",
        };
        Failure::new(Exit::No, format_args!("probe: {step} {folder}/{file}: {}{advice}", Reason(errno)))
    };
    let [first, second] = FILES;
    let opened = open_folder(CWD, folder).map_err(|errno| failed("open folder of", first, errno))?;
    let (name, file) = match create(&opened, first) {
        Err(Errno::ISDIR) => (second, create(&opened, second)),
        created => (first, created),
    };
    let wanted = pattern();
    let result = file.map_err(|errno| ("create", errno)).and_then(|file| write_and_read_back(file, &wanted));
    let removed = unlinkat(&opened, name, AtFlags::empty());
    match result {
        Ok(back) if back == wanted => removed.map_err(|errno| failed("remove", name, errno)),
        Ok(_) => Err(Failure::new(
            Exit::No,
            format_args!("probe: read {folder}/{name}: read-back mismatch; replace the disk"),
        )),
        Err((step, errno)) => Err(failed(step, name, errno)),
    }
}

/// Creates a new file of that name. What has the name already is removed, and not written to.
fn create(folder: impl AsFd, name: &str) -> Result<Device, Errno> {
    let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW;
    match Device::open(&folder, name, flags) {
        Err(Errno::EXIST) => {
            // An empty folder is removed, too.
            unlinkat(&folder, name, AtFlags::empty()).or_else(|errno| match errno {
                Errno::ISDIR => unlinkat(&folder, name, AtFlags::REMOVEDIR).map_err(|_| errno),
                errno => Err(errno),
            })?;
            Device::open(&folder, name, flags)
        }
        opened => opened,
    }
}

fn write_and_read_back(mut file: Device, wanted: &[u8; LEN]) -> Result<[u8; LEN], (&'static str, Errno)> {
    use embedded_io::Write;

    file.write_all(wanted).map_err(|error| ("write", error.0))?;
    file.sync().map_err(|error| ("sync", error.0))?;
    file.drop_cache().map_err(|error| ("read back", error.0))?;
    let mut back = [0; LEN];
    read_at(&mut file, 0, &mut back).map_err(|error| ("read back", error.0))?;
    Ok(back)
}

/// Random bytes, so that those of an earlier probe are not taken for them. Fixed bytes while the kernel has no random numbers yet.
fn pattern() -> [u8; LEN] {
    let mut bytes = [0x5a; LEN];
    ignore(getrandom(&mut bytes, GetRandomFlags::NONBLOCK), "early in a boot fixed bytes are used");
    bytes
}
