//! Whether Kubernetes runs on this box in this boot, by what its API server says. What an earlier boot left there counts for nothing.
//!
//! kubectl's answer is judged line by line, so that it may be of any length.

pub mod certificate;
pub mod node;
pub mod object;
pub mod pods;

use core::fmt::{self, Write as _};

use crate::ignore::ignore;

/// The first thing that was found wrong, cut to what fits. Empty if there is none.
#[derive(Clone, Debug, Default)]
pub struct Reason(heapless::String<512>);

impl Reason {
    /// Keeps this one if it is the first.
    fn add(&mut self, reason: fmt::Arguments<'_>) {
        if self.0.is_empty() {
            ignore(write!(Cut(&mut self.0), "{reason}"), "it never fails");
        }
    }

    /// # Errors
    /// What was found wrong.
    pub fn verdict(&self) -> Result<(), &str> {
        if self.0.is_empty() { Ok(()) } else { Err(&self.0) }
    }
}

/// Writes as many characters as there is room for.
struct Cut<'a>(&'a mut heapless::String<512>);

impl fmt::Write for Cut<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for character in text.chars() {
            if self.0.push(character).is_err() {
                break;
            }
        }
        Ok(())
    }
}
