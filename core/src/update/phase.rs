//! How far an update has come, as `state.json` has it.

use core::fmt;

/// How far an update has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Phase {
    /// No update is under way, and none has been.
    #[default]
    Idle,
    /// Looking for one.
    Checking,
    /// Writing the target slot.
    Downloading,
    /// The target slot is whole and verified.
    Staged,
    /// The target slot boots next, or runs on trial.
    Activated,
    /// Its health is being checked.
    Verifying,
    /// It was committed.
    Success,
    /// It was given up.
    RolledBack,
    /// The update was broken off; the running system is as it was.
    Failed,
}

impl Phase {
    /// All of them.
    pub const ALL: [Phase; 9] = [
        Phase::Idle,
        Phase::Checking,
        Phase::Downloading,
        Phase::Staged,
        Phase::Activated,
        Phase::Verifying,
        Phase::Success,
        Phase::RolledBack,
        Phase::Failed,
    ];

    /// The word in the file.
    pub const fn name(self) -> &'static str {
        match self {
            Phase::Idle => "idle",
            Phase::Checking => "checking",
            Phase::Downloading => "downloading",
            Phase::Staged => "staged",
            Phase::Activated => "activated",
            Phase::Verifying => "verifying",
            Phase::Success => "success",
            Phase::RolledBack => "rolled_back",
            Phase::Failed => "failed",
        }
    }
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
