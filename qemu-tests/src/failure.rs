//! Knows what a failed step is: one line of text with the step, the thing and the reason.

use std::fmt;

/// Why a story cannot go on.
#[derive(Debug)]
pub struct Failure(String);

/// What every step of a story returns.
pub type Result<T = ()> = std::result::Result<T, Failure>;

impl Failure {
    /// A failure with this line.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Says which step an error belongs to.
pub trait Step<T> {
    /// Turns the error into `step: error`.
    ///
    /// # Errors
    /// The error itself, with the step in front.
    fn step(self, step: impl FnOnce() -> String) -> Result<T>;
}

impl<T, E: fmt::Display> Step<T> for std::result::Result<T, E> {
    fn step(self, step: impl FnOnce() -> String) -> Result<T> {
        self.map_err(|e| Failure(format!("{}: {e}", step())))
    }
}

/// Fails the story with a formatted line unless the condition holds.
#[macro_export]
macro_rules! ensure {
    ($cond:expr, $($text:tt)+) => {
        if !$cond {
            return Err($crate::failure::Failure::new(format!($($text)+)));
        }
    };
}

/// Fails the story with both values unless they are equal.
#[macro_export]
macro_rules! ensure_eq {
    ($left:expr, $right:expr, $($what:tt)+) => {
        match (&$left, &$right) {
            (left, right) => $crate::ensure!(
                left == right,
                "{}: found {left:?}, want {right:?}",
                format!($($what)+)
            ),
        }
    };
}
