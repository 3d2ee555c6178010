//! `--reboot` and `--reboot-in`: restart the box, by its init if one is running, else by the kernel.

use kubesolo_core::ignore::ignore;
use kubesolo_core::text::decimal::decimal;
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

use crate::process::{Ended, leave_behind, outlive_shutdown, run_with_timeout};

/// Most that `--reboot-in` takes, in seconds.
const LATER_MAX: u32 = 300;

/// How long init may take to stop its services.
const INIT_DEADLINE: Duration = Duration::from_secs(30);
/// How long the sync of the disks may take. On a disk that hangs it never ends.
const SYNC_DEADLINE: Duration = Duration::from_secs(20);
/// How long the kernel may take, which calls each driver first.
const KERNEL_DEADLINE: Duration = Duration::from_secs(10);
/// For the case that all of this hangs: init, for example, kills this process before it syncs.
const WATCHDOG_SECONDS: u32 = 60;

/// How long `--reboot-in` says to wait.
///
/// # Errors
/// [`Exit::Usage`] if that is no number, or too large a one.
pub fn delay(given: Option<&str>) -> Result<Option<Duration>, Failure> {
    let Some(text) = given else { return Ok(None) };
    match decimal::<u32>(text).filter(|seconds| *seconds <= LATER_MAX) {
        Some(seconds) => Ok(Some(Duration::from_secs(seconds.into()))),
        None => Err(Failure::new(
            Exit::Usage,
            format_args!("--reboot-in {text}: not a number of seconds up to {LATER_MAX}"),
        )),
    }
}

/// Restarts the box so long after this process has ended, by a child that it leaves behind: what runs it, a Job of Kubernetes above all,
/// sees first how it ended. What a container leaves behind is killed by its cgroup, so the child leaves that; where it cannot, the box
/// restarts at once.
///
/// # Errors
/// As [`now`].
pub fn later(host: &Host<'_>, delay: Duration) -> Result<(), Failure> {
    let restart = &mut || {
        outlive_shutdown();
        std::thread::sleep(delay);
        ignore(now(host), "nobody is left to be told");
    };
    if join_init().is_some() && leave_behind(restart) { Ok(()) } else { now(host) }
}

/// Moves this process into init's cgroup (Linux `Documentation/admin-guide/cgroup-v2.rst`).
fn join_init() -> Option<()> {
    let mut buffer = [0; 512];
    let text = core::str::from_utf8(Device::read_small(CWD, "/proc/1/cgroup", &mut buffer)?).ok()?;
    // Of several lines, as under cgroup v1, the last one; and from a cgroup namespace of its own it leads nowhere.
    let (_, place) = text.trim_ascii_end().rsplit_once("0::")?;
    let members = std::format!("/sys/fs/cgroup{place}/cgroup.procs");
    Device::open(CWD, &members, OFlags::WRONLY).ok()?.write(b"0").ok().map(drop)
}

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
