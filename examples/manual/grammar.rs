//! The tables of the help, taken apart: what may stand where on the command line.

use kubesolo_boot::cli::args::{FLAGS, Help, VERBS};
use kubesolo_core::update::config::{self, KEYS};

/// Words that stand for a value. Any other word in capitals is one to be typed.
const PLACEHOLDERS: [&str; 10] =
    ["URL", "PATH", "FILE", "DIR", "DISK", "NAME", "NAME=VALUE", "TIMES", "SECONDS", "HH:MM-HH:MM"];

pub fn is_placeholder(word: &str) -> bool {
    PLACEHOLDERS.contains(&word)
}

/// What a shell can offer in a place.
#[derive(Clone, PartialEq, Eq)]
pub enum Offer {
    OneOf(Vec<&'static str>),
    Files,
    Folders,
    Nothing,
}

impl Offer {
    fn of(words: &'static str) -> Offer {
        let words: Vec<_> = words.split('|').collect();
        if !words.iter().any(|word| is_placeholder(word)) {
            return Offer::OneOf(words);
        }
        match words.last() {
            Some(&"FILE" | &"PATH" | &"DISK") => Offer::Files,
            Some(&"DIR") => Offer::Folders,
            _ => Offer::Nothing,
        }
    }
}

/// A flag that may follow every verb.
pub struct Flag {
    pub names: Vec<String>,
    /// The placeholder of its value.
    pub value: Option<&'static str>,
    pub text: String,
}

impl Flag {
    pub fn offer(&self) -> Option<Offer> {
        self.value.map(Offer::of)
    }
}

/// The flags that the help describes, in its order.
pub fn flags() -> Vec<Flag> {
    let described = |line: &'static str| {
        let (head, text) = line.strip_prefix("  -")?.split_once("  ")?;
        let (names, value) = match head.rsplit_once(' ') {
            Some((names, value)) if is_placeholder(value) => (names, Some(value)),
            _ => (head, None),
        };
        let names = format!("-{names}").split(", ").map(str::to_owned).collect();
        Some(Flag { names, value, text: text.trim().into() })
    };
    FLAGS.lines().filter_map(described).collect()
}

/// A key of `update.conf`.
pub struct Key {
    pub name: &'static str,
    pub value: &'static str,
    pub text: &'static str,
}

impl Key {
    /// As a flag.
    pub fn flag(&self) -> Flag {
        let name = format!("--{}", self.name.replace('_', "-"));
        Flag { names: vec![name], value: Some(self.value), text: self.text.into() }
    }
}

/// The keys, by their table.
pub fn keys() -> Vec<Key> {
    let key = |key: &config::Key| Key { name: key.name, value: key.value.to_string().leak(), text: key.help };
    KEYS.iter().map(key).collect()
}

/// The forms of a verb, each as its words: `[--json]`, `set`, `A|B`, `NAME...`.
pub fn forms(verb: &Help) -> Vec<Vec<&'static str>> {
    verb.arguments.split(" | ").map(|form| form.split_whitespace().collect()).collect()
}

/// A word without the brackets and dots around it.
pub fn bare(word: &'static str) -> &'static str {
    word.trim_start_matches('[').trim_end_matches(']').trim_end_matches("...")
}

/// The flags of this verb alone.
pub fn own_flags(verb: &Help) -> Vec<&'static str> {
    let words = forms(verb).into_iter().flatten().map(bare);
    words.filter(|word| word.starts_with("--") && *word != "--json").collect()
}

/// What may follow these words, for every place where there is something to offer.
pub fn places() -> Vec<(Vec<String>, Offer)> {
    let verbs: Vec<_> = VERBS.iter().map(|help| help.verb).collect();
    let mut places = vec![(vec![String::new(), "help".into()], Offer::OneOf(verbs))];
    for verb in VERBS {
        for form in forms(verb) {
            let mut before = vec![verb.verb.to_owned()];
            for word in form.into_iter().map(bare).filter(|word| !word.starts_with("--")) {
                let offer = Offer::of(word);
                add(&mut places, &before, &offer);
                let Offer::OneOf(choices) = offer else { break };
                before = before
                    .iter()
                    .flat_map(|before| choices.iter().map(move |choice| format!("{before} {choice}")))
                    .collect();
            }
        }
    }
    places
}

fn add(places: &mut Vec<(Vec<String>, Offer)>, before: &[String], offer: &Offer) {
    match (places.iter_mut().find(|(there, _)| there == before), offer) {
        (_, Offer::Nothing) => {}
        (Some((_, Offer::OneOf(choices))), Offer::OneOf(more)) => choices.extend(more),
        (Some(_), _) => panic!("behind {before:?} either words or files can be offered"),
        (None, _) => places.push((before.to_vec(), offer.clone())),
    }
}
