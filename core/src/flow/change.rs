//! The changes of the boot state that a running system makes, each one write of the block.

use crate::boot::slot::{Slot, SlotState};
use crate::boot::state::{BootState, Refused};

/// A change. The target is the slot that is not booted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// The target is about to be overwritten.
    Invalidate,
    /// The target holds a whole, verified system.
    Stage,
    /// The target boots next, on trial.
    Activate {
        /// The data partition cannot be used before the trial either, so that `init` must not roll back because of it.
        data_excused: bool,
    },
    /// The target does not hold what was staged.
    MarkBad,
    /// The booted slot is good.
    Commit,
    /// The target, which must be good, boots next.
    RollBack {
        /// `state.json` does not say that the booted slot's update is on trial: the block says that it was rolled back from, until the
        /// next `init` has recorded it.
        unrecorded: bool,
    },
}

/// A change that was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Changed {
    /// The boot state before it.
    pub before: BootState,
    /// The boot state after it.
    pub after: BootState,
    /// The slot that runs.
    pub booted: Slot,
}

impl Changed {
    /// Whether the slot that runs was on trial. Read from the block, not from `state.json`, which may be lost.
    pub fn ran_a_trial(&self) -> bool {
        self.before.slot(self.booted) == SlotState::Trial
    }
}

impl Change {
    /// The boot state with that change. Changes memory only.
    ///
    /// # Errors
    /// If the change is not allowed.
    pub fn of(self, state: BootState, booted: Slot) -> Result<BootState, Refused> {
        match self {
            Change::Invalidate => Ok(state.invalidate(!booted)),
            Change::Stage => Ok(state.stage(!booted)),
            Change::Activate { data_excused } => {
                state.activate(!booted).map(|state| BootState { data_excused, ..state })
            }
            Change::MarkBad => Ok(state.with_slot(!booted, SlotState::Bad)),
            Change::Commit => state.commit(booted),
            Change::RollBack { unrecorded } => {
                let was_trial = state.slot(booted) == SlotState::Trial;
                let rollback_from = if unrecorded && was_trial { Some(booted) } else { state.rollback_from };
                state.rollback(booted).map(|state| BootState { rollback_from, ..state })
            }
        }
    }
}
