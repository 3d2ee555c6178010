//! `apply`: an update into the slot that does not run.
//!
//! Everything that can be refused is refused before the first byte changes, and recorded in `state.json`. What is written, in this order: the block, that nothing is
//! staged any more; `state.json`, that a download has begun; the slot, as [`install`] does; `state.json`, how it ended. A power cut
//! anywhere leaves the running slot good and active; the next `apply` takes up the download where it broke off.

use crate::boot::slot::{Slot, SlotState};
use crate::boot::state::BootState;
use crate::flow::change::Change;
use crate::flow::install::{WritableSlot, install};
use crate::flow::outcome;
use crate::flow::ports::{LastError, Progress, StateFile};
use crate::update::phase::Phase;

/// What `apply` needs: an update, and the slot that it is written to.
pub trait Update: WritableSlot + StateFile {
    /// Succeeds if an update may begin now.
    ///
    /// # Errors
    /// If it may not: outside the maintenance window.
    fn may_begin(&mut self) -> Result<(), Self::Error>;

    /// The slot to write: the one that does not run. The running slot must be active and good, so that there is a slot to go
    /// back to.
    ///
    /// # Errors
    /// If the running slot is not known, not active or not good.
    fn target(&mut self, state: &BootState) -> Result<Slot, Self::Error>;

    /// Fetches the manifest, unless the node's label blocks updates; verifies its signature, and that this box may take the
    /// update.
    ///
    /// # Errors
    /// Those of fetching; if the label, the signature or the update policy forbids it.
    fn fetch_manifest(&mut self, state: &Self::State) -> Result<(), Self::Error>;

    /// Whether the slot holds the files of that manifest already.
    ///
    /// # Errors
    /// Those of looking into the slot.
    fn is_there(&mut self) -> Result<bool, Self::Error>;

    /// Succeeds if the target slot has room for the files.
    ///
    /// # Errors
    /// If it does not.
    fn has_room(&mut self) -> Result<(), Self::Error>;

    /// Whether `state.json` keeps this error. That the box is up to date is not one that somebody has to see.
    fn is_to_be_recorded(&self, error: &Self::Error) -> bool;

    /// Sets in the state which update is about to be installed. Changes memory only.
    fn begin(&mut self, state: &mut Self::State);
}

/// How the slot came to be staged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Applied {
    /// By this run.
    Now,
    /// By an earlier run, with the same files: nothing was written.
    Before,
}

/// Installs the update.
///
/// # Errors
/// A refusal, with nothing changed but what `state.json` says of it; those of [`install`].
pub fn apply<M: Update>(machine: &mut M) -> Result<Applied, M::Error> {
    machine.with_state(|machine, state| {
        let allowed = may_install(machine, state);
        if let Err(error) = &allowed {
            record_refusal(machine, state, error);
        }
        let Some((target, was_staged)) = allowed? else { return Ok(Applied::Before) };
        if was_staged {
            // Before `state.json` names the new image: until then the staged slot could be activated under that name.
            machine.change(Change::Invalidate)?;
        }
        machine.begin(state);
        machine.store_state(state, Phase::Downloading)?;
        let installed = install(machine, target);
        if let Err(error) = &installed {
            machine.set_last_error(state, LastError::Install(error));
        }
        machine.store_state(state, if installed.is_ok() { Phase::Staged } else { Phase::Failed })?;
        installed.map(|()| Applied::Now)
    })
}

/// All that may refuse the update. Gives the slot to write, and whether another update is staged there; `None`: this one is.
fn may_install<M: Update>(machine: &mut M, state: &mut M::State) -> Result<Option<(Slot, bool)>, M::Error> {
    machine.may_begin()?;
    let before = machine.boot_state()?;
    let target = machine.target(&before)?;
    // A way back that is not recorded yet: the data partition took no writes, or a power cut came between the two writes.
    let (is_bad, is_left) = (before.slot(target) == SlotState::Bad, before.rollback_from == Some(target));
    if (is_bad && state.is_on_trial()) || (is_left && !is_bad && before.is_left_for_good(target)) {
        outcome::remember_bad(machine, state, target);
    }
    machine.fetch_manifest(state)?;
    let was_staged = before.slot(target) == SlotState::Staged;
    if was_staged && machine.is_there()? {
        return Ok(None);
    }
    machine.has_room()?;
    Ok(Some((target, was_staged)))
}

/// Records why no update was begun, unless the state is that of an update that waits for something, or says why one was rolled back:
/// that must not be forgotten.
fn record_refusal<M: Update>(machine: &mut M, state: &mut M::State, error: &M::Error) {
    let waits = matches!(state.phase(), Phase::Staged | Phase::Activated | Phase::Verifying | Phase::RolledBack);
    if !waits && machine.is_to_be_recorded(error) {
        machine.set_last_error(state, LastError::Install(error));
        let stored = machine.store_state(state, Phase::Failed);
        machine.if_recorded(stored);
    }
}
