//! `activate`: the staged slot boots next, on trial. Its files are read from the medium and hashed once more first.

use crate::boot::BootState;
use crate::console::Notes;
use crate::failure::{Exit, Failure};
use crate::host::Host;
use crate::manifest::Manifest;
use crate::progress::Style;
use crate::slot::{Slot, SlotState};
use crate::state::{Journal, Phase};

use super::apply::{files_of, open_target, verify};
use super::boot_state::change;

/// Verifies the slot that is not booted, and flips: one sector.
///
/// # Errors
/// [`Exit::Refused`] if nothing is staged; [`Exit::Io`] if its files are not what was staged: the slot is `bad` then.
pub fn run(host: &Host<'_>, notes: &Notes, style: Style) -> Result<BootState, Failure> {
    let path = host.state_path();
    let mut journal = Journal::open(&path, &|line| notes.say(line))?;
    let state = super::slot::show(host)?;
    let slot = !host.booted(state.active)?;
    if state.slot(slot) != SlotState::Staged {
        return Err(Failure::new(
            Exit::Refused,
            format_args!("activate: slot {slot} is {}, not staged; kubesolo-boot apply first", state.slot(slot)),
        ));
    }
    if let Err(failure) = check_files(host, slot, style) {
        change(host, &|state, _| Ok(state.with_slot(slot, SlotState::Bad)))?;
        return Err(failure);
    }
    let state = change(host, &|state, _| {
        state.activate(slot).map_err(|refused| Failure::new(Exit::Refused, format_args!("activate: {refused}")))
    })?;
    journal.store(Phase::Activated)?;
    Ok(state)
}

fn check_files(host: &Host<'_>, slot: Slot, style: Style) -> Result<(), Failure> {
    let target = open_target(host, slot)?;
    let document = target.read_text("slot.json").unwrap_or_default();
    let manifest = Manifest::parse(&document)
        .map_err(|error| Failure::new(Exit::Io, format_args!("read {}/slot.json: {error}", slot.partition())))?;
    verify(&target, &files_of(&manifest), style)
}
