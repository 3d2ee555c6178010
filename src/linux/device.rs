//! A file or block device as [`Storage`].

use core::fmt;
use std::ffi::OsStr;

use embedded_io::{ErrorKind, ErrorType, Read, Seek, SeekFrom, Write};
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::fs::{Advice, CWD, Mode, OFlags, fadvise, fdatasync, openat};
use rustix::io::{Errno, pread, pwrite};

use crate::failure::Reason;
use kubesolo_core::disk::storage::{Storage, read_at};

/// An open file or block device. Its position is kept here, so that moving it costs no system call.
pub struct Device {
    fd: OwnedFd,
    position: u64,
}

impl Device {
    /// Opens `path`, relative to `folder`.
    ///
    /// # Errors
    /// The kernel's.
    pub fn open(folder: impl AsFd, path: impl AsRef<OsStr>, flags: OFlags) -> Result<Device, Errno> {
        open_file(folder.as_fd(), path.as_ref(), flags).map(|fd| Device { fd, position: 0 })
    }

    /// Reads a small file in `folder` into `buffer`, as much of it as fits; `None` if there is none, or it cannot be read. Follows no
    /// link.
    pub fn read_small<'b>(folder: impl AsFd, name: &str, buffer: &'b mut [u8]) -> Option<&'b [u8]> {
        Device::open(folder, name, OFlags::RDONLY | OFlags::NOFOLLOW).ok()?.read_beginning(buffer)
    }

    /// The same of the file at `path`, behind whatever links lead to it.
    pub fn read_small_at<'b>(path: &str, buffer: &'b mut [u8]) -> Option<&'b [u8]> {
        Device::open(CWD, path, OFlags::RDONLY).ok()?.read_beginning(buffer)
    }

    fn read_beginning(mut self, buffer: &mut [u8]) -> Option<&[u8]> {
        let len = read_at(&mut self, 0, buffer).ok()?;
        buffer.get(..len)
    }

    fn advance(&mut self, moved: Result<usize, Errno>) -> Result<usize, IoError> {
        let count = moved?;
        self.position = self.position.saturating_add(count as u64);
        Ok(count)
    }

    /// The file descriptor, for what a [`Storage`] does not do.
    pub fn fd(&self) -> &OwnedFd {
        &self.fd
    }
}

/// Not generic, so that it is compiled once. With O_NONBLOCK, as the open of a named pipe would wait for its other end; pread and
/// pwrite then fail on it.
fn open_file(folder: BorrowedFd<'_>, path: &OsStr, flags: OFlags) -> Result<OwnedFd, Errno> {
    let flags = flags | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
    openat(folder, path, flags, Mode::RUSR | Mode::WUSR | Mode::RGRP | Mode::ROTH)
}

/// An error number of the kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IoError(pub Errno);

impl fmt::Display for IoError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Reason(self.0).fmt(f)
    }
}

impl core::error::Error for IoError {}

impl embedded_io::Error for IoError {
    fn kind(&self) -> ErrorKind {
        ErrorKind::Other
    }
}

impl From<Errno> for IoError {
    fn from(errno: Errno) -> Self {
        IoError(errno)
    }
}

impl ErrorType for Device {
    type Error = IoError;
}

impl Read for Device {
    fn read(&mut self, buffer: &mut [u8]) -> Result<usize, IoError> {
        loop {
            match pread(&self.fd, &mut *buffer, self.position) {
                Err(Errno::INTR) => {}
                result => return self.advance(result),
            }
        }
    }
}

impl Write for Device {
    fn write(&mut self, bytes: &[u8]) -> Result<usize, IoError> {
        loop {
            match pwrite(&self.fd, bytes, self.position) {
                Err(Errno::INTR) => {}
                result => return self.advance(result),
            }
        }
    }

    fn flush(&mut self) -> Result<(), IoError> {
        Ok(())
    }
}

impl Seek for Device {
    fn seek(&mut self, to: SeekFrom) -> Result<u64, IoError> {
        self.position = match to {
            SeekFrom::Start(at) => at,
            SeekFrom::End(by) => rustix::fs::seek(&self.fd, rustix::fs::SeekFrom::End(by))?,
            SeekFrom::Current(by) => self.position.checked_add_signed(by).ok_or(IoError(Errno::INVAL))?,
        };
        Ok(self.position)
    }
}

impl Storage for Device {
    fn sync(&mut self) -> Result<(), IoError> {
        Ok(fdatasync(&self.fd)?)
    }

    fn drop_cache(&mut self) -> Result<(), IoError> {
        Ok(fadvise(&self.fd, 0, None, Advice::DontNeed)?)
    }
}
