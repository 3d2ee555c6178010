//! How an update ends, and where that is written down: the env block first, which decides what boots; then the log of boots and
//! `state.json`, without which the box is as well.
//!
//! | step | a cut right after it leaves |
//! |---|---|
//! | the block changed | what boots next is settled; `state.json` is behind, and the next `apply` makes up for it |
//! | the boot's record marked | the same |
//! | `state.json` written | all of it |

use crate::boot::slot::{Slot, SlotState};
use crate::boot::state::BootState;
use crate::flow::change::Change;
use crate::flow::ports::{Progress, Running, StateFile, Why};
use crate::history::boot_log::Mark;
use crate::update::phase::Phase;

/// Marks the booted slot good.
///
/// # Errors
/// That it is not the active one; those of writing the block.
pub fn commit<M: Running>(machine: &mut M) -> Result<BootState, M::Error> {
    let changed = machine.change(Change::Commit)?;
    machine.reached(Mark::Committed);
    ended(machine, changed.ran_a_trial(), Phase::Success, Why::Well);
    Ok(changed.after)
}

/// Makes the slot that is not booted the one to boot next.
///
/// # Errors
/// That it is not good; those of writing the block.
pub fn roll_back<M: Running>(machine: &mut M, why: Why<'_, M::Error>) -> Result<BootState, M::Error> {
    let changed = machine.change(Change::RollBack)?;
    ended(machine, changed.ran_a_trial(), Phase::RolledBack, why);
    Ok(changed.after)
}

/// Records how an update ended, if one was on trial. What boots next is settled by then.
pub fn ended<M: StateFile>(machine: &mut M, was_trial: bool, phase: Phase, why: Why<'_, M::Error>) {
    let recorded = machine.with_state(|machine, state| {
        let was_this_update = state.is_on_trial() || (was_trial && state.can_be_on_trial());
        if !was_this_update {
            return Ok(());
        }
        machine.explain(state, why);
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

/// GRUB gave that slot up, which is now in that state. Gives whether that is recorded now, so that the env block need not say it
/// any longer.
pub fn given_up<M: StateFile>(machine: &mut M, slot: Slot, slot_state: SlotState) -> bool {
    let recorded = machine.with_state(|machine, state| {
        machine.explain(state, Why::GivenUp(slot, slot_state));
        let phase = state.phase();
        if slot_state == SlotState::Good {
            // Not an update's end, and nothing against the image: a box whose power goes early in a boot may come to it.
            return machine.store_state(state, phase);
        }
        // A good slot is given up for another one that is good: then no update is on its way into that.
        if state.can_be_on_trial() {
            state.remember_bad();
        }
        machine.store_state(state, Phase::RolledBack)
    });
    machine.if_recorded(recorded).is_some()
}
