//! A box in memory: what is on its disk, what a cut leaves of it, and whether that is as it should be.

use std::hash::{DefaultHasher, Hash, Hasher};

use kubesolo_core::boot::env_block::EnvBlock;
use kubesolo_core::boot::env_copies::{Found, Source, choose};
use kubesolo_core::boot::slot::{Slot, SlotState};
use kubesolo_core::boot::state::{Assumption, BootState, Files};
use kubesolo_core::text::timestamp::Moment;
use kubesolo_core::update::window::Window;

use kubesolo_core::flow::ports::Progress;

use crate::filling::{INDEX, LIST, TEXTS, chunk_index, image, plant, text};
use crate::folder::{Folder, Name};
use crate::scene::faults::Fault;
use crate::scene::medium::{Fuse, Medium};

/// A system's version, 1 to 7.
pub type Version = u8;

/// A version whose kernel does not load, though its files are as its manifest says.
pub const UNLOADABLE: Version = 7;

/// 2026-11-27 03:00 UTC.
pub const NOW: Moment = Moment(1_795_748_400);

/// Why a command stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stop {
    /// The power went.
    Cut,
    /// Nothing was changed, for a reason.
    Refused,
    /// The server's connection broke, or its bytes are not those of its manifest.
    Server,
    /// The slot's files are not those of its manifest.
    Files,
    /// A copy of the env block cannot be written.
    Env,
    /// A disk gave a read or write error.
    Io,
    /// A filesystem is full.
    NoSpace,
    /// The clock is so wrong that the server's certificate does not count.
    Clock,
    /// GRUB found nothing to boot.
    NothingBoots,
}

impl From<Fault> for Stop {
    fn from(fault: Fault) -> Stop {
        match fault {
            Fault::Cut => Stop::Cut,
            Fault::Io => Stop::Io,
            Fault::NoSpace => Stop::NoSpace,
        }
    }
}

/// How the update server behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Server {
    Whole,
    /// The connection breaks after so many sectors.
    Breaks(usize),
    /// The last byte is wrong.
    Wrong,
    /// It cannot go on in the middle of a file.
    FromTheStart,
    /// It has chunk indexes, and the connection breaks after so many sectors that the running slot does not have.
    Chunks(usize),
    /// All is well with it, and the disk gives back other bytes than it was given.
    DiskRots,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Command {
    /// Power, GRUB, and `init` with `mark=init` or not.
    PowerOn {
        init_decides: bool,
    },
    /// Power and GRUB; what it boots dies before `init`.
    Dies,
    Apply(Version, Server),
    Activate,
    /// A health check, and how many failures in a row are too many.
    Check {
        passes: bool,
        most: u8,
    },
    /// A health check that fails after the trial's time.
    Late,
    Rollback,
    /// A person wants to keep what runs.
    Commit,
    /// A person looks.
    Status,
}

/// What GRUB wrote: durable with the next sync of anything, for its disk has one cache.
#[derive(Clone, Copy)]
pub struct Firmware {
    pub copy: usize,
    pub its_syncs: usize,
    pub all_syncs: usize,
    pub writes: usize,
}

#[derive(Clone)]
pub struct Machine {
    pub env: [Medium; 2],
    pub slots: [Folder; 2],
    pub data: Folder,
    pub fuse: Fuse,
    pub firmware: Option<Firmware>,
    /// The slot that runs.
    pub booted: Option<Slot>,
    /// Which copies of the env block cannot be written.
    pub read_only: [bool; 2],
    /// The block is an older system's, without slot states, until `init` has seen it.
    pub older: bool,
    /// This slot's files have changed since they were staged.
    pub rotten: Option<Slot>,
    /// The versions that passed a health check, or `init` where that decides.
    pub passed: u8,
    /// The trial that GRUB last gave up, and what it held.
    pub given_up: Option<(Slot, Version)>,
    /// The trial that was last rolled back from, and what it held.
    pub rolled_back: Option<(Slot, Version)>,
    /// What the clock says, and when updates may begin, if not always.
    pub clock: Moment,
    pub window: Option<Window>,
    /// What is on offer, and from whom.
    pub version: Option<Version>,
    pub server: Server,
    /// What was read of the copies.
    pub found: [Found; 2],
}

pub const fn index(slot: Slot) -> usize {
    match slot {
        Slot::A => 0,
        Slot::B => 1,
    }
}

impl Machine {
    /// A box with version 1 in slot A, good and active, and nothing in slot B.
    pub fn new() -> Machine {
        let mut block = EnvBlock::blank();
        BootState::fresh(SlotState::Empty).write_to(&mut block).unwrap();
        let mut a = Folder::empty();
        plant(&mut a, 1);
        Machine {
            env: [Medium::holding(block.bytes()), Medium::holding(block.bytes())],
            slots: [a, Folder::empty()],
            data: Folder::empty(),
            fuse: Fuse::endless(),
            firmware: None,
            booted: None,
            read_only: [false; 2],
            older: false,
            rotten: None,
            passed: 1 << 1,
            given_up: None,
            rolled_back: None,
            clock: NOW,
            window: None,
            version: None,
            server: Server::Whole,
            found: Machine::nothing_found(),
        }
    }

    /// A box of an older KubeSolo OS: both slots populated, three variables in the block and no second copy.
    pub fn older() -> Machine {
        let mut block = EnvBlock::blank();
        for (name, value) in [("active_slot", "A"), ("boot_counter", "3"), ("boot_success", "1")] {
            block.set(name.as_bytes(), value.as_bytes()).unwrap();
        }
        let mut machine = Machine::new();
        machine.env = [Medium::holding(block.bytes()), Medium::holding(&[])];
        plant(&mut machine.slots[1], 2);
        machine.passed |= 1 << 2;
        machine.older = true;
        machine
    }

    /// The same box, with that much power left.
    pub fn on(&self, fuse: &Fuse) -> Machine {
        let mut machine = self.clone();
        machine.fuse = fuse.clone();
        machine.env = machine.env.map(|copy| copy.on(fuse));
        machine.slots.iter_mut().chain([&mut machine.data]).for_each(|folder| folder.on(fuse));
        if let Some(firmware) = &mut machine.firmware {
            firmware.all_syncs = 0;
        }
        machine
    }

    /// A copy loses its header.
    pub fn damage(&mut self, copy: usize) {
        self.env[copy].cached[0] = b'?';
        self.env[copy].durable[0] = b'?';
    }

    /// The slot's kernel changes on the medium.
    pub fn rot(&mut self, slot: Slot) {
        self.slots[index(slot)].rot(Name::Image(0));
        self.rotten = Some(slot);
    }

    /// Whether both copies are as they should be.
    pub fn is_whole(&mut self) -> bool {
        self.load().iter().all(|found| found.fault().is_none())
    }

    /// Runs a command as far as the power lasts.
    pub fn run(&mut self, command: Command) -> Result<(), Stop> {
        let ended = match command {
            Command::PowerOn { init_decides } => self.power_on().and_then(|booted| self.init(booted, init_decides)),
            Command::Dies => self.power_on().map(|_| self.booted = None),
            Command::Apply(version, server) => self.apply(version, server),
            Command::Activate => self.activate(),
            Command::Check { passes, most } => self.check(passes, most),
            Command::Late => self.is_late(),
            Command::Rollback => self.rollback(),
            Command::Commit => self.commit(),
            Command::Status => self.status(),
        };
        self.flush_firmware();
        if self.fuse.is_blown() { Err(Stop::Cut) } else { ended }
    }

    /// Power, and GRUB, which has a driver of its own.
    fn power_on(&mut self) -> Result<Slot, Stop> {
        self.env.iter_mut().for_each(Medium::forget_cache);
        self.slots.iter_mut().chain([&mut self.data]).for_each(Folder::forget_cache);
        let faults = self.env.each_mut().map(|copy| std::mem::take(&mut copy.faults));
        let booted = self.grub();
        for (copy, faults) in self.env.iter_mut().zip(faults) {
            copy.faults = faults;
        }
        booted
    }

    pub fn flush_firmware(&mut self) {
        let Some(Firmware { copy, its_syncs, all_syncs, writes }) = self.firmware else { return };
        let medium = &mut self.env[copy];
        if self.fuse.syncs() > all_syncs || medium.syncs > its_syncs {
            if medium.syncs == its_syncs {
                medium.durable = medium.with(|number| number < writes);
                medium.pending.drain(..writes);
            }
            self.firmware = None;
        }
    }

    /// How many writes wait for a sync.
    pub fn waiting(&self) -> usize {
        let copies: usize = self.env.iter().map(|copy| copy.pending.len()).sum();
        copies + self.slots.iter().chain([&self.data]).map(Folder::waiting).sum::<usize>()
    }

    /// The box without power, if that part of what waited has arrived.
    pub fn after_cut(&self, arrived: impl Fn(usize) -> bool) -> Machine {
        let mut from = 0;
        let mut next = |count| {
            from += count;
            from - count
        };
        let fuse = Fuse::endless();
        let env = self.env.each_ref().map(|copy| {
            let from = next(copy.pending.len());
            let content = copy.with(|number| arrived(from + number));
            Medium::holding(&content).on(&fuse).refusing(copy.faults)
        });
        let mut folder = |folder: &Folder| {
            let from = next(folder.waiting());
            let mut folder = folder.after_cut(|number| arrived(from + number));
            folder.on(&fuse);
            folder
        };
        let slots = self.slots.each_ref().map(&mut folder);
        let data = folder(&self.data);
        let found = Machine::nothing_found();
        Machine { env, slots, data, fuse, firmware: None, booted: None, found, ..*self }
    }

    /// What is on the disk, as a number.
    pub fn disk(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        for copy in &self.env {
            hasher.write(&copy.durable);
        }
        self.slots.iter().chain([&self.data]).for_each(|folder| folder.hash(&mut hasher));
        hasher.finish()
    }

    /// The disk and all else that decides what becomes of the box, as a number.
    pub fn identity(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        self.disk().hash(&mut hasher);
        for copy in &self.env {
            hasher.write(&copy.cached);
        }
        let Machine { booted, read_only, older, rotten, passed, given_up, rolled_back, .. } = self;
        let [given_up, rolled_back] =
            [given_up, rolled_back].map(|left| left.map(|(slot, version)| (slot.name(), version)));
        (booted.map(Slot::name), read_only, older, rotten.map(Slot::name), passed).hash(&mut hasher);
        (given_up, rolled_back, self.data.faults.write.is_some()).hash(&mut hasher);
        hasher.finish()
    }

    pub fn slot(&self, slot: Slot) -> &Folder {
        &self.slots[index(slot)]
    }

    pub fn is_populated(&self, slot: Slot) -> bool {
        (0..2).all(|which| self.slot(slot).read(Name::Image(which)).is_some_and(|file| !file.sectors.is_empty()))
    }

    /// The version of which the slot has that image whole.
    pub fn version_of(&self, slot: Slot, which: usize) -> Option<Version> {
        let file = self.slot(slot).read(Name::Image(which))?;
        (1..=7).find(|version| file.sectors == image(*version, which))
    }

    /// The system that the slot holds, if it is one.
    pub fn system(&self, slot: Slot) -> Option<Version> {
        let version = self.version_of(slot, 0)?;
        let told =
            |which| self.slot(slot).read(Name::Text(which)).is_some_and(|file| file.sectors == text(version, which));
        (self.version_of(slot, 1) == Some(version) && (0..TEXTS).all(told)).then_some(version)
    }

    /// What of a slot's chunk indexes is not what its system came with.
    fn is_of_another_index(&self, slot: Slot) -> Option<String> {
        let version = self.system(slot)?;
        let is_wrong = |which: &usize| {
            let there = self.slot(slot).read(Name::Image(INDEX + which));
            there.is_some_and(|file| file.sectors != chunk_index(version, *which))
        };
        (0..2).find(is_wrong).map(|which| format!("a slot with version {version} has another index of image {which}"))
    }

    /// What GRUB finds in the slot.
    pub fn files(&self, slot: Slot) -> Files {
        let [kernel, initramfs] = [0, 1].map(|which| self.version_of(slot, which));
        if !self.is_populated(slot) || kernel == Some(UNLOADABLE) {
            return Files::Absent;
        }
        let list = self.slot(slot).read(Name::Text(LIST));
        let listed = |version| list.is_some_and(|list| list.sectors == text(version, LIST));
        match (kernel, list) {
            (_, None) => Files::Unlisted,
            (Some(version), Some(_)) if initramfs == kernel && listed(version) => Files::Whole,
            _ => Files::Damaged,
        }
    }

    pub fn load(&mut self) -> [Found; 2] {
        self.env.each_mut().map(|copy| {
            let mut found = Found::with(&[]);
            // One that cannot be read says so itself.
            found.read(copy).unwrap_or_default();
            found
        })
    }

    /// The boot state, as Linux reads it.
    pub fn state(&mut self) -> Option<BootState> {
        let found = self.load();
        let (block, source) = choose(&found[0], &found[1])?;
        (source != Source::NoActiveSlot).then(|| BootState::read_safely(&block, &|slot| self.is_populated(slot)).state)
    }

    /// Why the disk is not as it should be after a cut, or what GRUB would boot, and the state that it goes by.
    pub fn look(&mut self) -> Result<(Slot, SlotState, BootState), String> {
        let found = self.load();
        let Some((block, Source::First | Source::Second)) = choose(&found[0], &found[1]) else {
            return Err("the block does not parse".into());
        };
        let reading = BootState::read_safely(&block, &|slot| self.is_populated(slot));
        let known = |doubt: &Assumption| self.older && matches!(doubt, Assumption::Unrecorded(..));
        if !reading.assumptions.iter().all(known) {
            return Err(format!("the block does not say all: {:?}", reading.assumptions));
        }
        let state = reading.state;
        for slot in Slot::BOTH {
            let is_filled = matches!(state.slot(slot), SlotState::Good | SlotState::Staged | SlotState::Trial);
            if is_filled && let Some(why) = self.is_of_another_index(slot) {
                return Err(why);
            }
            match (state.slot(slot), self.system(slot)) {
                (SlotState::Good, Some(version)) if self.passed >> version & 1 == 0 => {
                    return Err("a slot called good has never passed its checks".into());
                }
                (SlotState::Staged, None) if self.rotten == Some(slot) => {}
                (slot_state @ (SlotState::Good | SlotState::Staged | SlotState::Trial), None) => {
                    return Err(format!("a slot called {slot_state} has not all of its files"));
                }
                _ => {}
            }
        }
        // It is activated under that name.
        if let Some(json) = self.state_json()
            && let Some(slot) = Slot::BOTH.into_iter().find(|slot| state.slot(*slot) == SlotState::Staged)
            && let Some(version) = self.system(slot)
            && ![0, version.into()].contains(&json.image)
        {
            return Err("state.json names another image than the one that is staged".into());
        }
        if let Some((slot, version)) = self.given_up
            && (state.slot(slot), self.system(slot)) == (SlotState::Bad, Some(version))
            && state.rollback_from != Some(slot)
            && self.state_json().is_none_or(|state_json| state_json.known_bad >> version & 1 == 0)
        {
            return Err("a version that GRUB gave up is forgotten".into());
        }
        if let Some((slot, version)) = self.rolled_back
            && (state.slot(slot), self.system(slot)) == (SlotState::Bad, Some(version))
            && state.rollback_from != Some(slot)
            && self.state_json().is_none_or(|json| {
                json.known_bad >> version & 1 == 0 && !(json.is_on_trial() && json.image == u16::from(version))
            })
        {
            return Err("a version that was rolled back from is forgotten".into());
        }
        if self.state_json_is_torn() {
            return Err("state.json is torn".into());
        }
        let (boot, _) = self.grub_decides(&found);
        let Some(booted) = boot.booted else { return Err("GRUB has nothing to boot".into()) };
        let tries = if state.success { 3 } else { state.counter };
        match state.slot(booted) {
            SlotState::Good => {}
            SlotState::Trial if tries > 0 => {}
            slot_state => return Err(format!("GRUB boots a slot that is {slot_state}, {tries} tries left")),
        }
        Ok((booted, state.slot(booted), state))
    }
}
