//! The changes of the boot state that a running system makes, each one write of the block.

use core::fmt;

use crate::boot::advice::{Advice, Wish};
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
    /// The slot that is not active, and must be good, boots next.
    RollBack,
    /// The way back from that slot is recorded in `state.json`.
    Recorded(Slot),
}

/// Why a change is not made, and what to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// Why it is not.
    pub refused: Refused,
    /// What to do.
    pub advice: Advice,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}; {}", self.refused, self.advice)
    }
}

impl core::error::Error for Refusal {}

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

    /// The slot that a rollback left; `None` if it is staged, as it was never booted.
    pub fn left(&self) -> Option<Slot> {
        let left = self.before.active;
        (self.after.active != left && self.after.slot(left) != SlotState::Staged).then_some(left)
    }
}

impl Change {
    /// The boot state with that change. Changes memory only.
    ///
    /// # Errors
    /// If the change is not allowed.
    pub fn of(self, state: BootState, booted: Slot) -> Result<BootState, Refusal> {
        let wish = match self {
            Change::Commit => Wish::Commit,
            Change::RollBack => Wish::RollBack,
            _ => Wish::Activate,
        };
        self.transition(state, booted).map_err(|refused| Refusal { refused, advice: Advice::of(wish, &state, booted) })
    }

    fn transition(self, state: BootState, booted: Slot) -> Result<BootState, Refused> {
        match self {
            Change::Invalidate => Ok(state.invalidate(!booted)),
            Change::Stage => Ok(state.stage(!booted)),
            Change::Activate { data_excused } => {
                state.activate(!booted).map(|state| BootState { data_excused, ..state })
            }
            Change::MarkBad => Ok(state.with_slot(!booted, SlotState::Bad)),
            Change::Commit => state.commit(booted),
            Change::RollBack => state.rollback(booted),
            Change::Recorded(left) => Ok(state.recorded(left)),
        }
    }
}
