//! Finds the KubeSolo OS disk and its partitions, by what the kernel lists and, if that is not enough, by the partition tables
//! themselves. Needs no udev and no blkid.
//!
//! A disk without our partition names is not read: it may be broken, and a read of it may hang. Only if no disk has the names all of
//! them are read, for filesystem labels. Every read is done in a child process with a deadline ([`crate::linux::children`]); a disk
//! that does not answer is left out, and named in the error.
//!
//! Of several disks with our names it takes
//! 1. the one that was recorded in this boot ([`crate::disk::chosen`]),
//! 2. the only one with the booted slot's partition GUID, by the kernel command line,
//! 3. the only one whose env block says what GRUB has just counted,
//! 4. the only one that is whole: all four names, no other partition table over them, a disk that can be written.
//!
//! The firmware's record of the disk that it booted does not help: EDD names the MBR's disk signature, and UEFI's BootCurrent the
//! partition's GUID, and both are the same on two copies of one image.

use core::fmt::{self, Write};
use core::time::Duration;

use embedded_io::{Read, Seek};
use rustix::fs::{CWD, FileType, OFlags, stat};
use rustix::process::geteuid;

use crate::disk::chosen::Chosen;
use crate::disk::partitions::{ChosenBy, Disk, NAMES, NAMES_TEXT, PartitionPath, Path};
use crate::failure::{Exit, Failure, Reason};
use crate::linux::children::{self, ANSWER_MAX, AT_ONCE, Answer, Hanging};
use crate::linux::device::{Device, IoError};
use crate::linux::folder::folder_and_name;
use crate::linux::process::Process;
use crate::linux::sysblock::{self, DISKS_MAX, Kind};
use kubesolo_core::disk::gpt::{self, Table};
use kubesolo_core::disk::label;
use kubesolo_core::disk::mbr;
use kubesolo_core::ignore::ignore;

/// Where to look, and what is known of the disk.
pub struct Search<'a> {
    /// `/sys/class/block`.
    pub sys: &'a str,
    /// `/dev`.
    pub dev: &'a str,
    /// Starts the children.
    pub process: Process,
    /// How long a disk may take to answer.
    pub deadline: Duration,
    /// The booted slot's GPT partition GUID.
    pub partuuid: Option<&'a str>,
    /// Whether a disk's env block says what GRUB has just counted; `None` if the command line has nothing to compare with. Called in a child.
    pub counted: Option<&'a dyn Fn(&Disk) -> bool>,
    /// What was chosen before in this boot.
    pub chosen: Option<Chosen>,
}

/// What a child found on a disk; its answer is one byte.
#[derive(Clone, Copy, Debug, Default)]
struct Evidence {
    guid: bool,
    counted: bool,
    /// An MBR partition table hides its GPT.
    stale: bool,
}

impl Evidence {
    fn encode(self) -> u8 {
        u8::from(self.guid) | u8::from(self.counted) << 1 | u8::from(self.stale) << 2
    }

    fn decode(byte: u8) -> Evidence {
        Evidence { guid: byte & 1 != 0, counted: byte & 2 != 0, stale: byte & 4 != 0 }
    }
}

/// A disk with our names, and what was found on it; `None`: it did not answer.
type Candidate = (Disk, Option<Evidence>);
type Candidates = heapless::Vec<Candidate, DISKS_MAX>;

impl Search<'_> {
    /// Finds the one disk to work on. `thorough`: if there is only one, it too is compared with what GRUB booted, for
    /// [`Disk::sure`].
    ///
    /// # Errors
    /// [`Exit::NoDisk`], [`Exit::AmbiguousDisk`] naming two of the disks.
    pub fn find(&self, hanging: &mut Hanging, thorough: bool) -> Result<Disk, Failure> {
        let listed = sysblock::with_names(self.sys, &NAMES).map_err(|errno| self.unlisted(errno))?;
        let mut candidates = Candidates::new();
        for disk in &listed {
            if let Some(disk) = Disk::listed(disk, self.dev) {
                ignore(candidates.push((disk, None)), "more disks than there is room for are skipped");
            }
        }
        if candidates.is_empty() {
            let again = |path: &Path, seq| self.chosen.as_ref().is_some_and(|chosen| chosen.is(path, seq));
            if self.chosen.is_none() || self.read_all(hanging, &mut candidates, &again).is_err() {
                self.read_all(hanging, &mut candidates, &|_, _| true)?;
            }
        }
        if let Some(chosen) = &self.chosen
            && let Some((disk, _)) = candidates.iter().find(|(disk, _)| chosen.is(&disk.path, disk.seq))
        {
            return Ok(Disk { choice: chosen.choice.clone(), ..disk.clone() });
        }
        if let ([(only, _)], false) = (candidates.as_slice(), thorough) {
            return Ok(Disk { sure: only.is_complete(), ..only.clone() });
        }
        self.gather(hanging, &mut candidates);
        self.choose(&candidates)
    }

    /// The disk, or image file, of that path.
    ///
    /// # Errors
    /// [`Exit::NoDisk`].
    pub fn at(&self, hanging: &mut Hanging, path: &str) -> Result<Disk, Failure> {
        let fail = |reason: fmt::Arguments<'_>| Failure::new(Exit::NoDisk, format_args!("find disk: {path}: {reason}"));
        let subject = Path::try_from(path).map_err(|_| fail(format_args!("the path is too long")))?;
        let mut found = None;
        children::all(
            self.process,
            self.deadline,
            hanging,
            core::slice::from_ref(&subject),
            &|_| Reading::of(&subject).encode(),
            &mut |_, answer| {
                found = Some(match Reading::decode(answer) {
                    Reading::Ours(parts) => Ok(parts.disk(&subject, 0, Kind::Plain)),
                    Reading::Foreign => Err(fail(format_args!("none of its partitions is called {NAMES_TEXT}"))),
                    Reading::None(text) | Reading::Damaged(text) => Err(fail(format_args!("{text}"))),
                });
            },
        );
        found.unwrap_or_else(|| Err(fail(format_args!("does not answer (waited {} s)", self.deadline.as_secs()))))
    }

    fn unlisted(&self, errno: rustix::io::Errno) -> Failure {
        Failure::new(Exit::NoDisk, format_args!("find disk: {}: {}", self.sys, Reason(errno)))
    }

    /// Reads every disk. For the case that the kernel lists our names on none: a table may be damaged, or have no names.
    fn read_all(
        &self,
        hanging: &mut Hanging,
        candidates: &mut Candidates,
        is_meant: &dyn Fn(&Path, u64) -> bool,
    ) -> Result<(), Failure> {
        let mut looked = Looked { damaged: None, silent: Names::new(), others: Names::new(), named: false };
        let mut batch: heapless::Vec<(Path, u64, Kind), AT_ONCE> = heapless::Vec::new();
        sysblock::each_disk(self.sys, &mut |disk| {
            let mut path = Path::new();
            if write!(path, "{}/{}", self.dev, disk.node).is_ok() && is_meant(&path, disk.seq) {
                ignore(batch.push((path, disk.seq, disk.kind)), "more disks than there is room for are skipped");
            }
            if batch.is_full() {
                self.read_batch(hanging, &batch, &mut looked, candidates);
                batch.clear();
            }
        })
        .map_err(|errno| self.unlisted(errno))?;
        self.read_batch(hanging, &batch, &mut looked, candidates);
        if candidates.is_empty() { Err(looked.nothing(self.sys)) } else { Ok(()) }
    }

    fn read_batch(
        &self,
        hanging: &mut Hanging,
        batch: &[(Path, u64, Kind)],
        looked: &mut Looked,
        candidates: &mut Candidates,
    ) {
        let subjects: heapless::Vec<Path, AT_ONCE> = batch.iter().map(|(path, ..)| path.clone()).collect();
        let mut silent = [true; AT_ONCE];
        let work = |place: usize| subjects.get(place).map_or_else(Answer::new, |path| Reading::of(path).encode());
        children::all(self.process, self.deadline, hanging, &subjects, &work, &mut |place, answer| {
            let (Some((path, seq, kind)), Some(silent)) = (batch.get(place), silent.get_mut(place)) else { return };
            *silent = false;
            match Reading::decode(answer) {
                // Names count before labels.
                Reading::Ours(parts) if parts.by_label && looked.named => {}
                Reading::Ours(parts) => {
                    if !parts.by_label && !looked.named {
                        candidates.clear();
                        looked.named = true;
                    }
                    ignore(
                        candidates.push((parts.disk(path, *seq, *kind), None)),
                        "more disks than there is room for are skipped",
                    );
                }
                Reading::Damaged(text) => {
                    let text = format_args!("find disk: {path}: {text}");
                    looked.damaged = Some(Failure::new(Exit::NoDisk, text));
                }
                Reading::Foreign | Reading::None(_) => looked.others.add(path),
            }
        });
        for ((path, ..), silent) in batch.iter().zip(silent) {
            if silent {
                looked.silent.add(path);
            }
        }
    }

    /// Examines every candidate.
    fn gather(&self, hanging: &mut Hanging, candidates: &mut Candidates) {
        for batch in candidates.chunks_mut(AT_ONCE) {
            let subjects: heapless::Vec<Path, AT_ONCE> = batch.iter().map(|(disk, _)| disk.path.clone()).collect();
            let disks: heapless::Vec<Disk, AT_ONCE> = batch.iter().map(|(disk, _)| disk.clone()).collect();
            let work = |place: usize| {
                let evidence = disks.get(place).map_or_else(Evidence::default, |disk| self.examine(disk));
                core::iter::once(evidence.encode()).collect()
            };
            children::all(self.process, self.deadline, hanging, &subjects, &work, &mut |place, answer| {
                if let (Some((_, evidence)), Some(byte)) = (batch.get_mut(place), answer.first()) {
                    *evidence = Some(Evidence::decode(*byte));
                }
            });
        }
    }

    /// Examines one disk with our names. Runs in a child.
    fn examine(&self, disk: &Disk) -> Evidence {
        let Ok(mut device) = open(&disk.path) else { return Evidence::default() };
        let table = gpt::read(&mut device);
        let has = |guid| table.as_ref().is_ok_and(|table| table.partitions.iter().any(|part| part.guid.is(guid)));
        Evidence {
            guid: self.partuuid.is_some_and(has),
            counted: self.counted.is_some_and(|counted| counted(disk)),
            // A disk whose first sector cannot be read ranks like one with a hidden GPT.
            stale: mbr::hides_gpt(&mut device).unwrap_or(true),
        }
    }

    fn choose(&self, candidates: &Candidates) -> Result<Disk, Failure> {
        // A disk that does not answer may be the right one.
        let all_spoke = candidates.iter().all(|(_, evidence)| evidence.is_some());
        let says = |what: fn(&Evidence) -> bool| move |(_, said): &&Candidate| said.as_ref().is_some_and(what);
        let mut left: heapless::Vec<&Candidate, DISKS_MAX> = candidates.iter().collect();
        let has_guid = |evidence: &Evidence| evidence.guid;
        if candidates.iter().any(|candidate| says(has_guid)(&candidate)) {
            left.retain(|candidate| says(has_guid)(candidate) || candidate.1.is_none());
            if let ([one], true) = (left.as_slice(), all_spoke) {
                return Ok(self.chosen_for(one, ChosenBy::Partuuid, candidates));
            }
        }
        let counted: heapless::Vec<&Candidate, DISKS_MAX> =
            left.iter().copied().filter(says(|evidence| evidence.counted)).collect();
        match counted.as_slice() {
            [] => {}
            [one] => return Ok(self.chosen_for(one, ChosenBy::Counted, candidates)),
            _ => left = counted,
        }
        let rank =
            |(disk, said): &Candidate| (said.is_none_or(|evidence| !evidence.stale), disk.is_complete(), disk.kind);
        let best = left.iter().map(|candidate| rank(candidate)).max();
        left.retain(|candidate| Some(rank(candidate)) == best);
        match left.as_slice() {
            [one] => Ok(self.chosen_for(one, ChosenBy::Whole, candidates)),
            [one, other, ..] => Err(ambiguous(one, other)),
            [] => Err(Failure::new(Exit::NoDisk, format_args!("find disk: {}: none", self.sys))),
        }
    }

    fn chosen_for(&self, (disk, said): &Candidate, why: ChosenBy, candidates: &Candidates) -> Disk {
        let other = candidates.iter().find(|(other, _)| other.path != disk.path);
        let said = said.unwrap_or_default();
        let agrees = (said.guid || self.partuuid.is_none()) && (said.counted || self.counted.is_none());
        Disk {
            choice: other.map(|(other, _)| (why, other.path.clone())),
            sure: agrees && disk.is_complete() && !said.stale,
            ..disk.clone()
        }
    }
}

fn ambiguous((one, said): &Candidate, (other, other_said): &Candidate) -> Failure {
    let silence = |said: &Option<Evidence>| if said.is_none() { " (does not answer)" } else { "" };
    Failure::new(
        Exit::AmbiguousDisk,
        format_args!(
            "find disk: {}{} and {}{} both carry KubeSolo OS partitions; choose one with --disk or ksolo.disk=, or \
             unplug one",
            one.path,
            silence(said),
            other.path,
            silence(other_said),
        ),
    )
}

/// Paths in a message.
struct Names(heapless::String<128>);

impl Names {
    const fn new() -> Names {
        Names(heapless::String::new())
    }

    /// Adds one, as long as there is room.
    fn add(&mut self, path: &str) {
        let name = folder_and_name(path).1;
        if self.0.len().saturating_add(name.len()).saturating_add(1) <= self.0.capacity() {
            ignore(write!(self.0, " {name}"), "a message is cut off where its buffer ends");
        }
    }
}

/// What was found by reading all disks, besides ours.
struct Looked {
    damaged: Option<Failure>,
    silent: Names,
    others: Names,
    /// Whether a disk had our names in its table.
    named: bool,
}

impl Looked {
    fn nothing(self, sys: &str) -> Failure {
        let Looked { damaged, silent: Names(silent), others: Names(others), .. } = self;
        if let Some(damaged) = damaged {
            return damaged;
        }
        let there = if others.is_empty() { " nothing" } else { &others };
        let (hint, silent) = if silent.is_empty() { ("", "") } else { ("; of these no answer came:", silent.as_str()) };
        let advice = match geteuid().is_root() {
            true => "is this a KubeSolo OS box, and the driver of its disk loaded? An image file: --disk FILE",
            false => "only root may read disks",
        };
        Failure::new(
            Exit::NoDisk,
            format_args!(
                "find disk: none of the disks in {sys} has a GPT with partitions {NAMES_TEXT}; {advice}. There \
                 is:{there}{hint}{silent}"
            ),
        )
    }
}

/// A child's answer about a disk's partition table.
enum Reading {
    /// It has partitions of ours.
    Ours(Partitions),
    /// It has a table without partitions of ours.
    Foreign,
    /// It has no table or no medium, or cannot be read: the reason.
    None(Text),
    /// Its table is damaged: the reason.
    Damaged(Text),
}

type Text = heapless::String<{ ANSWER_MAX - 1 }>;

/// Number and first byte of each of the four partitions; number 0: there is none.
#[derive(Default)]
struct Partitions {
    places: [(u32, u64); 4],
    is_file: bool,
    by_label: bool,
}

impl Reading {
    fn of(path: &Path) -> Reading {
        let mut device = match open(path) {
            Ok(device) => device,
            Err(errno) => return Reading::failed(gpt::Error::Io(errno.into())),
        };
        let mut table = match gpt::read(&mut device) {
            Ok(table) => table,
            Err(error) => return Reading::failed(error),
        };
        let is_ours = |table: &Table| NAMES.iter().any(|name| table.named(name).is_some());
        let by_label = !is_ours(&table);
        if by_label {
            name_by_labels(&mut table, &mut device);
        }
        if !is_ours(&table) {
            return Reading::Foreign;
        }
        let is_file = stat(path.as_str()).is_ok_and(|stat| FileType::from_raw_mode(stat.st_mode).is_file());
        let places = NAMES.map(|name| {
            let place = |part: &gpt::Partition| Some((part.number, part.first.bytes(table.sector_size)?));
            table.named(name).and_then(place).unwrap_or((0, 0))
        });
        Reading::Ours(Partitions { places, is_file, by_label })
    }

    fn failed(error: gpt::Error<IoError>) -> Reading {
        let mut text = Text::new();
        ignore(write!(text, "{error}"), "a message is cut off where its buffer ends");
        match error {
            gpt::Error::NoSignature | gpt::Error::Io(_) | gpt::Error::Short => Reading::None(text),
            _ => Reading::Damaged(text),
        }
    }

    fn encode(&self) -> Answer {
        let mut answer = Answer::new();
        let mut add =
            |bytes: &[u8]| ignore(answer.extend_from_slice(bytes), "all of it fits, by the sizes of the types");
        match self {
            Reading::Ours(parts) => {
                add(&[b'O', u8::from(parts.is_file), u8::from(parts.by_label)]);
                for (number, offset) in parts.places {
                    add(&number.to_le_bytes());
                    add(&offset.to_le_bytes());
                }
            }
            Reading::Foreign => add(b"F"),
            Reading::None(text) => [b"N", text.as_bytes()].into_iter().for_each(add),
            Reading::Damaged(text) => [b"D", text.as_bytes()].into_iter().for_each(add),
        }
        answer
    }

    fn decode(answer: &[u8]) -> Reading {
        let (kind, rest) = answer.split_first().unwrap_or((&b'F', &[]));
        let text = || core::str::from_utf8(rest).ok().and_then(|text| Text::try_from(text).ok()).unwrap_or_default();
        match kind {
            b'N' => Reading::None(text()),
            b'D' => Reading::Damaged(text()),
            b'O' => {
                let flag = |at: usize| rest.get(at) == Some(&1);
                let mut parts = Partitions { is_file: flag(0), by_label: flag(1), ..Partitions::default() };
                let entries = rest.get(2..).unwrap_or_default().as_chunks::<12>().0;
                for (place, entry) in parts.places.iter_mut().zip(entries) {
                    let [a, b, c, d, offset @ ..] = *entry;
                    *place = (u32::from_le_bytes([a, b, c, d]), u64::from_le_bytes(offset));
                }
                Reading::Ours(parts)
            }
            _ => Reading::Foreign,
        }
    }
}

impl Partitions {
    fn disk(&self, path: &Path, seq: u64, kind: Kind) -> Disk {
        let places = self.places.map(|(number, offset)| {
            let mut place = PartitionPath::new();
            let written = if self.is_file {
                write!(place, "{path}@{offset}")
            } else {
                // A disk whose name ends in a digit has a `p` before the partition's number: nvme0n1p2, but sda2.
                let between = if path.ends_with(|last: char| last.is_ascii_digit()) { "p" } else { "" };
                write!(place, "{path}{between}{number}")
            };
            // Path and number fit by the sizes of the two types.
            (number > 0 && written.is_ok()).then_some(place)
        });
        Disk { path: path.clone(), seq, choice: None, sure: true, kind, places, listed: false }
    }
}

/// With O_NONBLOCK, so that the open does not wait for a medium.
fn open(path: &str) -> Result<Device, rustix::io::Errno> {
    Device::open(CWD, path, OFlags::RDONLY | OFlags::NONBLOCK)
}

/// Names partitions by their filesystem labels, for a GPT without our names.
fn name_by_labels<D: Read + Seek>(table: &mut Table, device: &mut D) {
    let sector_size = table.sector_size;
    for partition in &mut table.partitions {
        let Some(offset) = partition.first.bytes(sector_size) else { continue };
        let Ok(label) = label::read(device, offset) else { continue };
        if NAMES.contains(&label.as_str())
            && let Ok(name) = gpt::Name::try_from(label.as_str())
        {
            partition.name = name;
        }
    }
}
