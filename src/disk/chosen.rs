//! The disk that this boot was found to run from, kept in `/run/kubesolo-boot/disk` until the box restarts: so that every
//! verb works on the same one, also when a copy of it is plugged in later, or its partitions have got other GUIDs.
//!
//! One line: `PATH NUMBER`, and where there was another disk to choose from, ` WHY OTHER-PATH`.

use embedded_io::Write as _;
use rustix::fs::{CWD, OFlags};
use rustix::io::Errno;

use crate::disk::partitions::{Disk, Path, Why};
use crate::linux::device::Device;
use crate::linux::folder::open_folder;
use crate::linux::odd;
use kubesolo_core::disk::storage::read_at;
use kubesolo_core::text::decimal::decimal;

const FILE: &str = "disk";

/// What stands in the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chosen {
    path: Path,
    seq: u64,
    /// Why, and from which other.
    pub choice: Option<(Why, Path)>,
}

impl Chosen {
    /// Reads it; `None` if nothing was kept in this boot.
    pub fn read(folder: &str) -> Option<Chosen> {
        let mut buffer = [0; 320];
        let mut file = Device::open(open_folder(CWD, folder).ok()?, FILE, OFlags::RDONLY).ok()?;
        let len = read_at(&mut file, 0, &mut buffer).ok()?;
        let mut words = core::str::from_utf8(buffer.get(..len)?).ok()?.split_ascii_whitespace();
        let (path, seq) = (Path::try_from(words.next()?).ok()?, decimal(words.next()?)?);
        let why = words.next().and_then(|word| Why::ALL.into_iter().find(|why| why.name() == word));
        let choice = why.zip(words.next().and_then(|path| Path::try_from(path).ok()));
        Some(Chosen { path, seq, choice })
    }

    /// Whether that is it. One of the same name that was plugged in since has another number.
    pub fn is(&self, path: &Path, seq: u64) -> bool {
        (&self.path, self.seq) == (path, seq)
    }
}

/// Keeps it.
///
/// # Errors
/// The kernel's.
pub fn keep(folder: &str, disk: &Disk) -> Result<(), Errno> {
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::TRUNC | OFlags::NOFOLLOW;
    let mut file = Device::open(odd::folder(CWD, folder)?, FILE, flags)?;
    let mut line = heapless::String::<320>::new();
    let Disk { path, seq, choice, .. } = disk;
    use core::fmt::Write as _;
    let written = match choice {
        Some((why, other)) => writeln!(line, "{path} {seq} {} {other}", why.name()),
        None => writeln!(line, "{path} {seq}"),
    };
    // A path with a space in it would be read as another: such a disk is found anew each time.
    if written.is_err() || path.contains(' ') {
        return Ok(());
    }
    file.write_all(line.as_bytes()).map_err(|error| error.0)
}
