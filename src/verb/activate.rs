//! `activate`: the staged slot boots next, on trial. Its files are read from the medium and hashed once more first.

use core::time::Duration;

use crate::cli::console::Notes;
use crate::disk::probe;
use crate::failure::{Exit, Failure};
use crate::host::Host;
use crate::net::fetch::{Client, Limits};
use crate::report::progress::Style;
use crate::update::remote_manifest::RemoteManifest;
use crate::update::state::read_unlocked;
use kubesolo_core::boot::slot::Slot;
use kubesolo_core::boot::state::BootState;
use kubesolo_core::flow::activate::{Staged, activate};
use kubesolo_core::flow::install::TargetSlot;
use kubesolo_core::net::url::Location;
use kubesolo_core::update::config::Config;
use kubesolo_core::update::manifest::Manifest;
use kubesolo_core::update::sums;
use kubesolo_core::update::version::Version;

use super::apply::{files_of, open_target, sums_of, verify};
use super::machine::Machine;

/// How long the server may take to say what it has withdrawn.
const PATIENCE: Duration = Duration::from_secs(10);

/// Verifies the slot that is not booted, and makes it the active one, by a write of one sector.
///
/// # Errors
/// [`Exit::Refused`] if nothing is staged, or its publisher has withdrawn it; [`Exit::Io`] if its files are not what was staged: the slot
/// is `bad` then. What cannot be recorded in `state.json` is a warning.
pub fn run(host: &Host<'_>, notes: &Notes, config: &Config<'_>, style: Style) -> Result<BootState, Failure> {
    if !host.flags().force {
        not_withdrawn(host, notes, config)?;
    }
    activate(&mut Machine::new(host, notes, Files { style }))
}

/// Succeeds unless the server says that the version that `apply` has staged, by `state.json`, has been withdrawn. A box that does not reach
/// its server has only what it was told before.
fn not_withdrawn(host: &Host<'_>, notes: &Notes, config: &Config<'_>) -> Result<(), Failure> {
    let staged = read_unlocked(&host.state_path()).and_then(|state| Version::parse(&state.to_version).ok());
    let Some(staged) = staged else { return Ok(()) };
    let Some(at) = config.server.and_then(|server| Location::manifest_of(server).ok()) else { return Ok(()) };
    let limits = Limits { head: PATIENCE, stall: PATIENCE, small: PATIENCE };
    let client = Client { limits, ..Client::new(config.ca.unwrap_or_default(), &host.process) };
    match RemoteManifest::fetch(&client, &at, config.pubkey) {
        Ok(remote) if remote.manifest()?.withdrawn == Some(staged) => Err(Failure::new(
            Exit::Refused,
            format_args!(
                "activate: version {staged} has been withdrawn by its publisher; to boot it all the same: --force"
            ),
        )),
        Ok(_) => Ok(()),
        Err(failure) => {
            notes.say(format_args!("warning: whether version {staged} has been withdrawn is not known: {failure}"));
            Ok(())
        }
    }
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
