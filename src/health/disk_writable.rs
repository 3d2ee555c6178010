//! Succeeds if the data partition takes writes.

use super::Subject;
use crate::disk::probe::disk_writable;
use crate::failure::Failure;

pub fn check(subject: &Subject<'_>) -> Result<(), Failure> {
    disk_writable(subject.host.data_folder())
}
