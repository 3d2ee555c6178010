//! `--reboot`: the box restarts, by its init if there is one that listens.

use std::time::Duration;

use kubesolo_boot::failure::{Exit, Failure, Reason};
use kubesolo_boot::host::Host;
use kubesolo_boot::verb;
use rustix::fs::sync;
use rustix::process::{Pid, Signal, kill_process};
use rustix::system::{RebootCommand, reboot};

use crate::process::{Ended, outlive_shutdown, within};

/// How long init may take to stop its services.
const PATIENCE: Duration = Duration::from_secs(30);
/// How long the disks may take to be synced. One that stalls never is.
const SYNC_DEADLINE: Duration = Duration::from_secs(20);

/// Restarts the box. Everything written before is durable: filesystems are synced first, unless a disk hangs.
///
/// Init is asked as the kernel asks it at Ctrl-Alt-Del, by SIGINT. In the emergency shell nobody listens, and the
/// kernel is asked directly; so it is when a disk hangs, and when init has not done it after half a minute: it syncs, too,
/// behind a SIGTERM to everybody.
///
/// # Errors
/// [`Exit::Io`] if the kernel refuses. Else this does not return.
pub fn now(host: &Host<'_>) -> Result<(), Failure> {
    // In a child, which is left behind with a disk that hangs.
    let synced = within(SYNC_DEADLINE, || {
        // That it is on purpose is only of use to know, and where there is no data partition nobody does.
        verb::stopping::run(host).unwrap_or_default();
        sync();
        0
    });
    outlive_shutdown();
    let emergency = host.cmdline().mode == Some("emergency");
    if !emergency && matches!(synced, Ended::With(_)) && kill_process(Pid::INIT, Signal::INT).is_ok() {
        std::thread::sleep(PATIENCE);
    }
    reboot(RebootCommand::Restart)
        .map_err(|errno| Failure::new(Exit::Io, format_args!("reboot: {}; reboot by hand", Reason(errno))))
}
