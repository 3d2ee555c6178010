//! What was asked for on the command line, besides the verb.

use std::vec::Vec;

/// The flags that say which machine is meant, and by which rules.
#[derive(Clone, Debug, Default)]
pub struct Flags<'a> {
    /// `--disk`: this disk or image file.
    pub disk: Option<&'a str>,
    /// `--grubenv`: this env block file instead of the one on the ESP.
    pub grubenv: Option<&'a str>,
    /// `--data`: this folder instead of the data partition.
    pub data: Option<&'a str>,
    /// `--cmdline`: this file instead of `/proc/cmdline`.
    pub cmdline: Option<&'a str>,
    /// `--sys`: this folder instead of `/sys/class/block`.
    pub sys: Option<&'a str>,
    /// `--dev`: this folder instead of `/dev`.
    pub dev: Option<&'a str>,
    /// `--run`: this folder instead of `/run/kubesolo-boot`.
    pub run: Option<&'a str>,
    /// `--wait`: how long `find` may wait for the disk, in seconds.
    pub wait: Option<&'a str>,
    /// `--boot-id`: this file instead of the kernel's.
    pub boot_id: Option<&'a str>,
    /// `--machine-id`: this file instead of `/etc/machine-id`.
    pub machine_id: Option<&'a str>,
    /// `--conf`: this file instead of `/etc/kubesolo/update.conf`.
    pub conf: Option<&'a str>,
    /// `--image-conf`: this file instead of `/etc/kubesolo/image.conf`.
    pub image_conf: Option<&'a str>,
    /// `--state`: this file instead of the data partition's `update/state.json`.
    pub state: Option<&'a str>,
    /// `--target`: this folder instead of the target slot's filesystem.
    pub target: Option<&'a str>,
    /// `--running`: this folder instead of the running slot's filesystem.
    pub running: Option<&'a str>,
    /// `--force`: where a rule can be overruled, it is.
    pub force: bool,
    /// `--allow-downgrade`: a version that is not newer is taken too.
    pub allow_downgrade: bool,
    /// Keys of `update.conf` given as flags, `--maintenance-window` for `maintenance_window`, with their values.
    pub settings: Vec<(&'a str, &'a str)>,
}
