//! The order of an install and of an activation: a power cut between any two steps leaves a box that comes back.
//!
//! | step of an install | a cut right after it leaves |
//! |---|---|
//! | target slot → `empty` | a slot that nobody boots, and the old system in it |
//! | old files removed | the same, with some of them |
//! | images written, synced, named; the texts too | the same, with files that may have lost their names |
//! | names synced | a whole slot that nobody boots |
//! | read back and verified | the same |
//! | target slot → `staged` | a slot that can be activated |
//!
//! `tests/lives` cuts whole lives at every write and sync of it.

use crate::boot::slot::{Slot, SlotState};
use crate::boot::state::{BootState, Refused};

/// What is recorded about the target slot on the way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// It is about to be overwritten.
    Invalidate,
    /// It holds a whole, verified system.
    Stage,
    /// It boots next, on trial.
    Activate,
    /// It does not hold what was staged.
    Spoil,
}

impl Change {
    /// The boot state with that change of the slot `target`. Changes memory only.
    ///
    /// # Errors
    /// [`Refused::NotStaged`], of an activation.
    pub fn of(self, state: BootState, target: Slot) -> Result<BootState, Refused> {
        match self {
            Change::Invalidate => Ok(state.invalidate(target)),
            Change::Stage => Ok(state.stage(target)),
            Change::Activate => state.activate(target),
            Change::Spoil => Ok(state.with_slot(target, SlotState::Bad)),
        }
    }
}

/// The target slot, as far as both an install and an activation need it.
pub trait Target {
    /// Why a step failed.
    type Error;

    /// Records the change in the env block. Durable on return.
    ///
    /// # Errors
    /// Those of writing the block; that the change is refused.
    fn record(&mut self, change: Change) -> Result<BootState, Self::Error>;

    /// Reads the images as the medium has them, and compares them with what they should be.
    ///
    /// # Errors
    /// Those of reading; that they are others.
    fn verify(&mut self) -> Result<(), Self::Error>;
}

/// The target slot as an install fills it.
pub trait Writable: Target {
    /// Removes what will not be needed: the old system, and the parts of others. Not synced.
    ///
    /// # Errors
    /// Those of the filesystem.
    fn remove_leftovers(&mut self) -> Result<(), Self::Error>;

    /// Brings the images into the slot. Their bytes are synced on return, their names are not.
    ///
    /// # Errors
    /// Those of the server and the filesystem.
    fn write_images(&mut self) -> Result<(), Self::Error>;

    /// Writes what says which system the slot holds. The same holds for its names.
    ///
    /// # Errors
    /// Those of the filesystem.
    fn write_texts(&mut self) -> Result<(), Self::Error>;

    /// Makes all names durable.
    ///
    /// # Errors
    /// Those of the filesystem.
    fn sync_names(&mut self) -> Result<(), Self::Error>;
}

/// Fills the slot. From the first step on nobody may boot it; after the last, all of it is on the medium and verified.
///
/// # Errors
/// Those of the steps. The slot is `empty` then, unless it is the first that failed.
pub fn install<T: Writable>(target: &mut T) -> Result<(), T::Error> {
    target.record(Change::Invalidate)?;
    target.remove_leftovers()?;
    target.write_images()?;
    target.write_texts()?;
    target.sync_names()?;
    target.verify()?;
    target.record(Change::Stage)?;
    Ok(())
}

/// Makes a staged slot the one that boots next. One that is not as it was staged is `bad` from now on.
///
/// # Errors
/// Those of the steps.
pub fn activate<T: Target>(target: &mut T) -> Result<BootState, T::Error> {
    if let Err(error) = target.verify() {
        target.record(Change::Spoil)?;
        return Err(error);
    }
    target.record(Change::Activate)
}
