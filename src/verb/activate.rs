//! `activate`: the staged slot boots next, on trial. Its files are read from the medium and hashed once more first.

use crate::cli::console::Notes;
use crate::disk::probe;
use crate::failure::{Exit, Failure};
use crate::host::Host;
use crate::report::progress::Style;
use kubesolo_core::boot::slot::Slot;
use kubesolo_core::boot::state::BootState;
use kubesolo_core::flow::activate::{Staged, activate};
use kubesolo_core::flow::install::TargetSlot;
use kubesolo_core::update::manifest::Manifest;
use kubesolo_core::update::sums;

use super::apply::{files_of, open_target, sums_of, verify};
use super::machine::Machine;

/// Verifies the slot that is not booted, and makes it the active one, by a write of one sector.
///
/// # Errors
/// [`Exit::Refused`] if nothing is staged; [`Exit::Io`] if its files are not what was staged: the slot is `bad` then.
/// What cannot be recorded in `state.json` is a warning.
pub fn run(host: &Host<'_>, notes: &Notes, style: Style) -> Result<BootState, Failure> {
    activate(&mut Machine::new(host, notes, Files { style }))
}

/// The files of the slot to activate.
struct Files {
    style: Style,
}

impl Staged for Machine<'_, Files> {
    fn takes_data(&mut self) -> bool {
        probe::disk_writable(self.host.data_folder()).is_ok()
    }
}

impl TargetSlot for Machine<'_, Files> {
    fn verify(&mut self, target: Slot) -> Result<(), Failure> {
        let target = open_target(self.host, target)?;
        let document = target.read_text("slot.json").unwrap_or_default();
        let manifest = Manifest::parse(&document)
            .map_err(|error| Failure::new(Exit::Io, format_args!("read {}/slot.json: {error}", target.name())))?;
        let files = files_of(&manifest);
        let sums = sums_of(&files);
        // An older version of this program staged without a list.
        if target.read_text(sums::FILE).is_none_or(|list| list != sums.as_bytes()) {
            target.write_text(sums::FILE, sums.as_bytes())?;
            target.sync_names()?;
        }
        verify(&target, &files, self.job.style)
    }
}
