//! `apply`: an update into the slot that does not run.
//!
//! Everything that can be refused is refused before the first byte changes. What is written, in this order: the block, that nothing is
//! staged any more; `state.json`, that a download has begun; the slot, as [`install`] does; `state.json`, how it ended. A power cut
//! anywhere leaves the running slot good and active; the next `apply` takes up the download where it broke off.

use crate::boot::slot::{Slot, SlotState};
use crate::boot::state::BootState;
use crate::flow::change::Change;
use crate::flow::install::{WritableSlot, install};
use crate::flow::ports::{Progress, StateFile, Why};
use crate::update::phase::Phase;

/// An update and the slot that it goes into.
pub trait Update: WritableSlot + StateFile {
    /// Whether an update may begin now.
    ///
    /// # Errors
    /// That it may not.
    fn may_begin(&mut self) -> Result<(), Self::Error>;

    /// The slot to write: not the one that runs, which must be the active one, and good: something to go back to.
    ///
    /// # Errors
    /// That there is none.
    fn target(&mut self, state: &BootState) -> Result<Slot, Self::Error>;

    /// Asks whether the node is held back, and the server what there is; verifies who says so, and whether it is for this box.
    ///
    /// # Errors
    /// Those of asking; that it is not.
    fn ask(&mut self, state: &Self::State) -> Result<(), Self::Error>;

    /// Whether the slot holds exactly that.
    ///
    /// # Errors
    /// Those of looking into the slot.
    fn is_there(&mut self) -> Result<bool, Self::Error>;

    /// Whether there is room for it.
    ///
    /// # Errors
    /// That there is not.
    fn has_room(&mut self) -> Result<(), Self::Error>;

    /// Puts into the state what is about to be installed. Changes memory only.
    fn begin(&mut self, state: &mut Self::State);
}

/// What `apply` came to: the slot is staged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Applied {
    /// By this run.
    Now,
    /// It was, with the same files.
    Before,
}

/// Installs the update.
///
/// # Errors
/// A refusal, with nothing changed; those of [`install`].
pub fn apply<M: Update>(machine: &mut M) -> Result<Applied, M::Error> {
    machine.with_state(|machine, state| {
        machine.may_begin()?;
        let before = machine.boot_state()?;
        let target = machine.target(&before)?;
        // A power cut came between the rollback and its record.
        if state.is_on_trial() && before.slot(target) == SlotState::Bad {
            state.remember_bad();
        }
        machine.ask(state)?;
        let was_staged = before.slot(target) == SlotState::Staged;
        if was_staged && machine.is_there()? {
            return Ok(Applied::Before);
        }
        machine.has_room()?;
        if was_staged {
            // Before `state.json` speaks of another image: what is staged there could still be activated.
            machine.change(Change::Invalidate)?;
        }
        machine.begin(state);
        machine.store_state(state, Phase::Downloading)?;
        let installed = install(machine, target);
        if let Err(error) = &installed {
            machine.explain(state, Why::Failed(error));
        }
        machine.store_state(state, if installed.is_ok() { Phase::Staged } else { Phase::Failed })?;
        installed.map(|()| Applied::Now)
    })
}
