//! `slot`: the slots' states, seen and put right by hand.

use crate::boot::env_files::Loaded;
use crate::cli::console::Notes;
use crate::failure::{Exit, Failure};
use crate::host::Host;
use crate::linux::mount::Access;
use kubesolo_core::boot::slot::{Slot, SlotState};
use kubesolo_core::boot::state::BootState;

use super::boot_state::change;

/// The states of both slots.
///
/// # Errors
/// [`Exit::NoBlock`]; those of finding the disk.
pub fn show(host: &Host<'_>) -> Result<BootState, Failure> {
    let mut loaded = Loaded::nothing();
    host.env_files(Access::Read)?.load(&mut loaded);
    Ok(host.reading(&loaded)?.state)
}

/// Records `state` for `slot` and changes nothing else.
///
/// # Errors
/// [`Exit::Usage`] for a word that is no slot or no state; those of [`change`].
pub fn set(host: &Host<'_>, notes: &Notes, slot: &str, state: &str) -> Result<BootState, Failure> {
    let slot = Slot::parse(slot)
        .ok_or_else(|| Failure::new(Exit::Usage, format_args!("slot set: {slot}: not a slot, there are A and B")))?;
    let state = SlotState::parse(state).ok_or_else(|| {
        Failure::new(Exit::Usage, format_args!("slot set: {state}: not a state, there are empty staged trial good bad"))
    })?;
    change(host, notes, &|before, _| Ok(before.with_slot(slot, state)))
}
