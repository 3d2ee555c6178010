//! Knows how to use a shell at the guest's prompt: run a command, get its output and exit status.

use std::time::Duration;

use kubesolo_core::boot::slot::Slot;

use crate::failure::{Failure, Result, Step};
use crate::machine::Machine;

/// The prompt of both shells: the running system's and the emergency one's.
pub const PROMPT: &str = "ksolo# ";

/// What a command answered.
#[derive(Debug)]
pub struct Reply {
    /// Output and errors, as they came.
    pub text: String,
    /// Exit status.
    pub status: u8,
}

/// Runs a command at a prompt that has been seen, and waits for the next prompt.
///
/// # Errors
/// When the deadline passes first, or the answer makes no sense.
pub fn run(machine: &mut Machine, command: &str, deadline: Duration) -> Result<Reply> {
    // The quotes keep the echo of the typed line from being taken for the answer.
    machine.type_line(&format!("echo '<''begin>'; {command}; echo '<''end:'$?'>'"))?;
    machine.wait_for("<begin>", deadline)?;
    let text = machine.wait_for("<end:", deadline)?;
    let status = machine.wait_for(">", deadline)?;
    machine.wait_for(PROMPT, deadline)?;
    let status = status.parse().step(|| format!("exit status of `{command}`: {status:?}"))?;
    Ok(Reply { text: text.trim().to_owned(), status })
}

/// Runs a command that must exit with 0; returns its output.
///
/// # Errors
/// As [`run`], and when the status is another.
pub fn must(machine: &mut Machine, command: &str, deadline: Duration) -> Result<String> {
    let reply = run(machine, command, deadline)?;
    if reply.status == 0 {
        return Ok(reply.text);
    }
    Err(Failure::new(format!("`{command}` exited with {}: {}", reply.status, reply.text)))
}

impl Machine {
    /// The system of this slot runs, its shell waits for a command, and it has an address.
    ///
    /// # Errors
    /// As [`Machine::comes_up`] and [`Machine::has_network`].
    pub fn comes_up_with_network(&mut self, slot: Slot) -> Result {
        self.comes_up(slot)?;
        self.has_network()
    }

    /// Waits, at the prompt, until the box has an address.
    ///
    /// # Errors
    /// When it gets none in time.
    pub fn has_network(&mut self) -> Result {
        must(self, "until grep -qs . /etc/resolv.conf; do usleep 50000; done", Duration::from_secs(20)).map(drop)
    }
}
