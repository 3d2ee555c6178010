//! The verbs: a row each, with its arguments, its help, and how its words are read.

use kubesolo_core::update::config::Value::{self, File, OneOf, Text};

use crate::disk::partitions::NAMES;

/// A verb, by which the flags name those that take them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the table describes each")]
pub enum Name {
    Status,
    Check,
    Apply,
    Activate,
    Healthcheck,
    Rollback,
    Commit,
    Slot,
    Env,
    Watchdog,
    Stopping,
    Metrics,
    Probe,
    Find,
    Grow,
    Init,
}

/// A verb with its arguments.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the table describes each")]
pub enum Verb<'a> {
    Status,
    Check(Option<&'a str>),
    Apply(Option<&'a str>),
    Activate,
    Healthcheck,
    Rollback,
    Commit,
    SlotShow,
    SlotSet(&'a str, &'a str),
    EnvList,
    EnvGet(&'a str),
    EnvSet(&'a [&'a str]),
    EnvUnset(&'a [&'a str]),
    EnvCreate,
    Metrics(Option<&'a str>),
    Probe,
    Find(&'a str),
    Grow,
    Init,
    Watchdog,
    Stopping,
}

/// A place behind a verb.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Argument {
    /// It must be there.
    One(Value),
    /// It may be.
    Optional(Value),
    /// It must, and more may follow.
    Many(Value),
}

/// The arguments of a verb, in one of the ways in which they may stand.
pub type Form = &'static [Argument];

/// A row of the table.
pub struct Row {
    /// The verb.
    pub name: Name,
    /// The word itself.
    pub word: &'static str,
    /// What may follow it. A verb may be used in several ways.
    pub forms: &'static [Form],
    /// The line about it among all verbs.
    pub line: &'static str,
    /// The text of its own help.
    pub text: &'static str,
    /// Reads the words behind it; `None` if they match none of the forms.
    pub read: for<'a> fn(&'a [&'a str]) -> Option<Verb<'a>>,
}

impl Row {
    /// The row of that verb.
    pub fn of(word: &str) -> Option<&'static Row> {
        VERBS.iter().find(|row| row.word == word)
    }

    /// Whether nothing may follow it.
    pub fn is_bare(&self) -> bool {
        self.forms.iter().all(|form| form.is_empty())
    }
}

const fn word(words: &'static [&'static str]) -> Argument {
    Argument::One(OneOf(words))
}

const BARE: &[Form] = &[&[]];
const SOURCE: &[Form] = &[&[Argument::Optional(File("URL|PATH"))]];

/// Every verb, in the order of `--help`.
pub static VERBS: &[Row] = &[
    Row {
        name: Name::Status,
        word: "status",
        forms: BARE,
        line: "both slots, what boots next and why",
        text: "Writes nothing.",
        read: |words| words.is_empty().then_some(Verb::Status),
    },
    Row {
        name: Name::Check,
        word: "check",
        forms: SOURCE,
        line: "is there an update for this box?",
        text: "Fetches latest.json, checks its signature, compares.\n\
               Exit code 0: available, 1: up to date, 7: refused.",
        read: |words| optional(words).map(Verb::Check),
    },
    Row {
        name: Name::Apply,
        word: "apply",
        forms: SOURCE,
        line: "install an update into the other slot",
        text: "From the configured server, a URL, or a folder such as a USB stick. Refuses before it changes\n\
               anything; then downloads, syncs, reads back and verifies. A broken download is resumed.\n\
               --force overrules the maintenance window and the node's label, and never the signature.",
        read: |words| optional(words).map(Verb::Apply),
    },
    Row {
        name: Name::Activate,
        word: "activate",
        forms: BARE,
        line: "boot the installed update next, on trial",
        text: "Verifies the staged slot once more. It gets three boots to be committed; then the old slot\n\
               comes back.",
        read: |words| words.is_empty().then_some(Verb::Activate),
    },
    Row {
        name: Name::Healthcheck,
        word: "healthcheck",
        forms: BARE,
        line: "is the box healthy? commits a trial, or counts against it",
        text: "containerd, API server, node, kube-system, healthcheck_url, data partition: each has a deadline.\n\
               All pass: a trial is committed. Not so --auto-rollback-after times in a row: the old slot boots\n\
               next, with --reboot at once. Not in --trial-timeout seconds: with --reboot the boot ends here.",
        read: |words| words.is_empty().then_some(Verb::Healthcheck),
    },
    Row {
        name: Name::Rollback,
        word: "rollback",
        forms: BARE,
        line: "boot the other slot next",
        text: "The other slot must be good. A running trial is marked bad. With --reboot the box restarts at\n\
               once.",
        read: |words| words.is_empty().then_some(Verb::Rollback),
    },
    Row {
        name: Name::Commit,
        word: "commit",
        forms: BARE,
        line: "commit the running slot: it is good and stays",
        text: "Ends a trial, as healthcheck does.",
        read: |words| words.is_empty().then_some(Verb::Commit),
    },
    Row {
        name: Name::Slot,
        word: "slot",
        forms: &[
            &[word(&["show"])],
            &[word(&["set"]), word(&["A", "B"]), word(&["empty", "staged", "trial", "good", "bad"])],
        ],
        line: "see or correct what a slot holds",
        text: "slot set records a state and changes nothing else. GRUB falls back only to a slot that is good.",
        read: |words| match words {
            [] | ["show"] => Some(Verb::SlotShow),
            ["set", slot, state] => Some(Verb::SlotSet(slot, state)),
            _ => None,
        },
    },
    Row {
        name: Name::Env,
        word: "env",
        forms: &[
            &[word(&["list"])],
            &[word(&["get"]), Argument::One(Text("NAME"))],
            &[word(&["set"]), Argument::Many(Text("NAME=VALUE"))],
            &[word(&["unset"]), Argument::Many(Text("NAME"))],
            &[word(&["create"])],
        ],
        line: "see or change GRUB's env block",
        text: "Changes are made in place, in one sector, synced and read back; the second copy follows.\n\
               env create starts both copies anew, without any variable. With --json list and get print an\n\
               object with a text for each variable.",
        read: |words| match words {
            [] | ["list"] => Some(Verb::EnvList),
            ["get", name] => Some(Verb::EnvGet(name)),
            ["set", pairs @ ..] if !pairs.is_empty() => Some(Verb::EnvSet(pairs)),
            ["unset", names @ ..] if !names.is_empty() => Some(Verb::EnvUnset(names)),
            ["create"] => Some(Verb::EnvCreate),
            _ => None,
        },
    },
    Row {
        name: Name::Watchdog,
        word: "watchdog",
        forms: BARE,
        line: "send the hardware watchdog its keepalives until this boot is committed",
        text: "init starts it where watchdog=SECONDS is set. Then it is stopped, if it can be. A boot that is\n\
               given up, or a disk that hangs, is left to it: the box is reset. --reboot ends a trial\n\
               after --trial-timeout seconds, also without a watchdog.",
        read: |words| words.is_empty().then_some(Verb::Watchdog),
    },
    Row {
        name: Name::Stopping,
        word: "stopping",
        forms: BARE,
        line: "note that this boot ends on purpose, for init",
        text: "To be run at shutdown, before the data partition is unmounted. Else status takes it for a power\n\
               cut.",
        read: |words| words.is_empty().then_some(Verb::Stopping),
    },
    Row {
        name: Name::Metrics,
        word: "metrics",
        forms: &[&[Argument::Optional(File("FILE"))]],
        line: "boot state and update for Prometheus",
        text: "The text format of node-exporter's textfile collector, to standard output or into FILE.",
        read: |words| optional(words).map(Verb::Metrics),
    },
    Row {
        name: Name::Probe,
        word: "probe",
        forms: BARE,
        line: "does the data partition take writes?",
        text: "Writes 1 KiB under /var/lib/kubesolo, syncs it, reads it back from the disk and removes it.",
        read: |words| words.is_empty().then_some(Verb::Probe),
    },
    Row {
        name: Name::Find,
        word: "find",
        forms: &[&[word(&NAMES)]],
        line: "device node of a partition",
        text: "By the names that the kernel found; where there are none, by file system labels. With --ext4 only a\n\
               partition that holds an ext4 filesystem and nothing else is named; exit code 7: it holds something\n\
               that must not be repaired or written.",
        read: |words| match words {
            [name] => Some(Verb::Find(name)),
            _ => None,
        },
    },
    Row {
        name: Name::Grow,
        word: "grow",
        forms: BARE,
        line: "give the data partition all of a larger disk",
        text: "Moves the end of the partition table to the end of the disk, enlarges KSOLODATA and its filesystem,\n\
               mounted as it is, and gives the disk GUIDs of its own in place of the image's. /init runs it at\n\
               every boot: where there is nothing to do it writes nothing. grow=no in update.conf turns it off. Of\n\
               an image file (--disk) it changes the table only, and no GUID.",
        read: |words| words.is_empty().then_some(Verb::Grow),
    },
    Row {
        name: Name::Init,
        word: "init",
        forms: BARE,
        line: "the boot stage, run by /init of the initramfs",
        text: "Repairs the env block, mounts and probes the data partition, marks the boot of a good slot.\n\
               Its exit code tells /init: 0 go on, 10 go on degraded, 20 reboot, 30 emergency shell.",
        read: |words| words.is_empty().then_some(Verb::Init),
    },
];

/// One word, or none.
fn optional<'a>(words: &[&'a str]) -> Option<Option<&'a str>> {
    match words {
        [] => Some(None),
        [word] => Some(Some(word)),
        _ => None,
    }
}
