//! `activate`: a staged slot becomes the one that boots next. The change is one sector of the env block; `state.json` is written
//! after it.

use crate::boot::state::BootState;
use crate::flow::change::Change;
use crate::flow::install::TargetSlot;
use crate::flow::ports::StateFile;
use crate::update::phase::Phase;

/// What `activate` needs: the staged slot, `state.json`, and a probe of the data partition.
pub trait Staged: TargetSlot + StateFile {
    /// Whether the data partition takes writes.
    fn takes_data(&mut self) -> bool;
}

/// Verifies the slot that is not booted, and makes it the active one, on trial. If its files are not those that were staged, it
/// becomes `bad`.
///
/// # Errors
/// If nothing is staged; if the slot's files are not those that were staged; those of writing the block.
pub fn activate<M: Staged>(machine: &mut M) -> Result<BootState, M::Error> {
    // A data partition that cannot be used must not block an activation: the update may be what repairs it.
    let mut state = machine.open_state_if_possible()?;
    let before = machine.boot_state()?;
    let booted = machine.booted()?.unwrap_or(before.active);
    let unchecked = Change::Activate { data_excused: false };
    unchecked.of(before, booted).map_err(|refusal| machine.refuse(unchecked, refusal))?;
    if let Err(error) = machine.verify(!booted) {
        machine.change(Change::MarkBad)?;
        return Err(error);
    }
    // Probed before the reboot: `init` rolls the trial back only if it lost a data partition that works now.
    let data_excused = !machine.takes_data();
    let changed = machine.change(Change::Activate { data_excused })?;
    // It has taken effect: what cannot be recorded now is a warning.
    if let Some(state) = &mut state {
        let stored = machine.store_state(state, Phase::Activated);
        machine.if_recorded(stored);
    }
    machine.close_state();
    Ok(changed.after)
}
