//! What the program says: results to standard output, notes to standard error, and the boot stage's notes to the
//! kernel log as well, where they outlive the console.
//!
//! All text passes here, whoever wrote it: a server, a stick, a file, the block. So here, and nowhere else, what would act on a
//! terminal is made visible.

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
    is_unused: bool,
}

impl<'fd> Output<'fd> {
    /// Text for that file descriptor.
    pub fn to(fd: BorrowedFd<'fd>) -> Output<'fd> {
        Output { fd, buffer: heapless::Vec::new(), failed: None, is_unused: true }
    }

    /// Adds bytes of unknown origin, of which those that are no text are written as `\xXX`.
    pub fn unknown(&mut self, bytes: &[u8]) {
        for chunk in bytes.utf8_chunks() {
            ignore(self.write_str(chunk.valid()), KEEPS_ITS_ERROR);
            for byte in chunk.invalid() {
                ignore(write!(self, "\\x{byte:02x}"), KEEPS_ITS_ERROR);
            }
        }
    }

    /// Adds the program's own bytes, as they are: also those that act on a terminal.
    pub fn bytes(&mut self, bytes: &[u8]) {
        self.is_unused = false;
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

    /// Whether nothing was added yet.
    pub fn is_unused(&self) -> bool {
        self.is_unused
    }

    /// Writes what is left.
    ///
    /// # Errors
    /// The first error of any write to this output.
    pub fn finish(mut self) -> Result<(), Errno> {
        self.flush();
        self.failed.map_or(Ok(()), Err)
    }

    /// Writes what was added so far.
    pub fn flush(&mut self) {
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

/// Whether a terminal does something of its own at this character: C0 and C1 controls and DEL, but line break and tab.
fn acts(character: char) -> bool {
    character.is_control() && !matches!(character, '\n' | '\t')
}

/// Control characters are written as `\uXXXX`, which is also how JSON has them.
impl Write for Output<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for piece in text.split_inclusive(acts) {
            let (plain, last) = match piece.char_indices().next_back() {
                Some((at, last)) if acts(last) => (piece.get(..at).unwrap_or_default(), Some(last)),
                _ => (piece, None),
            };
            self.bytes(plain.as_bytes());
            if let Some(last) = last {
                write!(self, "\\u{:04x}", u32::from(last))?;
            }
        }
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

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;
    use std::string::String;

    fn written(write: impl FnOnce(&mut Output<'_>)) -> String {
        let (mut from, to) = std::io::pipe().unwrap();
        let mut output = Output::to(to.as_fd());
        write(&mut output);
        output.finish().unwrap();
        drop(to);
        let mut text = String::new();
        from.read_to_string(&mut text).unwrap();
        text
    }

    #[test]
    fn no_text_acts_on_a_terminal() {
        for (text, want) in [
            ("plain \u{e4} \u{2713}\tx\n", "plain \u{e4} \u{2713}\tx\n"),
            ("\x1b[2J", "\\u001b[2J"),
            ("a\x07\x08\rb", "a\\u0007\\u0008\\u000db"),
            ("\u{9b}31m\u{85}", "\\u009b31m\\u0085"),
            ("\x7f\0", "\\u007f\\u0000"),
            ("", ""),
        ] {
            assert_eq!(written(|output| write!(output, "{text}").unwrap()), want, "{text:?}");
            assert_eq!(written(|output| output.unknown(text.as_bytes())), want, "{text:?}");
        }
        assert_eq!(written(|output| output.unknown(b"a\x9b\xffb\xc2")), "a\\x9b\\xffb\\xc2");
        assert_eq!(written(|output| output.bytes(b"\x1b[m")), "\x1b[m");
    }
}
