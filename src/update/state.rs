//! `state.json`: the phase of the update, and how the last one ended. For people and scripts; what boots next is in the env block
//! alone, and does not depend on `state.json`.
//!
//! Written by temporary file, fsync, rename, fsync of the folder: a power cut leaves the old file or the new one.

use core::fmt;
use std::format;
use std::string::String;
use std::time::{SystemTime, UNIX_EPOCH};

use rustix::fd::{AsFd, OwnedFd};
use rustix::fs::{CWD, FlockOperation, OFlags, flock};
use rustix::io::Errno;

use crate::failure::{Exit, Failure, Reason};
use crate::linux::device::Device;
use crate::linux::folder::{folder_and_name, open_folder};
use crate::linux::odd;
use crate::linux::replace::{rename, replace};
use kubesolo_core::disk::storage::read_at;
use kubesolo_core::flow::ports::Progress;
use kubesolo_core::text::decimal::decimal;
use kubesolo_core::text::json::{self, Encode, Shown, Value};
use kubesolo_core::text::timestamp::Moment;
use kubesolo_core::update::phase::Phase;

/// Longest file that is read, in bytes: what a newer version writes may be longer than ours.
const LEN_MAX: usize = 64 * 1024;
/// Longest `last_error` that is written, in bytes: with it the file stays below 4096.
const ERROR_MAX: usize = 1000;
/// Most images that are remembered.
const KNOWN_BAD_MAX: usize = 8;

/// The whole file. A text that is not known is empty.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct State {
    /// How far the update has come.
    pub phase: Phase,
    /// Version that ran when it began.
    pub from_version: String,
    /// Version it leads to.
    pub to_version: String,
    /// When it began, RFC 3339.
    pub started_at: String,
    /// When the file was last written.
    pub updated_at: String,
    /// How often an update was begun since the last one that went well.
    pub attempt_count: u32,
    /// Health checks that failed in a row.
    pub health_check_failures: u32,
    /// Why it failed or was rolled back.
    pub last_error: String,
    /// The image it installs, as [`kubesolo_core::update::manifest::Manifest::image`] names it.
    pub to_image: String,
    /// The health checks that failed before it began, a space between two: they cannot undo it.
    pub failed_before: String,
    /// The images that were rolled back from, the newest last, a space between two.
    pub known_bad: String,
}

impl State {
    /// Reads the text of the file. Fields and values that it does not know, as a newer version writes them, are passed over.
    ///
    /// # Errors
    /// Text that is no JSON object.
    pub fn parse(text: &str) -> Result<State, json::Error> {
        let mut state = State::default();
        state.take(text, &mut |_| ()).map(|()| state)
    }

    /// Takes the fields of the text, up to an error. Calls `strange` with each whose value is not known, which keeps its old value.
    ///
    /// # Errors
    /// As [`State::parse`].
    fn take(&mut self, text: &str, strange: &mut dyn FnMut(&str)) -> Result<(), json::Error> {
        json::members(text, |name, value| {
            let place = match name.raw() {
                "phase" | "attempt_count" | "health_check_failures" => {
                    if self.take_word(name.raw(), value).is_none() {
                        strange(name.raw());
                    }
                    return Ok(());
                }
                "from_version" => &mut self.from_version,
                "to_version" => &mut self.to_version,
                "started_at" => &mut self.started_at,
                "updated_at" => &mut self.updated_at,
                "last_error" => &mut self.last_error,
                "to_image" => &mut self.to_image,
                "failed_before" => &mut self.failed_before,
                "known_bad" => &mut self.known_bad,
                _ => return Ok(()),
            };
            match value {
                Value::Text(text) => *place = text.chars().collect(),
                _ => strange(name.raw()),
            }
            Ok(())
        })
    }

    /// Takes a phase or a number; `None` if it is another than this version knows.
    fn take_word(&mut self, name: &str, value: Value<'_>) -> Option<()> {
        match (name, value) {
            ("phase", Value::Text(word)) => {
                self.phase = Phase::ALL.into_iter().find(|phase| word.is(phase.name()))?;
            }
            // A writer that has no whole numbers writes `3.0`.
            ("attempt_count", Value::Number(number)) => self.attempt_count = whole(number)?,
            ("health_check_failures", Value::Number(number)) => self.health_check_failures = whole(number)?,
            _ => return None,
        }
        Some(())
    }

    /// Adds the image to those that were rolled back from. The oldest is forgotten when there are too many.
    pub fn remember(&mut self, image: &str) {
        self.forget(image);
        while self.known_bad.split(' ').count() >= KNOWN_BAD_MAX {
            let others = self.known_bad.split_once(' ').map(|(_, others)| others.into());
            self.known_bad = others.unwrap_or_default();
        }
        push_word(&mut self.known_bad, image);
    }

    fn forget(&mut self, image: &str) {
        let mut others = String::new();
        for known in self.known_bad.split(' ').filter(|known| *known != image) {
            push_word(&mut others, known);
        }
        self.known_bad = others;
    }
}

impl Progress for State {
    fn phase(&self) -> Phase {
        self.phase
    }

    fn remember_bad(&mut self) {
        self.remember(&self.to_image.clone());
    }

    fn forget_bad(&mut self) {
        self.forget(&self.to_image.clone());
    }

    fn count_failure(&mut self) -> u32 {
        self.health_check_failures = self.health_check_failures.saturating_add(1);
        self.health_check_failures
    }

    fn end_excuses(&mut self, failed: &str) -> bool {
        let mut left = String::new();
        for name in self.failed_before.split(' ').filter(|name| failed.split(' ').any(|failed| failed == *name)) {
            push_word(&mut left, name);
        }
        let ends = left.len() < self.failed_before.len();
        self.failed_before = left;
        ends
    }

    fn clear_failures(&mut self) {
        self.health_check_failures = 0;
    }

    fn clear_counts(&mut self) {
        self.attempt_count = 0;
        self.health_check_failures = 0;
    }
}

/// The file's text.
impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        json::object(f, &mut |all| {
            all.member("phase", &Shown(self.phase))?;
            all.member("from_version", &self.from_version.as_str())?;
            all.member("to_version", &self.to_version.as_str())?;
            all.member("started_at", &self.started_at.as_str())?;
            all.member("updated_at", &self.updated_at.as_str())?;
            all.member("attempt_count", &self.attempt_count)?;
            all.member("health_check_failures", &self.health_check_failures)?;
            all.member("last_error", &self.last_error.as_str())?;
            all.member("to_image", &self.to_image.as_str())?;
            all.member("failed_before", &self.failed_before.as_str())?;
            all.member("known_bad", &self.known_bad.as_str())
        })
    }
}

/// As it is in the file.
impl Encode for State {
    fn encode(&self, out: &mut dyn fmt::Write) -> fmt::Result {
        write!(out, "{self}")
    }
}

/// The number, without a fraction that is zero.
fn whole(number: &str) -> Option<u32> {
    let (whole, fraction) = number.split_once('.').unwrap_or((number, "0"));
    decimal(whole).filter(|_| fraction.bytes().all(|digit| digit == b'0'))
}

/// Adds a word to a list of words, separated by spaces. Adds nothing for an empty word.
pub fn push_word(list: &mut String, word: &str) {
    if !list.is_empty() && !word.is_empty() {
        list.push(' ');
    }
    list.push_str(word);
}

/// The current time, by the box's clock.
pub fn now() -> Moment {
    Moment(SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs()))
}

/// The file in its folder, locked: no second run changes it or the target slot meanwhile.
pub struct StateFile {
    folder: OwnedFd,
    path: String,
}

impl StateFile {
    /// Makes the folder if it is missing, takes its lock, and reads the file. One that does not parse is renamed to `NAME.broken`,
    /// and `note` is called.
    ///
    /// # Errors
    /// [`Exit::Busy`] if another run holds the lock; [`Exit::Io`] if the folder cannot be made or read.
    pub fn open(path: &str, note: &dyn Fn(fmt::Arguments<'_>)) -> Result<(StateFile, State), Failure> {
        let (parent, name) = folder_and_name(path);
        let failed = |step: &str, errno| {
            Failure::new(Exit::Io, format_args!("{step} {parent}: {}; is the data partition mounted?", Reason(errno)))
        };
        let folder = odd::folder(CWD, parent).map_err(|errno| failed("make folder", errno))?;
        flock(&folder, FlockOperation::NonBlockingLockExclusive).map_err(|errno| match errno {
            Errno::WOULDBLOCK => Failure::new(
                Exit::Busy,
                format_args!("lock {parent}: another kubesolo-boot is at work; wait until it is done"),
            ),
            errno => failed("lock", errno),
        })?;
        let state = match read(&folder, name) {
            Ok(None) => State::default(),
            Ok(Some(text)) => {
                let mut state = State::default();
                let mut strange = |name: &str| note(format_args!("{path}: {name} is of another version; not used"));
                match state.take(&text, &mut strange) {
                    Ok(()) => state,
                    Err(error) => {
                        let aside = rename(folder.as_fd(), name, &format!("{name}.broken"));
                        note(format_args!("{path}: {error}; {}", if aside.is_ok() { "set aside" } else { "not used" }));
                        // What was rolled back from is not offered again, if that much can be read.
                        State { known_bad: state.known_bad, ..State::default() }
                    }
                }
            }
            Err(errno) => {
                note(format_args!("read {path}: {}; going on without", Reason(errno)));
                State::default()
            }
        };
        Ok((StateFile { folder, path: path.into() }, state))
    }

    /// Writes the state. Durable on return; a power cut leaves the old file or the new one.
    ///
    /// # Errors
    /// [`Exit::Io`].
    pub fn store(&self, state: &mut State) -> Result<(), Failure> {
        // Control characters are dropped: each would become an escape of six bytes, and the file could get too long.
        state.last_error.retain(|character| !character.is_control());
        let end = state.last_error.floor_char_boundary(ERROR_MAX);
        state.last_error.truncate(end);
        replace(self.folder.as_fd(), folder_and_name(&self.path).1, format!("{state}\n").as_bytes())
            .map_err(|errno| Failure::new(Exit::Io, format_args!("write {}: {}", self.path, Reason(errno))))
    }
}

/// The state in that file, for a reader that takes no lock; `None` if there is none, or none that parses.
pub fn read_unlocked(path: &str) -> Option<State> {
    let (parent, name) = folder_and_name(path);
    State::parse(&read(&open_folder(CWD, parent).ok()?, name).ok()??).ok()
}

fn read(folder: &OwnedFd, name: &str) -> Result<Option<String>, Errno> {
    let mut bytes = std::vec![0; LEN_MAX];
    let mut file = match Device::open(folder, name, OFlags::RDONLY | OFlags::NOFOLLOW) {
        Err(Errno::NOENT) => return Ok(None),
        file => file?,
    };
    let len = read_at(&mut file, 0, &mut bytes).map_err(|error| error.0)?;
    bytes.truncate(len);
    // Bytes that are not UTF-8 become an empty text, which does not parse either.
    Ok(Some(String::from_utf8(bytes).unwrap_or_default()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::string::ToString;

    #[test]
    fn the_file_is_read_back_as_it_was_written() {
        for phase in Phase::ALL {
            let state = State {
                phase,
                from_version: "1.0.0".into(),
                to_version: "1.1.0".into(),
                started_at: "2026-11-23T15:30:00Z".into(),
                updated_at: String::new(),
                attempt_count: 2,
                health_check_failures: u32::MAX,
                last_error: "a \"quoted\" \\ path\nand \u{1}".into(),
                to_image: "00".into(),
                failed_before: "probe_url".into(),
                known_bad: "00 11".into(),
            };
            assert_eq!(State::parse(&state.to_string()).unwrap(), state);
        }
    }

    #[test]
    fn bad_images_are_remembered_once_and_not_for_ever() {
        let mut state = State::default();
        for image in ["", "a", "b", "a", "c", "d", "e", "f", "g", "h", "i"] {
            state.to_image = image.into();
            state.remember_bad();
        }
        assert_eq!(state.known_bad, "a c d e f g h i");
        state.to_image = "e".into();
        state.forget_bad();
        assert_eq!(state.known_bad, "a c d f g h i");
    }

    #[test]
    fn fields_of_others_are_passed_over_and_nonsense_is_an_error() {
        let state = State::parse("{\"phase\":\"staged\",\"new\":{\"a\":[1]},\"to_version\":\"2.0.0\"}").unwrap();
        assert_eq!((state.phase, state.to_version.as_str()), (Phase::Staged, "2.0.0"));
        for text in ["", "[]", "{\"phase\":\"idle\"", "{\"phase\":\"idle\"} x"] {
            assert!(State::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn what_a_newer_version_writes_keeps_what_is_known_of_it() {
        for strange in [
            "\"phase\":\"transcended\"",
            "\"phase\":{\"name\":\"staged\",\"since\":1}",
            "\"attempt_count\":-1",
            "\"attempt_count\":1e2,\"health_check_failures\":null",
            "\"last_error\":[\"a\",\"b\"]",
            "\"started_at\":1795447800",
        ] {
            let text = format!("{{{strange},\"to_image\":\"22\",\"known_bad\":\"00 11\"}}");
            let state = State::parse(&text).unwrap();
            assert_eq!((state.known_bad.as_str(), state.to_image.as_str()), ("00 11", "22"), "{text}");
        }
        let state = State::parse("{\"attempt_count\":2.00,\"health_check_failures\":3.0}").unwrap();
        assert_eq!((state.attempt_count, state.health_check_failures), (2, 3));
    }
}
