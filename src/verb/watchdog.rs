//! `watchdog`: feeds the hardware watchdog that `init` started, until the boot is committed or given up.
//!
//! It looks at the env block before each keepalive: when the disk hangs, so does this, and the box is reset.

use core::time::Duration;

use rustix::fs::{CWD, OFlags};

use crate::cli::console::{Notes, Output};
use crate::failure::Failure;
use crate::host::Host;
use crate::linux::device::Device;
use crate::linux::watchdog::Watchdog;
use kubesolo_core::boot::slot::SlotState;
use kubesolo_core::disk::storage::read_at;
use kubesolo_core::update::config::Config;

/// Where the kernel says whether a watchdog that runs can be stopped.
const NOWAYOUT: &str = "/sys/class/watchdog/watchdog0/nowayout";

/// What the env block says about this boot.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Verdict {
    /// It is the active slot's, and not committed yet.
    Open,
    /// It was committed; or it never was the active slot's, as a person chose it.
    Settled,
    /// It was the active slot's, and is not any more.
    GivenUp,
}

/// Feeds it. Returns when that is not needed any more: after a commit the watchdog is stopped, or fed for ever if it cannot
/// be; a boot that was given up is reset by it.
///
/// # Errors
/// Those of [`Watchdog::start`].
pub fn run(host: &Host<'_>, notes: &Notes, config: &Config<'_>, out: &mut Output<'_>) -> Result<(), Failure> {
    let Some(seconds) = config.watchdog else {
        out.line(format_args!("No watchdog= is configured: nothing to feed."));
        return Ok(());
    };
    let Some(watchdog) = Watchdog::start(host.dev_folder(), host.process, seconds)? else {
        out.line(format_args!("Somebody else feeds the watchdog."));
        return Ok(());
    };
    let pause = Duration::from_secs((watchdog.seconds / 3).max(1).into());
    let (mut was_active, mut for_ever) = (false, false);
    loop {
        watchdog.keepalive();
        match verdict(host, &mut was_active) {
            _ if for_ever => {}
            Verdict::Open => {}
            Verdict::Settled if can_be_stopped() => {
                watchdog.stop();
                out.line(format_args!("Nothing hangs on this boot any more: the watchdog is stopped."));
                return Ok(());
            }
            Verdict::Settled => {
                notes.say(format_args!("watchdog: cannot be stopped (nowayout); feeding it on"));
                for_ever = true;
            }
            Verdict::GivenUp => {
                let seconds = watchdog.seconds;
                out.line(format_args!("The boot is given up: the watchdog resets the box in {seconds} s."));
                return Ok(());
            }
        }
        std::thread::sleep(pause);
    }
}

/// A block that cannot be read says nothing new.
fn verdict(host: &Host<'_>, was_active: &mut bool) -> Verdict {
    let Ok(state) = host.boot_state() else { return Verdict::Open };
    let booted = host.booted(state.active).unwrap_or(state.active);
    if booted != state.active {
        return if *was_active { Verdict::GivenUp } else { Verdict::Settled };
    }
    *was_active = true;
    if state.slot(booted) == SlotState::Good { Verdict::Settled } else { Verdict::Open }
}

/// A kernel that does not say may not let it be stopped.
fn can_be_stopped() -> bool {
    let mut answer = [0];
    Device::open(CWD, NOWAYOUT, OFlags::RDONLY).is_ok_and(|mut file| read_at(&mut file, 0, &mut answer).is_ok())
        && answer == *b"0"
}
