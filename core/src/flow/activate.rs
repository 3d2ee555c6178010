//! `activate`: a staged slot becomes the one that boots next. One sector of the block decides; `state.json` follows.

use crate::boot::state::BootState;
use crate::flow::change::Change;
use crate::flow::install::TargetSlot;
use crate::flow::ports::StateFile;
use crate::update::phase::Phase;

/// A staged slot, on a box with a data partition.
pub trait Staged: TargetSlot + StateFile {
    /// Whether the data partition takes writes.
    fn takes_data(&mut self) -> bool;
}

/// Verifies the slot that is not booted, and flips. One that is not as it was staged is `bad` from now on.
///
/// # Errors
/// That nothing is staged; that its files are others; those of writing the block.
pub fn activate<M: Staged>(machine: &mut M) -> Result<BootState, M::Error> {
    // What boots next does not hang on the data partition: an update may be what mends it.
    let mut state = machine.open_state_if_possible()?;
    let before = machine.boot_state()?;
    let booted = machine.booted()?.unwrap_or(before.active);
    let unchecked = Change::Activate { data_excused: false };
    unchecked.of(before, booted).map_err(|refused| machine.refuse(unchecked, refused))?;
    if let Err(error) = machine.verify(!booted) {
        machine.change(Change::MarkBad)?;
        return Err(error);
    }
    // Looked at now, so that `init` does not hold it against the trial.
    let data_excused = !machine.takes_data();
    let changed = machine.change(Change::Activate { data_excused })?;
    if let Some(state) = &mut state {
        let stored = machine.store_state(state, Phase::Activated);
        machine.if_recorded(stored);
    }
    machine.close_state();
    Ok(changed.after)
}
