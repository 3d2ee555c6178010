//! `slot set`: a slot's state, put right by hand.

use crate::cli::console::Notes;
use crate::failure::{Exit, Failure};
use crate::host::Host;
use kubesolo_core::boot::slot::{Slot, SlotState};
use kubesolo_core::boot::state::BootState;

use super::machine::edit;

/// Records `state` for `slot` and changes nothing else.
///
/// # Errors
/// [`Exit::Usage`] for a word that is no slot or no state; those of [`edit`].
pub fn set(host: &Host<'_>, notes: &Notes, slot: &str, state: &str) -> Result<BootState, Failure> {
    let slot = Slot::parse(slot)
        .ok_or_else(|| Failure::new(Exit::Usage, format_args!("slot set: {slot}: not a slot, there are A and B")))?;
    let state = SlotState::parse(state).ok_or_else(|| {
        Failure::new(Exit::Usage, format_args!("slot set: {state}: not a state, there are empty staged trial good bad"))
    })?;
    edit(host, notes, &|before, _| Ok(before.with_slot(slot, state))).map(|changed| changed.after)
}
