//! Knows the lines by which GRUB, `kubesolo-boot init` and the running system tell how far a boot has come.

use std::time::Duration;

use kubesolo_core::boot::slot::Slot;

use crate::ensure_eq;
use crate::failure::{Failure, Result};
use crate::machine::Machine;
use crate::rig::{BOOT, GRUB};
use crate::shell;

/// GRUB's first line: seen again in the same machine, it tells of a reset.
pub const GRUB_STARTS: &str = "ksolo: press ESC for the menu";
/// The first line of the initramfs.
pub const INIT_STARTS: &str = "ksolo-init: start";
/// The kernel's last words.
pub const PANIC: &str = "Kernel panic";

/// GRUB's words about a slot in that state, with so many boots left: of a good slot only if some were used up.
pub fn standing(state: &str, left: u8) -> String {
    if state == "good" && left >= 2 { state.into() } else { format!("{state}, {left} boots left") }
}

impl Machine {
    /// GRUB boots this slot, with these words about it, such as `good` or `trial, 2 boots left`.
    ///
    /// # Errors
    /// When it boots another, or none in time.
    pub fn boots(&mut self, slot: Slot, standing: &str) -> Result {
        let line = self.line_after("ksolo: booting ", GRUB)?;
        ensure_eq!(line, format!("slot {slot} ({standing})"), "what GRUB boots");
        Ok(())
    }

    /// `init`'s last line is this, such as `go on (slot A, good)`. A reason behind a colon is not compared, but returned.
    ///
    /// # Errors
    /// When it is another, or there is none in time.
    pub fn init_ends(&mut self, end: &str) -> Result<String> {
        let ends = ["go on", "reboot: ", "emergency shell asked for"].map(|end| format!("kubesolo-boot: init: {end}"));
        let (which, line) = self.line_after_any(&ends.each_ref().map(String::as_str), BOOT)?;
        let line = format!("{}{line}", ends[which].trim_start_matches("kubesolo-boot: init: "));
        match line.strip_prefix(end) {
            Some("") => Ok(String::new()),
            Some(reason) if reason.starts_with(": ") => Ok(reason[2..].to_owned()),
            _ => Err(Failure::new(format!("init: found {line:?}, want {end:?}"))),
        }
    }

    /// The system of this slot runs, and its shell waits for a command.
    ///
    /// # Errors
    /// When another runs, or none in time.
    pub fn comes_up(&mut self, slot: Slot) -> Result {
        let line = self.line_after("ksolo: system up, ", BOOT)?;
        ensure_eq!(line, format!("slot {slot}"), "what has come up");
        self.wait_for(shell::PROMPT, BOOT)?;
        Ok(())
    }

    fn line_after(&mut self, beginning: &str, deadline: Duration) -> Result<String> {
        Ok(self.line_after_any(&[beginning], deadline)?.1)
    }

    /// Which of the beginnings comes first, and the rest of its line. A kernel panic ends the wait early.
    fn line_after_any(&mut self, beginnings: &[&str], deadline: Duration) -> Result<(usize, String)> {
        let (which, _) = self.wait_for_any(&[beginnings, &[PANIC]].concat(), deadline)?;
        let rest = self.wait_for_any(&["\r", "\n"], deadline)?.1;
        if which < beginnings.len() {
            return Ok((which, rest.trim_end().to_owned()));
        }
        Err(Failure::new(format!("wait for {beginnings:?}: {PANIC}{rest}")))
    }
}
