//! A small file with a new content: written beside the old one, synced, and put in its place.

use std::format;

use embedded_io::Write as _;
use rustix::fd::{AsFd, BorrowedFd};
use rustix::fs::{OFlags, fsync, renameat};
use rustix::io::Errno;

use crate::linux::device::Device;
use crate::linux::folder::open_folder;
use crate::linux::odd;
use kubesolo_core::disk::storage::Storage;
use kubesolo_core::flow::partial_file::{TempFile, finish};

/// Makes the file `name` in `folder` hold `content`. Durable on return; a power cut before that leaves the old file or
/// the new one, and maybe `NAME.part` beside it, which the next call writes over.
///
/// # Errors
/// The kernel's; the old file is as it was.
pub fn replace(folder: BorrowedFd<'_>, name: &str, content: &[u8]) -> Result<(), Errno> {
    replace_by(folder, &format!("{name}.part"), name, content)
}

/// As [`replace`], with `part` as the name of the temporary file.
///
/// # Errors
/// As [`replace`].
pub fn replace_by(folder: BorrowedFd<'_>, part: &str, name: &str, content: &[u8]) -> Result<(), Errno> {
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::TRUNC | OFlags::NOFOLLOW;
    let open = || Device::open(folder, part, flags);
    let mut file = match open() {
        Err(errno) if odd::is_no_file(errno) => odd::set_aside(folder, part).and_then(|()| open()),
        file => file,
    }?;
    file.write_all(content).map_err(|error| error.0)?;
    finish(&mut New { folder, file, from: part, to: name })?;
    // An O_PATH descriptor, such as that of a detached mount, cannot be synced; a folder opened through it can.
    fsync(open_folder(folder, ".")?.as_fd())
}

/// The new file.
struct New<'a> {
    folder: BorrowedFd<'a>,
    file: Device,
    from: &'a str,
    to: &'a str,
}

impl TempFile for New<'_> {
    type Error = Errno;

    fn sync(&mut self) -> Result<(), Errno> {
        self.file.sync().map_err(|error| error.0)
    }

    fn name(&mut self) -> Result<(), Errno> {
        let rename = || rename(self.folder, self.from, self.to);
        match rename() {
            // A folder has the name.
            Err(Errno::ISDIR | Errno::EXIST | Errno::NOTEMPTY) => {
                odd::set_aside(self.folder, self.to).and_then(|()| rename())
            }
            renamed => renamed,
        }
    }
}

/// Gives a file of `folder` another name there. Durable when the folder is synced.
///
/// # Errors
/// The kernel's.
pub fn rename(folder: BorrowedFd<'_>, from: &str, to: &str) -> Result<(), Errno> {
    renameat(folder, from, folder, to)
}
