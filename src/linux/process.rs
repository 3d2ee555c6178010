//! What needs unsafe code or a second process. `main` passes it to the library.

use core::time::Duration;
use std::string::String;

use rustix::fd::BorrowedFd;
use rustix::io::Errno;
use rustix::process::Pid;

/// Functions of `main`, which has the unsafe code.
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
    /// Runs a program (its name and its arguments); the function gets its standard output and standard error, as they come.
    pub output: fn(&[&str], Duration, &mut dyn FnMut(&[u8])) -> Ran,
    /// Starts work in a child process and does not wait for it. `None`: no child could be started, or the work is done already.
    pub apart: fn(&mut dyn FnMut()) -> Option<Pid>,
}

/// How a program ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ran {
    /// With exit code 0.
    Succeeded,
    /// With another exit code, or killed.
    Failed,
    /// It did not end by the deadline, and was killed.
    TimedOut,
    /// No process could be started.
    NotStarted,
}

impl Process {
    /// For tests: no variables, no programs, no watchdog, nothing can be resized; a child's work is done in this process.
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
