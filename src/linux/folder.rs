//! Folders: a path's, and one to use with `*at` calls.

use rustix::fd::{AsFd, OwnedFd};
use rustix::fs::{Mode, OFlags, openat};
use rustix::io::Errno;

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
pub fn open_folder(base: impl AsFd, path: &str) -> Result<OwnedFd, Errno> {
    openat(base, path, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
}
