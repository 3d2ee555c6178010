//! Work that may hang on a disk or the network, each piece in a child process with a deadline.
//!
//! A process in a system call that hangs in a disk's driver does not end, not even by SIGKILL; it can only be left behind. So the
//! child sends its answer through a pipe, and the parent waits no longer than the deadline.

use std::time::{Duration, Instant};

use kubesolo_core::ignore::ignore;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fd::OwnedFd;
use rustix::io::{Errno, read, write};
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::process::{Pid, PidfdFlags, Signal, WaitOptions, kill_process, pidfd_open, waitpid};

use crate::linux::process::Process;

/// Bytes of an answer on its way: whole in the pipe or not at all (POSIX: up to 512).
const RECORD: usize = 256;
/// Most bytes of an answer.
pub const ANSWER_MAX: usize = RECORD - 2;
/// Most children at the same time.
pub const AT_ONCE: usize = 16;

/// How long a child may take to end after its answer.
const SOON: Duration = Duration::from_millis(200);

/// A child's answer.
pub type Answer = heapless::Vec<u8, ANSWER_MAX>;

/// What a child works on: the path of a disk.
pub type Subject = heapless::String<128>;

/// Children that did not end in time. While one hangs, no other is started for its disk.
#[derive(Debug, Default)]
pub struct Hanging(heapless::Vec<(Subject, Pid), AT_ONCE>);

impl Hanging {
    /// None yet.
    pub const fn none() -> Hanging {
        Hanging(heapless::Vec::new())
    }

    fn holds(&self, subject: &str) -> bool {
        self.0.iter().any(|(hanging, _)| hanging == subject)
    }

    /// Removes those that have ended since.
    fn look_again(&mut self) {
        self.0.retain(|(_, child)| !has_ended(*child));
    }
}

/// Runs `work` with the index of each of up to [`AT_ONCE`] subjects, all at the same time. Calls `take` with the index and the answer
/// of those that answer before the deadline.
pub fn all(
    process: Process,
    deadline: Duration,
    hanging: &mut Hanging,
    subjects: &[Subject],
    work: &dyn Fn(usize) -> Answer,
    take: &mut dyn FnMut(usize, &[u8]),
) {
    hanging.look_again();
    let Ok((from, to)) = pipe_with(PipeFlags::CLOEXEC) else { return };
    let mut children: heapless::Vec<(usize, Pid), AT_ONCE> = heapless::Vec::new();
    for (place, subject) in subjects.iter().enumerate().take(AT_ONCE) {
        if hanging.holds(subject) {
            continue;
        }
        let child = (process.apart)(&mut || send(&to, place, &work(place)));
        if let Some(child) = child {
            ignore(children.push((place, child)), "there is room for as many as are started");
        }
    }
    // Now only the children have the other end open: reading ends when the last of them has ended.
    drop(to);
    let until = Instant::now().checked_add(deadline).unwrap_or_else(Instant::now);
    let mut answered = [false; AT_ONCE];
    let mut left = children.len();
    // Without children all answers are in the pipe already.
    while (left > 0 || children.is_empty())
        && let Some((place, answer)) = receive(&from, until)
    {
        left = left.saturating_sub(1);
        let answer = answer.get(2..).and_then(|bytes| bytes.get(..usize::from(answer.get(1).copied()?)));
        if let (Some(answered), Some(answer)) = (answered.get_mut(place), answer) {
            *answered = true;
            take(place, answer);
        }
    }
    for (place, child) in children {
        if answered.get(place) != Some(&true) {
            ignore(
                kill_process(child, Signal::KILL),
                "it has ended already, or the kernel does it when the disk comes back",
            );
        }
        // A child that has answered may still hang: its mounts are unmounted when it ends.
        if !ends_by(child, SOON)
            && let Some(subject) = subjects.get(place)
        {
            ignore(
                hanging.0.push((subject.clone(), child)),
                "without a record of it, its disk gets another child the next time",
            );
        }
    }
}

/// The same for one piece of work that a signal can end, so that its child need not be recorded.
pub fn one(process: Process, deadline: Duration, work: &dyn Fn() -> Answer) -> Option<Answer> {
    let mut found = None;
    let mut take = |_, answer: &[u8]| found = Answer::from_slice(answer).ok();
    all(process, deadline, &mut Hanging::none(), &[Subject::new()], &|_| work(), &mut take);
    found
}

/// Whether the child has ended, or does soon.
fn ends_by(child: Pid, soon: Duration) -> bool {
    if let Ok(pidfd) = pidfd_open(child, PidfdFlags::empty()) {
        is_ready(&pidfd, soon);
    }
    has_ended(child)
}

fn has_ended(child: Pid) -> bool {
    !matches!(waitpid(Some(child), WaitOptions::NOHANG), Ok(None))
}

fn send(to: &OwnedFd, place: usize, answer: &Answer) {
    let mut record = [0; RECORD];
    let head = [u8::try_from(place), u8::try_from(answer.len())].map(Result::unwrap_or_default);
    for (to, from) in record.iter_mut().zip(head.iter().chain(answer)) {
        *to = *from;
    }
    ignore(write(to, &record).map(drop), "if the pipe is closed the parent has stopped waiting");
}

/// Waits until there is something to read, or to see.
pub fn is_ready(fd: &OwnedFd, deadline: Duration) -> bool {
    is_any_ready(&mut [PollFd::new(fd, PollFlags::IN)], deadline)
}

/// The same up to a moment. It says no behind it, also of something that always has more.
pub fn is_ready_by(fd: &OwnedFd, until: Instant) -> bool {
    is_any_ready_by(&mut [PollFd::new(fd, PollFlags::IN)], until)
}

/// The same of several.
pub fn is_any_ready_by(fds: &mut [PollFd<'_>], until: Instant) -> bool {
    until.checked_duration_since(Instant::now()).is_some_and(|left| is_any_ready(fds, left))
}

fn is_any_ready(fds: &mut [PollFd<'_>], deadline: Duration) -> bool {
    let timeout =
        Timespec { tv_sec: deadline.as_secs().try_into().unwrap_or(i64::MAX), tv_nsec: deadline.subsec_nanos().into() };
    poll(fds, Some(&timeout)).is_ok_and(|ready| ready > 0)
}

/// The next answer; `None` if there will be none, or the time is over.
fn receive(from: &OwnedFd, until: Instant) -> Option<(usize, [u8; RECORD])> {
    if !is_ready_by(from, until) {
        return None;
    }
    let mut record = [0; RECORD];
    loop {
        match read(from, &mut record) {
            Ok(RECORD) => return Some((record.first().copied()?.into(), record)),
            Err(Errno::INTR) => {}
            _ => return None,
        }
    }
}
