//! `watchdog`: sends keepalives to the hardware watchdog that `init` started, until the boot is committed or given up.
//!
//! It reads the env block between two keepalives: if the disk hangs, this process hangs too, and the watchdog resets the box.

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
    /// The booted slot is active, and not committed yet.
    Needed,
    /// It was committed; or it never was the active slot, as it was chosen in GRUB's menu.
    NotNeeded,
    /// It was the active slot, and is not any more.
    GivenUp,
}

/// Sends the keepalives. After a commit it stops the watchdog and returns, or goes on for ever if the watchdog cannot be stopped. For
/// a boot that was given up it returns without stopping the watchdog, which resets the box.
///
/// # Errors
/// Those of [`Watchdog::start`].
pub fn run(host: &Host<'_>, notes: &Notes, config: &Config<'_>, out: &mut Output<'_>) -> Result<(), Failure> {
    let Some(seconds) = config.watchdog else {
        out.line(format_args!("No watchdog= is configured: nothing to do."));
        return Ok(());
    };
    let Some(watchdog) = Watchdog::start(host.dev_folder(), host.process, seconds)? else {
        out.line(format_args!("Another process sends the watchdog its keepalives."));
        return Ok(());
    };
    let pause = Duration::from_secs((watchdog.seconds / 3).max(1).into());
    let (mut was_active, mut for_ever) = (false, false);
    loop {
        watchdog.keepalive();
        match verdict(host, &mut was_active) {
            _ if for_ever => {}
            Verdict::Needed => {}
            Verdict::NotNeeded if can_be_stopped() => {
                watchdog.stop();
                out.line(format_args!("This boot is committed, or not the active slot's: the watchdog is stopped."));
                return Ok(());
            }
            Verdict::NotNeeded => {
                notes.say(format_args!("watchdog: cannot be stopped (nowayout); keepalives go on"));
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

/// While the block cannot be read the keepalives go on.
fn verdict(host: &Host<'_>, was_active: &mut bool) -> Verdict {
    let Ok(state) = host.boot_state() else { return Verdict::Needed };
    let booted = host.booted(state.active).unwrap_or(state.active);
    if booted != state.active {
        return if *was_active { Verdict::GivenUp } else { Verdict::NotNeeded };
    }
    *was_active = true;
    if state.slot(booted) == SlotState::Good { Verdict::NotNeeded } else { Verdict::Needed }
}

/// Whether the kernel lets the watchdog be stopped: `nowayout` is 0. If that cannot be read it is taken for 1.
fn can_be_stopped() -> bool {
    let mut answer = [0];
    Device::open(CWD, NOWAYOUT, OFlags::RDONLY).is_ok_and(|mut file| read_at(&mut file, 0, &mut answer).is_ok())
        && answer == *b"0"
}
