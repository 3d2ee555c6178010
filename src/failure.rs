//! Exit codes, and an error as a person meets it: step, path, reason, and what to do.

use core::fmt;
use std::boxed::Box;
use std::string::String;

/// How the program ends. The numbers are stable: `/init` and operators' scripts go by them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    /// Done; from `init`: go on to the real init.
    Done = 0,
    /// The question asked has the answer no: a variable is not set, a probe did not pass.
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
}

/// An error with the exit code it leads to. Making one takes memory from the heap: nothing that goes well does.
///
/// A pointer, so that handing one on costs little everywhere.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure(Box<Told>);

#[derive(Clone, Debug, PartialEq, Eq)]
struct Told {
    exit: Exit,
    transient: bool,
    text: String,
}

impl Failure {
    /// An error that reads `step: path: reason; what to do`.
    pub fn new(exit: Exit, text: fmt::Arguments<'_>) -> Failure {
        Failure(Box::new(Told { exit, transient: false, text: std::fmt::format(text) }))
    }

    /// The same error, marked as one that may not come again a little later, or as one that will.
    #[must_use]
    pub fn transient(mut self, transient: bool) -> Failure {
        self.0.transient = transient;
        self
    }

    /// Whether the same may go well a little later.
    pub fn is_transient(&self) -> bool {
        self.0.transient
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

/// The system's own words for an error number.
pub struct Reason(pub rustix::io::Errno);

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        std::io::Error::from(self.0).fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_exit_code_is_documented_once() {
        let mut codes: std::vec::Vec<u8> = Exit::TABLE.iter().map(|(exit, _)| *exit as u8).collect();
        codes.dedup();
        assert_eq!(codes, [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 20, 30]);
    }
}
