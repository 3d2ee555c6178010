//! Where the process begins, and a child process for work that may hang. The only file with unsafe code.
//!
//! The program starts at C's `main`, without the runtime that Rust would put before it (signal handlers, a guard page,
//! the main thread's name): that is 12 KB and 10 system calls which nothing here needs. So SIGPIPE ends the program.

use std::ffi::{CStr, OsStr, c_char};
use std::os::unix::ffi::OsStrExt;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, Signal, WaitOptions, kill_process, pidfd_open, waitpid};

/// How the work ended.
pub enum Ended {
    /// With this exit code.
    With(u8),
    /// It was killed, or could not be started.
    Crashed,
    /// It did not end, and goes on hanging where it hangs.
    TooLate,
}

unsafe extern "C" {
    fn fork() -> i32;
    safe fn _exit(code: i32) -> !;
}

/// C's `main`.
#[unsafe(no_mangle)]
extern "C" fn main(count: i32, words: *const *const c_char) -> i32 {
    let word = |index: usize| {
        // SAFETY: C starts `main` with `count` pointers to NUL-ended strings, which live as long as the process.
        let text = unsafe { CStr::from_ptr(*words.add(index)) };
        OsStr::from_bytes(text.to_bytes())
    };
    let count = usize::try_from(count).unwrap_or_default();
    let called = if count == 0 { OsStr::new("kubesolo-boot") } else { word(0) };
    let arguments: Vec<&OsStr> = (1..count).map(word).collect();
    i32::from(crate::run(called, &arguments))
}

/// Runs `work` in a child process and gives its exit code.
///
/// The child inherits everything open. It is killed at the deadline; one that the kernel cannot kill is left behind.
pub fn within(deadline: Duration, work: impl FnOnce() -> u8) -> Ended {
    // SAFETY: fork is sound in a process with one thread, and this program never starts a second one: no lock can be
    // held by a thread that the child lacks.
    let forked = unsafe { fork() };
    if forked == 0 {
        _exit(i32::from(work()));
    }
    let Some(child) = Pid::from_raw(forked).filter(|_| forked > 0) else {
        return Ended::Crashed;
    };
    if !ends_by(child, deadline) {
        kill_process(child, Signal::KILL).unwrap_or_default();
        return Ended::TooLate;
    }
    match waitpid(Some(child), WaitOptions::empty()) {
        Ok(Some((_, status))) => {
            status.exit_status().and_then(|code| u8::try_from(code).ok()).map_or(Ended::Crashed, Ended::With)
        }
        _ => Ended::Crashed,
    }
}

fn ends_by(child: Pid, deadline: Duration) -> bool {
    let Ok(pidfd) = pidfd_open(child, PidfdFlags::empty()) else {
        // A kernel before 5.3: the work has to be trusted with its own deadlines.
        return true;
    };
    let timeout = Timespec { tv_sec: deadline.as_secs().try_into().unwrap_or(i64::MAX), tv_nsec: 0 };
    poll(&mut [PollFd::new(&pidfd, PollFlags::IN)], Some(&timeout)).is_ok_and(|ready| ready > 0)
}
