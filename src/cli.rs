//! The command line: verbs and flags, and the help that teaches them.

use std::ffi::OsString;
use std::format;
use std::string::String;
use std::vec::Vec;

use lexopt::Arg::{Long, Short, Value};

use crate::failure::{Exit, Failure};
use crate::host::Flags;

/// A verb with what it says about itself.
struct Help {
    verb: &'static str,
    arguments: &'static str,
    line: &'static str,
    text: &'static str,
}

const VERBS: &[Help] = &[
    Help {
        verb: "status",
        arguments: "[--json]",
        line: "both slots, what boots next and why",
        text: "Reads the env block, the kernel command line and the slots' versions. Writes nothing.",
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
        text: "What healthcheck does once all its checks have passed. Ends a trial.",
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
        verb: "probe",
        arguments: "[--json]",
        line: "does the data partition take writes?",
        text: "Writes 1 KiB under /var/lib/kubesolo, syncs it, reads it back from the disk and removes it.",
    },
    Help {
        verb: "find",
        arguments: "KSOLOEFI|KSOLOA|KSOLOB|KSOLODATA",
        line: "device node of a partition",
        text: "Reads the partition tables themselves; needs neither udev nor blkid.",
    },
    Help {
        verb: "init",
        arguments: "",
        line: "the boot stage, run by /init of the initramfs",
        text: "Repairs the env block, mounts and probes the data partition, marks the boot of a good slot.\n\
               Its exit code tells /init: 0 go on, 10 go on degraded, 20 reboot, 30 emergency shell.",
    },
];

const FLAGS: &str = "\
Flags:
  --disk DISK      work on this disk (or image file) and no other
  --grubenv FILE   use this env block, and FILE.bak, instead of the one on the ESP
  --data DIR       use this folder instead of the data partition
  --conf FILE      use this file instead of /etc/kubesolo/update.conf
  --json           answer in JSON
  --cmdline FILE, --sys DIR, --dev DIR
                   instead of /proc/cmdline, /sys/class/block, /dev
  -h, --help       this; VERB --help has more about a verb
  -V, --version    the version
";

/// What is asked for.
#[derive(Clone, Debug)]
pub struct Call {
    /// The verb and its arguments.
    pub verb: Verb,
    /// `--json`.
    pub json: bool,
    /// `--reboot`.
    pub reboot: bool,
    /// The flags that say which machine is meant.
    pub flags: Flags,
}

/// The verbs.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the help text describes each verb")]
pub enum Verb {
    Help(String),
    Version,
    Status,
    Rollback,
    Commit,
    SlotShow,
    SlotSet(String, String),
    EnvList,
    EnvGet(String),
    EnvSet(Vec<String>),
    EnvUnset(Vec<String>),
    EnvCreate,
    Probe,
    Find(String),
    Init,
}

impl Call {
    /// Reads the arguments behind the program's name.
    ///
    /// # Errors
    /// [`Exit::Usage`].
    pub fn parse(arguments: impl IntoIterator<Item = OsString>) -> Result<Call, Failure> {
        let mut words: Vec<String> = Vec::new();
        let mut flags = Flags::default();
        let (mut json, mut reboot, mut help, mut version) = (false, false, false, false);
        let mut parser = lexopt::Parser::from_args(arguments);
        let wrong = |error: lexopt::Error| usage(&format!("{error}"));
        while let Some(argument) = parser.next().map_err(wrong)? {
            let flag = match argument {
                Value(word) => {
                    words.push(word.into_string().map_err(|word| usage(&format!("{word:?}: not UTF-8")))?);
                    continue;
                }
                Short('h') | Long("help") => {
                    help = true;
                    continue;
                }
                Short('V') | Long("version") => {
                    version = true;
                    continue;
                }
                Long("json") => {
                    json = true;
                    continue;
                }
                Long("reboot") => {
                    reboot = true;
                    continue;
                }
                Long("disk") => &mut flags.disk,
                Long("grubenv") => &mut flags.grubenv,
                Long("data") => &mut flags.data,
                Long("cmdline") => &mut flags.cmdline,
                Long("sys") => &mut flags.sys,
                Long("dev") => &mut flags.dev,
                Long("conf") => &mut flags.conf,
                other => return Err(wrong(other.unexpected())),
            };
            let value = parser.value().map_err(wrong)?;
            *flag = Some(value.into_string().map_err(|word| usage(&format!("{word:?}: not UTF-8")))?);
        }
        let verb = if version {
            Verb::Version
        } else if help {
            Verb::Help(words.first().cloned().unwrap_or_default())
        } else {
            parse_verb(&words)?
        };
        Ok(Call { verb, json, reboot, flags })
    }
}

fn parse_verb(words: &[String]) -> Result<Verb, Failure> {
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let owned = |words: &[&str]| words.iter().map(|word| String::from(*word)).collect();
    Ok(match words.as_slice() {
        [] | ["help"] => Verb::Help(String::new()),
        ["help", verb] => Verb::Help(String::from(*verb)),
        ["status"] => Verb::Status,
        ["rollback"] => Verb::Rollback,
        ["commit"] => Verb::Commit,
        ["slot"] | ["slot", "show"] => Verb::SlotShow,
        ["slot", "set", slot, state] => Verb::SlotSet(String::from(*slot), String::from(*state)),
        ["env"] | ["env", "list"] => Verb::EnvList,
        ["env", "get", name] => Verb::EnvGet(String::from(*name)),
        ["env", "set", pairs @ ..] if !pairs.is_empty() => Verb::EnvSet(owned(pairs)),
        ["env", "unset", names @ ..] if !names.is_empty() => Verb::EnvUnset(owned(names)),
        ["env", "create"] => Verb::EnvCreate,
        ["probe"] => Verb::Probe,
        ["find", name] => Verb::Find(String::from(*name)),
        ["init"] => Verb::Init,
        [verb, ..] => {
            return Err(match VERBS.iter().find(|help| help.verb == *verb) {
                Some(help) => usage(&format!("{verb} takes: {}", help.arguments)),
                None => usage(&format!("{verb}: no such verb")),
            });
        }
    })
}

fn usage(problem: &str) -> Failure {
    Failure::new(Exit::Usage, format_args!("{problem}; see kubesolo-boot --help"))
}

/// The help for one verb, or for all of them if there is no such verb.
pub fn help(verb: &str) -> String {
    if let Some(help) = VERBS.iter().find(|help| help.verb == verb) {
        let heading = format!("kubesolo-boot {verb} {}", help.arguments);
        return format!("{}: {}\n\n{}\n\n{FLAGS}", heading.trim_end(), help.line, help.text);
    }
    let mut text = String::from("kubesolo-boot VERB [FLAGS]: A/B boot and update helper of KubeSolo OS\n\nVerbs:\n");
    for help in VERBS {
        text.push_str(&format!("  {:<10} {}\n", help.verb, help.line));
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

    fn parse(line: &str) -> Result<Call, Failure> {
        Call::parse(line.split_whitespace().map(OsString::from))
    }

    #[test]
    fn verbs_and_flags_are_read_in_any_order() {
        let call = parse("--grubenv /tmp/x rollback --reboot").unwrap();
        assert_eq!((call.verb, call.reboot, call.flags.grubenv.as_deref()), (Verb::Rollback, true, Some("/tmp/x")));
        assert_eq!(parse("env set a=1 --json b=2").unwrap().verb, Verb::EnvSet(["a=1".into(), "b=2".into()].into()));
        assert_eq!(parse("").unwrap().verb, Verb::Help(String::new()));
        assert_eq!(parse("slot set --help").unwrap().verb, Verb::Help("slot".into()));
    }

    #[test]
    fn what_is_not_understood_is_named() {
        for (line, want) in [
            ("frobnicate", "frobnicate: no such verb; see kubesolo-boot --help"),
            ("slot set A", "slot takes: show [--json] | set A|B empty|staged|trial|good|bad; see kubesolo-boot --help"),
            ("status --frob", "invalid option '--frob'; see kubesolo-boot --help"),
            ("--disk", "missing argument for option '--disk'; see kubesolo-boot --help"),
        ] {
            let failure = parse(line).unwrap_err();
            assert_eq!((failure.exit, format!("{failure}")), (Exit::Usage, want.into()), "{line}");
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
