//! The commands that change what boots next, in the words of `src/verb/`: around the core's own code, what its edge does.

use kubesolo_boot::update::state::Phase;
use kubesolo_core::boot::env_block::EnvBlock;
use kubesolo_core::boot::env_copies::{Bytes, Found, choose, fits_one_sector};
use kubesolo_core::boot::slot::SlotState;
use kubesolo_core::boot::state::BootState;

use crate::filling::{Copy, Install, replace, text};
use crate::folder::{Folder, Name, Sector};
use crate::machine::{Machine, Server, Stop, Version};

/// `state.json`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Journal {
    pub phase: Phase,
    pub image: Sector,
    pub failures: Sector,
    pub known_bad: Sector,
}
const STATE: usize = 3;

impl Machine {
    pub fn store(&mut self, found: &mut [Found; 2], block: &EnvBlock<Bytes>) -> Result<(), Stop> {
        assert!(fits_one_sector(block));
        let [first, second] = &mut self.env;
        let copies = [(first, self.read_only[0]), (second, self.read_only[1])];
        let copies = copies.map(|(medium, read_only)| Copy { medium, read_only });
        (self.orders.store)(copies, found.each_mut(), block)
    }

    /// The program's `change`.
    pub fn change(&mut self, transition: impl FnOnce(BootState) -> Option<BootState>) -> Result<BootState, Stop> {
        let mut found = self.load();
        let (block, _) = choose(&found[0], &found[1]).ok_or(Stop::Env)?;
        let state = BootState::read_safely(&block, |slot| self.has_files(slot)).state;
        let new = transition(state).ok_or(Stop::Refused)?;
        let mut block = block.sound();
        new.write_to(&mut block).unwrap();
        self.store(&mut found, &block)?;
        Ok(new)
    }

    pub fn journal(&self) -> Option<Journal> {
        let sectors = &self.data.read(Name::Text(STATE))?.sectors;
        let value = |place: u16| Some(*sectors.get(usize::from(place) - 1)?).filter(|sector| sector >> 8 == place);
        let values = [value(1)?, value(2)?, value(3)?, value(4)?].map(|sector| sector & 0xff);
        let [phase, image, failures, known_bad] = values;
        Some(Journal { phase: Phase::ALL[usize::from(phase)], image, failures, known_bad })
    }

    /// Whether there is a `state.json`, and it is not whole.
    pub fn journal_is_torn(&self) -> bool {
        self.data.read(Name::Text(STATE)).is_some() && self.journal().is_none()
    }

    pub fn journal_now(&self) -> Journal {
        self.journal().unwrap_or(Journal { phase: Phase::Idle, image: 0, failures: 0, known_bad: 0 })
    }

    pub fn store_journal(&mut self, journal: Journal) -> Result<(), Stop> {
        let phase = Phase::ALL.iter().position(|phase| *phase == journal.phase).unwrap() as Sector;
        let sectors = [1 << 8 | phase, 2 << 8 | journal.image, 3 << 8 | journal.failures, 4 << 8 | journal.known_bad];
        replace(self.orders, &mut self.data, STATE, &sectors, Folder::sync_names)
    }

    /// `record::given_up`.
    pub fn record_given_up(&mut self, standing: SlotState) -> bool {
        let mut journal = self.journal_now();
        if standing == SlotState::Good {
            return true;
        }
        if is_on_trial(&journal) || journal.phase == Phase::Staged {
            journal.known_bad |= 1 << journal.image;
        }
        journal.phase = Phase::RolledBack;
        self.store_journal(journal).is_ok()
    }

    /// `record::ended`.
    pub fn ended(&mut self, phase: Phase) -> Result<(), Stop> {
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

    pub fn apply(&mut self, version: Version, server: Server) -> Result<(), Stop> {
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

    pub fn activate(&mut self) -> Result<(), Stop> {
        let (state, slot) = (self.state().ok_or(Stop::Env)?, !self.booted.unwrap());
        if state.slot(slot) != SlotState::Staged {
            return Err(Stop::Refused);
        }
        let journal = self.journal_now();
        let activate = self.orders.activate;
        activate(&mut Install { machine: self, slot, version: None, server: Server::Whole })?;
        self.store_journal(Journal { phase: Phase::Activated, ..journal })
    }

    pub fn check(&mut self, passes: bool, most: u8) -> Result<(), Stop> {
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

    pub fn rollback(&mut self) -> Result<(), Stop> {
        let booted = self.booted.unwrap();
        self.change(|state| state.rollback(booted).ok())?;
        self.ended(Phase::RolledBack)
    }
}

fn is_on_trial(journal: &Journal) -> bool {
    matches!(journal.phase, Phase::Activated | Phase::Verifying)
}
