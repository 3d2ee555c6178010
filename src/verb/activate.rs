//! `activate`: the staged slot boots next, on trial. Its files are read from the medium and hashed once more first.

use crate::boot::BootState;
use crate::console::Notes;
use crate::failure::{Exit, Failure};
use crate::host::Host;
use crate::install::{self, Change};
use crate::manifest::Manifest;
use crate::progress::Style;
use crate::slot::{Slot, SlotState};
use crate::state::{Journal, Phase};

use super::apply::{files_of, open_target, record, verify};

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
    let state = install::activate(&mut Staged { host, notes, slot, style })?;
    journal.store(Phase::Activated)?;
    Ok(state)
}

/// The slot to activate.
struct Staged<'a> {
    host: &'a Host<'a>,
    notes: &'a Notes,
    slot: Slot,
    style: Style,
}

impl install::Target for Staged<'_> {
    type Error = Failure;

    fn record(&mut self, step: Change) -> Result<BootState, Failure> {
        record(self.host, self.notes, self.slot, step)
    }

    fn verify(&mut self) -> Result<(), Failure> {
        let target = open_target(self.host, self.slot)?;
        let document = target.read_text("slot.json").unwrap_or_default();
        let manifest = Manifest::parse(&document).map_err(|error| {
            Failure::new(Exit::Io, format_args!("read {}/slot.json: {error}", self.slot.partition()))
        })?;
        verify(&target, &files_of(&manifest), self.style)
    }
}
