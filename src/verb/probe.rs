//! `probe`: is the data partition mounted, and does it take writes?

use rustix::fs::stat;

use crate::disk::partitions;
use crate::disk::probe;
use crate::failure::{Exit, Failure};
use crate::host::{DATA_FOLDER, Host};

/// Probes the data partition, or the folder given with `--data`.
///
/// # Errors
/// [`Exit::No`] with the reason; those of finding the disk.
pub fn run<'a>(host: &Host<'a>) -> Result<&'a str, Failure> {
    let folder = match host.flags().data {
        Some(folder) => folder,
        None => {
            let device = host.disk()?.partition(partitions::DATA)?;
            if stat(DATA_FOLDER).map(|there| there.st_dev) != stat(device.as_str()).map(|partition| partition.st_rdev) {
                return Err(Failure::new(
                    Exit::No,
                    format_args!("probe: {DATA_FOLDER}: {device} is not mounted there; mount {device} {DATA_FOLDER}"),
                ));
            }
            DATA_FOLDER
        }
    };
    probe::disk_writable(folder).map(|()| folder)
}
