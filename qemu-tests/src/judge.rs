//! Knows what must hold on a disk whatever the power cut left on it: read by GRUB's own code as it is, and by this project's
//! code once the filesystem checkers have been at it.
//!
//! GRUB replays no journal: a slot that it may boot has to be whole for it as it stands. Linux sees a slot that is only
//! staged, after its journal was replayed.

use std::collections::HashMap;

use kubesolo_boot::update::state::State;
use kubesolo_core::boot::env_copies::{self, CopyFault, Found, Source};
use kubesolo_core::boot::slot::{Slot, SlotState};
use kubesolo_core::boot::state::{self, BootState, GrubBoot};
use kubesolo_core::update::digest::Hash;
use kubesolo_core::update::sums::{self, Sums};

use crate::envblock::{FIRST, SECOND};
use crate::failure::Result;
use crate::grub_fstest;
use crate::image::Part;
use crate::repair::Condition;
use crate::replayed::Replayed;

const KERNEL: &str = "vmlinuz";
const INITRAMFS: &str = "kubesolo-os.gz";

/// A kernel and an initramfs that were published together.
#[derive(Clone, PartialEq, Eq)]
pub struct System {
    /// `vmlinuz`.
    pub kernel: Vec<u8>,
    /// `kubesolo-os.gz`.
    pub initramfs: Vec<u8>,
}

/// What a slot's two files are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Files {
    /// A whole system, by its place among the known ones, with the list of its sums.
    Whole(usize),
    /// They can be read, and nobody published them, or the list is not theirs.
    Strange,
    /// One cannot be read.
    Absent,
}

/// The two copies of the block.
type Copies = [Option<Vec<u8>>; 2];

/// The ESP.
#[derive(Clone)]
struct Esp {
    by_grub: Copies,
    by_mtools: Copies,
    condition: Condition,
    mended: Copies,
}

/// What a disk comes to.
#[derive(Clone, Debug, Default)]
pub struct Verdict {
    /// What the block says that GRUB goes by.
    pub state: Option<BootState>,
    /// What GRUB then does.
    pub boot: Option<GrubBoot>,
    /// Whether the first copy of the block was of no use.
    pub second_copy: bool,
    /// Whether a checker had something to mend.
    pub mended: bool,
    /// Whether one found an ext4 superblock of which one sector is old and one new.
    pub torn_superblock: bool,
    /// What must not be.
    pub wrong: Vec<String>,
}

impl Verdict {
    /// Which slot runs, and its standing.
    pub fn runs(&self) -> Option<(Slot, SlotState)> {
        let boot = self.boot?;
        let slot = boot.booted?;
        Some((slot, boot.on_disk.slot(slot)))
    }

    fn note(&mut self, condition: Condition, partition: &str) {
        self.mended |= condition != Condition::Clean;
        self.torn_superblock |= condition == Condition::TornSuperblock;
        if condition == Condition::Broken {
            self.wrong.push(format!("{partition}: its checker cannot mend it"));
        }
    }

    /// The same in words.
    pub fn runs_as(&self) -> String {
        self.runs().map_or("nothing".into(), |(slot, standing)| format!("slot {slot}, {standing}"))
    }
}

/// Judges disks, and remembers what it has seen of a partition with the same content.
pub struct Judge {
    systems: Vec<System>,
    esps: HashMap<u64, Esp>,
    by_grub: HashMap<(&'static str, u64), Files>,
    mended: HashMap<(&'static str, u64, bool), (Condition, Files)>,
    states: HashMap<u64, (Condition, Option<String>)>,
}

impl Judge {
    /// Knows these systems.
    pub fn new(systems: Vec<System>) -> Self {
        Self { systems, esps: HashMap::new(), by_grub: HashMap::new(), mended: HashMap::new(), states: HashMap::new() }
    }

    /// Judges the disk as it is.
    ///
    /// # Errors
    /// When a tool is missing.
    pub fn judge(&mut self, disk: &Replayed) -> Result<Verdict> {
        let mut verdict = Verdict::default();
        let esp = self.esp(disk)?;
        let copies = esp.by_grub.each_ref().map(found);
        let state = match env_copies::choose(&copies[0], &copies[1]) {
            Some((block, source)) if source != Source::NoActiveSlot => {
                // Whether a slot holds files is only asked where the block does not say, which is wrong anyway.
                let reading = BootState::read_safely(&block, &|_| false);
                verdict.wrong.extend(reading.assumptions.iter().map(|doubt| format!("the block: {doubt}")));
                verdict.second_copy = source == Source::Second;
                Some(reading.state)
            }
            _ => {
                verdict.wrong.push("no copy of the block names a slot".into());
                None
            }
        };
        self.judge_esp(&esp, &mut verdict);
        verdict.state = state;

        let mut seen = [state::Files::Absent; 2];
        for slot in Slot::BOTH {
            let standing = state.map_or(SlotState::Empty, |state| state.slot(slot));
            let is_booted = matches!(standing, SlotState::Good | SlotState::Trial);
            if is_booted {
                let files = self.files_by_grub(disk, slot);
                seen[slot as usize] = match files {
                    Files::Whole(_) => state::Files::Whole,
                    Files::Strange => state::Files::Damaged,
                    Files::Absent => state::Files::Absent,
                };
                if !matches!(files, Files::Whole(_)) {
                    verdict.wrong.push(format!("slot {slot} is {standing}, and its files are {files:?} for GRUB"));
                }
            }
            let is_whole = is_booted || standing == SlotState::Staged;
            let (condition, files) = self.mended_files(disk, slot, is_whole)?;
            verdict.note(condition, slot.partition());
            if is_whole && !matches!(files, Files::Whole(_)) {
                verdict.wrong.push(format!("slot {slot} is {standing}, and its files are {files:?} after e2fsck"));
            }
        }
        verdict.boot = state.map(|state| state.grub_boot(|slot| seen[slot as usize], true));
        match verdict.runs() {
            None => verdict.wrong.push("GRUB finds nothing to boot".into()),
            Some((_, SlotState::Good | SlotState::Trial)) => (),
            Some((slot, standing)) => verdict.wrong.push(format!("GRUB boots slot {slot}, which is {standing}")),
        }
        let (condition, problem) = self.state(disk)?;
        verdict.note(condition, "KSOLODATA");
        verdict.wrong.extend(problem);
        Ok(verdict)
    }

    fn judge_esp(&self, esp: &Esp, verdict: &mut Verdict) {
        if esp.by_grub != esp.by_mtools {
            verdict.wrong.push("ESP: GRUB and mtools read another block".into());
        }
        verdict.note(esp.condition, "KSOLOEFI");
        if esp.mended != esp.by_grub {
            verdict.wrong.push("ESP: fsck.fat changes the block".into());
        }
    }

    fn esp(&mut self, disk: &Replayed) -> Result<Esp> {
        let key = disk.fingerprint(Part::Esp);
        if let Some(known) = self.esps.get(&key) {
            return Ok(known.clone());
        }
        let names = [FIRST, SECOND];
        let by_grub = names.map(|copy| grub_fstest::read(disk.image.path(), Part::Esp, copy));
        let by_mtools = names.map(|copy| disk.image.esp_read(copy).ok());
        let repaired = disk.image.repaired(Part::Esp)?;
        let mended = names.map(|copy| repaired.read(copy));
        let esp = Esp { by_grub, by_mtools, condition: repaired.condition, mended };
        self.esps.insert(key, esp.clone());
        Ok(esp)
    }

    fn files_by_grub(&mut self, disk: &Replayed, slot: Slot) -> Files {
        let key = (slot.partition(), disk.fingerprint(slot.into()));
        if let Some(known) = self.by_grub.get(&key) {
            return *known;
        }
        let file = |name| grub_fstest::read(disk.image.path(), slot.into(), name);
        let files = self.files(file(KERNEL), file(INITRAMFS), file(sums::FILE));
        self.by_grub.insert(key, files);
        files
    }

    /// The files are only looked at if that is asked for.
    fn mended_files(&mut self, disk: &Replayed, slot: Slot, look: bool) -> Result<(Condition, Files)> {
        let key = (slot.partition(), disk.fingerprint(slot.into()), look);
        if let Some(known) = self.mended.get(&key) {
            return Ok(*known);
        }
        let repaired = disk.image.repaired(slot.into())?;
        let file = |name| if look { repaired.read(name) } else { None };
        let seen = (repaired.condition, self.files(file(KERNEL), file(INITRAMFS), file(sums::FILE)));
        self.mended.insert(key, seen);
        Ok(seen)
    }

    /// The data partition, and what is wrong with the `state.json` on it.
    fn state(&mut self, disk: &Replayed) -> Result<(Condition, Option<String>)> {
        let key = disk.fingerprint(Part::State);
        if let Some(known) = self.states.get(&key) {
            return Ok(known.clone());
        }
        let repaired = disk.image.repaired(Part::State)?;
        // Before the first update there is none.
        let problem = repaired.read("update/state.json").and_then(|text| {
            let text = String::from_utf8_lossy(&text).into_owned();
            State::parse(&text).err().map(|error| format!("state.json: {error}: {text:?}"))
        });
        let seen = (repaired.condition, problem);
        self.states.insert(key, seen.clone());
        Ok(seen)
    }

    fn files(&self, kernel: Option<Vec<u8>>, initramfs: Option<Vec<u8>>, list: Option<Vec<u8>>) -> Files {
        match (kernel, initramfs) {
            (Some(kernel), Some(initramfs)) if !kernel.is_empty() && !initramfs.is_empty() => {
                let sums = Sums([(KERNEL, Hash::of(&kernel)), (INITRAMFS, Hash::of(&initramfs))]).to_string();
                let found = System { kernel, initramfs };
                let known = self.systems.iter().position(|system| *system == found);
                known.filter(|_| list == Some(sums.into_bytes())).map_or(Files::Strange, Files::Whole)
            }
            _ => Files::Absent,
        }
    }
}

fn found(copy: &Option<Vec<u8>>) -> Found {
    copy.as_ref().map_or(Found::nothing(CopyFault::Missing), |bytes| Found::with(bytes))
}
