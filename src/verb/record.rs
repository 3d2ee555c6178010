//! What became of an update, written into `state.json`.

use std::format;

use crate::cli::console::Notes;
use crate::history::boots;
use crate::host::Host;
use crate::update::slot_version::read_version;
use crate::update::state::{Journal, Phase};
use kubesolo_core::boot::slot::{Slot, SlotState};
use kubesolo_core::history::boot_log::Mark;

/// The running slot was committed.
pub fn committed(host: &Host<'_>, notes: &Notes) {
    ended(host, notes, Phase::Success, "");
}

/// The boot got there. What boots next does not hang on it.
pub fn reached(host: &Host<'_>, notes: &Notes, mark: Mark) {
    if let Err(failure) = boots::mark(host, mark) {
        notes.say(format_args!("warning: {failure}"));
    }
}

/// The other slot boots next; `why`.
pub fn rolled_back(host: &Host<'_>, notes: &Notes, why: &str) {
    ended(host, notes, Phase::RolledBack, why);
}

/// Records how an update ended, if one was on trial. What boots next is settled by then, so that a data partition that
/// cannot be written, as in the emergency shell, is worth no more than a note.
fn ended(host: &Host<'_>, notes: &Notes, phase: Phase, last_error: &str) {
    let path = host.state_path();
    let stored = Journal::open(&path, &|line| notes.say(line)).and_then(|mut journal| {
        // What is rolled back from was on trial, also if the power went between the flip and its record.
        if !journal.state.is_on_trial() && (phase, journal.state.phase) != (Phase::RolledBack, Phase::Staged) {
            return Ok(());
        }
        journal.state.last_error = last_error.into();
        if phase == Phase::Success {
            journal.state.attempt_count = 0;
            journal.state.health_check_failures = 0;
            journal.state.forget_bad();
        } else {
            journal.state.remember_bad();
        }
        journal.store(phase)
    });
    if let Err(failure) = stored {
        notes.say(format_args!("warning: not recorded in state.json: {failure}"));
    }
}

/// GRUB gave that slot up, which is now `standing`. Gives whether that is recorded now, so that the env block need not say
/// it any longer.
pub fn given_up(host: &Host<'_>, notes: &Notes, slot: Slot, standing: SlotState) -> bool {
    let path = host.state_path();
    let recorded = Journal::open(&path, &|line| notes.say(line)).and_then(|mut journal| {
        let version = read_version(host, slot).unwrap_or_default();
        let version = if version.is_empty() { "unknown" } else { &version };
        if standing == SlotState::Good {
            // Not an update's end, and nothing against the image: a box whose power goes early in a boot may come to it.
            journal.state.last_error = format!(
                "slot {slot} (version {version}) was given up by GRUB for one boot: three boots did not reach init"
            );
            return journal.store(journal.state.phase);
        }
        journal.state.last_error = format!(
            "slot {slot} (version {version}) was given up by GRUB: no boot of it was committed, it did not load, or its \
             files are not what was installed"
        );
        // As in `ended`.
        if journal.state.is_on_trial() || journal.state.phase == Phase::Staged {
            journal.state.remember_bad();
        }
        journal.store(Phase::RolledBack)
    });
    if let Err(failure) = &recorded {
        notes.say(format_args!("init: the rollback is not recorded: {failure}"));
    }
    recorded.is_ok()
}
