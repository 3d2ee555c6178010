//! Members of the mapping that a YAML document is: what `user-data` and `meta-data` are made of.
//!
//! The parser (saphyr-parser, YAML 1.2) gives events; here they are walked without recursion, and no alias is ever
//! expanded: a document costs time and memory in proportion to its length.

use saphyr_parser::{Event, Parser, ScalarStyle, ScanError, Span, StrInput};

/// Nested deeper than this, a document is refused.
const DEPTH_MAX: usize = 64;

/// What is wrong with a document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CopyFault {
    /// Line, from 1.
    pub line: usize,
    /// In words.
    pub reason: String,
}

impl CopyFault {
    /// A flaw in that line.
    pub fn new(line: usize, reason: impl Into<String>) -> CopyFault {
        CopyFault { line, reason: reason.into() }
    }
}

impl From<ScanError> for CopyFault {
    fn from(error: ScanError) -> CopyFault {
        CopyFault::new(error.marker().line(), format!("not YAML: {}", error.info()))
    }
}

/// A member's value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// One text; `null`, `~` and nothing at all are the empty one.
    Text(String),
    /// A mapping, its members in their order.
    Members(Vec<Member>),
    /// Anything else, in words: "a list".
    Other(&'static str),
}

/// A key with its value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// Line of the key, from 1.
    pub line: usize,
    /// The key.
    pub key: String,
    /// Its value.
    pub value: Value,
}

/// The value of `key` in the document's mapping; a mapping is taken one level deep. The whole document is read: one
/// that is broken further down is no document.
///
/// # Errors
/// Text that is not one YAML mapping, or has `key` twice.
pub fn member(text: &str, key: &str) -> Result<Option<Member>, CopyFault> {
    if let Some(at) = text.find('\0') {
        let line = text.get(..at).unwrap_or_default().lines().count().max(1);
        return Err(CopyFault::new(line, "holds a NUL byte"));
    }
    let mut reader = Reader { parser: Parser::new_from_str(text), depth: 0 };
    let mut found: Option<Member> = None;
    reader.next()?; // the stream begins
    let (first, _) = reader.next()?;
    if first == Event::StreamEnd {
        return Ok(None);
    }
    match reader.next()? {
        (Event::MappingStart(..), _) => {}
        // Comments only.
        (Event::Scalar(text, ScalarStyle::Plain, ..), _) if is_null(&text) => return Ok(None),
        (_, line) => return Err(CopyFault::new(line, "not a mapping (key: value)")),
    }
    while let Some((name, line)) = reader.key()? {
        if name.as_deref() != Some(key) {
            reader.skip_value()?;
            continue;
        }
        if found.is_some() {
            return Err(CopyFault::new(line, format!("{key} stands here a second time")));
        }
        let value = match reader.next()? {
            (Event::MappingStart(_, None), _) => Value::Members(reader.members(key)?),
            (event, _) => reader.value(event)?,
        };
        found = Some(Member { line, key: key.into(), value });
    }
    reader.next()?; // the document ends
    match reader.next()? {
        (Event::StreamEnd, _) => Ok(found),
        (_, line) => Err(CopyFault::new(line, "a second document; one is expected")),
    }
}

struct Reader<'a> {
    parser: Parser<'a, StrInput<'a>>,
    depth: usize,
}

impl<'a> Reader<'a> {
    /// The next event, with its line.
    fn next(&mut self) -> Result<(Event<'a>, usize), CopyFault> {
        let Some(next) = self.parser.next_event() else { return Ok((Event::StreamEnd, 1)) };
        let (event, Span { start, .. }) = next?;
        match event {
            Event::MappingStart(..) | Event::SequenceStart(..) => self.depth = self.depth.saturating_add(1),
            Event::MappingEnd | Event::SequenceEnd => self.depth = self.depth.saturating_sub(1),
            _ => {}
        }
        if self.depth > DEPTH_MAX {
            return Err(CopyFault::new(start.line(), format!("nested deeper than {DEPTH_MAX} levels")));
        }
        Ok((event, start.line()))
    }

    /// The next key of the mapping, with its line; a key that is no text has no name. `None` at the mapping's end.
    fn key(&mut self) -> Result<Option<(Option<String>, usize)>, CopyFault> {
        Ok(match self.next()? {
            (Event::MappingEnd, _) => None,
            (Event::Scalar(name, ..), line) => Some((Some(name.into_owned()), line)),
            (event, line) => {
                self.skip(&event)?;
                Some((None, line))
            }
        })
    }

    /// The members of the mapping `of` that has just begun.
    fn members(&mut self, of: &str) -> Result<Vec<Member>, CopyFault> {
        let mut members: Vec<Member> = Vec::new();
        while let Some((name, line)) = self.key()? {
            let Some(key) = name else { return Err(CopyFault::new(line, format!("{of} has a key that is no text"))) };
            if let Some(before) = members.iter().find(|member| member.key == key) {
                return Err(CopyFault::new(line, format!("{of}.{key} stands in line {} already", before.line)));
            }
            let (event, _) = self.next()?;
            members.push(Member { line, key, value: self.value(event)? });
        }
        Ok(members)
    }

    /// The value that begins with that event.
    fn value(&mut self, event: Event<'a>) -> Result<Value, CopyFault> {
        let other = match event {
            Event::Scalar(text, ScalarStyle::Plain, _, None) if is_null(&text) => {
                return Ok(Value::Text(String::new()));
            }
            Event::Scalar(text, _, _, None) => return Ok(Value::Text(text.into_owned())),
            Event::SequenceStart(_, None) => "a list",
            Event::MappingStart(_, None) => "a mapping",
            Event::Alias(_) => "an alias",
            _ => "a value with a tag",
        };
        self.skip(&event)?;
        Ok(Value::Other(other))
    }

    fn skip_value(&mut self) -> Result<(), CopyFault> {
        let (event, _) = self.next()?;
        self.skip(&event)
    }

    /// Passes over the rest of the node that begins with that event.
    fn skip(&mut self, event: &Event<'_>) -> Result<(), CopyFault> {
        if matches!(event, Event::MappingStart(..) | Event::SequenceStart(..)) {
            let outside = self.depth.saturating_sub(1);
            while self.depth > outside {
                self.next()?;
            }
        }
        Ok(())
    }
}

/// The core schema's words for nothing (YAML 1.2.2 §10.3.2).
fn is_null(text: &str) -> bool {
    matches!(text, "" | "~" | "null" | "Null" | "NULL")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text_of(text: &str) -> Result<Option<Value>, (usize, String)> {
        member(text, "k").map(|found| found.map(|member| member.value)).map_err(|flaw| (flaw.line, flaw.reason))
    }

    #[test]
    fn a_member_is_found_and_the_rest_passed_over() {
        let rows: &[(&str, Option<Value>)] = &[
            ("", None),
            ("# only a comment\n", None),
            ("a: 1\n", None),
            ("k: v\n", Some(Value::Text("v".into()))),
            ("k:\n", Some(Value::Text(String::new()))),
            ("k: ~\n", Some(Value::Text(String::new()))),
            ("k: '~'\n", Some(Value::Text("~".into()))),
            ("k: 3\n", Some(Value::Text("3".into()))),
            ("k: [1, {a: b}]\n", Some(Value::Other("a list"))),
            ("k: !!binary aGk=\n", Some(Value::Other("a value with a tag"))),
            ("a: &x 1\nk: *x\n", Some(Value::Other("an alias"))),
            ("{\"a\": [[{\"k\": 1}]], \"k\": \"v\"}", Some(Value::Text("v".into()))),
            ("? [a, b]\n: {k: no}\nk: v\n", Some(Value::Text("v".into()))),
            ("a:\n  k: no\nb: |\n  k: no\n", None),
        ];
        for (text, want) in rows {
            assert_eq!(text_of(text).as_ref(), Ok(want), "{text:?}");
        }
    }

    #[test]
    fn what_is_not_one_mapping_is_named_by_line() {
        let deep = "a: ".to_owned() + &"[".repeat(DEPTH_MAX);
        let rows: &[(&str, usize, &str)] = &[
            ("- a\n", 1, "not a mapping"),
            ("text\n", 1, "not a mapping"),
            ("k: 1\n\nk: 2\n", 3, "a second time"),
            ("k: 1\n---\nk: 2\n", 2, "a second document"),
            ("a: 1\nk: [\n", 3, "not YAML"),
            ("k: 1\na: \"x\n", 2, "not YAML"),
            ("k: 1\n\tb: 2\n", 1, "not YAML"),
            ("a: 1\nk: \0\n", 2, "NUL"),
            (&deep, 1, "nested deeper"),
        ];
        for (text, line, want) in rows {
            match text_of(text) {
                Err((at, reason)) => assert!(at == *line && reason.contains(want), "{text:?}: {at}: {reason}"),
                found => panic!("{text:?}: {found:?}"),
            }
        }
    }

    #[test]
    fn aliases_are_not_expanded_and_long_hostile_text_ends_soon() {
        let mut laughs = String::from("a: &a [x, x]\n");
        for (from, to) in ('a'..'y').zip('b'..) {
            laughs += &format!("x{to}: &{to} [*{from}, *{from}, *{from}, *{from}]\n");
        }
        assert_eq!(text_of(&laughs), Ok(None));
        let begun = std::time::Instant::now();
        for hostile in ["- ", "? ", "[", "{", "a: ", "&a ", "- [", "|\n", "'", "\"\\", "#", "!", "*a "] {
            // Document or not: what matters is the time.
            drop(text_of(&hostile.repeat((1 << 20) / hostile.len())));
        }
        assert!(begun.elapsed().as_secs() < 20, "{:?}", begun.elapsed());
    }

    #[test]
    fn no_damage_to_a_document_is_fatal() {
        let whole = include_str!("../full-config.yaml");
        let mut seed: u64 = 1;
        let mut random = |below: usize| {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (seed >> 33) as usize % below
        };
        for _ in 0..4000 {
            let mut bytes = whole.as_bytes().to_vec();
            for _ in 0..=random(4) {
                let at = random(bytes.len().max(1));
                match random(8) {
                    _ if bytes.is_empty() => {}
                    0..4 => bytes[at] = b"\0\n\t :-?[]{}&*!|>'\"%@`#,"[random(23)],
                    4..7 => drop(bytes.remove(at)),
                    _ => bytes.truncate(at.max(1)),
                }
            }
            // Whatever comes of it, it comes without a panic.
            drop(member(&String::from_utf8_lossy(&bytes), "updates"));
        }
    }
}
