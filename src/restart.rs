//! `--reboot`: restarts the box, by its init if one is running, else by the kernel.

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
/// How long the sync of the disks may take. On a disk that hangs it never ends.
const SYNC_DEADLINE: Duration = Duration::from_secs(20);
/// How long the kernel may take, which calls each driver first.
const KERNEL_DEADLINE: Duration = Duration::from_secs(10);
/// For the case that all of this hangs: init, for example, kills this process before it syncs.
const WATCHDOG_SECONDS: u32 = 60;

/// Restarts the box. Everything written before is durable: filesystems are synced first, unless a disk hangs.
///
/// In this order:
/// 1. init gets SIGINT, as from the kernel at Ctrl-Alt-Del, and half a minute. Not in the emergency shell, which has no init, and not
///    if a disk hangs: init syncs, too.
/// 2. reboot(2), for ten seconds: the kernel waits for a disk that hangs.
/// 3. the kernel's emergency restart (Linux `Documentation/admin-guide/sysrq.rst`, `b`), which does not wait.
///
/// If all of this fails the watchdog resets the box, if there is one.
///
/// # Errors
/// [`Exit::Io`] if the kernel refuses. Else this does not return.
pub fn now(host: &Host<'_>) -> Result<(), Failure> {
    ignore(
        Watchdog::start(host.dev_folder(), host.process, WATCHDOG_SECONDS),
        "a box without a watchdog restarts without that safeguard",
    );
    // In a child, which is left behind if a disk hangs.
    let synced = run_with_timeout(SYNC_DEADLINE, || {
        ignore(verb::stopping::run(host), "without the note status only takes this restart for a power cut");
        sync();
        0
    });
    outlive_shutdown();
    let emergency = host.cmdline().mode == Some("emergency");
    if !emergency && matches!(synced, Ended::With(_)) && kill_process(Pid::INIT, Signal::INT).is_ok() {
        std::thread::sleep(INIT_DEADLINE);
    }
    let called = run_with_timeout(KERNEL_DEADLINE, || match reboot(RebootCommand::Restart) {
        Ok(()) => 0,
        Err(errno) => u8::try_from(errno.raw_os_error()).unwrap_or(u8::MAX),
    });
    let failed =
        |step: &str, errno| Err(Failure::new(Exit::Io, format_args!("{step}: {}; reboot by hand", Reason(errno))));
    // The kernel refused: without the permission for this, sysrq is refused as well.
    if let Ended::With(errno @ 1..) = called {
        return failed("reboot", Errno::from_raw_os_error(errno.into()));
    }
    let trigger = Device::open(CWD, "/proc/sysrq-trigger", OFlags::WRONLY);
    match trigger.and_then(|mut trigger| trigger.write(b"b").map_err(|error| error.0)) {
        Ok(_) => Ok(()),
        Err(errno) => failed("write /proc/sysrq-trigger", errno),
    }
}
