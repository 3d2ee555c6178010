//! The command line: verbs and flags, and the help that teaches them.

use std::ffi::OsStr;
use std::format;
use std::string::String;
use std::vec::Vec;

use crate::failure::{Exit, Failure};
use crate::host::Flags;
use kubesolo_core::update::config::KEYS;

/// A verb with what it says about itself.
pub struct Help {
    /// The word itself.
    pub verb: &'static str,
    /// What may follow it; ` | ` stands between forms.
    pub arguments: &'static str,
    /// The line about it among all verbs.
    pub line: &'static str,
    /// What is told to who asks about it alone.
    pub text: &'static str,
}

/// Every verb, for `--help`; examples/manual makes the man page and the completions of the same.
pub const VERBS: &[Help] = &[
    Help {
        verb: "status",
        arguments: "[--json]",
        line: "both slots, what boots next and why",
        text: "Writes nothing.",
    },
    Help {
        verb: "check",
        arguments: "[URL|PATH] [--json]",
        line: "is there an update for this box?",
        text: "Fetches latest.json, checks its signature, compares. Exit code 0: available, 1: up to date, 7: refused.",
    },
    Help {
        verb: "apply",
        arguments: "[URL|PATH] [--force] [--allow-downgrade] [--json]",
        line: "install an update into the other slot",
        text: "From the configured server, a URL, or a folder such as a USB stick. Refuses before it changes anything;\n\
               then downloads, syncs, reads back and verifies. A broken download is resumed.\n\
               --force overrules the maintenance window and the node's label, and never the signature.",
    },
    Help {
        verb: "activate",
        arguments: "[--reboot]",
        line: "boot the installed update next, on trial",
        text: "Verifies the staged slot once more. It gets three boots to be committed; then the old slot comes back.",
    },
    Help {
        verb: "healthcheck",
        arguments: "[--json] [--reboot]",
        line: "is the box healthy? commits a trial, or counts against it",
        text: "containerd, API server, node, kube-system, healthcheck_url, data partition: each has a deadline.\n\
               All pass: a trial is committed. Not so --auto-rollback-after times in a row: the old slot boots\n\
               next, with --reboot at once.",
    },
    Help {
        verb: "rollback",
        arguments: "[--reboot]",
        line: "boot the other slot next",
        text: "The other slot must be good. A running trial is marked bad. With --reboot the box restarts at once.",
    },
    Help {
        verb: "commit",
        arguments: "",
        line: "keep the running slot: mark it good",
        text: "Ends a trial, as healthcheck does.",
    },
    Help {
        verb: "slot",
        arguments: "show [--json] | set A|B empty|staged|trial|good|bad",
        line: "see or mend what a slot holds",
        text: "slot set records a state and changes nothing else. GRUB falls back only to a slot that is good.",
    },
    Help {
        verb: "env",
        arguments: "list [--json] | get NAME | set NAME=VALUE... | unset NAME... | create",
        line: "see or mend GRUB's env block",
        text: "Changes are made in place, in one sector, synced and read back; the second copy follows.\n\
               env create starts both copies anew, without any variable.",
    },
    Help {
        verb: "watchdog",
        arguments: "",
        line: "feed the hardware watchdog until this boot is committed",
        text: "init starts it where watchdog=SECONDS is set. Then it is stopped, if it can be. A boot that is\n\
               given up, or a disk that hangs, is left to it: the box is reset.",
    },
    Help {
        verb: "stopping",
        arguments: "",
        line: "note that this boot ends on purpose, for init",
        text: "To be run at shutdown, before the data partition is unmounted. Else status takes it for a power cut.",
    },
    Help {
        verb: "metrics",
        arguments: "[FILE]",
        line: "boot state and update for Prometheus",
        text: "The text format of node-exporter's textfile collector, to standard output or into FILE.",
    },
    Help {
        verb: "probe",
        arguments: "[--json]",
        line: "does the data partition take writes?",
        text: "Writes 1 KiB under /var/lib/kubesolo, syncs it, reads it back from the disk and removes it.",
    },
    Help {
        verb: "find",
        arguments: "KSOLOEFI|KSOLOA|KSOLOB|KSOLODATA [--ext4]",
        line: "device node of a partition",
        text: "By the names that the kernel found; where there are none, by file system labels. With --ext4 only a\n\
               partition that holds an ext4 filesystem and nothing else is named; exit code 7: it holds something that\n\
               must not be repaired or written.",
    },
    Help {
        verb: "grow",
        arguments: "",
        line: "give the data partition all of a larger disk",
        text: "Moves the end of the partition table to the end of the disk, enlarges KSOLODATA and its filesystem, mounted as\n\
               it is, and gives the disk GUIDs of its own in place of the image's. /init runs it at every boot: where\n\
               there is nothing to do it writes nothing. grow=no in update.conf turns it off. Of an image file (--disk)\n\
               it changes the table only, and no GUID.",
    },
    Help {
        verb: "init",
        arguments: "",
        line: "the boot stage, run by /init of the initramfs",
        text: "Repairs the env block, mounts and probes the data partition, marks the boot of a good slot.\n\
               Its exit code tells /init: 0 go on, 10 go on degraded, 20 reboot, 30 emergency shell.",
    },
];

/// The flags, likewise.
pub const FLAGS: &str = "\
Flags:
  --disk DISK      work on this disk (or image file) and no other
  --grubenv FILE   use this env block, and FILE.bak, instead of the one on the ESP
  --data DIR       use this folder instead of the data partition
  --conf FILE      use this file instead of /etc/kubesolo/update.conf
  --wait SECONDS   of find: the disk may take so long to turn up
  --json           answer in JSON
  -h, --help       this; VERB --help has more about a verb
  -V, --version    the version
  --server --channel --pubkey --ca --maintenance-window --healthcheck-url --healthcheck-timeout
  --auto-rollback-after --kube-system-settle --containerd --kubectl --kubeconfig
  --mark --watchdog --grow
                   instead of the keys of update.conf
  --state FILE     use this file instead of /var/lib/kubesolo/update/state.json
  --target DIR     use this folder instead of the target slot
";

/// What is asked for.
#[derive(Clone, Debug, Default)]
pub struct Call<'a> {
    words: Vec<&'a str>,
    help: bool,
    version: bool,
    /// `--json`.
    pub json: bool,
    /// `--reboot`.
    pub reboot: bool,
    /// `--ext4`, of `find`.
    pub ext4: bool,
    /// The flags that say which machine is meant.
    pub flags: Flags<'a>,
}

/// The verbs, with their arguments.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the help text describes each verb")]
pub enum Verb<'a> {
    Help(&'a str),
    Version,
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

impl<'a> Call<'a> {
    /// Takes the arguments behind the program's name apart into flags and words. Flags stand anywhere; a value follows
    /// its flag, as `--flag VALUE` or `--flag=VALUE`; behind `--` there are only words.
    ///
    /// # Errors
    /// [`Exit::Usage`].
    pub fn parse(arguments: &[&'a OsStr]) -> Result<Call<'a>, Failure> {
        let mut call = Call::default();
        let mut arguments = arguments.iter();
        while let Some(argument) = arguments.next() {
            let argument = text(argument)?;
            let (flag, value) = match argument.split_once('=') {
                Some((flag, value)) if flag.starts_with("--") => (flag, Some(value)),
                _ => (argument, None),
            };
            let mut setting = None;
            let place = match flag {
                "--" => {
                    for word in arguments.by_ref() {
                        call.words.push(text(word)?);
                    }
                    continue;
                }
                "--disk" => &mut call.flags.disk,
                "--grubenv" => &mut call.flags.grubenv,
                "--data" => &mut call.flags.data,
                "--cmdline" => &mut call.flags.cmdline,
                "--sys" => &mut call.flags.sys,
                "--dev" => &mut call.flags.dev,
                "--run" => &mut call.flags.run,
                "--wait" => &mut call.flags.wait,
                "--boot-id" => &mut call.flags.boot_id,
                "--conf" => &mut call.flags.conf,
                "--image-conf" => &mut call.flags.image_conf,
                "--state" => &mut call.flags.state,
                "--target" => &mut call.flags.target,
                _ if config_key(flag).is_some() => &mut setting,
                _ => {
                    let switch = match argument {
                        "-h" | "--help" => &mut call.help,
                        "-V" | "--version" => &mut call.version,
                        "--json" => &mut call.json,
                        "--reboot" => &mut call.reboot,
                        "--ext4" => &mut call.ext4,
                        "--force" => &mut call.flags.force,
                        "--allow-downgrade" => &mut call.flags.allow_downgrade,
                        _ if argument.starts_with('-') => return Err(usage(argument, "no such flag")),
                        word => {
                            call.words.push(word);
                            continue;
                        }
                    };
                    *switch = true;
                    continue;
                }
            };
            *place = match (value, arguments.as_slice()) {
                (Some(value), _) => Some(value),
                (None, [value, rest @ ..]) => {
                    arguments = rest.iter();
                    Some(text(value)?)
                }
                (None, []) => return Err(usage(flag, "needs a value")),
            };
            if let Some(value) = setting
                && let Some(key) = config_key(flag)
            {
                call.flags.settings.push((key, value));
            }
        }
        Ok(call)
    }

    /// The verb as it was typed.
    pub fn name(&self) -> &'a str {
        self.words.first().copied().unwrap_or_default()
    }

    /// The verb that the words make.
    ///
    /// # Errors
    /// [`Exit::Usage`].
    pub fn verb(&self) -> Result<Verb<'_>, Failure> {
        if self.version {
            return Ok(Verb::Version);
        }
        if self.help {
            return Ok(Verb::Help(self.words.first().copied().unwrap_or_default()));
        }
        Ok(match self.words.as_slice() {
            [] | ["help"] => Verb::Help(""),
            ["help", verb] => Verb::Help(verb),
            ["status"] => Verb::Status,
            ["check"] => Verb::Check(None),
            ["check", source] => Verb::Check(Some(source)),
            ["apply"] => Verb::Apply(None),
            ["apply", source] => Verb::Apply(Some(source)),
            ["activate"] => Verb::Activate,
            ["healthcheck"] => Verb::Healthcheck,
            ["rollback"] => Verb::Rollback,
            ["commit"] => Verb::Commit,
            ["slot"] | ["slot", "show"] => Verb::SlotShow,
            ["slot", "set", slot, state] => Verb::SlotSet(slot, state),
            ["env"] | ["env", "list"] => Verb::EnvList,
            ["env", "get", name] => Verb::EnvGet(name),
            ["env", "set", pairs @ ..] if !pairs.is_empty() => Verb::EnvSet(pairs),
            ["env", "unset", names @ ..] if !names.is_empty() => Verb::EnvUnset(names),
            ["env", "create"] => Verb::EnvCreate,
            ["metrics"] => Verb::Metrics(None),
            ["metrics", file] => Verb::Metrics(Some(file)),
            ["probe"] => Verb::Probe,
            ["find", name] => Verb::Find(name),
            ["grow"] => Verb::Grow,
            ["init"] => Verb::Init,
            ["watchdog"] => Verb::Watchdog,
            ["stopping"] => Verb::Stopping,
            [verb, ..] => {
                return Err(match VERBS.iter().find(|help| help.verb == *verb) {
                    Some(help) if help.arguments.is_empty() => usage(verb, "takes no arguments"),
                    Some(help) => Failure::new(Exit::Usage, format_args!("{verb} takes: {}", help.arguments)),
                    None => usage(verb, "no such verb"),
                });
            }
        })
    }
}

/// The key of `update.conf` that a flag stands for.
fn config_key(flag: &str) -> Option<&'static str> {
    let name = flag.strip_prefix("--")?;
    let is_meant = |key: &&str| key.bytes().map(|byte| if byte == b'_' { b'-' } else { byte }).eq(name.bytes());
    KEYS.iter().map(|key| key.name).find(is_meant)
}

fn text(word: &OsStr) -> Result<&str, Failure> {
    word.to_str().ok_or_else(|| Failure::new(Exit::Usage, format_args!("an argument is not text (UTF-8)")))
}

fn usage(word: &str, problem: &str) -> Failure {
    Failure::new(Exit::Usage, format_args!("{word}: {problem}; see kubesolo-boot --help"))
}

/// The help for one verb, or for all of them if there is no such verb.
pub fn help(verb: &str) -> String {
    if let Some(help) = VERBS.iter().find(|help| help.verb == verb) {
        let heading = format!("kubesolo-boot {verb} {}", help.arguments);
        return format!("{}: {}\n\n{}\n\n{FLAGS}", heading.trim_end(), help.line, help.text);
    }
    let mut text = String::from("kubesolo-boot VERB [FLAGS]: A/B boot and update helper of KubeSolo OS\n\nVerbs:\n");
    for help in VERBS {
        text.push_str(&format!("  {:<11} {}\n", help.verb, help.line));
    }
    text.push('\n');
    text.push_str(FLAGS);
    text.push_str("\nExit codes:\n");
    for (exit, meaning) in Exit::TABLE {
        text.push_str(&format!("  {:>2}  {meaning}\n", *exit as u8));
    }
    text.push_str("\nCalled as grub-editenv it is that tool: grub-editenv FILE list|set|unset|create.\n");
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(line: &str) -> Vec<&OsStr> {
        line.split_whitespace().map(OsStr::new).collect()
    }

    #[test]
    fn verbs_and_flags_are_read_in_any_order() {
        let words = words("--grubenv /tmp/x rollback --reboot --disk=/dev/sda");
        let call = Call::parse(&words).unwrap();
        assert_eq!((call.verb().unwrap(), call.reboot), (Verb::Rollback, true));
        assert_eq!((call.flags.grubenv, call.flags.disk), (Some("/tmp/x"), Some("/dev/sda")));
    }

    #[test]
    fn arguments_go_to_their_verb() {
        let rows: &[(&str, Verb<'_>)] = &[
            ("", Verb::Help("")),
            ("env set a=1 --json b=2", Verb::EnvSet(&["a=1", "b=2"])),
            ("env set -- --a=1", Verb::EnvSet(&["--a=1"])),
            ("slot set --help", Verb::Help("slot")),
            ("slot", Verb::SlotShow),
        ];
        for (line, want) in rows {
            assert_eq!(Call::parse(&words(line)).unwrap().verb().unwrap(), *want, "{line}");
        }
    }

    #[test]
    fn what_is_not_understood_is_named() {
        for (line, want) in [
            ("frobnicate", "frobnicate: no such verb; see kubesolo-boot --help"),
            ("slot set A", "slot takes: show [--json] | set A|B empty|staged|trial|good|bad"),
            ("init now", "init: takes no arguments; see kubesolo-boot --help"),
            ("status --frob", "--frob: no such flag; see kubesolo-boot --help"),
            ("--disk", "--disk: needs a value; see kubesolo-boot --help"),
        ] {
            let failure = Call::parse(&words(line)).and_then(|call| call.verb().map(|_| ())).unwrap_err();
            assert_eq!((failure.exit(), format!("{failure}")), (Exit::Usage, want.into()), "{line}");
        }
    }

    #[test]
    fn the_help_names_every_verb_and_exit_code() {
        let text = help("");
        for verb in VERBS {
            assert!(text.contains(verb.line));
            assert!(help(verb.verb).contains(verb.text));
        }
        assert!(text.lines().all(|line| line.len() <= 100), "{text}");
        assert!(text.contains("  30  "));
    }
}
