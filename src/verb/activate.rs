//! `activate`: the staged slot boots next, on trial. Its files are read from the medium and hashed once more first.

use crate::cli::console::Notes;
use crate::disk::probe;
use crate::failure::{Exit, Failure};
use crate::host::Host;
use crate::report::progress::Style;
use crate::update::state::{Journal, Phase};
use kubesolo_core::boot::slot::{Slot, SlotState};
use kubesolo_core::boot::state::BootState;
use kubesolo_core::flow::install::{self, Change};
use kubesolo_core::update::manifest::Manifest;
use kubesolo_core::update::sums;

use super::apply::{files_of, open_target, record, sums_of, verify};

/// Verifies the slot that is not booted, and flips: one sector.
///
/// # Errors
/// [`Exit::Refused`] if nothing is staged; [`Exit::Io`] if its files are not what was staged: the slot is `bad` then.
/// What cannot be recorded in `state.json` is a warning.
pub fn run(host: &Host<'_>, notes: &Notes, style: Style) -> Result<BootState, Failure> {
    let path = host.state_path();
    // What boots next does not hang on the data partition: an update may be what mends it.
    let mut journal = match Journal::open(&path, &|line| notes.say(line)) {
        Err(failure) if failure.exit() == Exit::Io => {
            notes.say(format_args!("warning: {failure}"));
            None
        }
        opened => Some(opened?),
    };
    let state = super::slot::show(host)?;
    let slot = !host.booted(state.active)?;
    if state.slot(slot) != SlotState::Staged {
        return Err(Failure::new(
            Exit::Refused,
            format_args!("activate: slot {slot} is {}, not staged; kubesolo-boot apply first", state.slot(slot)),
        ));
    }
    // Looked at now, so that `init` does not hold it against the trial.
    let data_excused = probe::disk_writable(host.data_folder()).is_err();
    let state = install::activate(&mut Staged { host, notes, slot, style, data_excused })?;
    if let Some(Err(failure)) = journal.as_mut().map(|journal| journal.store(Phase::Activated)) {
        notes.say(format_args!("warning: not recorded in state.json: {failure}"));
    }
    Ok(state)
}

/// The slot to activate.
struct Staged<'a> {
    host: &'a Host<'a>,
    notes: &'a Notes,
    slot: Slot,
    style: Style,
    data_excused: bool,
}

impl install::Target for Staged<'_> {
    type Error = Failure;

    fn record(&mut self, step: Change) -> Result<BootState, Failure> {
        let data_excused = self.data_excused && step == Change::Activate;
        record(self.host, self.notes, &|state| {
            step.of(state, self.slot).map(|state| BootState { data_excused, ..state })
        })
    }

    fn verify(&mut self) -> Result<(), Failure> {
        let target = open_target(self.host, self.slot)?;
        let document = target.read_text("slot.json").unwrap_or_default();
        let manifest = Manifest::parse(&document).map_err(|error| {
            Failure::new(Exit::Io, format_args!("read {}/slot.json: {error}", self.slot.partition()))
        })?;
        let files = files_of(&manifest);
        let sums = sums_of(&files);
        // What an older version staged has no list.
        if target.read_text(sums::FILE).is_none_or(|list| list != sums.as_bytes()) {
            target.write_text(sums::FILE, sums.as_bytes())?;
            target.sync_names()?;
        }
        verify(&target, &files, self.style)
    }
}
