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
pub struct Place {
    pub before: Vec<String>,
    pub offer: Offered,
}

/// What a shell can offer.
#[derive(Clone)]
pub enum Offered {
    Words(Vec<&'static str>),
    Files,
    Folders,
    Nothing,
}

impl Offered {
    pub fn of(value: Value) -> Offered {
        match value {
            Value::OneOf(words) => Offered::Words(words.to_vec()),
            Value::File(_) => Offered::Files,
            Value::Folder(_) => Offered::Folders,
            Value::Text(_) => Offered::Nothing,
        }
    }
}

/// The place where a verb stands: first, or behind `help`.
pub fn verbs() -> Place {
    let words = VERBS.iter().map(|row| row.word).collect();
    Place { before: vec![String::new(), "help".into()], offer: Offered::Words(words) }
}

/// Every place behind a verb where there is something to offer.
pub fn places() -> Vec<Place> {
    let mut places = Vec::new();
    for verb in VERBS {
        for form in verb.forms {
            let mut before = vec![verb.word.to_owned()];
            for argument in *form {
                let offer = Offered::of(value(argument));
                add(&mut places, &before, &offer);
                let Offered::Words(words) = offer else { break };
                before =
                    before.iter().flat_map(|before| words.iter().map(move |word| format!("{before} {word}"))).collect();
            }
        }
    }
    places
}

fn add(places: &mut Vec<Place>, before: &[String], offer: &Offered) {
    match (places.iter_mut().find(|place| place.before == before).map(|place| &mut place.offer), offer) {
        (_, Offered::Nothing) => {}
        (Some(Offered::Words(words)), Offered::Words(more)) => words.extend(more),
        (Some(_), _) => panic!("behind {before:?} either words or files can be offered"),
        (None, _) => places.push(Place { before: before.to_vec(), offer: offer.clone() }),
    }
}
