//! The disk that this boot runs from, recorded in `/run/kubesolo-boot/disk` until the box restarts, so that every verb works on the
//! same one, also if a copy of it is plugged in later, or its partitions get other GUIDs.
//!
//! One line: `PATH NUMBER`, and where there was another disk to choose from, ` WHY OTHER-PATH`.

use embedded_io::Write as _;
use rustix::fs::{CWD, OFlags};
use rustix::io::Errno;

use crate::disk::partitions::{ChosenBy, Disk, Path};
use crate::linux::device::Device;
use crate::linux::folder::open_folder;
use crate::linux::odd;
use kubesolo_core::disk::storage::read_at;
use kubesolo_core::text::decimal::decimal;

const FILE: &str = "disk";

/// The content of the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chosen {
    path: Path,
    seq: u64,
    /// Why, and from which other.
    pub choice: Option<(ChosenBy, Path)>,
}

impl Chosen {
    /// Reads it; `None` if no disk was recorded in this boot.
    pub fn read(folder: &str) -> Option<Chosen> {
        let mut buffer = [0; 320];
        let mut file = Device::open(open_folder(CWD, folder).ok()?, FILE, OFlags::RDONLY).ok()?;
        let len = read_at(&mut file, 0, &mut buffer).ok()?;
        let mut words = core::str::from_utf8(buffer.get(..len)?).ok()?.split_ascii_whitespace();
        let (path, seq) = (Path::try_from(words.next()?).ok()?, decimal(words.next()?)?);
        let why = words.next().and_then(|word| ChosenBy::ALL.into_iter().find(|why| why.name() == word));
        let choice = why.zip(words.next().and_then(|path| Path::try_from(path).ok()));
        Some(Chosen { path, seq, choice })
    }

    /// Whether it is that disk. A disk of the same name that was plugged in later has another number.
    pub fn is(&self, path: &Path, seq: u64) -> bool {
        (&self.path, self.seq) == (path, seq)
    }
}

/// Records it. Not synced.
///
/// # Errors
/// The kernel's.
pub fn store(folder: &str, disk: &Disk) -> Result<(), Errno> {
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::TRUNC | OFlags::NOFOLLOW;
    let mut file = Device::open(odd::folder(CWD, folder)?, FILE, flags)?;
    let mut line = heapless::String::<320>::new();
    let Disk { path, seq, choice, .. } = disk;
    use core::fmt::Write as _;
    let written = match choice {
        Some((why, other)) => writeln!(line, "{path} {seq} {} {other}", why.name()),
        None => writeln!(line, "{path} {seq}"),
    };
    // A path with a space would be read back wrong: such a disk is not recorded, and searched for by each verb.
    if written.is_err() || path.contains(' ') {
        return Ok(());
    }
    file.write_all(line.as_bytes()).map_err(|error| error.0)
}
