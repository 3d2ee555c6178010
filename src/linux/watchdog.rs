//! The hardware watchdog (Linux `Documentation/watchdog/watchdog-api.rst`): once it is open, it resets the box so
//! many seconds after the last keepalive.
//!
//! Closing it does not stop it unless the letter `V` was written before, and not even then under `nowayout`.

use kubesolo_core::ignore::ignore;
use rustix::fd::AsFd;
use rustix::fs::{CWD, OFlags};
use rustix::io::{Errno, write};

use crate::failure::{Exit, Failure, Reason};
use crate::linux::device::Device;
use crate::linux::process::Process;

/// A watchdog that runs, also when this value is gone.
pub struct Watchdog {
    device: Device,
    /// Its time-out in seconds: the one asked for, or the nearest that it supports.
    pub seconds: u32,
    /// The watchdog caused the reset before this boot.
    pub caused_last_reset: bool,
}

impl Watchdog {
    /// Starts the one in that folder (`/dev`); `None` if another process has it open.
    ///
    /// # Errors
    /// [`Exit::Io`].
    pub fn start(dev: &str, process: Process, seconds: u32) -> Result<Option<Watchdog>, Failure> {
        let mut path = heapless::String::<128>::new();
        ignore(
            path.push_str(dev).and_then(|()| path.push_str("/watchdog")),
            "a path that is cut off cannot be opened, which is reported",
        );
        let failed = |step: &str, errno| {
            let advice = match errno {
                Errno::NOENT | Errno::NODEV => "; load its driver, or take watchdog= out of update.conf",
                _ => "",
            };
            Failure::new(Exit::Io, format_args!("watchdog: {step} {path}: {}{advice}", Reason(errno)))
        };
        let device = match Device::open(CWD, path.as_str(), OFlags::WRONLY) {
            Err(Errno::BUSY) => return Ok(None),
            opened => opened.map_err(|errno| failed("open", errno))?,
        };
        // A watchdog with a fixed time-out keeps that.
        let (seconds, caused_last_reset) =
            (process.watchdog)(device.fd().as_fd(), seconds).map_err(|errno| failed("set the time-out of", errno))?;
        Ok(Some(Watchdog { device, seconds, caused_last_reset }))
    }

    /// Starts the time-out again.
    pub fn keepalive(&self) {
        ignore(
            write(self.device.fd(), &[0]),
            "a watchdog that takes no keepalive resets the box, which cannot be prevented here",
        );
    }

    /// Stops it, if it can be stopped.
    pub fn stop(&self) {
        ignore(write(self.device.fd(), b"V"), "a watchdog that cannot be stopped runs on");
    }
}
