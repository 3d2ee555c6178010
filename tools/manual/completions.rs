//! Completions for bash, zsh and fish: each asks the same two tables, the flags and the places.

use std::fmt::Write;

use kubesolo_boot::cli::flags::{FLAGS, Flag};
use kubesolo_boot::cli::verbs::{Row, VERBS};

use crate::grammar::{Offered, Place, flags_of, names, places, takers, verbs};

/// Fills `@name@` in a template.
fn fill(template: &str, parts: &[(&str, String)]) -> String {
    let filled =
        parts.iter().fold(template.to_owned(), |text, (name, part)| text.replace(&format!("@{name}@\n"), part));
    assert!(!filled.contains("\n@"), "{filled}");
    filled
}

/// As one word of any of these shells.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

fn any_of(words: &[String]) -> String {
    words.iter().map(|word| quoted(word)).collect::<Vec<_>>().join(" | ")
}

fn with_value() -> impl Iterator<Item = (&'static Flag, Offered)> {
    FLAGS.iter().filter_map(|flag| flag.value().map(|value| (flag, Offered::of(value))))
}

fn all_names(flags: impl Iterator<Item = &'static Flag>) -> String {
    flags.flat_map(names).collect::<Vec<_>>().join(" ")
}

pub fn bash() -> String {
    let set = |offer: &Offered| match offer {
        Offered::Words(words) => format!("choices={}", quoted(&words.join(" "))),
        Offered::Files => "kind=file".into(),
        Offered::Folders => "kind=directory".into(),
        Offered::Nothing => ":".into(),
    };
    let row = |words: &str, what: &str| format!("            {words}) {what} ;;\n");
    let place = |place: &Place| row(&any_of(&place.before), &set(&place.offer));
    let of_verb = |verb: &Row| row(verb.word, &format!("choices={}", quoted(&all_names(flags_of(verb)))));
    let flags = VERBS.iter().map(of_verb).chain([row("*", &format!("choices={}", quoted(&all_names(FLAGS.iter()))))]);
    fill(
        include_str!("completion.bash"),
        &[
            (
                "flags with a value",
                row(&any_of(&with_value().flat_map(|(flag, _)| names(flag)).collect::<Vec<_>>()), "flag=$word"),
            ),
            ("values", with_value().map(|(flag, offer)| row(&any_of(&names(flag)), &set(&offer))).collect()),
            ("flags of a verb", flags.collect()),
            ("places", [verbs()].iter().chain(&places()).map(place).collect()),
        ],
    )
}

pub fn zsh() -> String {
    // Within [], and behind a name in _describe, these end the text.
    let escaped = |text: &str| text.replace('[', r"\[").replace(']', r"\]").replace(':', r"\:");
    let action = |offer: Offered| match offer {
        Offered::Words(words) => format!(":value:({})", words.join(" ")),
        Offered::Files => ":file:_files".into(),
        Offered::Folders => ":folder:_files -/".into(),
        Offered::Nothing => ":value: ".into(),
    };
    let mut flags = String::new();
    for flag in FLAGS {
        // The empty alternative: no verb stands there yet.
        let takers = takers(flag).map_or("*".into(), |takers| format!("(|{})", takers.join("|")));
        let (sign, action) = flag.value().map_or(("", String::new()), |value| ("=", action(Offered::of(value))));
        for name in names(flag) {
            let spec = quoted(&format!("{name}{sign}[{}]{action}", escaped(flag.help)));
            writeln!(flags, "[[ $verb = {takers} ]] && flags+=({spec})").unwrap();
        }
    }
    let set = |offer: &Offered| match offer {
        Offered::Words(words) => format!("compadd -- {}", words.join(" ")),
        Offered::Files => "_files".into(),
        Offered::Folders => "_files -/".into(),
        Offered::Nothing => ":".into(),
    };
    let words: Vec<_> = VERBS.iter().map(|verb| verb.word).collect();
    let describe = |verb: &Row| format!("    {}\n", quoted(&format!("{}:{}", verb.word, escaped(verb.line))));
    fill(
        include_str!("completion.zsh"),
        &[
            ("flags", flags),
            ("verbs", VERBS.iter().map(describe).collect()),
            ("verb", format!("local verb=${{words[(r)({})]}}\n", words.join("|"))),
            (
                "places",
                places()
                    .iter()
                    .map(|place| format!("    {}) {} ;;\n", any_of(&place.before), set(&place.offer)))
                    .collect(),
            ),
        ],
    )
}

pub fn fish() -> String {
    let complete = |rest: String| format!("complete -c kubesolo-boot {rest}\n");
    let set = |offer: &Offered| match offer {
        Offered::Words(words) => format!("-x -a {}", quoted(&words.join(" "))),
        Offered::Files => "-r -F".into(),
        Offered::Folders => "-x -a '(__fish_complete_directories)'".into(),
        Offered::Nothing => "-x".into(),
    };
    let flag = |flag: &Flag| {
        let when = takers(flag).map(|takers| format!("-n '__kubesolo_boot_takes {}' ", takers.join(" ")));
        let short = flag.short.map(|short| format!("-s {} ", short.trim_start_matches('-')));
        let long = flag.to_string();
        let value = flag.value().map(|value| format!(" {}", set(&Offered::of(value))));
        complete(format!(
            "{}{}-l {}{} -d {}",
            when.unwrap_or_default(),
            short.unwrap_or_default(),
            long.trim_start_matches('-'),
            value.unwrap_or_default(),
            quoted(flag.help)
        ))
    };
    let after = |before: &[String]| {
        let before: Vec<_> = before.iter().map(|words| format!("\"{words}\"")).collect();
        format!("-n {}", quoted(&format!("__kubesolo_boot_after {}", before.join(" "))))
    };
    let place = |place: &Place| match &place.offer {
        Offered::Words(words) => complete(format!("{} -a {}", after(&place.before), quoted(&words.join(" ")))),
        offer => complete(format!("{} {}", after(&place.before), set(offer).replace("-r ", ""))),
    };
    let verb = |verb: &Row| complete(format!("{} -a {} -d {}", after(&verbs().before), verb.word, quoted(verb.line)));
    fill(
        include_str!("completion.fish"),
        &[
            ("flags with a value", format!("            case {}\n", all_names(with_value().map(|(flag, _)| flag)))),
            ("flags", FLAGS.iter().map(flag).collect()),
            ("verbs", VERBS.iter().map(verb).collect()),
            ("places", places().iter().map(place).collect()),
        ],
    )
}
