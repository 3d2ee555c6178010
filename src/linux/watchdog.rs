//! The hardware watchdog (Linux `Documentation/watchdog/watchdog-api.rst`): once it is open, the box is reset when nobody
//! feeds it for so many seconds.
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
    /// Its time-out in seconds: what it was asked for, or what it can do.
    pub seconds: u32,
    /// It was the watchdog that reset the box before this boot.
    pub caused_last_reset: bool,
}

impl Watchdog {
    /// Starts the one in that folder (`/dev`); `None` if somebody else feeds it already.
    ///
    /// # Errors
    /// [`Exit::Io`].
    pub fn start(dev: &str, process: Process, seconds: u32) -> Result<Option<Watchdog>, Failure> {
        let mut path = heapless::String::<128>::new();
        ignore(
            path.push_str(dev).and_then(|()| path.push_str("/watchdog")),
            "a path that is cut off is not found, which is said",
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
        // One without a choice of time-outs runs with its own.
        let (seconds, caused_last_reset) =
            (process.watchdog)(device.fd().as_fd(), seconds).map_err(|errno| failed("set the time-out of", errno))?;
        Ok(Some(Watchdog { device, seconds, caused_last_reset }))
    }

    /// The time-out begins anew.
    pub fn keepalive(&self) {
        ignore(
            write(self.device.fd(), &[0]),
            "a watchdog that takes no keepalive resets the box: nothing could be done about it here",
        );
    }

    /// Stops it, for a watchdog that can be stopped.
    pub fn stop(self) {
        ignore(write(self.device.fd(), b"V"), "one that cannot be stopped goes on, as it may");
    }
}
