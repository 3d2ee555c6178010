//! The start of the process, and child processes for work that may hang. The only file with unsafe code.
//!
//! The program starts at C's `main`, without the runtime that Rust would put before it (signal handlers, a guard page,
//! the main thread's name): 12 KB and 10 system calls that are not needed here. Without it SIGPIPE ends the program.

use kubesolo_core::ignore::ignore;
use std::ffi::{CStr, CString, OsStr, c_char};
use std::os::unix::ffi::OsStrExt;
use std::time::{Duration, Instant};

use kubesolo_boot::failure::Exit;
use kubesolo_boot::linux::children::{is_any_ready_by, is_ready, is_ready_by};
use kubesolo_boot::linux::process::{Process, Ran};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fd::{AsRawFd, BorrowedFd, OwnedFd};
use rustix::fs::{CWD, Mode, OFlags, openat};
use rustix::io::{Errno, read, write};
use rustix::ioctl;
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::process::{
    Pid, PidfdFlags, Signal, WaitOptions, kill_process, pidfd_open, set_parent_process_death_signal, setsid, waitpid,
};
use rustix::stdio::{dup2_stderr, dup2_stdin, dup2_stdout, stderr, stdin, stdout};

/// Size of the heap in bytes: a limit, whatever a server sends. If it is used up the program ends, which is safe at any moment: what
/// is on the disk is consistent after each write.
#[cfg(not(feature = "tls"))]
const HEAP_LEN: usize = 1 << 20;

/// The heap: 10 KB smaller than musl's, with fewer instructions. Not with TLS: rustls needs more memory than should be reserved.
#[cfg(not(feature = "tls"))]
#[global_allocator]
static HEAP: linked_list_allocator::LockedHeap = linked_list_allocator::LockedHeap::empty();

/// How the work ended.
pub enum Ended {
    /// With this exit code.
    With(u8),
    /// It was killed, or could not be started.
    Crashed,
    /// It did not end by the deadline. If the kernel cannot kill it, it is left behind.
    TimedOut,
}

unsafe extern "C" {
    fn _Fork() -> i32;
    fn getenv(name: *const c_char) -> *const c_char;
    fn ioctl(fd: i32, request: i32, ...) -> i32;
    fn signal(number: i32, handler: usize) -> usize;
    fn execvp(program: *const c_char, words: *const *const c_char) -> i32;
    safe fn _exit(code: i32) -> !;
}

/// C's `main`.
#[unsafe(no_mangle)]
extern "C" fn main(count: i32, words: *const *const c_char) -> i32 {
    #[cfg(not(feature = "tls"))]
    {
        static mut MEMORY: [core::mem::MaybeUninit<u8>; HEAP_LEN] = [core::mem::MaybeUninit::uninit(); HEAP_LEN];
        // SAFETY: the memory has no other name, and `main` runs once, before anything is on the heap.
        unsafe { HEAP.lock().init((&raw mut MEMORY).cast(), HEAP_LEN) };
    }
    hold_standard_streams();
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

/// Opens descriptors 0 to 2 if they are closed, as Rust's runtime does. Otherwise the first file that is opened, the env block,
/// would get the number of standard error, and messages would be written into it.
fn hold_standard_streams() {
    let streams = [stdin(), stdout(), stderr()];
    let mut polled = streams.each_ref().map(|stream| PollFd::new(stream, PollFlags::empty()));
    let now = Timespec { tv_sec: 0, tv_nsec: 0 };
    let open = |stream: &PollFd<'_>| !stream.revents().contains(PollFlags::NVAL);
    if poll(&mut polled, Some(&now)).is_ok() && polled.iter().all(open) {
        return;
    }
    // Each open takes the lowest free number. Early in a boot there may be no /dev/null; a folder opened with O_PATH cannot be
    // written to either.
    let any = || {
        let null = openat(CWD, "/dev/null", OFlags::RDWR, Mode::empty());
        null.or_else(|_| openat(CWD, "/", OFlags::PATH | OFlags::DIRECTORY, Mode::empty()))
    };
    while let Ok(stream) = any() {
        if stream.as_raw_fd() > stderr().as_raw_fd() {
            break;
        }
        core::mem::forget(stream);
    }
}

/// Runs `work` in a child process and gives its exit code.
///
/// The child inherits everything open. It is killed at the deadline; one that the kernel cannot kill is left behind.
pub fn run_with_timeout(deadline: Duration, work: impl FnOnce() -> u8) -> Ended {
    let mut work = Some(work);
    let Some(child) = fork(&mut || work.take().map_or(0, |work| work())) else {
        return Ended::Crashed;
    };
    if !ends_by(child, deadline) {
        ignore(kill_process(child, Signal::KILL), "it has ended already");
        return Ended::TimedOut;
    }
    exit_code(child).map_or(Ended::Crashed, Ended::With)
}

/// Starts `work` in a child process, which ends with its exit code.
fn fork(work: &mut dyn FnMut() -> u8) -> Option<Pid> {
    // SAFETY: _Fork (POSIX.1-2024, fork without handlers) is sound in a process with one thread, and this program never starts a second one: no lock can be
    // held by a thread that the child lacks.
    let forked = unsafe { _Fork() };
    if forked == 0 {
        _exit(i32::from(work()));
    }
    Pid::from_raw(forked).filter(|_| forked > 0)
}

/// The child gets standard streams of its own: with this process' ones, a shell that reads its output (`$(...)`) would wait for a
/// child that is left behind. The child ends with this process, as it shares its locks.
fn apart(work: &mut dyn FnMut()) -> Option<Pid> {
    fork(&mut || {
        ignore(set_parent_process_death_signal(Some(Signal::KILL)), "without it the child ends by itself, later");
        if take_own_streams().is_ok() {
            work();
        }
        0
    })
}

/// Starts `work` in a process that outlives this one, in a session of its own. Gives whether it was started.
pub fn leave_behind(work: &mut dyn FnMut()) -> bool {
    let child = fork(&mut || {
        let apart = setsid().map(drop).and_then(|()| take_own_streams());
        ignore(apart, "who reads this process' output waits for longer");
        work();
        0
    });
    child.is_some()
}

/// Replaces the standard streams by a pipe that nobody else has.
fn take_own_streams() -> Result<(), Errno> {
    let (from, to) = pipe_with(PipeFlags::CLOEXEC)?;
    dup2_stdin(from).and_then(|()| dup2_stdout(&to)).and_then(|()| dup2_stderr(&to))
}

/// An output stream of a child, and where to copy it.
struct Stream<'a> {
    from: OwnedFd,
    to: BorrowedFd<'a>,
}

impl Stream<'_> {
    /// Copies what there is; gives whether there may be more.
    fn pass_on(&self) -> Result<bool, Errno> {
        let mut buffer = [0; 1024];
        let len = read(&self.from, &mut buffer)?;
        let mut left = buffer.get(..len).unwrap_or_default();
        while !left.is_empty() {
            match write(self.to, left) {
                Ok(count) => left = left.get(count..).unwrap_or_default(),
                Err(Errno::INTR) => {}
                Err(errno) => return Err(errno),
            }
        }
        Ok(len > 0)
    }
}

/// Runs `work` as [`run_with_timeout`] does, and copies its output to this process' streams. If the child wrote to them itself, a
/// shell that reads them (`$(...)`) would wait for a child that is left behind.
///
/// # Errors
/// The first error of the copying.
pub fn run_passing_output_on(deadline: Duration, work: impl FnOnce() -> u8) -> (Ended, Result<(), Errno>) {
    let pipes = pipe_with(PipeFlags::CLOEXEC).and_then(|out| Ok((out, pipe_with(PipeFlags::CLOEXEC)?)));
    let Ok(((out, out_end), (err, err_end))) = pipes else { return (Ended::Crashed, Ok(())) };
    let mut work = Some(work);
    let child = fork(&mut || {
        // A signal that ends this process is meant to end the work.
        let bound = set_parent_process_death_signal(Some(Signal::TERM));
        let placed = bound.and_then(|()| dup2_stdout(&out_end)).and_then(|()| dup2_stderr(&err_end));
        work.take().filter(|_| placed.is_ok()).map_or(Exit::Io as u8, |work| work())
    });
    drop((out_end, err_end));
    let Some(child) = child else { return (Ended::Crashed, Ok(())) };
    let now = Instant::now();
    let streams = [Stream { from: err, to: stderr() }, Stream { from: out, to: stdout() }];
    let (in_time, passed) = pass_on(child, streams, now.checked_add(deadline).unwrap_or(now));
    if !in_time {
        ignore(kill_process(child, Signal::KILL), "it has ended already");
        return (Ended::TimedOut, passed);
    }
    (exit_code(child).map_or(Ended::Crashed, Ended::With), passed)
}

/// Copies the output until the child has ended. It does not wait for the end of the streams: the child's own children may hold them
/// and hang. Gives whether the child ended in time.
fn pass_on(child: Pid, streams: [Stream<'_>; 2], until: Instant) -> (bool, Result<(), Errno>) {
    let pidfd = pidfd_open(child, PidfdFlags::empty());
    let mut streams = streams.map(Some);
    let mut passed = Ok(());
    loop {
        let fds = streams.iter().flatten().map(|stream| &stream.from).chain(&pidfd);
        let mut fds: heapless::Vec<PollFd<'_>, 3> = fds.map(|fd| PollFd::new(fd, PollFlags::IN)).collect();
        if fds.is_empty() {
            return (true, passed);
        }
        if !is_any_ready_by(&mut fds, until) {
            return (false, passed);
        }
        drop(fds);
        let mut quiet = true;
        for stream in &mut streams {
            let Some(ready) = stream.as_ref().filter(|stream| is_ready(&stream.from, Duration::ZERO)) else { continue };
            quiet = false;
            match ready.pass_on() {
                Ok(true) => {}
                Ok(false) => *stream = None,
                // Only standard output counts: an error that cannot be printed cannot be reported either.
                Err(errno) if ready.to.as_raw_fd() == stdout().as_raw_fd() => passed = passed.and(Err(errno)),
                Err(_) => {}
            }
        }
        // No stream was ready, so it was the pidfd: the child has ended.
        if quiet {
            return (true, passed);
        }
    }
}

/// Makes this process ignore SIGTERM, which init sends to all processes at shutdown.
pub fn outlive_shutdown() {
    const SIG_IGN: usize = 1;
    // SAFETY: no handler is set, only the signal ignored.
    unsafe { signal(Signal::TERM.as_raw(), SIG_IGN) };
}

/// Waits for the child's end.
fn exit_code(child: Pid) -> Option<u8> {
    let (_, status) = waitpid(Some(child), WaitOptions::empty()).ok()??;
    status.exit_status().and_then(|code| u8::try_from(code).ok())
}

/// Passed to the library, which forbids unsafe code.
pub const HOOKS: Process = Process { variable, watchdog, resize_partition, resize_filesystem, output, apart };

/// Linux `include/uapi/linux/watchdog.h`: `_IOR('W', 2, int)`, `_IOWR('W', 6, int)`, `_IOR('W', 7, int)`, and a bit of the
/// first one's answer.
const WDIOC_GETBOOTSTATUS: u32 = 0x8004_5702;
const WDIOC_SETTIMEOUT: u32 = 0xc004_5706;
const WDIOC_GETTIMEOUT: u32 = 0x8004_5707;
const WDIOF_CARDRESET: i32 = 0x20;

fn watchdog(device: BorrowedFd<'_>, seconds: u32) -> Result<(u32, bool), Errno> {
    let control = |request: u32, value: &mut i32| {
        // SAFETY: each of these requests takes a pointer to one int, which `value` is.
        let answer = unsafe { ioctl(device.as_raw_fd(), request.cast_signed(), core::ptr::from_mut(value)) };
        if answer == 0 { Ok(()) } else { Err(Errno::NOTTY) }
    };
    let mut taken = i32::try_from(seconds).unwrap_or(i32::MAX);
    control(WDIOC_SETTIMEOUT, &mut taken).or_else(|_| control(WDIOC_GETTIMEOUT, &mut taken))?;
    let mut status = 0;
    ignore(control(WDIOC_GETBOOTSTATUS, &mut status), "a driver without it never caused a reset");
    Ok((u32::try_from(taken).unwrap_or(seconds), status & WDIOF_CARDRESET != 0))
}

/// Linux `include/uapi/linux/blkpg.h`: `_IO(0x12, 105)`, and the operation that changes a partition's length only.
const BLKPG: ioctl::Opcode = 0x1269;
const BLKPG_RESIZE_PARTITION: i32 = 3;

/// `struct blkpg_partition`: start and length in bytes, the number, and two names that the kernel does not read.
#[repr(C)]
struct BlkpgPartition {
    start: i64,
    length: i64,
    number: i32,
    names: [u8; 128],
}

/// `struct blkpg_ioctl_arg`.
#[repr(C)]
struct BlkpgArgument {
    operation: i32,
    flags: i32,
    length: i32,
    partition: *const BlkpgPartition,
}

fn resize_partition(disk: BorrowedFd<'_>, number: u32, start: u64, length: u64) -> Result<(), Errno> {
    let partition = BlkpgPartition {
        start: i64::try_from(start).map_err(|_| Errno::OVERFLOW)?,
        length: i64::try_from(length).map_err(|_| Errno::OVERFLOW)?,
        number: i32::try_from(number).map_err(|_| Errno::OVERFLOW)?,
        names: [0; 128],
    };
    let size = i32::try_from(size_of::<BlkpgPartition>()).unwrap_or_default();
    let argument =
        BlkpgArgument { operation: BLKPG_RESIZE_PARTITION, flags: 0, length: size, partition: &raw const partition };
    // SAFETY: the request takes a pointer to this structure, which points to a partition that lives as long.
    unsafe { ioctl::ioctl(disk, ioctl::Setter::<BLKPG, BlkpgArgument>::new(argument)) }
}

/// Linux `fs/ext4/ext4.h`: `_IOW('f', 16, __u64)`.
const EXT4_IOC_RESIZE_FS: ioctl::Opcode = 0x4008_6610;

fn resize_filesystem(on: BorrowedFd<'_>, blocks: u64) -> Result<(), Errno> {
    // SAFETY: the request takes a pointer to a number of 64 bits.
    unsafe { ioctl::ioctl(on, ioctl::Setter::<EXT4_IOC_RESIZE_FS, u64>::new(blocks)) }
}

fn variable(name: &str) -> Option<String> {
    let name = CString::new(name).ok()?;
    // SAFETY: nothing in this program changes the environment, so that the text lives as long as the process.
    let text = unsafe { getenv(name.as_ptr()).as_ref().map(|first| CStr::from_ptr(first)) };
    text.and_then(|text| text.to_str().ok()).map(String::from)
}

/// Runs a program: `words` are its name and its arguments, `buffer` gets its standard output and standard error. Its standard input is
/// empty, and it is killed at the deadline.
fn output(words: &[&str], deadline: Duration, take: &mut dyn FnMut(&[u8])) -> Ran {
    let now = Instant::now();
    let deadline = now.checked_add(deadline).unwrap_or(now);
    let Some((child, from)) = start(words) else { return Ran::NotStarted };
    let mut buffer = [0; 4096];
    let early = loop {
        if !is_ready_by(&from, deadline) {
            break Some(Ran::TimedOut);
        }
        match read(&from, &mut buffer) {
            Ok(0) => break None,
            Ok(count) => take(buffer.get(..count).unwrap_or_default()),
            Err(Errno::INTR) => {}
            Err(_) => break Some(Ran::Failed),
        }
    };
    let early = early.or_else(|| {
        let in_time = ends_by(child, deadline.saturating_duration_since(Instant::now()));
        (!in_time).then_some(Ran::TimedOut)
    });
    if early.is_some() {
        ignore(kill_process(child, Signal::KILL), "it has ended already");
        // One that hangs in the kernel is left behind.
        if !ends_by(child, Duration::from_secs(1)) {
            return Ran::TimedOut;
        }
    }
    let code = exit_code(child);
    early.unwrap_or(if code == Some(0) { Ran::Succeeded } else { Ran::Failed })
}

/// Starts a program; gives it and the end of the pipe that it writes to.
fn start(words: &[&str]) -> Option<(Pid, OwnedFd)> {
    // All words in one text, each ended by a NUL.
    let text: String = words.iter().flat_map(|word| [*word, "\0"]).collect();
    let pointers = text.split_terminator('\0').map(|word| word.as_ptr().cast());
    let pointers: Vec<*const c_char> = pointers.chain([core::ptr::null()]).collect();
    let program = *pointers.first()?;
    let (from, to) = pipe_with(PipeFlags::CLOEXEC).ok()?;
    let null = openat(CWD, "/dev/null", OFlags::RDWR | OFlags::CLOEXEC, Mode::empty()).ok()?;
    // SAFETY: as in `fork`; and until it is another program, the child makes system calls only.
    let forked = unsafe { _Fork() };
    if forked == 0 {
        let placed = dup2_stdin(&null).and_then(|()| dup2_stdout(&to)).and_then(|()| dup2_stderr(&to));
        if placed.is_ok() {
            // SAFETY: both are made of C strings that live on, and the list ends with a null pointer.
            unsafe { execvp(program, pointers.as_ptr()) };
        }
        _exit(127);
    }
    Pid::from_raw(forked).filter(|_| forked > 0).map(|child| (child, from))
}

fn ends_by(child: Pid, deadline: Duration) -> bool {
    let Ok(pidfd) = pidfd_open(child, PidfdFlags::empty()) else {
        // A kernel before 5.3: the work has to keep its own deadlines.
        return true;
    };
    is_ready(&pidfd, deadline)
}
