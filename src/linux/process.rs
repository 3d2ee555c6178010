//! What needs unsafe code, or a second process: `main` brings it along.

use core::time::Duration;
use std::string::String;

use rustix::fd::BorrowedFd;
use rustix::io::Errno;
use rustix::process::Pid;

/// What only `main` can do, where unsafe code is.
#[derive(Clone, Copy)]
pub struct Process {
    /// An environment variable; `None` if it is not set, or no text.
    pub variable: fn(&str) -> Option<String>,
    /// Sets a watchdog's time-out, in seconds; gives the one it took, and whether it reset the box last.
    pub watchdog: fn(BorrowedFd<'_>, u32) -> Result<(u32, bool), Errno>,
    /// Tells the kernel that a partition of that disk is longer: its number, first byte and length in bytes.
    pub resize_partition: fn(BorrowedFd<'_>, u32, u64, u64) -> Result<(), Errno>,
    /// Makes the mounted ext4 filesystem that the file is on so many blocks long.
    pub resize_filesystem: fn(BorrowedFd<'_>, u64) -> Result<(), Errno>,
    /// Runs a program (its name and its arguments), what it prints and complains going into the buffer.
    pub output: fn(&[&str], Duration, &mut [u8]) -> Ran,
    /// Starts work in a child process that ends with it, and does not wait. `None`: there is none, or it is done already.
    pub apart: fn(&mut dyn FnMut()) -> Option<Pid>,
}

/// How a program ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ran {
    /// With exit code 0; so many bytes are in the buffer.
    Succeeded(usize),
    /// With another, or killed; so many bytes are in the buffer.
    Failed(usize),
    /// It printed more than the buffer holds, and was killed.
    OutputTooLong,
    /// Not by the deadline, and was killed.
    TimedOut,
    /// There was no process for it.
    NotStarted,
}

impl Process {
    /// No variables, no programs, no watchdog, nothing to be resized, no children: what is to be done apart is done at once.
    pub const BARE: Process = Process {
        variable: |_| None,
        watchdog: |_, _| Err(Errno::NOTTY),
        resize_partition: |_, _, _, _| Err(Errno::NOTTY),
        resize_filesystem: |_, _| Err(Errno::NOTTY),
        output: |_, _, _| Ran::NotStarted,
        apart: |work| {
            work();
            None
        },
    };
}
