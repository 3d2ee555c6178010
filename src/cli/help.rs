//! `--help`: the tables as text.

use std::format;
use std::string::{String, ToString};

use super::flags::{FLAGS, Flag, Sets};
use super::verbs::{Argument, Name, Row, VERBS};
use crate::failure::Exit;

/// Room for a flag and its value.
const HEAD: usize = 17;
/// Longest row.
const WIDTH: usize = 100;

/// The help for one verb, or for all of them.
pub fn help(verb: Option<Name>) -> String {
    VERBS.iter().find(|row| Some(row.name) == verb).map_or_else(of_all, of_verb)
}

/// What may follow a verb: its forms, ` | ` between them.
pub fn forms(row: &Row) -> String {
    let mut text = String::new();
    for (number, form) in row.forms.iter().enumerate() {
        for (place, argument) in form.iter().enumerate() {
            text.push_str(match (number, place) {
                (0, 0) => "",
                (_, 0) => " | ",
                _ => " ",
            });
            match argument {
                Argument::One(value) => text.push_str(&value.to_string()),
                Argument::Optional(value) => text.push_str(&format!("[{value}]")),
                Argument::Many(value) => text.push_str(&format!("{value}...")),
            }
        }
    }
    text
}

/// The verbs that take a flag, in the order of the table.
pub fn verbs_of(flag: &Flag) -> String {
    let mut text = String::new();
    for row in VERBS.iter().filter(|row| flag.is_of(row.name)) {
        text.push_str(if text.is_empty() { "" } else { ", " });
        text.push_str(row.word);
    }
    text
}

fn of_verb(row: &Row) -> String {
    let mut text = format!("kubesolo-boot {}: {}\n", row.word, row.line);
    if !row.is_bare() {
        text.push_str(&format!("Takes: {}\n", forms(row)));
    }
    text.push_str(&format!("\n{}\n\nFlags:\n", row.text));
    FLAGS.iter().filter(|flag| flag.is_of(row.name)).for_each(|flag| describe(flag, &mut text));
    text
}

fn of_all() -> String {
    let mut text = String::from("kubesolo-boot VERB [FLAGS]: A/B boot and update helper of KubeSolo OS\n\nVerbs:\n");
    for row in VERBS {
        text.push_str(&format!("  {:<11} {}\n", row.word, row.line));
    }
    text.push_str("\nFlags (VERB --help lists those that the verb takes):\n");
    FLAGS.iter().filter(|flag| !is_key(flag)).for_each(|flag| describe(flag, &mut text));
    wrap("Keys of update.conf as flags:", FLAGS.iter().filter(|flag| is_key(flag)), &mut text);
    text.push_str("\nExit codes:\n");
    for (exit, meaning) in Exit::TABLE {
        text.push_str(&format!("  {:>2}  {meaning}\n", *exit as u8));
    }
    text.push_str("\nCalled as grub-editenv it is that tool: grub-editenv FILE list|set|unset|create.\n");
    text
}

fn is_key(flag: &Flag) -> bool {
    matches!(flag.sets, Sets::Key(_))
}

/// A flag's row; where it is too long for its column, what it is stands in the next one.
fn describe(flag: &Flag, text: &mut String) {
    let mut head = flag.short.map_or(String::new(), |short| format!("{short}, "));
    head.push_str(&flag.to_string());
    if let Some(value) = flag.value() {
        head.push_str(&format!(" {value}"));
    }
    text.push_str(&format!("  {head:<HEAD$}"));
    if head.len() > HEAD {
        text.push_str(&format!("\n  {:HEAD$}", ""));
    }
    text.push_str(&format!(" {}\n", flag.help));
}

fn wrap(heading: &str, flags: impl Iterator<Item = &'static Flag>, text: &mut String) {
    text.push_str(&format!("  {heading}\n   "));
    let mut len: usize = 3;
    for flag in flags {
        let flag = flag.to_string();
        if len.saturating_add(flag.len()) >= WIDTH {
            text.push_str("\n   ");
            len = 3;
        }
        text.push_str(&format!(" {flag}"));
        len = len.saturating_add(flag.len()).saturating_add(1);
    }
    text.push('\n');
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::vec::Vec;

    #[test]
    fn the_help_names_every_verb_and_exit_code() {
        let text = help(None);
        for row in VERBS {
            assert!(text.contains(row.line));
            assert!(help(Some(row.name)).contains(row.text));
        }
        assert!(text.contains("  30  "));
    }

    #[test]
    fn the_help_names_every_flag_and_that_of_a_verb_its_own() {
        let names = |text: &str| {
            let mut names: Vec<String> = Vec::new();
            for word in text.split_whitespace().filter(|word| word.starts_with("--")) {
                names.push(word.trim_end_matches([',', ';', ':']).into());
            }
            names
        };
        let all: Vec<String> = FLAGS.iter().map(Flag::to_string).collect();
        assert!(all.iter().all(|flag| names(&help(None)).contains(flag)), "{}", help(None));
        for row in VERBS {
            let text = help(Some(row.name));
            let (_, listed) = text.split_once("\nFlags:\n").unwrap();
            let rows: Vec<&str> = listed.lines().filter(|line| !line.starts_with("     ")).collect();
            let own: Vec<&Flag> = FLAGS.iter().filter(|flag| flag.is_of(row.name)).collect();
            assert_eq!(rows.len(), own.len(), "{text}");
            for (line, flag) in rows.iter().zip(own) {
                assert!(names(line).contains(&flag.to_string()), "{line}");
            }
        }
    }

    #[test]
    fn no_row_of_the_help_is_too_long() {
        for verb in VERBS.iter().map(|row| Some(row.name)).chain([None]) {
            for line in help(verb).lines() {
                assert!(line.len() <= WIDTH, "{line}");
            }
        }
    }
}
