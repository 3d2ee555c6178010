//! `--reboot`: the box restarts, by its init if there is one that listens.

use kubesolo_core::ignore::ignore;
use std::time::Duration;

use embedded_io::Write;
use kubesolo_boot::failure::{Exit, Failure, Reason};
use kubesolo_boot::host::Host;
use kubesolo_boot::linux::device::Device;
use kubesolo_boot::linux::watchdog::Watchdog;
use kubesolo_boot::verb;
use rustix::fs::{CWD, OFlags, sync};
use rustix::io::Errno;
use rustix::process::{Pid, Signal, kill_process};
use rustix::system::{RebootCommand, reboot};

use crate::process::{Ended, outlive_shutdown, run_with_timeout};

/// How long init may take to stop its services.
const INIT_DEADLINE: Duration = Duration::from_secs(30);
/// How long the disks may take to be synced. One that stalls never is.
const SYNC_DEADLINE: Duration = Duration::from_secs(20);
/// How long the kernel may take, which asks each driver first.
const KERNEL_DEADLINE: Duration = Duration::from_secs(10);
/// If it all hangs: init, for one, kills everybody before it syncs.
const WATCHDOG_SECONDS: u32 = 60;

/// Restarts the box. Everything written before is durable: filesystems are synced first, unless a disk hangs.
///
/// Init is asked as the kernel asks it at Ctrl-Alt-Del, by SIGINT. In the emergency shell nobody listens, and the
/// kernel is asked directly; so it is when a disk hangs, and when init has not done it after half a minute: it syncs, too,
/// behind a SIGTERM to everybody. The kernel has ten seconds: it waits for a disk that hangs, which its emergency restart
/// (Linux `Documentation/admin-guide/sysrq.rst`, `b`) does not. Behind all of that stands the watchdog, if there is one.
///
/// # Errors
/// [`Exit::Io`] if the kernel refuses. Else this does not return.
pub fn now(host: &Host<'_>) -> Result<(), Failure> {
    ignore(
        Watchdog::start(host.dev_folder(), host.process, WATCHDOG_SECONDS),
        "a box without one has only what follows",
    );
    // In a child, which is left behind with a disk that hangs.
    let synced = run_with_timeout(SYNC_DEADLINE, || {
        ignore(
            verb::stopping::run(host),
            "that it is on purpose is only of use to know, where there is a data partition",
        );
        sync();
        0
    });
    outlive_shutdown();
    let emergency = host.cmdline().mode == Some("emergency");
    if !emergency && matches!(synced, Ended::With(_)) && kill_process(Pid::INIT, Signal::INT).is_ok() {
        std::thread::sleep(INIT_DEADLINE);
    }
    let asked = run_with_timeout(KERNEL_DEADLINE, || match reboot(RebootCommand::Restart) {
        Ok(()) => 0,
        Err(errno) => u8::try_from(errno.raw_os_error()).unwrap_or(u8::MAX),
    });
    let failed =
        |step: &str, errno| Err(Failure::new(Exit::Io, format_args!("{step}: {}; reboot by hand", Reason(errno))));
    // Whoever may not ask for the one, may not for the other.
    if let Ended::With(errno @ 1..) = asked {
        return failed("reboot", Errno::from_raw_os_error(errno.into()));
    }
    let trigger = Device::open(CWD, "/proc/sysrq-trigger", OFlags::WRONLY);
    match trigger.and_then(|mut trigger| trigger.write(b"b").map_err(|error| error.0)) {
        Ok(_) => Ok(()),
        Err(errno) => failed("write /proc/sysrq-trigger", errno),
    }
}
