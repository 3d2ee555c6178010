//! Exit codes, and the errors that users see: step, path, reason, and what to do.

use core::fmt;
use std::boxed::Box;
use std::string::String;

use kubesolo_core::text::decimal::decimal;

/// How the program ends. The numbers are stable: `/init` and operators' scripts go by them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    /// Done; from `init`: go on to the real init.
    Done = 0,
    /// The answer is no: a variable is not set, a probe did not pass.
    No = 1,
    /// The command line cannot be understood.
    Usage = 2,
    /// No disk carries the KubeSolo OS partitions, or not the one asked for.
    NoDisk = 3,
    /// More than one disk does.
    AmbiguousDisk = 4,
    /// Neither copy of the env block can be read.
    NoBlock = 5,
    /// Reading or writing failed.
    Io = 6,
    /// A rule forbids what was asked for. Nothing was changed.
    Refused = 7,
    /// Another run holds the lock.
    Busy = 8,
    /// The signature of an update is missing or wrong.
    Untrusted = 9,
    /// From `init`: go on, but something that should be there is not.
    GoOnDegraded = 10,
    /// From `init`: this trial is given up, reboot.
    Reboot = 20,
    /// From `init`: a person asked for the emergency shell.
    Emergency = 30,
}

impl Exit {
    /// Every code with its meaning, for `--help`.
    pub const TABLE: &'static [(Exit, &'static str)] = &[
        (Exit::Done, "done; from init: go on"),
        (Exit::No, "the answer is no: not set, no update, or the probe did not pass"),
        (Exit::Usage, "the command line cannot be understood"),
        (Exit::NoDisk, "no disk carries the KubeSolo OS partitions"),
        (Exit::AmbiguousDisk, "more than one disk does; choose with --disk"),
        (Exit::NoBlock, "neither copy of the env block can be read"),
        (Exit::Io, "reading or writing failed"),
        (Exit::Refused, "a rule forbids it; nothing was changed"),
        (Exit::Busy, "another run holds the lock"),
        (Exit::Untrusted, "the signature of an update is missing or wrong"),
        (Exit::GoOnDegraded, "from init: go on, degraded"),
        (Exit::Reboot, "from init: give this trial up, reboot"),
        (Exit::Emergency, "from init: a person asked for the emergency shell"),
    ];

    /// The one of that number.
    pub fn with(code: u8) -> Option<Exit> {
        Exit::TABLE.iter().map(|(exit, _)| *exit).find(|exit| *exit as u8 == code)
    }
}

/// An error with its exit code. It is a pointer to the heap, so that passing it on is cheap; a run without errors allocates none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure(Box<Content>);

#[derive(Clone, Debug, PartialEq, Eq)]
struct Content {
    exit: Exit,
    transient: bool,
    text: String,
}

impl Failure {
    /// An error that reads `step: path: reason; what to do`.
    pub fn new(exit: Exit, text: fmt::Arguments<'_>) -> Failure {
        Failure(Box::new(Content { exit, transient: false, text: std::fmt::format(text) }))
    }

    /// The same error as a transient one, or as one that is not.
    #[must_use]
    pub fn transient(mut self, transient: bool) -> Failure {
        self.0.transient = transient;
        self
    }

    /// Whether a later try may succeed.
    pub fn is_transient(&self) -> bool {
        self.0.transient
    }

    /// The message.
    pub fn text(&self) -> &str {
        &self.0.text
    }

    /// How the program ends if nobody handles this.
    pub fn exit(&self) -> Exit {
        self.0.exit
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.text)
    }
}

impl core::error::Error for Failure {}

impl embedded_io::Error for Failure {
    fn kind(&self) -> embedded_io::ErrorKind {
        embedded_io::ErrorKind::Other
    }
}

/// An error number as C's `strerror` describes it.
pub struct Reason(pub rustix::io::Errno);

/// The errors of files, disks and connections. The C library's table with its code would be 4 KB larger.
const REASONS: &str = "\
1 Operation not permitted\n\
2 No such file or directory\n\
4 Interrupted system call\n\
5 Input/output error\n\
6 No such device or address\n\
9 Bad file descriptor\n\
11 Resource temporarily unavailable\n\
12 Cannot allocate memory\n\
13 Permission denied\n\
16 Device or resource busy\n\
17 File exists\n\
18 Invalid cross-device link\n\
19 No such device\n\
20 Not a directory\n\
21 Is a directory\n\
22 Invalid argument\n\
23 Too many open files in system\n\
24 Too many open files\n\
26 Text file busy\n\
27 File too large\n\
28 No space left on device\n\
29 Illegal seek\n\
30 Read-only file system\n\
31 Too many links\n\
32 Broken pipe\n\
36 File name too long\n\
38 Function not implemented\n\
40 Too many levels of symbolic links\n\
61 No data available\n\
71 Protocol error\n\
75 Value too large for defined data type\n\
90 Message too long\n\
95 Operation not supported\n\
97 Address family not supported by protocol\n\
98 Address already in use\n\
99 Cannot assign requested address\n\
100 Network is down\n\
101 Network is unreachable\n\
103 Software caused connection abort\n\
104 Connection reset by peer\n\
107 Transport endpoint is not connected\n\
110 Connection timed out\n\
111 Connection refused\n\
112 Host is down\n\
113 No route to host\n\
116 Stale file handle\n\
117 Structure needs cleaning\n\
122 Disk quota exceeded\n\
123 No medium found";

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let number = self.0.raw_os_error();
        let known = |line: &'static str| {
            let (of, words) = line.split_once(' ')?;
            (decimal(of) == Some(number)).then_some(words)
        };
        match REASONS.lines().find_map(known) {
            Some(words) => f.write_str(words),
            None => write!(f, "error {number}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::string::ToString;

    #[test]
    fn reasons_are_the_systems_own() {
        for line in REASONS.lines() {
            let number: i32 = line.split(' ').next().unwrap().parse().unwrap();
            let errno = rustix::io::Errno::from_raw_os_error(number);
            let want = std::format!("{} (os error {number})", Reason(errno));
            assert_eq!(std::io::Error::from(errno).to_string(), want);
        }
        assert_eq!(Reason(rustix::io::Errno::from_raw_os_error(4000)).to_string(), "error 4000");
    }

    #[test]
    fn every_exit_code_is_documented_once() {
        let mut codes: std::vec::Vec<u8> = Exit::TABLE.iter().map(|(exit, _)| *exit as u8).collect();
        codes.dedup();
        assert_eq!(codes, [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 20, 30]);
    }
}
