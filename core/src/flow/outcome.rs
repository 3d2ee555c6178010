//! How an update ends, and the order in which that is recorded: the env block first, as it decides what boots; then the log of boots
//! and `state.json`, which the boot does not depend on.
//!
//! | step | a cut right after it leaves |
//! |---|---|
//! | the block changed, with `rollback_from` for a way back | the new boot state; `state.json` has the old phase, which the next `init` or `apply` corrects |
//! | the milestone logged | the same |
//! | `state.json` written | all of it; the next `init` records a way back once more |
//! | the block without `rollback_from` | all of it |

use crate::boot::slot::{Slot, SlotState};
use crate::boot::state::BootState;
use crate::flow::change::Change;
use crate::flow::ports::{LastError, Progress, Running, StateFile};
use crate::history::boot_log::Milestone;
use crate::ignore::ignore;
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
        committed(machine, changed.ran_a_trial());
    }
    Ok(changed.after)
}

/// Makes the slot that is not active the one to boot next.
///
/// # Errors
/// If it is not good; those of writing the block.
pub fn roll_back<M: Running>(machine: &mut M, why: LastError<'_, M::Error>) -> Result<BootState, M::Error> {
    let changed = machine.change(Change::RollBack)?;
    let Some(left) = changed.left() else {
        ended_before_its_first_boot(machine);
        return Ok(changed.after);
    };
    if went_back(machine, left, true, why) {
        ignore(machine.change(Change::Recorded(left)), "the next `init` records it once more");
    }
    Ok(changed.after)
}

/// Records the way back from `left`, and its image too if `is_image` says that the image is why, or no update has ended since. Gives
/// whether it could be recorded: only then `rollback_from` may be removed from the env block.
fn went_back<M: StateFile>(machine: &mut M, left: Slot, is_image: bool, why: LastError<'_, M::Error>) -> bool {
    let recorded = machine.with_state(|machine, state| {
        machine.set_last_error(state, why);
        if is_image || !matches!(state.phase(), Phase::Success | Phase::RolledBack) {
            remember_bad(machine, state, left);
        }
        state.clear_failures();
        machine.store_state(state, Phase::RolledBack)
    });
    machine.if_recorded(recorded).is_some() && machine.is_kept()
}

/// Adds what `slot` holds to the images that were rolled back from. Changes memory only.
pub fn remember_bad<M: StateFile>(machine: &mut M, state: &mut M::State, slot: Slot) {
    // Where the slot does not say, it is the image of the last update, unless that was rolled back before.
    if !machine.remember_slot(state, slot) && state.phase() != Phase::RolledBack {
        state.remember_bad();
    }
}

/// Records that the update that was activated waits for that once more.
fn ended_before_its_first_boot<M: StateFile>(machine: &mut M) {
    let recorded = machine.with_state(|machine, state| match state.is_on_trial() {
        true => machine.store_state(state, Phase::Staged),
        false => Ok(()),
    });
    machine.if_recorded(recorded);
}

/// Records that a trial was committed. A failure is only reported: the env block has been written already.
pub fn committed<M: StateFile>(machine: &mut M, was_trial: bool) {
    let recorded = machine.with_state(|machine, state| {
        let was_this_update = state.is_on_trial() || (was_trial && state.can_be_on_trial());
        if !was_this_update {
            return Ok(());
        }
        machine.set_last_error(state, LastError::None);
        state.clear_counts();
        state.forget_bad();
        machine.store_state(state, Phase::Success)
    });
    machine.if_recorded(recorded);
}

/// Records what `rollback_from` in the block of `boot_state` says: that GRUB gave `slot` up, or a rollback that could not be recorded.
/// Gives whether it could be recorded: only then `rollback_from` may be removed from the env block.
pub fn given_up<M: StateFile>(machine: &mut M, slot: Slot, boot_state: &BootState) -> bool {
    if boot_state.is_left_for_good(slot) {
        // A slot that was good became bad by its files or its disk: the same image may be installed anew. One that is good still was
        // rolled back from by a person.
        return went_back(machine, slot, boot_state.slot(slot) == SlotState::Good, LastError::Left(slot));
    }
    // No update ended and the image is not bad: three early power cuts have the same effect.
    let recorded = machine.with_state(|machine, state| {
        machine.set_last_error(state, LastError::LeftOnce(slot));
        let phase = state.phase();
        machine.store_state(state, phase)
    });
    machine.if_recorded(recorded).is_some() && machine.is_kept()
}
