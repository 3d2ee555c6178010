//! The lines of `status` about the last update, from `state.json`.

use core::fmt::{self, Write};
use std::string::String;

use crate::update::state::State;

/// The lines of `status` about the last update.
pub fn print(update: Option<&State>, out: &mut impl Write) -> fmt::Result {
    let Some(State { phase, from_version, to_version, updated_at, attempt_count, last_error, failed_before, .. }) =
        update
    else {
        return Ok(());
    };
    let known = |text| if String::is_empty(text) { "?" } else { String::as_str(text) };
    write!(out, "Update      {phase}: {} to {}, {}", known(from_version), known(to_version), known(updated_at))?;
    if *attempt_count > 1 {
        write!(out, ", attempt {attempt_count}")?;
    }
    writeln!(out)?;
    if !last_error.is_empty() {
        writeln!(out, "Last error  {last_error}")?;
    }
    if !failed_before.is_empty() {
        writeln!(out, "Excused     {failed_before}: failed before the update, so they cannot undo it")?;
    }
    Ok(())
}
