//! `healthcheck`: is the box healthy? A trial that is gets committed; one that is not is counted, and given up at the
//! N-th failure in a row. On any other boot it only says what it sees.

use core::fmt::{self, Write};
use core::time::Duration;
use std::format;
use std::string::String;

use crate::cli::console::{Notes, Output};
use crate::failure::{Exit, Failure};
use crate::health::Report;
use crate::host::Host;
use crate::update::state::{Journal, Phase};
use kubesolo_core::boot::slot::SlotState;
use kubesolo_core::history::boot_log::Mark;
use kubesolo_core::text::json::Quoted;
use kubesolo_core::update::config::Config;

use super::boot_state;

/// What a check-up led to.
enum Outcome {
    /// Nothing: no trial runs.
    Nothing,
    /// The trial was committed.
    Committed,
    /// So many failures in a row, of so many that are too many.
    Counted(u32, Option<u32>),
    /// The old slot boots next.
    RolledBack,
}

impl Outcome {
    const fn word(&self) -> &'static str {
        match self {
            Outcome::Nothing => "none",
            Outcome::Committed => "committed",
            Outcome::Counted(..) => "counted",
            Outcome::RolledBack => "rolled_back",
        }
    }
}

/// Runs all checks and draws the conclusion. Gives the exit code, and whether the old slot boots next.
///
/// # Errors
/// Those of committing, rolling back, and reading the boot state. That the box is sick is none: see the exit code.
pub fn run(
    host: &Host<'_>,
    notes: &Notes,
    config: &Config<'_>,
    json: bool,
    out: &mut Output<'_>,
) -> Result<(Exit, bool), Failure> {
    let excused = match journal(&host.state_path(), notes) {
        Ok(mut journal) => {
            if journal.state.phase == Phase::Activated && on_trial(host)? {
                note(notes, journal.store(Phase::Verifying));
            }
            if journal.state.is_on_trial() { core::mem::take(&mut journal.state.failed_before) } else { String::new() }
        }
        Err(failure) => {
            note(notes, Err(failure));
            String::new()
        }
    };
    let is_excused = |name: &str| name != "disk_writable" && excused.split(' ').any(|excused| excused == name);
    let patience = Duration::from_secs(config.healthcheck_timeout.into());
    // Nobody waits for what did not work before.
    let report = Report::make(host, config, &|name| if is_excused(name) { Duration::ZERO } else { patience });
    let mut reasons = String::new();
    for (name, failure) in report.failed().filter(|(name, _)| !is_excused(name)) {
        if !reasons.is_empty() {
            reasons.push_str("; ");
        }
        // Each failure begins with what it is about; `name` is for the two that do not.
        let reason = format!("{failure}");
        if !reason.starts_with(name) {
            reasons.push_str(name);
            reasons.push_str(": ");
        }
        reasons.push_str(&reason);
    }
    let healthy = reasons.is_empty();
    let concluded = conclude(host, notes, config, &reasons);
    // What was seen is told, also where nothing could be made of it.
    let outcome = concluded.as_ref().unwrap_or(&Outcome::Nothing);
    let printed =
        if json { print_json(out, &report, healthy, outcome) } else { print(out, &report, outcome, &is_excused) };
    // An output keeps its own error until it is finished.
    printed.unwrap_or_default();
    let rolled_back = matches!(concluded?, Outcome::RolledBack);
    Ok((if healthy { Exit::Done } else { Exit::No }, rolled_back))
}

/// What the reasons, if there are any, mean for a trial.
fn conclude(host: &Host<'_>, notes: &Notes, config: &Config<'_>, reasons: &str) -> Result<Outcome, Failure> {
    if !on_trial(host)? {
        return Ok(Outcome::Nothing);
    }
    if reasons.is_empty() {
        boot_state::commit(host, notes)?;
        return Ok(Outcome::Committed);
    }
    super::record::reached(host, notes, Mark::Failed);
    match journal(&host.state_path(), notes) {
        Ok(journal) => count(host, notes, journal, config.auto_rollback_after, reasons),
        // What cannot be counted has its three boots.
        Err(failure) => {
            note(notes, Err(failure));
            Ok(Outcome::Nothing)
        }
    }
}

fn journal<'a>(path: &'a str, notes: &Notes) -> Result<Journal<'a>, Failure> {
    Journal::open(path, &|line| notes.say(line))
}

/// Whether the slot that runs is the active one, and not known to be good.
fn on_trial(host: &Host<'_>) -> Result<bool, Failure> {
    let state = super::slot::show(host)?;
    Ok(host.booted_if_known()? == Some(state.active)
        && (state.slot(state.active) == SlotState::Trial || !state.success))
}

/// One more failure of an update that was activated; any other trial has its three boots.
fn count(
    host: &Host<'_>,
    notes: &Notes,
    mut journal: Journal<'_>,
    most: Option<u32>,
    reasons: &str,
) -> Result<Outcome, Failure> {
    if !journal.state.is_on_trial() {
        return Ok(Outcome::Nothing);
    }
    let failures = journal.state.health_check_failures.saturating_add(1);
    journal.state.health_check_failures = failures;
    journal.state.last_error = format!("health check failed {failures} times: {reasons}");
    journal.store(Phase::Verifying)?;
    let why = core::mem::take(&mut journal.state.last_error);
    // `rollback` takes the lock for itself.
    drop(journal);
    if most.is_none_or(|most| failures < most) {
        return Ok(Outcome::Counted(failures, most));
    }
    boot_state::rollback(host, notes, &why)?;
    Ok(Outcome::RolledBack)
}

/// That something could not be recorded is no reason not to look at the box.
fn note(notes: &Notes, recorded: Result<(), Failure>) {
    if let Err(failure) = recorded {
        notes.say(format_args!("warning: not recorded in state.json: {failure}"));
    }
}

fn print(out: &mut Output<'_>, report: &Report, outcome: &Outcome, is_excused: &dyn Fn(&str) -> bool) -> fmt::Result {
    for (name, failure) in &report.0 {
        match failure {
            None => writeln!(out, "{name:<18} ok")?,
            Some(failure) if is_excused(name) => writeln!(out, "{name:<18} failed, as before the update: {failure}")?,
            Some(failure) => writeln!(out, "{name:<18} FAILED: {failure}")?,
        }
    }
    match outcome {
        Outcome::Nothing => Ok(()),
        Outcome::Committed => writeln!(out, "The running slot is good and stays."),
        Outcome::Counted(failures, Some(most)) => writeln!(out, "Failure {failures} of {most} in a row."),
        Outcome::Counted(failures, None) => writeln!(out, "Failure {failures} in a row."),
        Outcome::RolledBack => writeln!(out, "Rolled back: the old slot boots next. To boot it now: reboot"),
    }
}

fn print_json(out: &mut Output<'_>, report: &Report, healthy: bool, outcome: &Outcome) -> fmt::Result {
    write!(out, "{{\"healthy\":{healthy},\"outcome\":\"{}\"", outcome.word())?;
    for (name, failure) in &report.0 {
        write!(out, ",\"{name}\":{}", failure.is_none())?;
    }
    write!(out, ",\"reasons\":{{")?;
    for (number, (name, failure)) in report.failed().enumerate() {
        let comma = if number == 0 { "" } else { "," };
        write!(out, "{comma}\"{name}\":{}", Quoted::text(&format!("{failure}")))?;
    }
    writeln!(out, "}}}}")
}
