//! A box in memory: its disk, its boot, and its commands, which are the program's own code over files in memory.

use std::hash::{DefaultHasher, Hash, Hasher};

use kubesolo_boot::boot::{BootState, Doubt, GrubBoot, grub_boot_without_block};
use kubesolo_boot::bootstage;
use kubesolo_boot::envblk::{EnvBlock, SIZE};
use kubesolo_boot::envstore::{self, Bytes, CopyFile, Found, Source, choose, fits_one_sector};
use kubesolo_boot::install::{self, Change};
use kubesolo_boot::part::{self, Growing, Unnamed};
use kubesolo_boot::slot::{Slot, SlotState};
use kubesolo_boot::state::Phase;

use crate::folder::{Folder, Name, Sector, WRONG};
use crate::scene::medium::{Cut, Fuse, Medium};

/// A system's version, 1 to 7.
pub type Version = u8;

/// A version whose kernel does not load, though its files are as its manifest says.
pub const UNLOADABLE: Version = 7;

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
    /// GRUB found nothing to boot.
    NothingBoots,
}

impl From<Cut> for Stop {
    fn from(_: Cut) -> Stop {
        Stop::Cut
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
    Rollback,
}

/// What is written in which order. The program's way, or a wrong one.
pub struct Orders {
    pub store: fn([Copy<'_>; 2], [&mut Found; 2], &EnvBlock<Bytes>) -> Result<(), Stop>,
    pub install: fn(&mut Install<'_>) -> Result<(), Stop>,
    pub activate: fn(&mut Install<'_>) -> Result<BootState, Stop>,
    pub mark: fn(&mut Machine, &mut BootState, Slot, bool) -> bool,
    pub restart: fn(&mut Part<'_>) -> Result<(), Stop>,
    pub finish: fn(&mut Part<'_>) -> Result<(), Stop>,
    pub sync_names: fn(&mut Folder) -> Result<(), Cut>,
}

/// As the program does it.
pub const PRODUCT: Orders = Orders {
    store: |copies, found, new| envstore::store_both(copies, found, new, true),
    install: |target| install::install(target),
    activate: |target| install::activate(target),
    mark: |machine, state, booted, init_decides| {
        bootstage::mark(state, booted, |slot| machine.record_given_up(slot), || init_decides);
        false
    },
    restart: |file| part::restart(file),
    finish: |file| part::finish(file),
    sync_names: Folder::sync_names,
};

/// What GRUB wrote: durable with the next sync of anything, for its disk has one cache.
#[derive(Clone, Copy)]
struct Firmware {
    copy: usize,
    its_syncs: usize,
    all_syncs: usize,
    writes: usize,
}

#[derive(Clone)]
pub struct Machine {
    pub env: [Medium; 2],
    pub slots: [Folder; 2],
    data: Folder,
    fuse: Fuse,
    firmware: Option<Firmware>,
    orders: &'static Orders,
    /// The slot that runs.
    pub booted: Option<Slot>,
    /// Which copies of the env block cannot be written.
    pub read_only: [bool; 2],
    /// The block is an older system's, without slot states, until `init` has seen it.
    pub older: bool,
    /// This slot's files have changed since they were staged.
    pub rotten: Option<Slot>,
    /// The versions that passed a health check, or `init` where that decides.
    passed: u8,
    /// The trial that GRUB last gave up, and what it held.
    given_up: Option<(Slot, Version)>,
}

/// `state.json`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Journal {
    phase: Phase,
    image: Sector,
    failures: Sector,
    known_bad: Sector,
}

const STATE: usize = 2;
/// A download is kept after so many sectors.
const KEEP_AFTER: usize = 7;

/// A file of this version, by its number in a slot: 0 and 1 are images, 2 and 3 texts.
fn sectors(version: Version, file: u16, len: u16) -> Vec<Sector> {
    (0..len).map(|sector| u16::from(version) << 8 | file << 6 | sector | 1 << 5).collect()
}

fn image(version: Version, which: usize) -> Vec<Sector> {
    sectors(version, which as u16, 9 + (u16::from(version) + which as u16) % 2)
}

fn text(version: Version, which: usize) -> Vec<Sector> {
    sectors(version, which as u16 + 2, which as u16 + 1)
}

const fn index(slot: Slot) -> usize {
    match slot {
        Slot::A => 0,
        Slot::B => 1,
    }
}

impl Machine {
    /// A box with version 1 in slot A, good and active, and nothing in slot B.
    pub fn new(orders: &'static Orders) -> Machine {
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
            orders,
            booted: None,
            read_only: [false; 2],
            older: false,
            rotten: None,
            passed: 1 << 1,
            given_up: None,
        }
    }

    /// A box of an older KubeSolo OS: both slots populated, three variables in the block and no second copy.
    pub fn older(orders: &'static Orders) -> Machine {
        let mut block = EnvBlock::blank();
        for (name, value) in [("active_slot", "A"), ("boot_counter", "3"), ("boot_success", "1")] {
            block.set(name.as_bytes(), value.as_bytes()).unwrap();
        }
        let mut machine = Machine::new(orders);
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
        self.load().iter().all(|found| found.flaw().is_none())
    }

    /// Runs a command as far as the power lasts.
    pub fn run(&mut self, command: Command) -> Result<(), Stop> {
        let ended = match command {
            Command::PowerOn { init_decides } => self.grub().and_then(|booted| self.init(booted, init_decides)),
            Command::Dies => self.grub().map(|_| self.booted = None),
            Command::Apply(version, server) => self.apply(version, server),
            Command::Activate => self.activate(),
            Command::Check { passes, most } => self.check(passes, most),
            Command::Rollback => self.rollback(),
        };
        self.flush_firmware();
        if self.fuse.is_blown() { Err(Stop::Cut) } else { ended }
    }

    fn flush_firmware(&mut self) {
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
            Medium::holding(&copy.with(|number| arrived(from + number))).on(&fuse)
        });
        let mut folder = |folder: &Folder| {
            let from = next(folder.waiting());
            let mut folder = folder.after_cut(|number| arrived(from + number));
            folder.on(&fuse);
            folder
        };
        let slots = self.slots.each_ref().map(&mut folder);
        let data = folder(&self.data);
        Machine { env, slots, data, fuse, firmware: None, booted: None, ..*self }
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
        let Machine { booted, read_only, older, rotten, passed, given_up, .. } = self;
        let given_up = given_up.map(|(slot, version)| (slot.name(), version));
        (booted.map(Slot::name), read_only, older, rotten.map(Slot::name), passed, given_up).hash(&mut hasher);
        hasher.finish()
    }

    fn slot(&self, slot: Slot) -> &Folder {
        &self.slots[index(slot)]
    }

    fn has_files(&self, slot: Slot) -> bool {
        (0..2).all(|which| self.slot(slot).read(Name::Image(which)).is_some_and(|file| !file.sectors.is_empty()))
    }

    /// The version of which the slot has that image whole.
    fn version_of(&self, slot: Slot, which: usize) -> Option<Version> {
        let file = self.slot(slot).read(Name::Image(which))?;
        (1..=7).find(|version| file.sectors == image(*version, which))
    }

    /// The system that the slot holds, if it is one.
    pub fn system(&self, slot: Slot) -> Option<Version> {
        let version = self.version_of(slot, 0)?;
        let told =
            |which| self.slot(slot).read(Name::Text(which)).is_some_and(|file| file.sectors == text(version, which));
        (self.version_of(slot, 1) == Some(version) && told(0) && told(1)).then_some(version)
    }

    fn loads(&self, slot: Slot) -> bool {
        (0..2).all(|which| self.version_of(slot, which).is_some_and(|version| version != UNLOADABLE))
    }

    fn load(&mut self) -> [Found; 2] {
        self.env.each_mut().map(|copy| {
            let mut found = Found::with(&[]);
            found.read(copy).unwrap();
            found
        })
    }

    /// The boot state, as Linux reads it.
    pub fn state(&mut self) -> Option<BootState> {
        let found = self.load();
        let (block, source) = choose(&found[0], &found[1])?;
        (source != Source::Remains).then(|| BootState::read_safely(&block, |slot| self.has_files(slot)).state)
    }

    /// Why the disk is not as it should be after a cut, or what GRUB would boot, and the state that it goes by.
    pub fn look(&mut self) -> Result<(Slot, SlotState, BootState), String> {
        let found = self.load();
        let Some((block, Source::First | Source::Second)) = choose(&found[0], &found[1]) else {
            return Err("the block does not parse".into());
        };
        let reading = BootState::read_safely(&block, |slot| self.has_files(slot));
        let known = |doubt: &Doubt| self.older && matches!(doubt, Doubt::Unrecorded(..));
        if !reading.doubts.iter().all(known) {
            return Err(format!("the block does not say all: {:?}", reading.doubts));
        }
        let state = reading.state;
        for slot in Slot::BOTH {
            match (state.slot(slot), self.system(slot)) {
                (SlotState::Good, Some(version)) if self.passed >> version & 1 == 0 => {
                    return Err("a slot called good has never passed its checks".into());
                }
                (SlotState::Staged, None) if self.rotten == Some(slot) => {}
                (standing @ (SlotState::Good | SlotState::Staged | SlotState::Trial), None) => {
                    return Err(format!("a slot called {standing} has not all of its files"));
                }
                _ => {}
            }
        }
        if let Some((slot, version)) = self.given_up
            && (state.slot(slot), self.system(slot)) == (SlotState::Bad, Some(version))
            && state.rollback_from != Some(slot)
            && self.journal().is_none_or(|journal| journal.known_bad >> version & 1 == 0)
        {
            return Err("a version that GRUB gave up is forgotten".into());
        }
        if self.journal_is_torn() {
            return Err("state.json is torn".into());
        }
        let (boot, _) = self.grub_decides(&found);
        let Some(booted) = boot.booted else { return Err("GRUB has nothing to boot".into()) };
        let tries = if state.success { 3 } else { state.counter };
        match state.slot(booted) {
            SlotState::Good => {}
            SlotState::Trial if tries > 0 => {}
            standing => return Err(format!("GRUB boots a slot that is {standing}, {tries} tries left")),
        }
        Ok((booted, state.slot(booted), state))
    }

    /// What GRUB makes of the block, by the model of its table, and the copy it goes by.
    fn grub_decides(&self, found: &[Found; 2]) -> (GrubBoot, Option<usize>) {
        let loads = |slot| self.loads(slot);
        match choose(&found[0], &found[1]) {
            Some((block, source @ (Source::First | Source::Second))) => {
                let copy = usize::from(source == Source::Second);
                let state = BootState::read_safely(&block, |slot| self.has_files(slot)).state;
                (state.grub_boot(loads, self.grub_saves(found, copy)), Some(copy))
            }
            _ => {
                let on_disk = BootState::lost(Slot::A, |_| true);
                (GrubBoot { on_disk, booted: grub_boot_without_block(None, None, loads) }, None)
            }
        }
    }

    fn grub_saves(&self, found: &[Found; 2], copy: usize) -> bool {
        !self.read_only[copy] && found[copy].flaw().is_none()
    }

    /// Power on: GRUB reads, counts, saves and boots.
    fn grub(&mut self) -> Result<Slot, Stop> {
        self.booted = None;
        let found = self.load();
        let (boot, copy) = self.grub_decides(&found);
        if let Some(copy) = copy
            && self.grub_saves(&found, copy)
        {
            let block = found[copy].block().unwrap();
            let state = BootState::read_safely(&block, |slot| self.has_files(slot)).state;
            // It counts before it tries to load.
            let counted = state.grub_boot(|_| true, true).on_disk;
            self.save_env(copy, counted)?;
            if boot.on_disk != counted {
                self.save_env(copy, boot.on_disk)?;
            }
            if boot.on_disk.rollback_from != state.rollback_from && state.slot(state.active) == SlotState::Trial {
                let system = self.system(state.active);
                self.given_up = system.map(|version| (state.active, version));
            }
        }
        self.booted = boot.booted;
        boot.booted.ok_or(Stop::NothingBoots)
    }

    /// GRUB's `save_env`: the named variables, in the file's own blocks, without a sync.
    fn save_env(&mut self, copy: usize, state: BootState) -> Result<(), Stop> {
        use embedded_io::{Seek, SeekFrom, Write};

        let medium = &mut self.env[copy];
        let old = medium.cached.clone();
        let mut block = EnvBlock::parse(old.clone()).unwrap();
        state.write_to(&mut block).unwrap();
        for at in [0, SIZE / 2].into_iter().filter(|at| old[*at..at + SIZE / 2] != block.bytes()[*at..at + SIZE / 2]) {
            medium.seek(SeekFrom::Start(at as u64))?;
            medium.write(&block.bytes()[at..at + SIZE / 2])?;
        }
        let writes = medium.pending.len();
        self.firmware = Some(Firmware { copy, its_syncs: medium.syncs, all_syncs: self.fuse.syncs(), writes });
        Ok(())
    }

    fn store(&mut self, found: &mut [Found; 2], block: &EnvBlock<Bytes>) -> Result<(), Stop> {
        assert!(fits_one_sector(block));
        let [first, second] = &mut self.env;
        let copies = [(first, self.read_only[0]), (second, self.read_only[1])];
        let copies = copies.map(|(medium, read_only)| Copy { medium, read_only });
        (self.orders.store)(copies, found.each_mut(), block)
    }

    /// The program's `change`.
    fn change(&mut self, transition: impl FnOnce(BootState) -> Option<BootState>) -> Result<BootState, Stop> {
        let mut found = self.load();
        let (block, _) = choose(&found[0], &found[1]).ok_or(Stop::Env)?;
        let state = BootState::read_safely(&block, |slot| self.has_files(slot)).state;
        let new = transition(state).ok_or(Stop::Refused)?;
        let mut block = block.sound();
        new.write_to(&mut block).unwrap();
        self.store(&mut found, &block)?;
        Ok(new)
    }

    /// `init`, which no failure stops.
    fn init(&mut self, booted: Slot, init_decides: bool) -> Result<(), Stop> {
        match self.take_over(booted, init_decides) {
            Err(Stop::Env) => Ok(()),
            result => result,
        }
    }

    fn take_over(&mut self, booted: Slot, init_decides: bool) -> Result<(), Stop> {
        let mut found = self.load();
        let (mut block, mut state) = match choose(&found[0], &found[1]) {
            Some((block, _)) => (block.sound(), BootState::read_safely(&block, |slot| self.has_files(slot)).state),
            None => (EnvBlock::blank(), BootState::lost(booted, |slot| self.has_files(slot))),
        };
        bootstage::settle(&mut state, &block, choose(&found[0], &found[1]), booted);
        state.write_to(&mut block).unwrap();
        if found.iter().any(|found| found.flaw().is_some()) {
            self.store(&mut found, &block)?;
        }
        let before = state;
        if init_decides && let Some(version) = self.system(booted) {
            self.passed |= 1 << version;
        }
        let record_late = (self.orders.mark)(self, &mut state, booted, init_decides);
        state.write_to(&mut block).unwrap();
        self.store(&mut found, &block)?;
        if record_late && let Some(slot) = before.rollback_from {
            self.record_given_up(slot);
        }
        if (before.slot(booted), state.slot(booted)) == (SlotState::Trial, SlotState::Good) {
            self.ended(Phase::Success)?;
        }
        self.older = false;
        Ok(())
    }

    fn journal(&self) -> Option<Journal> {
        let sectors = &self.data.read(Name::Text(STATE))?.sectors;
        let value = |place: u16| Some(*sectors.get(usize::from(place) - 1)?).filter(|sector| sector >> 8 == place);
        let values = [value(1)?, value(2)?, value(3)?, value(4)?].map(|sector| sector & 0xff);
        let [phase, image, failures, known_bad] = values;
        Some(Journal { phase: Phase::ALL[usize::from(phase)], image, failures, known_bad })
    }

    /// Whether there is a `state.json`, and it is not whole.
    fn journal_is_torn(&self) -> bool {
        self.data.read(Name::Text(STATE)).is_some() && self.journal().is_none()
    }

    fn journal_now(&self) -> Journal {
        self.journal().unwrap_or(Journal { phase: Phase::Idle, image: 0, failures: 0, known_bad: 0 })
    }

    fn store_journal(&mut self, journal: Journal) -> Result<(), Stop> {
        let phase = Phase::ALL.iter().position(|phase| *phase == journal.phase).unwrap() as Sector;
        let sectors = [1 << 8 | phase, 2 << 8 | journal.image, 3 << 8 | journal.failures, 4 << 8 | journal.known_bad];
        replace(self.orders, &mut self.data, STATE, &sectors, Folder::sync_names)
    }

    /// `record::given_up`.
    pub fn record_given_up(&mut self, _: Slot) -> bool {
        let mut journal = self.journal_now();
        if is_on_trial(&journal) || journal.phase == Phase::Staged {
            journal.known_bad |= 1 << journal.image;
        }
        journal.phase = Phase::RolledBack;
        self.store_journal(journal).is_ok()
    }

    /// `record::ended`.
    fn ended(&mut self, phase: Phase) -> Result<(), Stop> {
        let mut journal = self.journal_now();
        if !is_on_trial(&journal) && (phase, journal.phase) != (Phase::RolledBack, Phase::Staged) {
            return Ok(());
        }
        journal.phase = phase;
        if phase == Phase::Success {
            journal.failures = 0;
            journal.known_bad &= !(1 << journal.image);
        } else {
            journal.known_bad |= 1 << journal.image;
        }
        self.store_journal(journal)
    }

    fn apply(&mut self, version: Version, server: Server) -> Result<(), Stop> {
        let (state, booted) = (self.state().ok_or(Stop::Env)?, self.booted.unwrap());
        if state.active != booted || state.slot(booted) != SlotState::Good {
            return Err(Stop::Refused);
        }
        let slot = !booted;
        let mut journal = self.journal_now();
        if is_on_trial(&journal) && state.slot(slot) == SlotState::Bad {
            journal.known_bad |= 1 << journal.image;
        }
        if journal.known_bad >> version & 1 == 1 {
            return Err(Stop::Refused);
        }
        let staged = self.slot(slot).read(Name::Text(1)).is_some_and(|file| file.sectors == text(version, 1));
        if state.slot(slot) == SlotState::Staged && staged {
            return Ok(());
        }
        journal = Journal { phase: Phase::Downloading, image: version.into(), failures: 0, ..journal };
        self.store_journal(journal)?;
        let install = self.orders.install;
        let installed = install(&mut Install { machine: self, slot, version: Some(version), server });
        journal.phase = if installed.is_ok() { Phase::Staged } else { Phase::Failed };
        self.store_journal(journal)?;
        if installed.is_ok() && self.rotten == Some(slot) {
            self.rotten = None;
        }
        installed
    }

    fn activate(&mut self) -> Result<(), Stop> {
        let (state, slot) = (self.state().ok_or(Stop::Env)?, !self.booted.unwrap());
        if state.slot(slot) != SlotState::Staged {
            return Err(Stop::Refused);
        }
        let journal = self.journal_now();
        let activate = self.orders.activate;
        activate(&mut Install { machine: self, slot, version: None, server: Server::Whole })?;
        self.store_journal(Journal { phase: Phase::Activated, ..journal })
    }

    fn check(&mut self, passes: bool, most: u8) -> Result<(), Stop> {
        let (state, booted) = (self.state().ok_or(Stop::Env)?, self.booted.unwrap());
        if state.active != booted || state.slot(booted) != SlotState::Trial && state.success {
            return Ok(());
        }
        let mut journal = self.journal_now();
        if journal.phase == Phase::Activated {
            journal.phase = Phase::Verifying;
            self.store_journal(journal)?;
        }
        if passes {
            self.passed |= self.system(booted).map_or(0, |version| 1 << version);
            self.change(|state| state.commit(booted).ok())?;
            return self.ended(Phase::Success);
        }
        if !is_on_trial(&journal) {
            return Ok(());
        }
        journal.failures += 1;
        self.store_journal(Journal { phase: Phase::Verifying, ..journal })?;
        if journal.failures >= most.into() { self.rollback() } else { Ok(()) }
    }

    fn rollback(&mut self) -> Result<(), Stop> {
        let booted = self.booted.unwrap();
        self.change(|state| state.rollback(booted).ok())?;
        self.ended(Phase::RolledBack)
    }
}

fn is_on_trial(journal: &Journal) -> bool {
    matches!(journal.phase, Phase::Activated | Phase::Verifying)
}

fn plant(folder: &mut Folder, version: Version) {
    for which in 0..2 {
        folder.plant(Name::Image(which), &image(version, which));
        folder.plant(Name::Text(which), &text(version, which));
    }
}

/// The program's `replace`: a small file beside the old one, and in its place.
fn replace(
    orders: &'static Orders,
    folder: &mut Folder,
    which: usize,
    sectors: &[Sector],
    sync_names: fn(&mut Folder) -> Result<(), Cut>,
) -> Result<(), Stop> {
    let file = folder.open(Name::New(which))?;
    folder.cut(file, 0)?;
    for sector in sectors {
        folder.append(file, *sector)?;
    }
    (orders.finish)(&mut Part { folder, file, from: Name::New(which), to: Name::Text(which) })?;
    Ok(sync_names(folder)?)
}

/// A copy of the env block.
pub struct Copy<'a> {
    medium: &'a mut Medium,
    read_only: bool,
}

impl CopyFile for Copy<'_> {
    type Error = Stop;

    fn replace(&mut self, found: &mut Found, new: &EnvBlock<Bytes>) -> Result<(), Stop> {
        if self.read_only {
            return Err(Stop::Env);
        }
        envstore::replace(self.medium, found, new).map_err(|error| match error {
            envstore::Error::Io(Cut) => Stop::Cut,
            envstore::Error::NotTaken => Stop::Env,
        })
    }

    fn settle(&mut self) -> Result<(), Stop> {
        use kubesolo_boot::storage::Storage;

        self.medium.truncate(SIZE)?;
        Ok(self.medium.sync()?)
    }
}

/// A file that is being written under another name.
pub struct Part<'a> {
    folder: &'a mut Folder,
    file: usize,
    from: Name,
    to: Name,
}

impl Unnamed for Part<'_> {
    type Error = Stop;

    fn sync(&mut self) -> Result<(), Stop> {
        Ok(self.folder.sync(self.file)?)
    }

    fn name(&mut self) -> Result<(), Stop> {
        Ok(self.folder.rename(self.from, self.to)?)
    }
}

impl Growing for Part<'_> {
    fn length(&self) -> u64 {
        self.folder.content(self.file).sectors.len() as u64
    }

    fn marked(&mut self) -> u64 {
        self.folder.content(self.file).mark.into()
    }

    fn mark(&mut self, len: u64) {
        // Without power, the next step says so.
        self.folder.mark(self.file, len as u8).unwrap_or_default();
    }

    fn cut(&mut self, len: u64) -> Result<(), Stop> {
        Ok(self.folder.cut(self.file, len as usize)?)
    }
}

/// The target slot: filled with a version, or with what it says itself that it holds.
pub struct Install<'a> {
    pub machine: &'a mut Machine,
    slot: Slot,
    version: Option<Version>,
    server: Server,
}

impl Install<'_> {
    fn folder(&mut self) -> &mut Folder {
        &mut self.machine.slots[index(self.slot)]
    }

    /// Makes all of the slot durable.
    pub fn sync_all(&mut self) -> Result<(), Stop> {
        let folder = self.folder();
        for name in folder.names() {
            let file = folder.open(name)?;
            folder.sync(file)?;
        }
        Ok(folder.sync_names()?)
    }

    fn download(&mut self, which: usize, version: Version, left: &mut usize) -> Result<(), Stop> {
        let (orders, server, want) = (self.machine.orders, self.server, image(version, which));
        let (from, to) = (Name::Part(which, version), Name::Image(which));
        let folder = self.folder();
        let file = folder.open(from)?;
        let mut part = Part { folder, file, from, to };
        part::resume(&mut part)?;
        if server == Server::FromTheStart && part.length() > 0 {
            (orders.restart)(&mut part)?;
        }
        while (part.length() as usize) < want.len() {
            let done = part.length() as usize;
            let Some(still) = left.checked_sub(1) else {
                part::keep(&mut part, done as u64)?;
                return Err(Stop::Server);
            };
            *left = still;
            let spoilt = if server == Server::Wrong && done + 1 == want.len() { WRONG } else { 0 };
            part.folder.append(file, want[done] ^ spoilt)?;
            if done % KEEP_AFTER == KEEP_AFTER - 1 {
                part::keep(&mut part, done as u64 + 1)?;
            }
        }
        if part.folder.content(file).sectors != want {
            (orders.restart)(&mut part)?;
            return Err(Stop::Server);
        }
        (orders.finish)(&mut part)
    }
}

impl install::Target for Install<'_> {
    type Error = Stop;

    fn record(&mut self, change: Change) -> Result<BootState, Stop> {
        let slot = self.slot;
        self.machine.change(|state| change.of(state, slot).ok())
    }

    fn verify(&mut self) -> Result<(), Stop> {
        let folder = self.folder();
        let told =
            folder.read(Name::Text(1)).and_then(|file| (1..=7).find(|version| file.sectors == text(*version, 1)));
        let version = self.version.or(told).ok_or(Stop::Files)?;
        let folder = self.folder();
        let holds = |which| folder.read(Name::Image(which)).is_some_and(|file| file.sectors == image(version, which));
        if holds(0) && holds(1) { Ok(()) } else { Err(Stop::Files) }
    }
}

impl install::Writable for Install<'_> {
    fn remove_leftovers(&mut self) -> Result<(), Stop> {
        let version = self.version.unwrap();
        let folder = self.folder();
        for name in folder.names().into_iter().filter(|name| !matches!(name, Name::Part(_, kept) if *kept == version)) {
            folder.unlink(name)?;
        }
        Ok(())
    }

    fn write_images(&mut self) -> Result<(), Stop> {
        let mut left = if let Server::Breaks(after) = self.server { after } else { usize::MAX };
        for which in 0..2 {
            self.download(which, self.version.unwrap(), &mut left)?;
        }
        Ok(())
    }

    fn write_texts(&mut self) -> Result<(), Stop> {
        let (orders, version) = (self.machine.orders, self.version.unwrap());
        for which in 0..2 {
            replace(orders, self.folder(), which, &text(version, which), orders.sync_names)?;
        }
        Ok(())
    }

    fn sync_names(&mut self) -> Result<(), Stop> {
        let sync_names = self.machine.orders.sync_names;
        Ok(sync_names(self.folder())?)
    }
}
