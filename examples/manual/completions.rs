//! Completions for bash, zsh and fish: each asks the same two tables, the flags and the places.

use std::fmt::Write;

use kubesolo_boot::cli::args::{Help, VERBS};

use crate::grammar::{Flag, Offer, flags, keys, own_flags, places};

fn all_flags() -> Vec<Flag> {
    flags().into_iter().chain(keys().iter().map(|key| key.flag())).collect()
}

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

pub fn bash() -> String {
    let set = |offer: &Offer| match offer {
        Offer::OneOf(words) => format!("choices={}", quoted(&words.join(" "))),
        Offer::Files => "kind=file".into(),
        Offer::Folders => "kind=directory".into(),
        Offer::Nothing => ":".into(),
    };
    let row = |words: &[String], what: &str| format!("            {}) {what} ;;\n", any_of(words));
    let (with_value, _): (Vec<_>, Vec<_>) = all_flags().into_iter().partition(|flag| flag.value.is_some());
    let names = |flags: &[Flag]| flags.iter().flat_map(|flag| flag.names.clone()).collect::<Vec<_>>();
    let own = |verb| format!("choices+={}", quoted(&format!(" {}", own_flags(verb).join(" "))));
    fill(
        include_str!("completion.bash"),
        &[
            ("flags with a value", row(&names(&with_value), "flag=$word")),
            ("values", with_value.iter().map(|flag| row(&flag.names, &set(&flag.offer().unwrap()))).collect()),
            ("flags", format!("        choices={}\n", quoted(&names(&all_flags()).join(" ")))),
            (
                "flags of a verb",
                VERBS
                    .iter()
                    .filter(|verb| !own_flags(verb).is_empty())
                    .map(|verb| row(&[verb.verb.into()], &own(verb)))
                    .collect(),
            ),
            ("places", places().iter().map(|(before, offer)| row(before, &set(offer))).collect()),
        ],
    )
}

pub fn zsh() -> String {
    // Within [], and behind a name in _describe, these end the text.
    let escaped = |text: &str| text.replace('[', r"\[").replace(']', r"\]").replace(':', r"\:");
    let action = |offer: Option<Offer>| match offer {
        None => String::new(),
        Some(Offer::OneOf(words)) => format!(":value:({})", words.join(" ")),
        Some(Offer::Files) => ":file:_files".into(),
        Some(Offer::Folders) => ":folder:_files -/".into(),
        Some(Offer::Nothing) => ":value: ".into(),
    };
    let mut flags = String::new();
    for flag in all_flags() {
        for name in &flag.names {
            let sign = if flag.value.is_some() { "=" } else { "" };
            let spec = format!("{name}{sign}[{}]{}", escaped(&flag.text), action(flag.offer()));
            writeln!(flags, "    {} \\", quoted(&spec)).unwrap();
        }
    }
    let set = |offer: &Offer| match offer {
        Offer::OneOf(words) => format!("compadd -- {}", words.join(" ")),
        Offer::Files => "_files".into(),
        Offer::Folders => "_files -/".into(),
        Offer::Nothing => ":".into(),
    };
    let describe = |verb: &Help| format!("    {}\n", quoted(&format!("{}:{}", verb.verb, escaped(verb.line))));
    fill(
        include_str!("completion.zsh"),
        &[
            ("flags", flags),
            (
                "flags of a verb",
                VERBS
                    .iter()
                    .filter(|verb| !own_flags(verb).is_empty())
                    .map(|verb| format!("(( ${{words[(I){}]}} )) && own+=({})\n", verb.verb, own_flags(verb).join(" ")))
                    .collect(),
            ),
            ("verbs", VERBS.iter().map(describe).collect()),
            (
                "places",
                places()
                    .iter()
                    .skip(1)
                    .map(|(before, offer)| format!("    {}) {} ;;\n", any_of(before), set(offer)))
                    .collect(),
            ),
        ],
    )
}

pub fn fish() -> String {
    let complete = |rest: String| format!("complete -c kubesolo-boot {rest}\n");
    let set = |offer: &Offer| match offer {
        Offer::OneOf(words) => format!("-x -a {}", quoted(&words.join(" "))),
        Offer::Files => "-r -F".into(),
        Offer::Folders => "-x -a '(__fish_complete_directories)'".into(),
        Offer::Nothing => "-x".into(),
    };
    let flag = |flag: &Flag| {
        let names: Vec<_> = flag
            .names
            .iter()
            .map(|name| match name.strip_prefix("--") {
                Some(long) => format!("-l {long}"),
                None => format!("-s {}", name.trim_start_matches('-')),
            })
            .collect();
        let value = flag.offer().map(|offer| format!(" {}", set(&offer))).unwrap_or_default();
        complete(format!("{}{value} -d {}", names.join(" "), quoted(&flag.text)))
    };
    let after = |before: &[String]| {
        format!(
            "-n {}",
            quoted(&format!(
                "__kubesolo_boot_after {}",
                before.iter().map(|words| format!("\"{words}\"")).collect::<Vec<_>>().join(" ")
            ))
        )
    };
    let place = |(before, offer): &(Vec<String>, Offer)| match offer {
        Offer::OneOf(words) => complete(format!("{} -a {}", after(before), quoted(&words.join(" ")))),
        _ => complete(format!("{} {}", after(before), set(offer).replace("-r ", ""))),
    };
    let verb = |verb: &Help| {
        complete(format!("{} -a {} -d {}", after(&[String::new(), "help".into()]), verb.verb, quoted(verb.line)))
    };
    let own = |verb: &Help| {
        let flag = |name: &&str| {
            complete(format!("-n '__fish_seen_subcommand_from {}' -l {}", verb.verb, name.trim_start_matches('-')))
        };
        own_flags(verb).iter().map(flag).collect::<String>()
    };
    let values: Vec<_> =
        all_flags().into_iter().filter(|flag| flag.value.is_some()).flat_map(|flag| flag.names).collect();
    fill(
        include_str!("completion.fish"),
        &[
            ("flags with a value", format!("            case {}\n", values.join(" "))),
            ("flags", all_flags().iter().map(flag).collect()),
            ("flags of a verb", VERBS.iter().map(own).collect()),
            ("verbs", VERBS.iter().map(verb).collect()),
            ("places", places().iter().skip(1).map(place).collect()),
        ],
    )
}
