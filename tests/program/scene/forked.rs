//! A process whose children are real, as the program's own are: minreq is fetched with in one.

use std::ffi::c_int;
use std::panic::{AssertUnwindSafe, catch_unwind};

use kubesolo_boot::linux::process::Process;
use rustix::process::Pid;

unsafe extern "C" {
    fn fork() -> c_int;
    safe fn _exit(code: c_int) -> !;
}

/// `None` with `KSOLO_TRANSPORT=own`: then the program's own transport fetches, in this build too.
pub fn process() -> Option<Process> {
    let own = std::env::var_os("KSOLO_TRANSPORT").is_some_and(|transport| transport == "own");
    (!own).then_some(Process { apart, ..Process::BARE })
}

fn apart(work: &mut dyn FnMut()) -> Option<Pid> {
    // SAFETY: the C library's heap and names can be used in the child, whatever other threads were at; more is not.
    let forked = unsafe { fork() };
    if forked == 0 {
        // Where the program would die of a panic, the child may not go on as a test.
        _exit(catch_unwind(AssertUnwindSafe(work)).is_err().into());
    }
    Pid::from_raw(forked).filter(|_| forked > 0)
}
