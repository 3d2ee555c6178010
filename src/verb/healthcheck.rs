//! `healthcheck`: runs the checks. A trial that passes them is committed; failures are counted, and at the N-th in a row the trial is
//! rolled back. If no trial runs, the checks are only reported.

use core::fmt::{self, Write};
use core::time::Duration;
use std::string::String;

use crate::cli::console::{KEEPS_ITS_ERROR, Notes, Output};
use crate::failure::{Exit, Failure};
use crate::health::{self, Report};
use crate::host::Host;
use crate::update::state::push_word;
use kubesolo_core::flow::healthcheck::{self as flow, Outcome};
use kubesolo_core::ignore::ignore;
use kubesolo_core::text::json;
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
    // A box without its disk is told so at once, not when the checks have had their time.
    if host.flags().grubenv.is_none() {
        host.disk()?;
    }
    let mut machine = Machine::new(host, notes, ());
    let excused = flow::begin(&mut machine).map(|update| update.failed_before).unwrap_or_default();
    let is_excused =
        |name: &str| excused.split(' ').any(|excused| excused == name) && health::can_be_excused(name, config);
    let timeout = Duration::from_secs(config.healthcheck_timeout.into());
    if !json {
        ignore(
            writeln!(out, "Six checks at once; those that fail are tried for {} s.", timeout.as_secs()),
            KEEPS_ITS_ERROR,
        );
        out.flush();
    }
    // A check that failed before the update too is tried once, without waiting.
    let timeout = |name: &str| if is_excused(name) { Duration::ZERO } else { timeout };
    let report = Report::make(host, config, &timeout, &mut |name, failure| {
        if !json {
            let is_set = name != "probe_url" || config.healthcheck_url.is_some();
            ignore(print_check(out, name, failure, is_set, is_excused(name)), KEEPS_ITS_ERROR);
            out.flush();
        }
    });
    let (mut reasons, mut failed) = (String::new(), String::new());
    for (name, failure) in report.failed() {
        push_word(&mut failed, name);
        if is_excused(name) {
            continue;
        }
        let between = if reasons.is_empty() { "" } else { "; " };
        ignore(write!(reasons, "{between}{name}: {}", reason(name, failure)), "a text in memory has no errors");
    }
    let healthy = reasons.is_empty();
    let concluded = flow::conclude(&mut machine, &reasons, &failed, config.auto_rollback_after);
    // The checks are printed also if the commit or the rollback failed.
    let outcome = *concluded.as_ref().unwrap_or(&Outcome::Nothing);
    let printed = if json { print_json(out, &report, healthy, outcome) } else { print_outcome(out, outcome) };
    ignore(printed, KEEPS_ITS_ERROR);
    let rolled_back = matches!(concluded?, Outcome::RolledBack);
    Ok((if healthy { Exit::Done } else { Exit::No }, rolled_back))
}

/// Why a check failed, without its name, which stands before it.
fn reason<'a>(name: &str, failure: &'a Failure) -> &'a str {
    let text = failure.text();
    text.strip_prefix(name).and_then(|text| text.strip_prefix(": ")).unwrap_or(text)
}

fn print_check(
    out: &mut Output<'_>,
    name: &str,
    failure: Option<&Failure>,
    is_set: bool,
    is_excused: bool,
) -> fmt::Result {
    match failure {
        None if is_set => writeln!(out, "{name:<18} ok"),
        None => writeln!(out, "{name:<18} not set"),
        Some(failure) if is_excused => {
            writeln!(out, "{name:<18} failed, as before the update: {}", reason(name, failure))
        }
        Some(failure) => writeln!(out, "{name:<18} FAILED: {}", reason(name, failure)),
    }
}

fn print_outcome(out: &mut Output<'_>, outcome: Outcome) -> fmt::Result {
    match outcome {
        Outcome::Nothing => Ok(()),
        Outcome::Committed => writeln!(out, "The running slot is good and stays."),
        Outcome::Counted(failures, Some(most)) => writeln!(out, "Failure {failures} of {most} in a row."),
        Outcome::Counted(failures, None) => writeln!(out, "Failure {failures} in a row."),
        Outcome::RolledBack => writeln!(out, "Rolled back: the old slot boots next. To boot it now: reboot"),
    }
}

fn print_json(out: &mut Output<'_>, report: &Report, healthy: bool, outcome: Outcome) -> fmt::Result {
    json::object(out, &mut |all| {
        all.member("healthy", &healthy)?;
        all.member("outcome", &word(outcome))?;
        for (name, failure) in &report.0 {
            all.member(name, &failure.is_none())?;
        }
        all.object("reasons", &mut |reasons| {
            report.failed().try_for_each(|(name, failure)| reasons.member(name, &reason(name, failure)))
        })
    })?;
    writeln!(out)
}
