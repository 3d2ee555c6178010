//! What may stand where on the command line, by the tables of verbs and flags.

use kubesolo_boot::cli::flags::{FLAGS, Flag};
use kubesolo_boot::cli::verbs::{Argument, Row, VERBS};
use kubesolo_core::update::config::Value;

/// The spellings of a flag.
pub fn names(flag: &Flag) -> Vec<String> {
    flag.short.map(str::to_owned).into_iter().chain([flag.to_string()]).collect()
}

/// The words of the verbs that take a flag; `None`: all do.
pub fn takers(flag: &Flag) -> Option<Vec<&'static str>> {
    let takers: Vec<_> = VERBS.iter().filter(|row| flag.is_of(row.name)).map(|row| row.word).collect();
    (takers.len() < VERBS.len()).then_some(takers)
}

/// The flags that a verb takes.
pub fn flags_of(verb: &Row) -> impl Iterator<Item = &'static Flag> {
    FLAGS.iter().filter(|flag| flag.is_of(verb.name))
}

/// The value of an argument.
pub fn value(argument: &Argument) -> Value {
    match *argument {
        Argument::One(value) | Argument::Optional(value) | Argument::Many(value) => value,
    }
}

/// A place on the command line: the words before it, each row another way to get there, and what may stand there.
pub struct PartitionPath {
    pub before: Vec<String>,
    pub offer: RemoteManifest,
}

/// What a shell can offer.
#[derive(Clone)]
pub enum RemoteManifest {
    Words(Vec<&'static str>),
    Files,
    Folders,
    Nothing,
}

impl RemoteManifest {
    pub fn of(value: Value) -> RemoteManifest {
        match value {
            Value::OneOf(words) => RemoteManifest::Words(words.to_vec()),
            Value::File(_) => RemoteManifest::Files,
            Value::Folder(_) => RemoteManifest::Folders,
            Value::Text(_) => RemoteManifest::Nothing,
        }
    }
}

/// The place where a verb stands: first, or behind `help`.
pub fn verbs() -> PartitionPath {
    let words = VERBS.iter().map(|row| row.word).collect();
    PartitionPath { before: vec![String::new(), "help".into()], offer: RemoteManifest::Words(words) }
}

/// Every place behind a verb where there is something to offer.
pub fn places() -> Vec<PartitionPath> {
    let mut places = Vec::new();
    for verb in VERBS {
        for form in verb.forms {
            let mut before = vec![verb.word.to_owned()];
            for argument in *form {
                let offer = RemoteManifest::of(value(argument));
                add(&mut places, &before, &offer);
                let RemoteManifest::Words(words) = offer else { break };
                before =
                    before.iter().flat_map(|before| words.iter().map(move |word| format!("{before} {word}"))).collect();
            }
        }
    }
    places
}

fn add(places: &mut Vec<PartitionPath>, before: &[String], offer: &RemoteManifest) {
    match (places.iter_mut().find(|place| place.before == before).map(|place| &mut place.offer), offer) {
        (_, RemoteManifest::Nothing) => {}
        (Some(RemoteManifest::Words(words)), RemoteManifest::Words(more)) => words.extend(more),
        (Some(_), _) => panic!("behind {before:?} either words or files can be offered"),
        (None, _) => places.push(PartitionPath { before: before.to_vec(), offer: offer.clone() }),
    }
}
