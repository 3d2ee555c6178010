//! What the program says: results to standard output, notes to standard error, and the boot stage's notes to the
//! kernel log as well, where they outlive the console.

use core::fmt::{self, Write};

use kubesolo_core::ignore::ignore;
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::fs::{Mode, OFlags, open};
use rustix::io::{Errno, write};

/// The name before every note.
pub const NAME: &str = "kubesolo-boot";

/// Why the result of a write to an [`Output`] is ignored.
pub const KEEPS_ITS_ERROR: &str = "an output keeps its error until it is finished";

/// Buffered text on its way to a file descriptor; no heap.
pub struct Output<'fd> {
    fd: BorrowedFd<'fd>,
    buffer: heapless::Vec<u8, 512>,
    failed: Option<Errno>,
}

impl<'fd> Output<'fd> {
    /// Text for that file descriptor.
    pub fn to(fd: BorrowedFd<'fd>) -> Output<'fd> {
        Output { fd, buffer: heapless::Vec::new(), failed: None }
    }

    /// Adds bytes that need not be text.
    pub fn bytes(&mut self, bytes: &[u8]) {
        for part in bytes.chunks(self.buffer.capacity()) {
            if self.buffer.extend_from_slice(part).is_err() {
                self.flush();
                ignore(self.buffer.extend_from_slice(part), "a buffer that is full is written out first");
            }
        }
    }

    /// Adds a line.
    pub fn line(&mut self, line: fmt::Arguments<'_>) {
        ignore(writeln!(self, "{line}"), KEEPS_ITS_ERROR);
    }

    /// Writes what is left.
    ///
    /// # Errors
    /// The first error of any write to this output.
    pub fn finish(mut self) -> Result<(), Errno> {
        self.flush();
        self.failed.map_or(Ok(()), Err)
    }

    fn flush(&mut self) {
        let mut left = self.buffer.as_slice();
        while !left.is_empty() {
            match write(self.fd, left) {
                Ok(count) => left = left.get(count..).unwrap_or_default(),
                Err(Errno::INTR) => {}
                Err(error) => {
                    self.failed = self.failed.or(Some(error));
                    break;
                }
            }
        }
        self.buffer.clear();
    }
}

impl Write for Output<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.bytes(text.as_bytes());
        Ok(())
    }
}

/// Where notes go.
pub struct Notes {
    kernel_log: Option<OwnedFd>,
}

impl Notes {
    /// To standard error.
    pub fn new() -> Notes {
        Notes { kernel_log: None }
    }

    /// To standard error and, if it can be opened, to the kernel log.
    pub fn with_kernel_log() -> Notes {
        Notes { kernel_log: open("/dev/kmsg", OFlags::WRONLY | OFlags::CLOEXEC, Mode::empty()).ok() }
    }

    /// Writes one line: `kubesolo-boot: …`. An error is ignored, as there is nowhere to report it.
    pub fn say(&self, line: fmt::Arguments<'_>) {
        let to = |fd: BorrowedFd<'_>, head: &str| {
            let mut output = Output::to(fd);
            match writeln!(output, "{head}{NAME}: {line}") {
                Ok(()) | Err(fmt::Error) => ignore(output.finish(), "there is nowhere to report it"),
            }
        };
        to(rustix::stdio::stderr(), "");
        if let Some(log) = &self.kernel_log {
            // Priority "notice": in the log, and on no console that is not verbose.
            to(log.as_fd(), "<5>");
        }
    }
}

impl Default for Notes {
    fn default() -> Self {
        Notes::new()
    }
}
