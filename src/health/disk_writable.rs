//! The data partition takes writes.

use super::Subject;
use crate::failure::Failure;
use crate::probe::disk_writable;

pub fn check(subject: &Subject<'_>) -> Result<(), Failure> {
    disk_writable(subject.host.data_folder())
}
