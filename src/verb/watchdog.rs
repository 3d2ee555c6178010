//! `watchdog`: sends keepalives to the hardware watchdog that `init` started, until the boot is committed or given up. With `--reboot`
//! it also ends a trial that is not committed in its time, whatever becomes of the health check.
//!
//! It reads the env block between two keepalives: if the disk hangs, this process hangs too, and the watchdog resets the box.

use core::time::Duration;

use crate::cli::console::{Notes, Output};
use crate::failure::Failure;
use crate::host::Host;
use crate::linux::device::Device;
use crate::linux::watchdog::Watchdog;
use kubesolo_core::boot::slot::SlotState;
use kubesolo_core::flow::healthcheck::can_run_out_of_time;
use kubesolo_core::flow::ports::BootLog;
use kubesolo_core::history::boot_log::Milestone;
use kubesolo_core::update::config::Config;

use super::healthcheck::OUT_OF_TIME;
use super::machine::Machine;

/// Where the kernel says whether a watchdog that runs can be stopped.
const NOWAYOUT: &str = "/sys/class/watchdog/watchdog0/nowayout";

/// How often, in seconds, the block is read where no watchdog has to be fed.
const PAUSE: u32 = 20;

/// What the env block says about this boot.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Verdict {
    /// The booted slot is active, and not committed yet.
    Needed,
    /// So it is, and a trial that fails if its time is over.
    OnTrial,
    /// It was committed; or it never was the active slot, as it was chosen in GRUB's menu.
    NotNeeded,
    /// It was the active slot, and is not any more.
    GivenUp,
}

/// Sends the keepalives. After a commit it stops the watchdog and returns, or goes on for ever if the watchdog cannot be stopped. For
/// a boot that was given up it returns without stopping the watchdog, which resets the box.
///
/// Gives whether the box is to be restarted, if `may_restart`: the time for a trial is over, and no health check saw that, as it hangs
/// or does not run. For this it waits also where there is no watchdog to feed.
///
/// # Errors
/// Those of [`Watchdog::start`].
pub fn run(
    host: &Host<'_>,
    notes: &Notes,
    config: &Config<'_>,
    may_restart: bool,
    out: &mut Output<'_>,
) -> Result<bool, Failure> {
    let (mut was_active, mut for_ever) = (false, false);
    let left = || host.time_for_a_trial(config).filter(|_| may_restart);
    let waits = left().is_some() && matches!(verdict(host, &mut was_active), Verdict::Needed | Verdict::OnTrial);
    let watchdog = start(host, notes, config, waits, out)?;
    if watchdog.is_none() && !waits {
        return Ok(false);
    }
    let pause = watchdog.as_ref().map_or(PAUSE, |watchdog| (watchdog.seconds / 3).max(1));
    loop {
        if let Some(watchdog) = &watchdog {
            watchdog.keepalive();
        }
        let verdict = verdict(host, &mut was_active);
        let left = left().filter(|_| verdict == Verdict::OnTrial).unwrap_or(pause);
        match (verdict, &watchdog) {
            _ if for_ever => {}
            (Verdict::OnTrial, _) if left == 0 => {
                Machine::new(host, notes, ()).log(Milestone::Failed);
                out.line(format_args!("{OUT_OF_TIME}"));
                return Ok(true);
            }
            (Verdict::Needed | Verdict::OnTrial, _) => {}
            (_, None) => return Ok(false),
            (Verdict::NotNeeded, Some(watchdog)) if can_be_stopped() => {
                watchdog.stop();
                out.line(format_args!("This boot is committed, or not the active slot's: the watchdog is stopped."));
                return Ok(false);
            }
            (Verdict::NotNeeded, _) => {
                notes.say(format_args!("watchdog: cannot be stopped (nowayout); keepalives go on"));
                for_ever = true;
            }
            (Verdict::GivenUp, Some(watchdog)) => {
                let seconds = watchdog.seconds;
                out.line(format_args!("The boot is given up: the watchdog resets the box in {seconds} s."));
                return Ok(false);
            }
        }
        std::thread::sleep(Duration::from_secs(pause.min(left).into()));
    }
}

/// The watchdog to feed, if there is one; where a trial `waits`, one that does not work is only reported.
fn start(
    host: &Host<'_>,
    notes: &Notes,
    config: &Config<'_>,
    waits: bool,
    out: &mut Output<'_>,
) -> Result<Option<Watchdog>, Failure> {
    let Some(seconds) = config.watchdog else {
        if !waits {
            out.line(format_args!("No watchdog= is configured: nothing to do."));
        }
        return Ok(None);
    };
    match Watchdog::start(host.dev_folder(), host.process, seconds) {
        Ok(None) => out.line(format_args!("Another process sends the watchdog its keepalives.")),
        Err(failure) if waits => notes.say(format_args!("{failure}")),
        started => return started,
    }
    Ok(None)
}

/// While the block cannot be read the keepalives go on.
fn verdict(host: &Host<'_>, was_active: &mut bool) -> Verdict {
    let Ok(state) = host.boot_state() else { return Verdict::Needed };
    let booted = host.booted(state.active).unwrap_or(state.active);
    if booted != state.active {
        return if *was_active { Verdict::GivenUp } else { Verdict::NotNeeded };
    }
    *was_active = true;
    match state.slot(booted) {
        SlotState::Good => Verdict::NotNeeded,
        _ if can_run_out_of_time(&state, booted) => Verdict::OnTrial,
        _ => Verdict::Needed,
    }
}

/// Whether the kernel lets the watchdog be stopped: `nowayout` is 0. If that cannot be read it is taken for 1.
fn can_be_stopped() -> bool {
    Device::read_small_at(NOWAYOUT, &mut [0]) == Some(b"0")
}
