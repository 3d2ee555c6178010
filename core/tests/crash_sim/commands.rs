//! The ports of the program's own flows, over a box in memory.

use kubesolo_core::boot::env_block::EnvBlock;
use kubesolo_core::boot::env_copies::{Bytes, Found, Source, choose, fits_one_sector, store_both};
use kubesolo_core::boot::env_mismatch::EnvMismatch;
use kubesolo_core::boot::slot::{Slot, SlotState};
use kubesolo_core::boot::state::BootState;
use kubesolo_core::flow::activate::{Staged, activate};
use kubesolo_core::flow::apply::{Applied, Update, apply};
use kubesolo_core::flow::change::{Change, Changed, Refusal};
use kubesolo_core::flow::healthcheck::{self, Outcome};
use kubesolo_core::flow::init::{BootStage, EnvCopies, Notice, Record, init};
use kubesolo_core::flow::install::{TargetSlot, WritableSlot};
use kubesolo_core::flow::outcome::{commit, roll_back};
use kubesolo_core::flow::ports::{BootLog, Env, LastError, Port, Progress, StateFile};
use kubesolo_core::flow::status::{self, EnvReading, Inspected};
use kubesolo_core::history::boot_log::Milestone;
use kubesolo_core::update::phase::Phase;

use crate::filling::{Copy, LIST, image, replace, text};
use crate::folder::{Name, Sector};
use crate::machine::{Machine, Server, Stop, Version, index};

/// `state.json`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StateJson {
    pub phase: Phase,
    pub image: Sector,
    pub failures: Sector,
    pub known_bad: Sector,
}
const STATE: usize = 3;
/// When the server's certificate counts, in seconds: two years.
const CERTIFIED: std::ops::Range<u64> = 1_767_225_600..1_830_297_600;

impl Machine {
    pub fn state_json(&self) -> Option<StateJson> {
        let sectors = &self.data.read(Name::Text(STATE))?.sectors;
        let value = |place: u16| Some(*sectors.get(usize::from(place) - 1)?).filter(|sector| sector >> 8 == place);
        let values = [value(1)?, value(2)?, value(3)?, value(4)?].map(|sector| sector & 0xff);
        let [phase, image, failures, known_bad] = values;
        Some(StateJson { phase: Phase::ALL[usize::from(phase)], image, failures, known_bad })
    }

    /// Whether there is a `state.json`, and it is not whole.
    pub fn state_json_is_torn(&self) -> bool {
        self.data.read(Name::Text(STATE)).is_some() && self.state_json().is_none()
    }

    pub fn apply(&mut self, version: Version, server: Server) -> Result<(), Stop> {
        (self.version, self.server) = (Some(version), server);
        let applied = apply(self)?;
        if let (Applied::Now, Some(booted)) = (applied, self.booted)
            && self.rotten == Some(!booted)
        {
            self.rotten = None;
        }
        Ok(())
    }

    pub fn activate(&mut self) -> Result<(), Stop> {
        self.version = None;
        activate(self).map(drop)
    }

    pub fn check(&mut self, passes: bool, most: u8) -> Result<(), Stop> {
        healthcheck::begin(self);
        let (state, booted) = (self.boot_state()?, self.booted.unwrap());
        // What a commit now is worth.
        if passes && state.active == booted {
            self.passed |= self.system(booted).map_or(0, |version| 1 << version);
        }
        healthcheck::conclude(self, if passes { "" } else { "sick" }, "", Some(most.into()), false).map(drop)
    }

    /// A health check that fails after the trial's time, and what follows: the box goes down.
    pub fn is_late(&mut self) -> Result<(), Stop> {
        healthcheck::begin(self);
        let (state, booted) = (self.boot_state()?, self.booted.unwrap());
        let is_over = healthcheck::conclude(self, "sick", "", None, true)? == Outcome::OutOfTime;
        let is_trial = state.active == booted && state.slot(booted) == SlotState::Trial;
        assert_eq!(is_over, is_trial && state.slot(!booted) == SlotState::Good, "a trial, with a slot to go back to");
        if is_over {
            assert_eq!(self.boot_state()?, state, "the boot state is GRUB's to change");
            self.booted = None;
        }
        Ok(())
    }

    pub fn rollback(&mut self) -> Result<(), Stop> {
        roll_back(self, LastError::Words("by hand")).map(drop)
    }

    pub fn commit(&mut self) -> Result<(), Stop> {
        // What a person wants to keep has passed.
        let (active, booted) = (self.boot_state()?.active, self.booted.unwrap());
        if active == booted {
            self.passed |= self.system(booted).map_or(0, |version| 1 << version);
        }
        commit(self).map(drop)
    }

    pub fn status(&mut self) -> Result<(), Stop> {
        let steps = self.fuse.steps();
        let shown = status::read(self)?;
        assert_eq!(self.fuse.steps(), steps, "status writes");
        assert_eq!(shown.booted, self.booted);
        Ok(())
    }

    /// `init`, which no failure stops.
    pub fn init(&mut self, booted: Slot, init_decides: bool) -> Result<(), Stop> {
        self.booted = Some(booted);
        if init_decides && let Some(version) = self.system(booted) {
            self.passed |= 1 << version;
        }
        let ended = init(self, init_decides);
        self.older &= ended.record.is_err() || ended.data.is_err();
        Ok(())
    }
}

impl Port for Machine {
    type Error = Stop;
}

impl Env for Machine {
    fn boot_state(&mut self) -> Result<BootState, Stop> {
        self.state().ok_or(Stop::Env)
    }

    fn booted(&mut self) -> Result<Option<Slot>, Stop> {
        Ok(self.booted)
    }

    /// The program's `edit`.
    fn change(&mut self, change: Change) -> Result<Changed, Stop> {
        self.open_env()?;
        let (block, _) = self.chosen().ok_or(Stop::Env)?;
        let before = BootState::read_safely(&block, &|slot| self.has_files(slot)).state;
        let block = block.canonical();
        let booted = self.booted.unwrap_or(before.active);
        let after = change.of(before, booted).map_err(|_| Stop::Refused)?;
        let changed = Changed { before, after, booted };
        let block = self.fill(&block, after)?;
        if matches!(change, Change::RollBack) && changed.ran_a_trial() {
            self.rolled_back = self.system(booted).map(|version| (booted, version));
        }
        self.store(&block)?;
        Ok(changed)
    }

    fn refuse(&self, _: Change, _: Refusal) -> Stop {
        Stop::Refused
    }
}

impl Progress for StateJson {
    fn phase(&self) -> Phase {
        self.phase
    }

    fn remember_bad(&mut self) {
        self.known_bad |= 1 << self.image;
    }

    fn forget_bad(&mut self) {
        self.known_bad &= !(1 << self.image);
    }

    fn count_failure(&mut self) -> u32 {
        self.failures += 1;
        self.failures.into()
    }

    fn end_excuses(&mut self, _: &str) -> bool {
        false
    }

    fn clear_failures(&mut self) {
        self.failures = 0;
    }

    fn clear_counts(&mut self) {
        self.failures = 0;
    }
}

impl StateFile for Machine {
    type State = StateJson;

    fn open_state(&mut self) -> Result<StateJson, Stop> {
        self.data.try_read()?;
        Ok(self.state_json().unwrap_or(StateJson { phase: Phase::Idle, image: 0, failures: 0, known_bad: 0 }))
    }

    fn open_state_if_possible(&mut self) -> Result<Option<StateJson>, Stop> {
        Ok(self.open_state().ok())
    }

    fn remember_slot(&mut self, state_json: &mut StateJson, slot: Slot) -> bool {
        let version = self.system(slot);
        state_json.known_bad |= version.map_or(0, |version| 1 << version);
        version.is_some()
    }

    fn set_last_error(&mut self, _: &mut StateJson, _: LastError<'_, Stop>) {}

    fn store_state(&mut self, state_json: &mut StateJson, phase: Phase) -> Result<(), Stop> {
        state_json.phase = phase;
        let phase = Phase::ALL.iter().position(|phase| *phase == state_json.phase).unwrap() as Sector;
        let sectors =
            [1 << 8 | phase, 2 << 8 | state_json.image, 3 << 8 | state_json.failures, 4 << 8 | state_json.known_bad];
        replace(&mut self.data, STATE, &sectors)?;
        Ok(self.data.sync_names()?)
    }

    fn is_kept(&self) -> bool {
        true
    }

    fn count_in_this_boot(&mut self) -> u32 {
        u32::MAX
    }

    fn close_state(&mut self) {}

    fn not_recorded(&mut self, _: Stop) {}
}

impl BootLog for Machine {
    fn log(&mut self, _: Milestone) {}
}

impl EnvCopies for Machine {
    fn open_env(&mut self) -> Result<(), Stop> {
        self.found = self.load();
        Ok(())
    }

    fn chosen(&self) -> Option<(EnvBlock<&[u8]>, Source)> {
        choose(&self.found[0], &self.found[1])
    }

    fn are_whole(&mut self) -> bool {
        self.found.iter().all(|found| found.fault().is_none())
    }

    fn fill(&self, block: &EnvBlock<Bytes>, state: BootState) -> Result<EnvBlock<Bytes>, Stop> {
        state.into_block(block).map_err(|_| Stop::Refused)
    }

    fn store(&mut self, block: &EnvBlock<Bytes>) -> Result<(), Stop> {
        assert!(fits_one_sector(block));
        let [first, second] = &mut self.env;
        let copies = [(first, self.read_only[0]), (second, self.read_only[1])];
        let copies = copies.map(|(medium, read_only)| Copy { medium, read_only });
        store_both(copies, self.found.each_mut(), block, true).map(drop)
    }

    fn has_files(&self, slot: Slot) -> bool {
        self.is_populated(slot)
    }
}

impl BootStage for Machine {
    fn booted_by_grub(&self) -> Result<Option<Slot>, Stop> {
        Ok(self.booted)
    }

    fn grub_booted_a_trial(&self) -> bool {
        false
    }

    fn compare(&self, _: Option<&BootState>) -> Option<EnvMismatch> {
        None
    }

    fn notice(&mut self, _: Notice<'_>) {}

    fn remember_disk(&mut self) {}

    fn mount_data(&mut self) -> Result<(), Stop> {
        Ok(())
    }

    fn begin_log(&mut self, _: Option<&Record>) {}

    fn try_data(&mut self) -> Result<(), Stop> {
        if self.fuse.is_blown() { Err(Stop::Cut) } else { Ok(self.data.probe()?) }
    }
}

impl Inspected for Machine {
    type Disk = ();
    type Content = Option<Version>;
    type Reason = ();
    type Update = StateJson;
    type Boots = ();

    fn read_env(&mut self) -> Result<EnvReading, Stop> {
        self.open_env()?;
        let (block, source) = self.chosen().ok_or(Stop::Env)?;
        let reading = BootState::read_safely(&block, &|slot| self.has_files(slot));
        Ok(EnvReading { reading, source, copies: self.found.clone() })
    }

    fn disk(&mut self) -> Option<()> {
        Some(())
    }

    fn was_chosen_by_hand(&self) -> bool {
        false
    }

    fn content(&mut self, slot: Slot) -> Option<Version> {
        self.slots[index(slot)].try_read().ok()?;
        self.system(slot)
    }

    fn degraded(&mut self) -> Option<()> {
        None
    }

    fn update(&mut self) -> Option<StateJson> {
        self.open_state().ok()
    }

    fn boots(&mut self) {}
}

impl Staged for Machine {
    fn takes_data(&mut self) -> bool {
        self.try_data().is_ok()
    }
}

impl Update for Machine {
    fn may_begin(&mut self) -> Result<(), Stop> {
        if self.window.is_none_or(|window| window.holds(self.clock)) { Ok(()) } else { Err(Stop::Refused) }
    }

    fn target(&mut self, state: &BootState) -> Result<Slot, Stop> {
        let booted = self.booted.unwrap();
        if state.active != booted || state.slot(booted) != SlotState::Good {
            return Err(Stop::Refused);
        }
        Ok(!booted)
    }

    fn fetch_manifest(&mut self, state_json: &StateJson) -> Result<(), Stop> {
        let version = self.version.unwrap();
        if !CERTIFIED.contains(&self.clock.0) {
            return Err(Stop::Clock);
        }
        if state_json.known_bad >> version & 1 == 1 { Err(Stop::Refused) } else { Ok(()) }
    }

    fn is_there(&mut self) -> Result<bool, Stop> {
        let version = self.version.unwrap();
        self.target_folder().try_read()?;
        let target = self.slot(!self.booted.unwrap());
        Ok(target.read(Name::Text(1)).is_some_and(|file| file.sectors == text(version, 1)))
    }

    /// Whatever it says: other programs may fill the disk later.
    fn has_room(&mut self) -> Result<(), Stop> {
        if self.target_folder().faults.room == Some(0) { Err(Stop::NoSpace) } else { Ok(()) }
    }

    fn is_to_be_recorded(&self, error: &Stop) -> bool {
        *error != Stop::Cut
    }

    fn begin(&mut self, state_json: &mut StateJson) {
        *state_json = StateJson { image: self.version.unwrap().into(), failures: 0, ..*state_json };
    }
}

impl TargetSlot for Machine {
    fn verify(&mut self, target: Slot) -> Result<(), Stop> {
        self.slots[index(target)].try_read()?;
        let folder = self.slot(target);
        let told =
            folder.read(Name::Text(1)).and_then(|file| (1..=7).find(|version| file.sectors == text(*version, 1)));
        let version = self.version.or(told).ok_or(Stop::Files)?;
        let holds =
            |which| folder.read_back(Name::Image(which)).is_some_and(|file| file.sectors == image(version, which));
        if holds(0) && holds(1) { Ok(()) } else { Err(Stop::Files) }
    }
}

impl WritableSlot for Machine {
    fn remove_leftovers(&mut self) -> Result<(), Stop> {
        let version = self.version.unwrap();
        let folder = self.target_folder();
        for name in folder.names().into_iter().filter(|name| !matches!(name, Name::Part(_, kept) if *kept == version)) {
            folder.unlink(name)?;
        }
        Ok(())
    }

    fn write_images(&mut self) -> Result<(), Stop> {
        let mut left = match self.server {
            Server::Breaks(after) | Server::Chunks(after) => after,
            _ => usize::MAX,
        };
        for which in 0..2 {
            self.download(which, self.version.unwrap(), &mut left)?;
        }
        if self.server == Server::DiskRots && !self.fuse.is_blown() {
            self.target_folder().rot(Name::Image(0));
        }
        Ok(())
    }

    fn write_texts(&mut self) -> Result<(), Stop> {
        let version = self.version.unwrap();
        // The list of sums first, as the program does; which syncs the names each time, and is not believed to here.
        for which in [LIST, 0, 1] {
            replace(self.target_folder(), which, &text(version, which))?;
        }
        Ok(())
    }

    fn sync_names(&mut self) -> Result<(), Stop> {
        Ok(self.target_folder().sync_names()?)
    }
}

impl Machine {
    /// The slot that is not booted.
    pub fn target_folder(&mut self) -> &mut crate::folder::Folder {
        let target = !self.booted.unwrap();
        &mut self.slots[index(target)]
    }

    /// Before anything is read.
    pub const fn nothing_found() -> [Found; 2] {
        use kubesolo_core::boot::env_copies::CopyFault::Missing;
        [Found::nothing(Missing), Found::nothing(Missing)]
    }
}
