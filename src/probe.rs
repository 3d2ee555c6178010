//! Whether the data partition takes writes: 1 KiB written, synced, read back from the medium.

use rustix::fd::AsFd;
use rustix::fs::{AtFlags, CWD, OFlags, unlinkat};
use rustix::io::Errno;
use rustix::rand::{GetRandomFlags, getrandom};

use crate::device::Device;
use crate::disk::open_folder;
use crate::failure::{Exit, Failure, Reason};
use crate::storage::{Storage, read_at};

const LEN: usize = 1024;
/// The probe's file; one that a power cut left behind is overwritten by the next probe.
const FILE: &str = ".kubesolo-boot-probe";

/// Probes `folder`. The file is removed again.
///
/// # Errors
/// [`Exit::No`] with the step that failed.
pub fn disk_writable(folder: &str) -> Result<(), Failure> {
    let failed = |step: &str, errno: Errno| {
        let advice = match errno {
            Errno::ROFS => "; the filesystem is read-only, dmesg may say why",
            Errno::NOSPC => "; the disk is full",
            _ => "",
        };
        Failure::new(Exit::No, format_args!("probe: {step} {folder}/{FILE}: {}{advice}", Reason(errno)))
    };
    let opened = open_folder(CWD, folder).map_err(|errno| failed("open folder of", errno))?;
    let wanted = pattern();
    let result = write_and_read_back(&opened, &wanted);
    let removed = unlinkat(&opened, FILE, AtFlags::empty());
    match result {
        Ok(back) if back == wanted => removed.map_err(|errno| failed("remove", errno)),
        Ok(_) => Err(Failure::new(
            Exit::No,
            format_args!("probe: read {folder}/{FILE}: the disk gives other bytes back than were written"),
        )),
        Err((step, errno)) => Err(failed(step, errno)),
    }
}

fn write_and_read_back(folder: impl AsFd, wanted: &[u8; LEN]) -> Result<[u8; LEN], (&'static str, Errno)> {
    use embedded_io::Write;

    let mut file = Device::open(folder, FILE, OFlags::RDWR | OFlags::CREATE | OFlags::TRUNC | OFlags::NOFOLLOW)
        .map_err(|errno| ("create", errno))?;
    file.write_all(wanted).map_err(|error| ("write", error.0))?;
    file.sync().map_err(|error| ("sync", error.0))?;
    file.drop_cache().map_err(|error| ("read back", error.0))?;
    let mut back = [0; LEN];
    read_at(&mut file, 0, &mut back).map_err(|error| ("read back", error.0))?;
    Ok(back)
}

/// Bytes that no earlier probe has written; in the first moments of a boot, when there is no randomness yet, the same
/// ones each time.
fn pattern() -> [u8; LEN] {
    let mut bytes = [0x5a; LEN];
    getrandom(&mut bytes, GetRandomFlags::NONBLOCK).unwrap_or_default();
    bytes
}
