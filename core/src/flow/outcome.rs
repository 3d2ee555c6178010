//! How an update ends, and the order in which that is recorded: the env block first, as it decides what boots; then the log of boots
//! and `state.json`, which the boot does not depend on.
//!
//! | step | a cut right after it leaves |
//! |---|---|
//! | the block changed | the new boot state; `state.json` has the old phase, which the next `apply` corrects |
//! | the milestone logged | the same |
//! | `state.json` written | all of it |

use crate::boot::slot::{Slot, SlotState};
use crate::boot::state::BootState;
use crate::flow::change::Change;
use crate::flow::ports::{LastError, Progress, Running, StateFile};
use crate::history::boot_log::Milestone;
use crate::update::phase::Phase;

/// Marks the booted slot good.
///
/// # Errors
/// If it is not the active one; those of writing the block.
pub fn commit<M: Running>(machine: &mut M) -> Result<BootState, M::Error> {
    let changed = machine.change(Change::Commit)?;
    machine.log(Milestone::Committed);
    // A bad slot holds the update that `state.json` still calls on trial: its end was not recorded, and it is not this slot's success.
    if changed.ran_a_trial() || changed.before.slot(!changed.booted) != SlotState::Bad {
        ended(machine, changed.ran_a_trial(), Phase::Success, LastError::None);
    }
    Ok(changed.after)
}

/// Makes the slot that is not booted the one to boot next.
///
/// # Errors
/// If it is not good; those of writing the block.
pub fn roll_back<M: Running>(machine: &mut M, why: LastError<'_, M::Error>) -> Result<BootState, M::Error> {
    let unrecorded = may_be_forgotten(machine);
    let changed = machine.change(Change::RollBack { unrecorded })?;
    ended(machine, changed.ran_a_trial(), Phase::RolledBack, why);
    Ok(changed.after)
}

/// Whether `state.json` cannot be read, or does not say yet that its update is on trial, as the record of its activation failed. Then a
/// power cut after the rollback, or a data partition that is still full, would leave nothing that names the image as bad.
fn may_be_forgotten<M: StateFile>(machine: &mut M) -> bool {
    let opened = machine.open_state();
    machine.close_state();
    opened.map_or(true, |state| state.can_be_on_trial() && !state.is_on_trial())
}

/// Records how an update ended, if one was on trial. A failure is only reported: the env block has been written already.
pub fn ended<M: StateFile>(machine: &mut M, was_trial: bool, phase: Phase, why: LastError<'_, M::Error>) {
    let recorded = machine.with_state(|machine, state| {
        let was_this_update = state.is_on_trial() || (was_trial && state.can_be_on_trial());
        if !was_this_update {
            return Ok(());
        }
        machine.set_last_error(state, why);
        if phase == Phase::Success {
            state.clear_counts();
            state.forget_bad();
        } else {
            state.remember_bad();
        }
        machine.store_state(state, phase)
    });
    machine.if_recorded(recorded);
}

/// Records that GRUB gave up `slot`, which now has the state `slot_state`. Gives whether it could be recorded: only then
/// `rollback_from` may be removed from the env block.
pub fn given_up<M: StateFile>(machine: &mut M, slot: Slot, slot_state: SlotState) -> bool {
    let recorded = machine.with_state(|machine, state| {
        machine.set_last_error(state, LastError::GivenUp(slot, slot_state));
        let phase = state.phase();
        if slot_state == SlotState::Good {
            // The slot stays good, so no update ended and the image is not bad: three early power cuts have the same effect.
            return machine.store_state(state, phase);
        }
        // `to_image` is the image of the slot given up only if an update was on trial.
        if state.can_be_on_trial() {
            state.remember_bad();
        }
        machine.store_state(state, Phase::RolledBack)
    });
    machine.if_recorded(recorded).is_some()
}
