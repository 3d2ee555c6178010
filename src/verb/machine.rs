//! The ports of the flows, on the machine that the program runs on.

use std::format;
use std::string::String;

use crate::cli::console::Notes;
use crate::failure::{Exit, Failure};
use crate::history::boots;
use crate::host::Host;
use crate::linux::mount::Access;
use crate::update::failures;
use crate::update::slot_version::{Version, read_image, read_version};
use crate::update::state::{State, StateFile, now};
use kubesolo_core::boot::env_block::{EnvBlock, ONE_SECTOR};
use kubesolo_core::boot::env_copies::{Bytes, fits_one_sector};
use kubesolo_core::boot::slot::Slot;
use kubesolo_core::boot::state::BootState;
use kubesolo_core::flow::change::{Change, Changed, Refusal};
use kubesolo_core::flow::ports::{self, BootLog, Env, LastError, Port};
use kubesolo_core::history::boot_log::Milestone;
use kubesolo_core::update::phase::Phase;

/// The machine, and what a verb needs for its work on it.
pub struct Machine<'a, J = ()> {
    /// Where its disks and files are.
    pub host: &'a Host<'a>,
    /// Where messages go.
    pub notes: &'a Notes,
    /// What this verb needs besides.
    pub job: J,
    state_file: Option<StateFile>,
}

impl<'a, J> Machine<'a, J> {
    /// Opens nothing yet.
    pub const fn new(host: &'a Host<'a>, notes: &'a Notes, job: J) -> Machine<'a, J> {
        Machine { host, notes, job, state_file: None }
    }

    /// The version in the slot, for people to read.
    fn version_of(&self, slot: Slot) -> Version {
        self.host
            .slot_files(slot)
            .ok()
            .and_then(|files| read_version(&files))
            .or_else(|| Version::try_from("unknown").ok())
            .unwrap_or_default()
    }
}

impl<J> Port for Machine<'_, J> {
    type Error = Failure;
}

impl<J> Env for Machine<'_, J> {
    fn boot_state(&mut self) -> Result<BootState, Failure> {
        self.host.boot_state()
    }

    fn booted(&mut self) -> Result<Option<Slot>, Failure> {
        self.host.booted_if_known()
    }

    fn change(&mut self, change: Change) -> Result<Changed, Failure> {
        edit(self.host, self.notes, &|state, booted| {
            change.of(state, booted).map_err(|refusal| self.refuse(change, refusal))
        })
    }

    fn refuse(&self, change: Change, refusal: Refusal) -> Failure {
        let verb = match change {
            Change::Commit => "commit",
            Change::RollBack => "rollback",
            Change::Activate { .. } => "activate",
            _ => "write env block",
        };
        Failure::new(Exit::Refused, format_args!("{verb}: {refusal}"))
    }
}

impl<J> ports::StateFile for Machine<'_, J> {
    type State = State;

    fn open_state(&mut self) -> Result<State, Failure> {
        let notes = self.notes;
        let (file, state) = StateFile::open(&self.host.state_path(), &|line| notes.say(line))?;
        self.state_file = Some(file);
        Ok(state)
    }

    fn open_state_if_possible(&mut self) -> Result<Option<State>, Failure> {
        match self.open_state() {
            Err(failure) if failure.exit() == Exit::Io => {
                self.notes.say(format_args!("warning: {failure}"));
                Ok(None)
            }
            opened => opened.map(Some),
        }
    }

    fn remember_slot(&mut self, state: &mut State, slot: Slot) -> bool {
        let image = self.host.slot_files(slot).ok().and_then(|files| read_image(&files));
        if let Some(image) = &image {
            state.remember(image);
        }
        image.is_some()
    }

    fn set_last_error(&mut self, state: &mut State, why: LastError<'_, Failure>) {
        state.last_error = match why {
            LastError::None => String::new(),
            LastError::Words(words) => words.into(),
            LastError::Install(failure) => format!("{failure}"),
            LastError::Checks(failures, reasons) => format!("health check failed {failures} times: {reasons}"),
            LastError::Left(slot) => format!(
                "slot {slot} (version {}) was given up: no boot of it was committed, it did not load, its files are not \
                 what was installed, or it was rolled back from",
                self.version_of(slot)
            ),
            LastError::LeftOnce(slot) => format!(
                "slot {slot} (version {}) was given up by GRUB for one boot: three boots did not reach init",
                self.version_of(slot)
            ),
        };
    }

    fn store_state(&mut self, state: &mut State, phase: Phase) -> Result<(), Failure> {
        state.phase = phase;
        state.updated_at = format!("{}", now());
        self.state_file.as_ref().map_or(Ok(()), |file| file.store(state))
    }

    fn is_kept(&self) -> bool {
        !self.host.state_is_in_memory()
    }

    fn count_in_this_boot(&mut self) -> u32 {
        failures::count(self.host.run_folder()).unwrap_or(u32::MAX)
    }

    fn close_state(&mut self) {
        self.state_file = None;
    }

    fn not_recorded(&mut self, failure: Failure) {
        self.notes.say(format_args!("warning: not recorded in state.json: {failure}"));
    }
}

impl BootLog for Machine<'_> {
    fn log(&mut self, milestone: Milestone) {
        if let Err(failure) = boots::log(&self.host.boot_log(), milestone) {
            self.notes.say(format_args!("warning: {failure}"));
        }
    }
}

/// A new state for the old one and the booted slot.
pub type Transition<'a> = dyn Fn(BootState, Slot) -> Result<BootState, Failure> + 'a;

/// Reads the block, applies `transition` (state, booted slot) and writes both copies. Durable on return: a power cut
/// leaves the old state or the new one. If only one copy could be written, that is a warning.
///
/// # Errors
/// That of `transition`; [`Exit::NoBlock`], [`Exit::Io`], [`Exit::Busy`], and those of finding the disk.
pub fn edit(host: &Host<'_>, notes: &Notes, transition: &Transition<'_>) -> Result<Changed, Failure> {
    let mut files = host.env_files(Access::Write)?;
    let ((changed, crowded), spare) = files.edit(true, &|loaded| {
        let before = host.reading(loaded)?.state;
        let booted = host.booted(before.active)?;
        let after = transition(before, booted)?;
        let block = into_block(after, &loaded.block()?.canonical())?;
        let crowded = crowded(&block);
        Ok((block, (Changed { before, after, booted }, crowded)))
    })?;
    for failure in crowded.iter().chain(&spare) {
        // Only a warning: the change has taken effect.
        notes.say(format_args!("warning: {failure}"));
    }
    Ok(changed)
}

/// The block with the state in it.
///
/// # Errors
/// [`Exit::Refused`] if other variables leave no room for it.
pub fn into_block(state: BootState, block: &EnvBlock<Bytes>) -> Result<EnvBlock<Bytes>, Failure> {
    state.into_block(block).map_err(|_| {
        Failure::new(
            Exit::Refused,
            format_args!(
                "write env block: other programs' variables leave no room for the boot state; remove some with \
                 kubesolo-boot env unset"
            ),
        )
    })
}

/// The warning about a block that takes more than one sector: it is changed by several writes, during which the second copy is
/// used.
pub fn crowded(block: &EnvBlock<Bytes>) -> Option<Failure> {
    (!fits_one_sector(block)).then(|| {
        Failure::new(
            Exit::Refused,
            format_args!(
                "env block: its variables take {} bytes, more than one sector of {ONE_SECTOR}; remove those of other \
                 programs with kubesolo-boot env unset",
                block.text_len()
            ),
        )
    })
}
