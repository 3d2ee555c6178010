//! `healthcheck`: runs the checks. A trial that passes them is committed; failures are counted, and at the N-th in a row the trial is
//! rolled back. If no trial runs, the checks are only reported.

use core::fmt::{self, Write};
use core::time::Duration;
use std::format;
use std::string::String;

use crate::cli::console::{KEEPS_ITS_ERROR, Notes, Output};
use crate::failure::{Exit, Failure};
use crate::health::{self, Report};
use crate::host::Host;
use crate::update::state::push_word;
use kubesolo_core::flow::healthcheck::{self as flow, Outcome};
use kubesolo_core::ignore::ignore;
use kubesolo_core::text::json::Quoted;
use kubesolo_core::update::config::Config;

use super::machine::Machine;

/// The word for it in JSON.
const fn word(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Nothing => "none",
        Outcome::Committed => "committed",
        Outcome::Counted(..) => "counted",
        Outcome::RolledBack => "rolled_back",
    }
}

/// Runs all checks and commits or rolls back a trial. Gives the exit code, and whether the old slot boots next.
///
/// # Errors
/// Those of committing, rolling back, and reading the boot state. A failed check is not an error but an exit code.
pub fn run(
    host: &Host<'_>,
    notes: &Notes,
    config: &Config<'_>,
    json: bool,
    out: &mut Output<'_>,
) -> Result<(Exit, bool), Failure> {
    let mut machine = Machine::new(host, notes, ());
    let excused = flow::begin(&mut machine).map(|update| update.failed_before).unwrap_or_default();
    let is_excused =
        |name: &str| excused.split(' ').any(|excused| excused == name) && health::can_be_excused(name, config);
    let timeout = Duration::from_secs(config.healthcheck_timeout.into());
    // A check that failed before the update too is tried once, without waiting.
    let report = Report::make(host, config, &|name| if is_excused(name) { Duration::ZERO } else { timeout });
    let (mut reasons, mut still_excused) = (String::new(), String::new());
    for (name, failure) in report.failed() {
        if is_excused(name) {
            push_word(&mut still_excused, name);
            continue;
        }
        if !reasons.is_empty() {
            reasons.push_str("; ");
        }
        // Most messages begin with the name of their check; it is added to the others.
        let reason = format!("{failure}");
        if !reason.starts_with(name) {
            reasons.push_str(name);
            reasons.push_str(": ");
        }
        reasons.push_str(&reason);
    }
    let healthy = reasons.is_empty();
    let concluded = flow::conclude(&mut machine, &reasons, &still_excused, config.auto_rollback_after);
    // The checks are printed also if the commit or the rollback failed.
    let outcome = *concluded.as_ref().unwrap_or(&Outcome::Nothing);
    let printed =
        if json { print_json(out, &report, healthy, outcome) } else { print(out, &report, outcome, &is_excused) };
    ignore(printed, KEEPS_ITS_ERROR);
    let rolled_back = matches!(concluded?, Outcome::RolledBack);
    Ok((if healthy { Exit::Done } else { Exit::No }, rolled_back))
}

fn print(out: &mut Output<'_>, report: &Report, outcome: Outcome, is_excused: &dyn Fn(&str) -> bool) -> fmt::Result {
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

fn print_json(out: &mut Output<'_>, report: &Report, healthy: bool, outcome: Outcome) -> fmt::Result {
    write!(out, "{{\"healthy\":{healthy},\"outcome\":\"{}\"", word(outcome))?;
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
