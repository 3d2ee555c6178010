//! The data partition takes writes.

use super::Subject;
use crate::failure::Failure;
use crate::host::DATA_FOLDER;
use crate::probe::disk_writable;

pub fn check(subject: &Subject<'_>) -> Result<(), Failure> {
    disk_writable(subject.host.flags().data.unwrap_or(DATA_FOLDER))
}
