//! Knows the serial line: a thread appends what the guest says to the story's transcript, and waits look for markers in it.

use std::fs;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crate::failure::{Failure, Result, Step};

/// Everything that all machines of one story have said, in order.
#[derive(Clone, Default)]
pub struct Transcript(Arc<Shared>);

#[derive(Default)]
struct Shared {
    said: Mutex<Said>,
    grew: Condvar,
}

#[derive(Default)]
struct Said {
    bytes: Vec<u8>,
    line_open: bool,
}

impl Transcript {
    fn said(&self) -> MutexGuard<'_, Said> {
        self.0.said.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The whole of it.
    pub fn bytes(&self) -> Vec<u8> {
        self.said().bytes.clone()
    }

    /// Puts a line of the story's own into it.
    pub fn note(&self, text: &str) {
        let line = format!("\n===== {text} =====\n");
        self.said().bytes.extend_from_slice(line.as_bytes());
    }

    /// Writes the whole of it to a file, byte for byte.
    ///
    /// # Errors
    /// When the file or its folder cannot be made.
    pub fn keep(&self, file: &Path) -> Result {
        let folder = file.parent().unwrap_or(file);
        fs::create_dir_all(folder).step(|| format!("create {}", folder.display()))?;
        fs::write(file, self.bytes()).step(|| format!("write {}", file.display()))
    }

    /// Its last `lines` lines that hold anything, without terminal escapes.
    pub fn tail(&self, lines: usize) -> String {
        let text = plain(&self.bytes());
        let full: Vec<_> = text.lines().map(str::trim_end).filter(|l| !l.is_empty()).collect();
        full[full.len().saturating_sub(lines)..].join("\n")
    }
}

/// One machine's end of the line.
pub struct Serial {
    transcript: Transcript,
    line: UnixStream,
    reader: Option<JoinHandle<()>>,
    cursor: usize,
    echoes: Arc<AtomicBool>,
}

impl Serial {
    /// Starts to listen. The line counts as open until the other end closes it.
    ///
    /// # Errors
    /// When the socket cannot be cloned.
    pub fn attach(transcript: &Transcript, line: UnixStream) -> Result<Self> {
        let mut ears = line.try_clone().step(|| "serial: clone the socket".into())?;
        let cursor = {
            let mut said = transcript.said();
            said.line_open = true;
            said.bytes.len()
        };
        let shared = transcript.clone();
        let echoes = Arc::new(AtomicBool::new(false));
        let echo = echoes.clone();
        let reader = thread::spawn(move || {
            let mut chunk = [0; 4096];
            loop {
                let heard = ears.read(&mut chunk).unwrap_or(0);
                if echo.load(Ordering::Relaxed) {
                    // A machine that is gone hears nothing.
                    drop(ears.write_all(&chunk[..heard]));
                }
                let mut said = shared.said();
                said.bytes.extend_from_slice(&chunk[..heard]);
                said.line_open = heard != 0;
                shared.0.grew.notify_all();
                if heard == 0 {
                    return;
                }
            }
        });
        Ok(Self { transcript: transcript.clone(), line, reader: Some(reader), cursor, echoes })
    }

    /// From now on every byte that comes goes back, as on a line whose far end echoes.
    pub fn echo(&self) {
        self.echoes.store(true, Ordering::Relaxed);
    }

    /// Waits until one of the markers is heard after the last one; returns which, and the text before it.
    ///
    /// # Errors
    /// When the deadline passes or the machine ends first.
    pub fn wait_for_any(&mut self, markers: &[&str], deadline: Duration) -> Result<(usize, String)> {
        let end = Instant::now() + deadline;
        let mut said = self.transcript.said();
        let mut searched = self.cursor;
        let why = loop {
            if let Some((which, at)) = first_of(markers, &said.bytes[searched..]) {
                let at = searched + at;
                let before = plain(&said.bytes[self.cursor..at]);
                self.cursor = at + markers[which].len();
                return Ok((which, before));
            }
            let longest = markers.iter().map(|m| m.len()).max().unwrap_or(0);
            searched = said.bytes.len().saturating_sub(longest).max(self.cursor);
            if !said.line_open {
                break "the machine ended".to_owned();
            }
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break format!("{} s passed", deadline.as_secs());
            }
            said = self.transcript.0.grew.wait_timeout(said, left).unwrap_or_else(PoisonError::into_inner).0;
        };
        Err(Failure::new(format!("wait for {markers:?}: {why}")))
    }

    /// Waits until the other end closes the line; returns what was said since the last marker.
    ///
    /// # Errors
    /// When the deadline passes first.
    pub fn wait_for_end(&mut self, deadline: Duration) -> Result<String> {
        let end = Instant::now() + deadline;
        let mut said = self.transcript.said();
        while said.line_open {
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(Failure::new(format!("wait for the machine's end: {} s passed", deadline.as_secs())));
            }
            said = self.transcript.0.grew.wait_timeout(said, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        let rest = plain(&said.bytes[self.cursor..]);
        self.cursor = said.bytes.len();
        Ok(rest)
    }

    /// Types these bytes.
    ///
    /// # Errors
    /// When the machine is gone.
    pub fn type_bytes(&mut self, keys: &[u8]) -> Result {
        self.line.write_all(keys).step(|| "serial: type".into())
    }

    /// Lets the reader take the last bytes of a machine that has ended.
    pub fn drain(&mut self) {
        if let Some(reader) = self.reader.take() {
            // A reader that panicked has nothing more to say.
            drop(reader.join());
        }
    }
}

/// The earliest marker in the bytes, and where.
fn first_of(markers: &[&str], bytes: &[u8]) -> Option<(usize, usize)> {
    let found = markers.iter().enumerate().filter_map(|(which, marker)| {
        let at = bytes.windows(marker.len().max(1)).position(|w| w == marker.as_bytes())?;
        Some((which, at))
    });
    found.min_by_key(|(_, at)| *at)
}

/// Text without carriage returns, terminal escapes and other control characters.
fn plain(bytes: &[u8]) -> String {
    let mut text = String::new();
    let mut chars = String::from_utf8_lossy(bytes).into_owned().chars().collect::<Vec<_>>().into_iter().peekable();
    while let Some(c) = chars.next() {
        if c == '\x1b' {
            if chars.next_if_eq(&'[').is_some() {
                while chars.next_if(|c| !c.is_ascii_alphabetic()).is_some() {}
                chars.next();
            }
        } else if c == '\n' || c == '\t' || !c.is_control() {
            text.push(c);
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_text_has_no_escapes() {
        assert_eq!(plain(b"\x1b[0m\x1b[2;1Hksolo: x\r\n\x1b[Ky\x07"), "ksolo: x\ny");
    }

    #[test]
    fn the_earliest_marker_wins() {
        assert_eq!(first_of(&["bb", "a"], b"xxbba"), Some((0, 2)));
        assert_eq!(first_of(&["zz"], b"xx"), None);
    }

    #[test]
    fn a_marker_cut_in_two_reads_is_found_and_an_end_is_noticed() {
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        let mut serial = Serial::attach(&Transcript::default(), ours).unwrap();
        let speaker = thread::spawn(move || {
            theirs.write_all(b"before mar").unwrap();
            theirs.write_all(b"ker after").unwrap();
        });
        let (_, before) = serial.wait_for_any(&["marker"], Duration::from_secs(5)).unwrap();
        assert_eq!(before, "before ");
        speaker.join().unwrap();
        let lost = serial.wait_for_any(&["never"], Duration::from_secs(5)).unwrap_err().to_string();
        assert!(lost.contains("the machine ended"), "{lost}");
    }
}
