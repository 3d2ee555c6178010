//! The command line, read by the tables of verbs and flags.

use std::ffi::OsStr;
use std::vec::Vec;

use super::flags::{FLAGS, Flag, Given, Sets};
use super::help;
use super::verbs::{Name, Row, VERBS, Verb};
use crate::failure::{Exit, Failure};
use kubesolo_core::text::similar::nearest;
use kubesolo_core::update::config::instead_of;

/// The arguments behind the program's name.
#[derive(Clone, Default)]
pub struct Call<'a> {
    words: Vec<&'a str>,
    seen: Vec<&'static Flag>,
    /// What the flags say.
    pub given: Given<'a>,
}

/// What the program is to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action<'a> {
    /// Print the help of this verb, or that of all.
    Help(Option<Name>),
    /// Print the version.
    Version,
    /// Do the work of a verb.
    Work(Verb<'a>),
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
            if argument == "--" {
                for word in arguments.by_ref() {
                    call.words.push(text(word)?);
                }
            } else if argument.starts_with('-') {
                call.take(argument, &mut || arguments.next().map(|value| text(value)).transpose())?;
            } else {
                call.words.push(argument);
            }
        }
        Ok(call)
    }

    /// Takes one flag; `next` gives the argument behind it.
    fn take(
        &mut self,
        argument: &'a str,
        next: &mut dyn FnMut() -> Result<Option<&'a str>, Failure>,
    ) -> Result<(), Failure> {
        let (spelling, value) = match argument.split_once('=') {
            Some((spelling, value)) => (spelling, Some(value)),
            None => (argument, None),
        };
        let flag = Flag::of(spelling).ok_or_else(|| no_such_flag(argument, spelling))?;
        let mut needed = || match value {
            Some(value) => Ok(value),
            None => next()?.ok_or_else(|| usage(spelling, "needs a value")),
        };
        match flag.sets {
            Sets::Switch(_) if value.is_some() => return Err(usage(spelling, "takes no value")),
            Sets::Switch(place) => *place(&mut self.given) = true,
            Sets::Text(_, place) => {
                let value = needed()?;
                // Of a key, this is how a file's value is taken back.
                if value.is_empty() {
                    return Err(usage(spelling, "its value is empty"));
                }
                *place(&mut self.given) = Some(value);
            }
            Sets::Key(key) => self.given.flags.settings.push((key.name, needed()?)),
        }
        self.seen.push(flag);
        Ok(())
    }

    /// The verb as it was typed.
    pub fn word(&self) -> &'a str {
        self.words.first().copied().unwrap_or_default()
    }

    /// What the words and flags say.
    ///
    /// # Errors
    /// [`Exit::Usage`] for an unknown verb, for a flag that the verb does not take, and for words that it does not take.
    pub fn action(&self) -> Result<Action<'_>, Failure> {
        if self.given.version {
            return Ok(Action::Version);
        }
        let (word, rest) = match self.words.as_slice() {
            [] | ["help"] => return Ok(Action::Help(None)),
            ["version"] => return Ok(Action::Version),
            ["help", word, ..] => {
                return Row::of(word).map(|row| Action::Help(Some(row.name))).ok_or_else(|| no_such_verb(word));
            }
            [word, rest @ ..] => (*word, rest),
        };
        let row = Row::of(word).ok_or_else(|| no_such_verb(word))?;
        if let Some(flag) = self.seen.iter().find(|flag| !flag.is_of(row.name)) {
            return Err(foreign(flag, word));
        }
        if self.given.help {
            return Ok(Action::Help(Some(row.name)));
        }
        (row.read)(rest).map(Action::Work).ok_or_else(|| match row.is_bare() {
            true => usage(word, "takes no arguments"),
            false => Failure::new(Exit::Usage, format_args!("{word} takes: {}", help::forms(row))),
        })
    }
}

fn no_such_verb(word: &str) -> Failure {
    match nearest(word, VERBS.iter().map(|row| row.word)) {
        Some(verb) => Failure::new(Exit::Usage, format_args!("{word}: no such verb; did you mean {verb}?")),
        None => usage(word, "no such verb"),
    }
}

/// `spelling` is the argument without its value.
fn no_such_flag(argument: &str, spelling: &str) -> Failure {
    let name = spelling.trim_start_matches('-');
    if let Some(instead) = instead_of(name) {
        return Failure::new(Exit::Usage, format_args!("{spelling}: no such flag: {instead}"));
    }
    match nearest(&name.replace('-', "_"), FLAGS.iter().map(|flag| flag.name)).and_then(Flag::named) {
        Some(flag) => Failure::new(Exit::Usage, format_args!("{argument}: no such flag; did you mean {flag}?")),
        None => usage(argument, "no such flag"),
    }
}

fn text(word: &OsStr) -> Result<&str, Failure> {
    word.to_str().ok_or_else(|| Failure::new(Exit::Usage, format_args!("an argument is not text (UTF-8)")))
}

fn usage(word: &str, problem: &str) -> Failure {
    Failure::new(Exit::Usage, format_args!("{word}: {problem}; see kubesolo-boot --help"))
}

/// The flag is none of this verb's.
fn foreign(flag: &Flag, verb: &str) -> Failure {
    let others = help::verbs_of(flag);
    Failure::new(
        Exit::Usage,
        format_args!("{flag}: not a flag of {verb}, but of {others}; see kubesolo-boot {verb} --help"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::flags::FLAGS;
    use crate::cli::verbs::{Argument, VERBS};
    use kubesolo_core::update::config::Value;
    use std::format;
    use std::string::ToString;

    fn words(line: &str) -> Vec<&OsStr> {
        line.split_whitespace().map(OsStr::new).collect()
    }

    fn refusal(line: &str) -> Failure {
        Call::parse(&words(line)).and_then(|call| call.action().map(|_| ())).unwrap_err()
    }

    #[test]
    fn verbs_and_flags_are_read_in_any_order() {
        let words = words("--grubenv /tmp/x rollback --reboot --disk=/dev/sda");
        let call = Call::parse(&words).unwrap();
        assert_eq!((call.action().unwrap(), call.given.reboot), (Action::Work(Verb::Rollback), true));
        assert_eq!((call.given.flags.grubenv, call.given.flags.disk), (Some("/tmp/x"), Some("/dev/sda")));
    }

    #[test]
    fn arguments_go_to_their_verb() {
        let rows: &[(&str, Action<'_>)] = &[
            ("", Action::Help(None)),
            ("help", Action::Help(None)),
            ("--help", Action::Help(None)),
            ("help grow", Action::Help(Some(Name::Grow))),
            ("apply --help", Action::Help(Some(Name::Apply))),
            ("version", Action::Version),
            ("--version", Action::Version),
            ("-V status", Action::Version),
            ("env set a=1 --json b=2", Action::Work(Verb::EnvSet(&["a=1", "b=2"]))),
            ("env set -- --a=1", Action::Work(Verb::EnvSet(&["--a=1"]))),
            ("slot set --help", Action::Help(Some(Name::Slot))),
            ("slot", Action::Work(Verb::SlotShow)),
        ];
        for (line, want) in rows {
            assert_eq!(Call::parse(&words(line)).unwrap().action().unwrap(), *want, "{line}");
        }
    }

    #[test]
    fn what_is_not_understood_is_named() {
        for (line, want) in [
            ("frobnicate", "frobnicate: no such verb; see kubesolo-boot --help"),
            ("stauts", "stauts: no such verb; did you mean status?"),
            ("stauts --json", "stauts: no such verb; did you mean status?"),
            ("helthchek", "helthchek: no such verb; did you mean healthcheck?"),
            ("help bogus", "bogus: no such verb; see kubesolo-boot --help"),
            ("help aply", "aply: no such verb; did you mean apply?"),
            ("bogus --help", "bogus: no such verb; see kubesolo-boot --help"),
            ("version 2", "version: no such verb; see kubesolo-boot --help"),
            ("apply --forse", "--forse: no such flag; did you mean --force?"),
            ("apply --allow_downgrade", "--allow_downgrade: no such flag; did you mean --allow-downgrade?"),
            ("apply --sever=x", "--sever=x: no such flag; did you mean --server?"),
            (
                "apply --registry ghcr.io/x",
                "--registry: no such flag: updates come from a web server or a folder, not from a registry; give its \
                 address as server",
            ),
            (
                "check --tag=edge",
                "--tag: no such flag: the server's latest.json says which version; several lines of versions are \
                 channels, see channel",
            ),
            ("slot set A", "slot takes: show | set A|B empty|staged|trial|good|bad"),
            ("apply a b", "apply takes: [URL|PATH]"),
            ("init now", "init: takes no arguments; see kubesolo-boot --help"),
            ("status --frob", "--frob: no such flag; see kubesolo-boot --help"),
            ("status --boot_id x", "--boot_id: no such flag; did you mean --boot-id?"),
            ("--disk", "--disk: needs a value; see kubesolo-boot --help"),
            ("status --disk=", "--disk: its value is empty; see kubesolo-boot --help"),
            ("status --json=yes", "--json: takes no value; see kubesolo-boot --help"),
            (
                "--reboot status",
                "--reboot: not a flag of status, but of activate, healthcheck, rollback, watchdog; see kubesolo-boot status --help",
            ),
            ("grow --wait=3 --help", "--wait: not a flag of grow, but of find; see kubesolo-boot grow --help"),
        ] {
            let failure = refusal(line);
            assert_eq!((failure.exit(), format!("{failure}")), (Exit::Usage, want.into()), "{line}");
        }
    }

    /// What stands in the tables is what is taken, and all of it.
    #[test]
    fn each_verb_takes_its_flags_and_no_other() {
        for row in VERBS {
            let form = row.forms.first().unwrap().iter().map(|argument| match argument {
                Argument::One(Value::OneOf(words)) => words[0].to_string(),
                Argument::One(value) | Argument::Optional(value) | Argument::Many(value) => value.to_string(),
            });
            let line = form.fold(row.word.to_string(), |line, word| format!("{line} {word}"));
            for flag in FLAGS {
                let value = flag.value().map_or(std::string::String::new(), |value| format!(" {value}"));
                let line = format!("{line} {flag}{value}");
                let words = words(&line);
                let call = Call::parse(&words).unwrap();
                assert_eq!(call.action().is_ok(), flag.is_of(row.name), "{line}");
            }
        }
    }

    #[test]
    fn each_form_of_a_verb_is_read() {
        for row in VERBS {
            for form in row.forms {
                let line = form.iter().fold(row.word.to_string(), |line, argument| match argument {
                    Argument::One(Value::OneOf(words)) => format!("{line} {}", words.last().unwrap()),
                    Argument::One(value) | Argument::Optional(value) | Argument::Many(value) => {
                        format!("{line} {value}")
                    }
                });
                let words = words(&line);
                assert!(matches!(Call::parse(&words).unwrap().action(), Ok(Action::Work(_))), "{line}");
            }
        }
    }
}
