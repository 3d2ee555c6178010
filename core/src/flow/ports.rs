//! What the commands need of a box, as small traits. The program implements them on the machine, the crash tests in memory.

use crate::boot::slot::Slot;
use crate::boot::state::BootState;
use crate::flow::change::{Change, Changed, Refusal};
use crate::history::boot_log::Milestone;
use crate::update::phase::Phase;

/// Why a step failed, the same for all ports of a box.
pub trait Port {
    /// The step, the path and the reason.
    type Error;
}

/// The env block.
pub trait Env: Port {
    /// What boots next, as both copies have it.
    ///
    /// # Errors
    /// If no copy can be read; those of finding the disk.
    fn boot_state(&mut self) -> Result<BootState, Self::Error>;

    /// The slot that runs, if that is known.
    ///
    /// # Errors
    /// If the kernel command line names something that is no slot.
    fn booted(&mut self) -> Result<Option<Slot>, Self::Error>;

    /// Reads the block, makes the change, and writes both copies. Durable on return: a power cut leaves the old state or the
    /// new one.
    ///
    /// # Errors
    /// [`Env::refuse`]; those of reading and writing the block.
    fn change(&mut self, change: Change) -> Result<Changed, Self::Error>;

    /// The error of a change that is not allowed.
    fn refuse(&self, change: Change, refusal: Refusal) -> Self::Error;
}

/// The part of `state.json` that decides what a command does.
pub trait Progress {
    /// How far the update has come.
    fn phase(&self) -> Phase;

    /// Adds this update's image to the images that were rolled back from.
    fn remember_bad(&mut self);

    /// Removes this update's image from the images that were rolled back from.
    fn forget_bad(&mut self);

    /// Counts one more failed health check; gives how many have failed in a row.
    fn count_failure(&mut self) -> u32;

    /// Ends the excuse of each check that is not among those that `failed`, a space between two. Gives whether there was one.
    fn end_excuses(&mut self, failed: &str) -> bool;

    /// Resets the count of failed health checks.
    fn clear_failures(&mut self);

    /// Resets the count of attempts and of failed health checks.
    fn clear_counts(&mut self);

    /// Whether the update waits for its health checks.
    fn is_on_trial(&self) -> bool {
        matches!(self.phase(), Phase::Activated | Phase::Verifying)
    }

    /// Whether a slot on trial can be this update's: also in an earlier phase, as a power cut may have kept `staged` or `activated`
    /// from being written.
    fn can_be_on_trial(&self) -> bool {
        self.is_on_trial() || matches!(self.phase(), Phase::Downloading | Phase::Staged | Phase::Failed)
    }
}

/// Why an update failed or was rolled back: `last_error` of `state.json`, for people to read.
#[derive(Clone, Copy, Debug)]
pub enum LastError<'a, E> {
    /// Nothing failed.
    None,
    /// This text.
    Words(&'a str),
    /// The update was refused, or its install failed.
    Install(&'a E),
    /// How many health checks have failed in a row, and why the last one did.
    Checks(u32, &'a str),
    /// The slot was left, by GRUB or by a rollback that could not be recorded at once.
    Left(Slot),
    /// GRUB left the slot for one boot.
    LeftOnce(Slot),
}

/// `state.json`, under its lock while it is open.
pub trait StateFile: Port + Sized {
    /// What it holds.
    type State: Progress;

    /// Takes the lock and reads the file. A file that does not parse is renamed, and the state is empty.
    ///
    /// # Errors
    /// If another run holds the lock; if the folder cannot be made or read.
    fn open_state(&mut self) -> Result<Self::State, Self::Error>;

    /// The same for a command that works without it: `None` if the data partition cannot be used, which was reported.
    ///
    /// # Errors
    /// If another run holds the lock.
    fn open_state_if_possible(&mut self) -> Result<Option<Self::State>, Self::Error>;

    /// Adds the image that the slot holds to those that were rolled back from. Gives whether the slot's own files name it. Changes
    /// memory only.
    fn remember_slot(&mut self, state: &mut Self::State, slot: Slot) -> bool;

    /// Sets `last_error`. Changes memory only.
    fn set_last_error(&mut self, state: &mut Self::State, why: LastError<'_, Self::Error>);

    /// Writes the state with this phase. Durable on return; a power cut leaves the old file or the new one.
    ///
    /// # Errors
    /// Those of the filesystem.
    fn store_state(&mut self, state: &mut Self::State, phase: Phase) -> Result<(), Self::Error>;

    /// Whether the file outlives this boot: not without the data partition, where its folder is in memory.
    fn is_kept(&self) -> bool;

    /// Counts one more failed health check where `state.json` cannot hold the count. Gives how many have failed in this boot; the next
    /// one begins anew, and GRUB counts boots. If nothing can be counted, each is as many as can be.
    fn count_in_this_boot(&mut self) -> u32;

    /// Gives the lock back.
    fn close_state(&mut self);

    /// Reports, as a warning, that `state.json` could not be read or written: the boot does not depend on it.
    fn not_recorded(&mut self, error: Self::Error);

    /// The value, or `None` with a warning.
    fn if_recorded<T>(&mut self, recorded: Result<T, Self::Error>) -> Option<T> {
        recorded.map_err(|error| self.not_recorded(error)).ok()
    }

    /// Opens the state, works on it, and closes it.
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
    /// Logs that this boot has reached the milestone. A failure is reported and changes nothing.
    fn log(&mut self, milestone: Milestone);
}

/// All ports of a running system.
pub trait Running: Env + StateFile + BootLog {}
impl<M: Env + StateFile + BootLog> Running for M {}
