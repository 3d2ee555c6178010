//! What the commands need of a box: small ports, which the program opens once and the crash proof keeps in memory.

use crate::boot::slot::{Slot, SlotState};
use crate::boot::state::{BootState, Refused};
use crate::flow::change::{Change, Changed};
use crate::history::boot_log::Mark;
use crate::update::phase::Phase;

/// Why a step failed, the same for all ports of a box.
pub trait Port {
    /// With the step, the path and the reason.
    type Error;
}

/// The env block.
pub trait Env: Port {
    /// What boots next, as both copies have it.
    ///
    /// # Errors
    /// That no copy can be read; those of finding the disk.
    fn boot_state(&mut self) -> Result<BootState, Self::Error>;

    /// The slot that runs, if that is known.
    ///
    /// # Errors
    /// That what was told is no slot.
    fn booted(&mut self) -> Result<Option<Slot>, Self::Error>;

    /// Reads the block, makes the change, and writes both copies. Durable on return: a power cut leaves the old state or the
    /// new one.
    ///
    /// # Errors
    /// [`Env::refuse`]; those of reading and writing the block.
    fn change(&mut self, change: Change) -> Result<Changed, Self::Error>;

    /// The error of a change that is not allowed.
    fn refuse(&self, change: Change, refused: Refused) -> Self::Error;
}

/// What `state.json` holds, as far as a command goes by it.
pub trait Progress {
    /// How far the update has come.
    fn phase(&self) -> Phase;

    /// The image of this update is one that was rolled back from.
    fn remember_bad(&mut self);

    /// The image of this update is good after all.
    fn forget_bad(&mut self);

    /// One more health check has failed; gives how many have in a row.
    fn count_failure(&mut self) -> u32;

    /// Nothing has failed any more.
    fn clear_counts(&mut self);

    /// Whether the update waits for its health checks.
    fn is_on_trial(&self) -> bool {
        matches!(self.phase(), Phase::Activated | Phase::Verifying)
    }

    /// Whether what is on trial is this update's image: also where power cuts kept it from being written down that it was
    /// staged, and that it was activated.
    fn can_be_on_trial(&self) -> bool {
        self.is_on_trial() || matches!(self.phase(), Phase::Downloading | Phase::Staged | Phase::Failed)
    }
}

/// Why an update stands where it does, for people to read.
#[derive(Clone, Copy, Debug)]
pub enum Why<'a, E> {
    /// It went well.
    Well,
    /// In words.
    Words(&'a str),
    /// The install failed.
    Failed(&'a E),
    /// So many health checks have failed in a row, the last of them for this.
    Checks(u32, &'a str),
    /// GRUB gave the slot up, which is now in that state.
    GivenUp(Slot, SlotState),
}

/// `state.json`, under its lock while it is open.
pub trait StateFile: Port + Sized {
    /// What it holds.
    type State: Progress;

    /// Takes the lock and reads the file. One that does not parse is set aside.
    ///
    /// # Errors
    /// That another run holds the lock; that the folder cannot be made or read.
    fn open_state(&mut self) -> Result<Self::State, Self::Error>;

    /// The same where the command goes on without: `None` if the data partition is of no use, which was said.
    ///
    /// # Errors
    /// That another run holds the lock.
    fn open_state_if_possible(&mut self) -> Result<Option<Self::State>, Self::Error>;

    /// Puts into words why the update stands where it does. Changes memory only.
    fn explain(&mut self, state: &mut Self::State, why: Why<'_, Self::Error>);

    /// Writes the state with this phase. Durable on return; a power cut leaves the old file or the new one.
    ///
    /// # Errors
    /// Those of the filesystem.
    fn store_state(&mut self, state: &mut Self::State, phase: Phase) -> Result<(), Self::Error>;

    /// Lets go of the lock.
    fn close_state(&mut self);

    /// What boots next is settled, and could not be written down there: worth a word, and no more.
    fn not_recorded(&mut self, error: Self::Error);

    /// What was recorded or read; `None`, and a word about it, if that could not be.
    fn if_recorded<T>(&mut self, recorded: Result<T, Self::Error>) -> Option<T> {
        recorded.map_err(|error| self.not_recorded(error)).ok()
    }

    /// Opens the state, works on it, and lets go of it.
    ///
    /// # Errors
    /// As [`StateFile::open_state`]; those of `work`.
    fn with_state<T>(
        &mut self,
        work: impl FnOnce(&mut Self, &mut Self::State) -> Result<T, Self::Error>,
    ) -> Result<T, Self::Error> {
        let mut state = self.open_state()?;
        let result = work(self, &mut state);
        self.close_state();
        result
    }
}

/// The record of the boot that runs, in the log of boots.
pub trait BootLog {
    /// The boot got there. What cannot be recorded was said, and changes nothing.
    fn reached(&mut self, mark: Mark);
}

/// A system that runs.
pub trait Running: Env + StateFile + BootLog {}
impl<M: Env + StateFile + BootLog> Running for M {}
