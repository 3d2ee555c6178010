//! The flags: a row each, with its value, its help, and the verbs that take it.

use core::fmt::{self, Write};

use kubesolo_core::update::config::{
    Key,
    Value::{self, File, Folder, Text},
};

use self::Verbs::These;
use super::verbs::Name::{
    self, Activate, Apply, Check, Commit, Env, Find, Grow, Healthcheck, Init, Metrics, Probe, Rollback, Slot, Status,
    Stopping, Watchdog,
};
use crate::flags::Flags;

/// The flags that were given.
#[derive(Clone, Debug, Default)]
pub struct Given<'a> {
    /// `--help`.
    pub help: bool,
    /// `--version`.
    pub version: bool,
    /// `--json`.
    pub json: bool,
    /// `--reboot`.
    pub reboot: bool,
    /// `--reboot-in`: so many seconds after the command has ended.
    pub reboot_in: Option<&'a str>,
    /// `--ext4`.
    pub ext4: bool,
    /// Those that say which machine is meant, and by which rules.
    pub flags: Flags<'a>,
}

/// What a flag sets.
#[derive(Clone, Copy)]
pub enum Sets {
    /// It is there or not.
    Switch(for<'g, 'a> fn(&'g mut Given<'a>) -> &'g mut bool),
    /// It has a value.
    Text(Value, for<'g, 'a> fn(&'g mut Given<'a>) -> &'g mut Option<&'a str>),
    /// It stands for a key of `update.conf`.
    Key(&'static Key),
}

/// Who takes a flag.
#[derive(Clone, Copy)]
pub enum Verbs {
    /// Every verb.
    All,
    /// Every verb but one.
    AllBut(Name),
    /// These.
    These(&'static [Name]),
}

/// A row of the table.
pub struct Flag {
    /// Its name, with `_` for `-`, as keys of `update.conf` have it.
    pub name: &'static str,
    /// Its short form, if it has one.
    pub short: Option<&'static str>,
    /// What it is, in a line.
    pub help: &'static str,
    /// What it sets.
    pub sets: Sets,
    /// The verbs that take it.
    pub verbs: Verbs,
}

impl Flag {
    const fn switch(
        name: &'static str,
        help: &'static str,
        verbs: Verbs,
        place: for<'g, 'a> fn(&'g mut Given<'a>) -> &'g mut bool,
    ) -> Flag {
        Flag { name, short: None, help, sets: Sets::Switch(place), verbs }
    }

    const fn text(
        name: &'static str,
        value: Value,
        help: &'static str,
        verbs: Verbs,
        place: for<'g, 'a> fn(&'g mut Given<'a>) -> &'g mut Option<&'a str>,
    ) -> Flag {
        Flag { name, short: None, help, sets: Sets::Text(value, place), verbs }
    }

    const fn key(key: &'static Key, verbs: Verbs) -> Flag {
        Flag { name: key.name, short: None, help: key.help, sets: Sets::Key(key), verbs }
    }

    /// The flag of that spelling, `--boot-id` or `-h`.
    pub fn of(spelling: &str) -> Option<&'static Flag> {
        let is_meant = |flag: &&Flag| match spelling.strip_prefix("--") {
            Some(long) => flag.name.bytes().map(hyphen).eq(long.bytes()),
            None => flag.short == Some(spelling),
        };
        FLAGS.iter().find(is_meant)
    }

    /// The flag of that name.
    pub fn named(name: &str) -> Option<&'static Flag> {
        FLAGS.iter().find(|flag| flag.name == name)
    }

    /// Whether it stands for that key of `update.conf`.
    pub fn is_key(&self, name: &str) -> bool {
        matches!(self.sets, Sets::Key(key) if key.name == name)
    }

    /// Whether the verb takes it.
    pub fn is_of(&self, verb: Name) -> bool {
        match self.verbs {
            Verbs::All => true,
            Verbs::AllBut(other) => verb != other,
            Verbs::These(verbs) => verbs.contains(&verb),
        }
    }

    /// What follows it.
    pub const fn value(&self) -> Option<Value> {
        match self.sets {
            Sets::Switch(_) => None,
            Sets::Text(value, _) => Some(value),
            Sets::Key(key) => Some(key.value),
        }
    }
}

impl fmt::Display for Flag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("--")?;
        self.name.bytes().try_for_each(|byte| f.write_char(hyphen(byte).into()))
    }
}

const fn hyphen(byte: u8) -> u8 {
    if byte == b'_' { b'-' } else { byte }
}

/// Verbs that look for the disk.
const DISK: Verbs = Verbs::AllBut(Stopping);
/// Verbs that use the env block. `check` takes the same flags as `apply`, so that a script can use both with the same arguments.
const BLOCK: Verbs =
    These(&[Status, Check, Apply, Activate, Healthcheck, Rollback, Commit, Slot, Env, Watchdog, Metrics, Init]);
/// Verbs that read or write what is on the data partition.
const DATA: Verbs =
    These(&[Status, Check, Apply, Activate, Healthcheck, Rollback, Commit, Watchdog, Stopping, Metrics, Probe, Init]);
/// Verbs that look into the log of boots.
const BOOTS: Verbs = These(&[Status, Check, Apply, Activate, Healthcheck, Rollback, Commit, Watchdog, Stopping, Init]);
/// Verbs that use `state.json`.
const STATE: Verbs = These(&[Status, Check, Apply, Activate, Healthcheck, Rollback, Commit, Metrics, Init]);
/// Verbs that read `update.conf`.
const CONF: Verbs = These(&[Check, Apply, Activate, Healthcheck, Watchdog, Grow, Init]);
/// Verbs that may restart the box.
const REBOOT: Verbs = These(&[Activate, Healthcheck, Rollback, Watchdog]);
/// Verbs that can answer in JSON.
const JSON: Verbs = These(&[Status, Check, Apply, Activate, Healthcheck, Slot, Env, Probe]);
/// Verbs that judge the box's health.
const HEALTH: Verbs = These(&[Apply, Healthcheck]);
const UPDATE: Verbs = These(&[Check, Apply]);
/// Verbs that ask for latest.json.
const PUBLISHED: Verbs = These(&[Check, Apply, Activate]);

/// Every flag, in the order of `--help`.
pub static FLAGS: &[Flag] = &[
    Flag {
        short: Some("-h"),
        ..Flag::switch("help", "this; VERB --help has more about a verb", Verbs::All, |given| &mut given.help)
    },
    Flag { short: Some("-V"), ..Flag::switch("version", "the version", Verbs::All, |given| &mut given.version) },
    Flag::switch("json", "answer in JSON", JSON, |given| &mut given.json),
    Flag::switch("reboot", "restart the box at once; healthcheck, watchdog: only if a trial failed", REBOOT, |given| {
        &mut given.reboot
    }),
    Flag::text(
        "reboot_in",
        Text("SECONDS"),
        "the same, so long after this command has ended",
        These(&[Activate, Healthcheck, Rollback]),
        |given| &mut given.reboot_in,
    ),
    Flag::switch("force", "overrule what can be overruled, never the signature", PUBLISHED, |given| {
        &mut given.flags.force
    }),
    Flag::switch("allow_downgrade", "take a version that is not newer, too", UPDATE, |given| {
        &mut given.flags.allow_downgrade
    }),
    Flag::switch("ext4", "only if it holds an ext4 filesystem and nothing else", These(&[Find]), |given| {
        &mut given.ext4
    }),
    Flag::text("wait", Text("SECONDS"), "the disk may take so long to turn up", These(&[Find]), |given| {
        &mut given.flags.wait
    }),
    Flag::text("disk", File("DISK"), "work on this disk (or image file) and no other", DISK, |given| {
        &mut given.flags.disk
    }),
    Flag::text("grubenv", File("FILE"), "this env block, and FILE.bak, not the one on the ESP", BLOCK, |given| {
        &mut given.flags.grubenv
    }),
    Flag::text("data", Folder("DIR"), "this folder, not the data partition", DATA, |given| &mut given.flags.data),
    Flag::text(
        "target",
        Folder("DIR"),
        "this folder, not the target slot",
        These(&[Check, Apply, Activate]),
        |given| &mut given.flags.target,
    ),
    Flag::text("running", Folder("DIR"), "this folder, not the running slot", UPDATE, |given| &mut given.flags.running),
    Flag::text("state", File("FILE"), "this file, not /var/lib/kubesolo/update/state.json", STATE, |given| {
        &mut given.flags.state
    }),
    Flag::text("conf", File("FILE"), "this file, not /etc/kubesolo/update.conf", CONF, |given| &mut given.flags.conf),
    Flag::text("image_conf", File("FILE"), "this file, not /etc/kubesolo/image.conf", CONF, |given| {
        &mut given.flags.image_conf
    }),
    Flag::text("cmdline", File("FILE"), "this file, not /proc/cmdline", DISK, |given| &mut given.flags.cmdline),
    Flag::text("sys", Folder("DIR"), "this folder, not /sys/class/block", DISK, |given| &mut given.flags.sys),
    Flag::text("dev", Folder("DIR"), "this folder, not /dev", DISK, |given| &mut given.flags.dev),
    Flag::text("run", Folder("DIR"), "this folder, not /run/kubesolo-boot", DISK, |given| &mut given.flags.run),
    Flag::text("boot_id", File("FILE"), "this file, not /proc/sys/kernel/random/boot_id", BOOTS, |given| {
        &mut given.flags.boot_id
    }),
    Flag::text("machine_id", File("FILE"), "this file, not /etc/machine-id", UPDATE, |given| {
        &mut given.flags.machine_id
    }),
    Flag::key(&Key::SERVER, PUBLISHED),
    Flag::key(&Key::CHANNEL, UPDATE),
    Flag::key(&Key::PUBKEY, PUBLISHED),
    Flag::key(&Key::CA, These(&[Check, Apply, Activate, Healthcheck])),
    Flag::key(&Key::WANT, UPDATE),
    Flag::key(&Key::ROLLOUT_GROUP, UPDATE),
    Flag::key(&Key::MAINTENANCE_WINDOW, These(&[Apply])),
    Flag::key(&Key::HEALTHCHECK_URL, HEALTH),
    Flag::key(&Key::HEALTHCHECK_TIMEOUT, These(&[Healthcheck])),
    Flag::key(&Key::TRIAL_TIMEOUT, These(&[Healthcheck, Watchdog])),
    Flag::key(&Key::AUTO_ROLLBACK_AFTER, These(&[Healthcheck])),
    Flag::key(&Key::KUBE_SYSTEM_SETTLE, HEALTH),
    Flag::key(&Key::CONTAINERD, HEALTH),
    Flag::key(&Key::KUBECTL, HEALTH),
    Flag::key(&Key::KUBECONFIG, HEALTH),
    Flag::key(&Key::MARK, These(&[Apply, Init])),
    Flag::key(&Key::WATCHDOG, These(&[Watchdog, Init])),
    Flag::key(&Key::GROW, These(&[Grow])),
];

#[cfg(test)]
mod tests {
    use super::*;
    use kubesolo_core::update::config::KEYS;
    use std::string::ToString;
    use std::vec::Vec;

    #[test]
    fn each_key_is_a_flag_and_no_name_stands_twice() {
        for key in KEYS {
            assert!(FLAGS.iter().any(|flag| matches!(flag.sets, Sets::Key(found) if found == key)), "{}", key.name);
        }
        let mut names: Vec<_> = FLAGS.iter().map(|flag| flag.name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), FLAGS.len());
    }

    #[test]
    fn a_flag_is_known_by_its_spelling() {
        for flag in FLAGS {
            assert_eq!(Flag::of(&flag.to_string()).unwrap().name, flag.name);
        }
        assert_eq!(Flag::of("-h").unwrap().name, "help");
        for spelling in ["", "-", "--", "h", "json", "-json", "---json", "--boot_id", "-hV"] {
            assert!(Flag::of(spelling).is_none(), "{spelling}");
        }
    }
}
