//! The log of the last boots: one line of text for each, from which the next boot finds out how this one ended.
//!
//! | offset | size | meaning |
//! |---|---|---|
//! | 512 × (number mod [`RECORDS`]) | 512 | a record: one line, then spaces |
//!
//! A line: `NUMBER BOOT-ID SLOT STATE TIME WORD...`. Words are `before=` with the end of the boot before, `split=`,
//! `degraded=` with the reason, its spaces written `_`, and the milestones of the boot, each appended when the boot gets
//! there. Behind `|` stand the last lines that the kernel logged in the boot before.
//!
//! A record is changed in place by one sector's write: a power cut leaves the old one or the new one.

use core::fmt::{self, Write};

use crate::boot::env_mismatch::EnvMismatch;
use crate::boot::slot::{Slot, SlotState};
use crate::text::decimal::decimal;
use crate::text::timestamp::Moment;

/// Boots that are remembered.
pub const RECORDS: u32 = 8;
/// Bytes of a record.
pub const SECTOR: usize = 512;
/// Bytes of the log.
pub const LEN: usize = RECORDS as usize * SECTOR;
/// Most bytes of the kernel's last lines that a record holds: the longest record with them has 400.
const LAST_WORDS_MAX: usize = 160;
const LAST_WORDS: char = '|';
/// Most bytes of a reason that a record holds.
const REASON_MAX: usize = 120;

/// A record as it is written, without the line break.
pub type Line = heapless::String<511>;

/// How a boot ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// Shut down or restarted on purpose.
    CleanStop,
    /// A power cut; or a reset that left no trace.
    PowerCut,
    /// The kernel panicked, as pstore has it.
    Panic,
    /// The watchdog reset the box.
    Hang,
    /// Restarted after a health check, or the probe of the data partition, had failed.
    FailedHealth,
}

impl Ending {
    /// The word in the log and in JSON.
    pub const fn name(self) -> &'static str {
        match self {
            Ending::CleanStop => "clean_stop",
            Ending::PowerCut => "power_cut",
            Ending::Panic => "panic",
            Ending::Hang => "hang",
            Ending::FailedHealth => "failed_health",
        }
    }
}

/// A point that a boot gets to. The first one, the data partition, has no word: the record itself says it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Milestone {
    /// The boot stage is done, the real init was started.
    HandedOver,
    /// The slot was committed.
    Committed,
    /// A check failed that could cost the slot its trial.
    Failed,
    /// It was shut down or restarted on purpose.
    Stopped,
}

impl Milestone {
    /// The word in the log and in JSON.
    pub const fn name(self) -> &'static str {
        match self {
            Milestone::HandedOver => "handed_over",
            Milestone::Committed => "committed",
            Milestone::Failed => "failed",
            Milestone::Stopped => "stopped",
        }
    }
}

/// What a boot leaves behind if it ends otherwise than by a power cut.
#[derive(Clone, Copy, Debug, Default)]
pub struct Traces<'a> {
    /// The message of the kernel's panic.
    pub panic: Option<&'a str>,
    /// The watchdog reports that it reset the box.
    pub watchdog: bool,
}

/// A boot that got as far as the data partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Record<'a> {
    /// The boots of the box, counted; the newest has the highest.
    pub number: u32,
    /// The line, number and all.
    pub line: &'a str,
}

impl<'a> Record<'a> {
    /// Reads a sector; `None` if no record is in it.
    pub fn parse(sector: &'a [u8]) -> Option<Record<'a>> {
        let line = core::str::from_utf8(sector).ok()?.trim_ascii_end();
        Some(Record { number: number_of(sector)?, line })
    }

    /// The words of the line: number, boot id, slot, state, time, and what else is known.
    pub fn words(&self) -> core::str::SplitAsciiWhitespace<'a> {
        self.line.split_once(LAST_WORDS).map_or(self.line, |(words, _)| words).split_ascii_whitespace()
    }

    /// The kernel's last words in the boot before; empty if there are none.
    pub fn last_words(&self) -> &'a str {
        self.line.split_once(LAST_WORDS).map_or("", |(_, last)| last)
    }

    /// The kernel's `boot_id` of that boot.
    pub fn boot_id(&self) -> &'a str {
        self.words().nth(1).unwrap_or_default()
    }

    /// The value of a word `name=`.
    pub fn value(&self, name: &str) -> Option<&'a str> {
        self.words().find_map(|word| word.strip_prefix(name)?.strip_prefix('='))
    }

    /// How GRUB and Linux differed.
    pub fn mismatch(&self) -> Option<EnvMismatch> {
        let name = self.value("split")?;
        EnvMismatch::ALL.into_iter().find(|mismatch| mismatch.name() == name)
    }

    /// Whether the boot has reached that milestone.
    pub fn has(&self, milestone: Milestone) -> bool {
        self.words().any(|word| word == milestone.name())
    }

    /// How it ended, by its milestones and by the traces that the next boot finds.
    pub fn ending(&self, traces: &Traces<'_>) -> Ending {
        if traces.panic.is_some() {
            Ending::Panic
        } else if traces.watchdog {
            Ending::Hang
        } else if !self.has(Milestone::Stopped) {
            Ending::PowerCut
        } else if self.has(Milestone::Failed) && !self.has(Milestone::Committed) {
            Ending::FailedHealth
        } else {
            Ending::CleanStop
        }
    }

    /// Why the boot went on degraded, with `_` for its spaces.
    pub fn degraded(&self) -> Option<&'a str> {
        self.value("degraded")
    }

    /// The line with that milestone; `None` if it has it already.
    pub fn with_milestone(&self, milestone: Milestone) -> Option<Line> {
        let line = self.with(format_args!("{}", milestone.name()));
        line.filter(|_| !self.has(milestone))
    }

    /// The line with the reason why the boot goes on degraded; `None` if it has one already.
    pub fn with_degraded(&self, why: &str) -> Option<Line> {
        let mut reason = heapless::String::<REASON_MAX>::new();
        for letter in why.chars() {
            let plain = if letter.is_ascii_graphic() && letter != LAST_WORDS { letter } else { '_' };
            if reason.push(plain).is_err() {
                break;
            }
        }
        let line = self.with(format_args!("degraded={reason}"));
        line.filter(|_| self.degraded().is_none() && !reason.is_empty())
    }

    /// The line with one word more.
    fn with(&self, word: fmt::Arguments<'_>) -> Option<Line> {
        let mut line = Line::new();
        for word in self.words() {
            write!(line, "{word} ").ok()?;
        }
        line.write_fmt(word).ok()?;
        if !self.last_words().is_empty() {
            write!(line, "{LAST_WORDS}{}", self.last_words()).ok()?;
        }
        Some(line)
    }
}

/// What is known of a boot when it begins.
#[derive(Clone, Copy, Debug)]
pub struct Begun<'a> {
    /// The kernel's `boot_id`.
    pub boot_id: &'a str,
    /// The slot that runs.
    pub slot: Slot,
    /// What the slot is.
    pub state: SlotState,
    /// When, by a clock that may not have been set yet.
    pub at: Moment,
    /// How GRUB and Linux differ.
    pub mismatch: Option<EnvMismatch>,
    /// The boot before, if there is one in the log.
    pub before: Option<Record<'a>>,
    /// What that boot left behind.
    pub traces: Traces<'a>,
}

impl Begun<'_> {
    /// The record's number. After the highest one, which no box reaches in practice, the count begins again with 0.
    pub fn number(&self) -> u32 {
        self.before.and_then(|before| before.number.checked_add(1)).unwrap_or_default()
    }

    /// Whether the count begins with it: then the log holds no valid older record.
    pub fn is_first(&self) -> bool {
        self.number() == 0
    }
}

impl fmt::Display for Begun<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Begun { boot_id, slot, state, at, mismatch, before, traces } = self;
        write!(f, "{} {boot_id} {slot} {state} {at}", self.number())?;
        if let Some(before) = before {
            write!(f, " before={}", before.ending(traces).name())?;
        }
        if let Some(mismatch) = mismatch {
            write!(f, " split={}", mismatch.name())?;
        }
        if let Some(panic) = traces.panic {
            let end = panic.floor_char_boundary(LAST_WORDS_MAX);
            write!(f, "{LAST_WORDS}{}", panic.get(..end).unwrap_or_default())?;
        }
        Ok(())
    }
}

/// The sector of a line.
pub fn sector(line: &str) -> [u8; SECTOR] {
    let mut sector = [b' '; SECTOR];
    let len = line.len().min(SECTOR);
    if let (Some(to), Some(from)) = (sector.get_mut(..len), line.as_bytes().get(..len)) {
        to.copy_from_slice(from);
    }
    if let Some(last) = sector.last_mut() {
        *last = b'\n';
    }
    sector
}

/// Where that record stands in the log, in bytes.
pub const fn offset(number: u32) -> usize {
    SECTOR.wrapping_mul((number % RECORDS) as usize)
}

/// That record, if it is still, or already, in the log.
pub fn record(log: &[u8], number: u32) -> Option<Record<'_>> {
    Record::parse(log.get(offset(number)..)?.get(..SECTOR)?).filter(|record| record.number == number)
}

/// The newest record. A record that is not at the place of its number does not count.
pub fn newest(log: &[u8]) -> Option<Record<'_>> {
    let sectors = log.chunks_exact(SECTOR).enumerate();
    let records = sectors.filter_map(|(place, sector)| {
        Record::parse(sector).filter(|record| offset(record.number) == place.saturating_mul(SECTOR))
    });
    records.max_by_key(|record| record.number)
}

fn number_of(sector: &[u8]) -> Option<u32> {
    let digits = sector.split(|byte| *byte == b' ').next()?;
    core::str::from_utf8(digits).ok().and_then(decimal)
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use std::string::{String, ToString};
    use std::vec::Vec;

    const MILESTONES: [Milestone; 4] =
        [Milestone::HandedOver, Milestone::Committed, Milestone::Failed, Milestone::Stopped];

    fn begun(before: Option<Record<'static>>) -> Begun<'static> {
        Begun {
            boot_id: "6f1b4b1e-7e3a-4f3e-9d0c-0d9c8a7b6c5d",
            slot: Slot::B,
            state: SlotState::Trial,
            at: Moment(1_795_447_800),
            mismatch: None,
            before,
            traces: Traces::default(),
        }
    }

    #[test]
    fn a_record_is_read_back_as_it_was_written() {
        let last = Record::parse(b"4294967294 a").unwrap();
        let traces = Traces { panic: Some(&"\u{e9} | y".repeat(60)), watchdog: true };
        let full = Begun { mismatch: Some(EnvMismatch::OtherBlock), traces, ..begun(Some(last)) };
        let mut line = full.to_string();
        for milestone in MILESTONES {
            let longer = Record::parse(line.as_bytes()).unwrap().with_milestone(milestone).unwrap();
            assert_eq!(Record::parse(longer.as_bytes()).unwrap().with_milestone(milestone), None);
            line = String::from(longer.as_str());
        }
        assert!(line.len() < SECTOR);
        let bytes = sector(&line);
        let read = Record::parse(&bytes).unwrap();
        assert_eq!((read.number, read.boot_id()), (u32::MAX, begun(None).boot_id));
        assert_eq!((read.value("before"), read.mismatch()), (Some("panic"), Some(EnvMismatch::OtherBlock)));
        assert!(MILESTONES.iter().all(|milestone| read.has(*milestone)));
        assert!(read.last_words().starts_with("\u{e9} | y\u{e9} | y") && read.last_words().len() <= LAST_WORDS_MAX);
        for text in ["", " ", "-1", "x id A good", "\0"] {
            assert_eq!(Record::parse(text.as_bytes()), None, "{text}");
        }
    }

    #[test]
    fn a_boot_is_told_how_the_one_before_ended() {
        let (nothing, watchdog) = (Traces::default(), Traces { watchdog: true, ..Traces::default() });
        for (milestones, traces, want) in [
            ("", nothing, Ending::PowerCut),
            ("handed_over committed", nothing, Ending::PowerCut),
            ("handed_over failed", nothing, Ending::PowerCut),
            ("handed_over stopped", nothing, Ending::CleanStop),
            ("handed_over failed stopped", nothing, Ending::FailedHealth),
            ("handed_over failed committed stopped", nothing, Ending::CleanStop),
            ("handed_over", watchdog, Ending::Hang),
            ("handed_over", Traces { panic: Some("Kernel panic"), ..watchdog }, Ending::Panic),
        ] {
            let line = std::format!("1 id A good 2026-11-23T15:30:00Z {milestones}");
            assert_eq!(Record::parse(line.as_bytes()).unwrap().ending(&traces), want, "{milestones} {traces:?}");
        }
    }

    #[test]
    fn the_log_keeps_the_last_boots_whatever_stands_between_them() {
        let mut log = [b'x'; LEN];
        for number in 0..RECORDS * 2 + 3 {
            let before = newest(&log);
            assert_eq!(before.map(|before| before.number), number.checked_sub(1));
            let line = Begun { before, ..begun(None) }.to_string();
            log[offset(number)..][..SECTOR].copy_from_slice(&sector(&line));
        }
        let kept: Vec<u32> = (0..30).filter(|number| record(&log, *number).is_some()).collect();
        assert_eq!(kept, [11, 12, 13, 14, 15, 16, 17, 18]);
        log[offset(18)] = 0xff;
        assert_eq!(newest(&log).unwrap().number, 17);
    }
}
