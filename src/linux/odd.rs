//! Renames what has the name of a file or folder of ours and is of another type, so that a stray entry cannot block an update or a
//! boot. Nothing is deleted while there is a free name.

use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::fs::{AtFlags, Mode, mkdirat, renameat, unlinkat};
use rustix::io::Errno;

use crate::linux::folder::open_folder;

/// Appended to the old name; the first that is free.
const ENDINGS: [&str; 4] = [".odd", ".odd2", ".odd3", ".odd4"];

/// Longest path that is handled.
type Path = heapless::String<256>;

/// Whether an open, or a read at a position, failed because the name is not that of a file: a folder, a link, a pipe, a
/// socket.
pub const fn is_no_file(errno: Errno) -> bool {
    matches!(errno, Errno::ISDIR | Errno::NOTDIR | Errno::LOOP | Errno::NXIO | Errno::SPIPE)
}

/// Renames whatever has this name. Durable when the folder is synced.
///
/// # Errors
/// The kernel's, if it cannot be renamed and not be removed either.
pub fn set_aside(folder: BorrowedFd<'_>, name: &str) -> Result<(), Errno> {
    for ending in ENDINGS {
        let mut aside = Path::new();
        aside.push_str(name).and_then(|()| aside.push_str(ending)).map_err(|_| Errno::NAMETOOLONG)?;
        match renameat(folder, name, folder, aside.as_str()) {
            // The new name is taken: rename does not replace a folder by a file, or a folder that is not empty.
            Err(Errno::ISDIR | Errno::NOTDIR | Errno::NOTEMPTY | Errno::EXIST) => {}
            result => return result,
        }
    }
    // All new names are taken.
    unlinkat(folder, name, AtFlags::empty()).or_else(|_| unlinkat(folder, name, AtFlags::REMOVEDIR))
}

/// Opens the folder of that name, which is made if it is not there.
///
/// # Errors
/// The kernel's.
pub fn folder(base: impl AsFd, path: &str) -> Result<OwnedFd, Errno> {
    let base = base.as_fd();
    let make = || match mkdirat(base, path, Mode::from_raw_mode(0o755)) {
        Ok(()) | Err(Errno::EXIST) => open_folder(base, path),
        Err(errno) => Err(errno),
    };
    match make() {
        // A file, or a link that leads nowhere.
        Err(Errno::NOTDIR | Errno::NOENT | Errno::LOOP) => set_aside(base, path).and_then(|()| make()),
        made => made,
    }
}
