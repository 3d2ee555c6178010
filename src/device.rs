//! A file or block device as [`Storage`].

use core::fmt;

use embedded_io::{ErrorKind, ErrorType, Read, Seek, SeekFrom, Write};
use rustix::fd::{AsFd, OwnedFd};
use rustix::fs::{Advice, Mode, OFlags, fadvise, fdatasync, openat, seek};
use rustix::io::{Errno, read, write};
use rustix::path::Arg;

use crate::failure::Reason;
use crate::storage::Storage;

/// An open file or block device. Reads and writes move one common position.
pub struct Device(OwnedFd);

impl Device {
    /// Opens `path`, relative to `folder`.
    ///
    /// # Errors
    /// The kernel's.
    pub fn open(folder: impl AsFd, path: impl Arg, flags: OFlags) -> Result<Device, Errno> {
        openat(folder, path, flags | OFlags::CLOEXEC, Mode::RUSR | Mode::WUSR | Mode::RGRP | Mode::ROTH).map(Device)
    }

    /// The file descriptor, for what a [`Storage`] does not do.
    pub fn fd(&self) -> &OwnedFd {
        &self.0
    }
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
            match read(&self.0, &mut *buffer) {
                Err(Errno::INTR) => {}
                result => return Ok(result?),
            }
        }
    }
}

impl Write for Device {
    fn write(&mut self, bytes: &[u8]) -> Result<usize, IoError> {
        loop {
            match write(&self.0, bytes) {
                Err(Errno::INTR) => {}
                result => return Ok(result?),
            }
        }
    }

    fn flush(&mut self) -> Result<(), IoError> {
        Ok(())
    }
}

impl Seek for Device {
    fn seek(&mut self, to: SeekFrom) -> Result<u64, IoError> {
        let to = match to {
            SeekFrom::Start(at) => rustix::fs::SeekFrom::Start(at),
            SeekFrom::End(at) => rustix::fs::SeekFrom::End(at),
            SeekFrom::Current(at) => rustix::fs::SeekFrom::Current(at),
        };
        Ok(seek(&self.0, to)?)
    }
}

impl Storage for Device {
    fn sync(&mut self) -> Result<(), IoError> {
        Ok(fdatasync(&self.0)?)
    }

    fn drop_cache(&mut self) -> Result<(), IoError> {
        Ok(fadvise(&self.0, 0, None, Advice::DontNeed)?)
    }
}
