//! Whether Kubernetes runs on this box in this boot, by what its API server says. What an earlier boot left there counts for nothing.
//!
//! kubectl's answer is judged line by line, so that it may be of any length.

pub mod certificate;
pub mod node;
pub mod object;
pub mod pods;

use core::fmt;

use crate::ignore::ignore;

/// A name or a reason. One size for all, as each would be code of its own.
type Text = heapless::String<256>;

/// The first thing that was found wrong, cut to what fits. Empty if there is none.
#[derive(Clone, Debug, Default)]
pub struct Reason(Text);

impl Reason {
    /// Keeps this one if it is the first.
    fn add(&mut self, reason: fmt::Arguments<'_>) {
        if self.0.is_empty() {
            put(&mut self.0, reason);
        }
    }

    /// # Errors
    /// What was found wrong.
    pub fn verdict(&self) -> Result<(), &str> {
        if self.0.is_empty() { Ok(()) } else { Err(&self.0) }
    }
}

/// Makes it this text, cut to what fits.
fn put(text: &mut Text, to: fmt::Arguments<'_>) {
    text.clear();
    ignore(fmt::write(&mut Cut(text), to), "what does not fit is left out");
}

/// Takes as many characters as there is room for.
struct Cut<'a>(&'a mut Text);

impl fmt::Write for Cut<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        text.chars().try_for_each(|character| self.0.push(character).map_err(|_| fmt::Error))
    }
}
