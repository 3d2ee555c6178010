//! JSON (RFC 8259): text → its values one after the other, and values → text that is escaped. Without a heap; reading is without
//! recursion.
//!
//! serde-json-core was tried for this and not taken: 30,000 opening brackets overflow its stack, it passes over
//! malformed values of unknown fields, leaves escapes in borrowed strings and does not say which field is wrong. It is
//! also larger.

use core::fmt::{self, Write as _};

/// Deepest nesting that is read.
const DEPTH_MAX: u32 = 32;

/// What is wrong with the text, and at which byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Error {
    /// Offset of the byte that is not allowed there.
    pub at: usize,
}

/// A string as it is written between its quotes. Escapes are checked when it is read, and decoded when it is used.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub struct Text<'a>(&'a str);

/// A value; of an array or object only that it is one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Value<'a> {
    /// A string.
    Text(Text<'a>),
    /// A number, as written.
    Number(&'a str),
    /// `null`.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// An array or an object, which was read and is well formed.
    Nested,
}

/// Reads the members of the object that `text` is, and calls `member` with each. Nested values are checked and skipped.
///
/// # Errors
/// `member`'s, or for text that is no object, or has anything after it.
pub fn members<'a, E: From<Error>>(
    text: &'a str,
    mut member: impl FnMut(Text<'a>, Value<'a>) -> Result<(), E>,
) -> Result<(), E> {
    let mut reader = Reader { text, at: 0 };
    reader.space();
    reader.expect(b'{')?;
    reader.space();
    if !reader.take(b'}') {
        loop {
            let name = reader.name()?;
            member(name, reader.value()?)?;
            reader.space();
            if reader.take(b'}') {
                break;
            }
            reader.expect(b',')?;
            reader.space();
        }
    }
    reader.space();
    if reader.at == text.len() { Ok(()) } else { Err(reader.error().into()) }
}

struct Reader<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Reader<'a> {
    fn error(&self) -> Error {
        Error { at: self.at }
    }

    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn take(&mut self, byte: u8) -> bool {
        let there = self.peek() == Some(byte);
        self.at = self.at.saturating_add(usize::from(there));
        there
    }

    fn take_where(&mut self, wanted: impl Fn(u8) -> bool) -> usize {
        let start = self.at;
        while self.peek().is_some_and(&wanted) {
            self.at = self.at.saturating_add(1);
        }
        self.at.saturating_sub(start)
    }

    fn expect(&mut self, byte: u8) -> Result<(), Error> {
        if self.take(byte) { Ok(()) } else { Err(self.error()) }
    }

    fn space(&mut self) {
        self.take_where(|byte| matches!(byte, b' ' | b'\t' | b'\n' | b'\r'));
    }

    fn since(&self, start: usize) -> &'a str {
        self.text.get(start..self.at).unwrap_or_default()
    }

    /// `"name":` and the space after it.
    fn name(&mut self) -> Result<Text<'a>, Error> {
        let name = self.string()?;
        self.space();
        self.expect(b':')?;
        self.space();
        Ok(name)
    }

    fn value(&mut self) -> Result<Value<'a>, Error> {
        let value = self.scalar()?;
        if value == Value::Nested {
            self.rest_of_nested()?;
        }
        Ok(value)
    }

    /// A value without parts, or [`Value::Nested`] in front of `[` or `{`.
    fn scalar(&mut self) -> Result<Value<'a>, Error> {
        match self.peek() {
            Some(b'"') => self.string().map(Value::Text),
            Some(b'[' | b'{') => Ok(Value::Nested),
            Some(b'-' | b'0'..=b'9') => self.number().map(Value::Number),
            _ => {
                let start = self.at;
                self.take_where(|byte| byte.is_ascii_lowercase());
                match self.since(start) {
                    "null" => Ok(Value::Null),
                    "true" => Ok(Value::Bool(true)),
                    "false" => Ok(Value::Bool(false)),
                    _ => Err(Error { at: start }),
                }
            }
        }
    }

    /// Reads to the end of the array or object that begins here.
    fn rest_of_nested(&mut self) -> Result<(), Error> {
        // One bit for each open bracket, the innermost lowest: 1 for an object.
        let mut objects: u64 = 0;
        let mut depth: u32 = 0;
        loop {
            // In front of a value.
            if matches!(self.peek(), Some(b'[' | b'{')) {
                if depth == DEPTH_MAX {
                    return Err(self.error());
                }
                let object = self.take(b'{');
                if !object {
                    self.expect(b'[')?;
                }
                objects = objects << 1 | u64::from(object);
                depth = depth.saturating_add(1);
                self.space();
                if self.peek() != Some(closing(objects)) {
                    if object {
                        self.name()?;
                    }
                    continue;
                }
            } else {
                self.scalar()?;
            }
            // Behind a value.
            loop {
                self.space();
                if self.take(b',') {
                    self.space();
                    if objects & 1 == 1 {
                        self.name()?;
                    }
                    break;
                }
                self.expect(closing(objects))?;
                objects >>= 1;
                depth = depth.saturating_sub(1);
                if depth == 0 {
                    return Ok(());
                }
            }
        }
    }

    fn number(&mut self) -> Result<&'a str, Error> {
        let start = self.at;
        self.take(b'-');
        if !self.take(b'0') {
            self.digits()?;
        }
        if self.take(b'.') {
            self.digits()?;
        }
        if self.take(b'e') || self.take(b'E') {
            let _sign = self.take(b'+') || self.take(b'-');
            self.digits()?;
        }
        Ok(self.since(start))
    }

    fn digits(&mut self) -> Result<(), Error> {
        if self.take_where(|byte| byte.is_ascii_digit()) == 0 { Err(self.error()) } else { Ok(()) }
    }

    fn string(&mut self) -> Result<Text<'a>, Error> {
        self.expect(b'"')?;
        let start = self.at;
        loop {
            self.take_where(|byte| byte >= b' ' && byte != b'"' && byte != b'\\');
            let text = Text(self.since(start));
            if self.take(b'"') {
                return Ok(text);
            }
            let mut rest = self.text.get(self.at..).unwrap_or_default().chars();
            let length = rest.as_str().len();
            if rest.next() != Some('\\') || unescape(&mut rest).is_none() {
                return Err(self.error());
            }
            self.at = self.at.saturating_add(length.saturating_sub(rest.as_str().len()));
        }
    }
}

fn closing(objects: u64) -> u8 {
    if objects & 1 == 1 { b'}' } else { b']' }
}

/// The character that an escape stands for; `rest` begins behind the backslash. Half a surrogate pair is no character.
fn unescape(rest: &mut core::str::Chars<'_>) -> Option<char> {
    Some(match rest.next()? {
        character @ ('"' | '\\' | '/') => character,
        'b' => '\u{8}',
        'f' => '\u{c}',
        'n' => '\n',
        'r' => '\r',
        't' => '\t',
        'u' => {
            let first = unit(rest)?;
            if (0xd800..0xdc00).contains(&first) {
                if rest.next() != Some('\\') || rest.next() != Some('u') {
                    return None;
                }
                char::decode_utf16([first, unit(rest)?]).next()?.ok()?
            } else {
                char::from_u32(u32::from(first))?
            }
        }
        _ => return None,
    })
}

fn unit(rest: &mut core::str::Chars<'_>) -> Option<u16> {
    let mut unit: u16 = 0;
    for _ in 0..4 {
        unit = unit << 4 | u16::try_from(rest.next()?.to_digit(16)?).ok()?;
    }
    Some(unit)
}

impl<'a> Text<'a> {
    /// Text that holds no backslash and no quotation mark, taken as it is.
    pub const fn plain(text: &'a str) -> Text<'a> {
        Text(text)
    }

    /// The string as the document writes it, between its quotes.
    pub fn raw(self) -> &'a str {
        self.0
    }

    /// The characters it stands for.
    pub fn chars(self) -> impl Iterator<Item = char> + 'a {
        let mut rest = self.0.chars();
        core::iter::from_fn(move || match rest.next()? {
            '\\' => unescape(&mut rest),
            character => Some(character),
        })
    }

    /// Whether it stands for exactly this text.
    pub fn is(self, text: &str) -> bool {
        self.chars().eq(text.chars())
    }
}

/// For a terminal: control characters but line breaks and tabs become `?`, so that no text can send escape sequences.
impl fmt::Display for Text<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.chars().try_for_each(|character| {
            let tame = !character.is_control() || matches!(character, '\n' | '\t');
            f.write_char(if tame { character } else { '?' })
        })
    }
}

impl fmt::Debug for Text<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "not JSON at byte {}", self.at)
    }
}

impl core::error::Error for Error {}

/// Bytes that should be UTF-8, as a JSON string in its quotes. Invalid bytes are replaced.
pub struct Quoted<'a>(pub &'a [u8]);

impl<'a> Quoted<'a> {
    /// A text as a JSON string.
    pub const fn text(text: &'a str) -> Quoted<'a> {
        Quoted(text.as_bytes())
    }
}

impl fmt::Display for Quoted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_char('"')?;
        for part in self.0.utf8_chunks() {
            Escaping(f).write_str(part.valid())?;
            if !part.invalid().is_empty() {
                f.write_char(char::REPLACEMENT_CHARACTER)?;
            }
        }
        f.write_char('"')
    }
}

/// Writes text as it stands between quotes. Every control character is escaped, also those that JSON would take as they are, so that
/// the output sends no escape sequence to a terminal.
struct Escaping<'w>(&'w mut dyn fmt::Write);

impl fmt::Write for Escaping<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        text.chars().try_for_each(|character| match character {
            '"' | '\\' => write!(self.0, "\\{character}"),
            _ if character.is_control() => write!(self.0, "\\u{:04x}", u32::from(character)),
            _ => self.0.write_char(character),
        })
    }
}

/// What can stand in a document that is written.
pub trait Encode {
    /// Writes it as JSON.
    ///
    /// # Errors
    /// Those of `out`.
    fn encode(&self, out: &mut dyn fmt::Write) -> fmt::Result;
}

/// A value that displays as a text: a string, in quotes.
pub struct Shown<T>(pub T);

impl<T: fmt::Display> Encode for Shown<T> {
    fn encode(&self, out: &mut dyn fmt::Write) -> fmt::Result {
        string(&self.0, out)
    }
}

fn string(shown: &dyn fmt::Display, out: &mut dyn fmt::Write) -> fmt::Result {
    out.write_char('"')?;
    write!(Escaping(out), "{shown}")?;
    out.write_char('"')
}

impl Encode for &str {
    fn encode(&self, out: &mut dyn fmt::Write) -> fmt::Result {
        Shown(self).encode(out)
    }
}

impl Encode for Text<'_> {
    fn encode(&self, out: &mut dyn fmt::Write) -> fmt::Result {
        out.write_char('"')?;
        self.chars().try_for_each(|character| Escaping(out).write_char(character))?;
        out.write_char('"')
    }
}

impl Encode for Quoted<'_> {
    fn encode(&self, out: &mut dyn fmt::Write) -> fmt::Result {
        write!(out, "{self}")
    }
}

impl Encode for bool {
    fn encode(&self, out: &mut dyn fmt::Write) -> fmt::Result {
        out.write_str(if *self { "true" } else { "false" })
    }
}

impl Encode for u64 {
    fn encode(&self, out: &mut dyn fmt::Write) -> fmt::Result {
        write!(out, "{self}")
    }
}

impl Encode for u32 {
    fn encode(&self, out: &mut dyn fmt::Write) -> fmt::Result {
        u64::from(*self).encode(out)
    }
}

impl<T: Encode> Encode for Option<T> {
    fn encode(&self, out: &mut dyn fmt::Write) -> fmt::Result {
        match self {
            Some(value) => value.encode(out),
            None => out.write_str("null"),
        }
    }
}

/// Writes an object or an array, one part after the other.
pub struct Writer<'w> {
    out: &'w mut dyn fmt::Write,
    is_empty: bool,
}

/// Writes one part after the other.
pub type Fill<'f> = &'f mut dyn FnMut(&mut Writer<'_>) -> fmt::Result;

/// Writes an object with the members that `fill` adds.
///
/// # Errors
/// Those of `out`.
pub fn object(out: &mut dyn fmt::Write, fill: Fill<'_>) -> fmt::Result {
    out.write_char('{')?;
    fill(&mut Writer { out, is_empty: true })?;
    out.write_char('}')
}

#[expect(clippy::missing_errors_doc, reason = "each has those of the output that is written to")]
impl Writer<'_> {
    /// The place for a member's value.
    fn name(&mut self, name: &dyn Encode) -> Result<&mut dyn fmt::Write, fmt::Error> {
        name.encode(self.element()?)?;
        self.out.write_char(':')?;
        Ok(self.out)
    }

    /// The place for the next element.
    fn element(&mut self) -> Result<&mut dyn fmt::Write, fmt::Error> {
        if !self.is_empty {
            self.out.write_char(',')?;
        }
        self.is_empty = false;
        Ok(self.out)
    }

    /// Adds a member to an object.
    pub fn member(&mut self, name: &str, value: &dyn Encode) -> fmt::Result {
        value.encode(self.name(&name)?)
    }

    /// Adds a member to an object whose name need not be UTF-8.
    pub fn member_of(&mut self, name: &Quoted<'_>, value: &dyn Encode) -> fmt::Result {
        value.encode(self.name(name)?)
    }

    /// Adds a member that is an object.
    pub fn object(&mut self, name: &str, fill: Fill<'_>) -> fmt::Result {
        object(self.name(&name)?, fill)
    }

    /// Adds a member that is an array, with the elements that `fill` adds.
    pub fn array(&mut self, name: &str, fill: Fill<'_>) -> fmt::Result {
        let out = self.name(&name)?;
        out.write_char('[')?;
        fill(&mut Writer { out, is_empty: true })?;
        out.write_char(']')
    }

    /// Adds an element to an array.
    pub fn value(&mut self, value: &dyn Encode) -> fmt::Result {
        value.encode(self.element()?)
    }

    /// Adds an element that is an object.
    pub fn object_value(&mut self, fill: Fill<'_>) -> fmt::Result {
        object(self.element()?, fill)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::format;
    use std::string::{String, ToString};
    use std::vec::Vec;

    fn read(text: &str) -> Result<Vec<(String, Value<'_>)>, Error> {
        let mut all = Vec::new();
        members(text, |name, value| {
            all.push((name.to_string(), value));
            Ok::<(), Error>(())
        })?;
        Ok(all)
    }

    #[test]
    fn values_of_every_shape_are_read() {
        let rows: &[(&str, Value<'_>)] = &[
            ("\"\"", Value::Text(Text(""))),
            ("\"a\"", Value::Text(Text("a"))),
            (r#""\"\\\/\b\f\n\r\t\u00e4\ud83d\ude00""#, Value::Text(Text(r#"\"\\\/\b\f\n\r\t\u00e4\ud83d\ude00"#))),
            ("0", Value::Number("0")),
            ("-0.5e+10", Value::Number("-0.5e+10")),
            ("123456789012345678901234567890", Value::Number("123456789012345678901234567890")),
            ("1E400", Value::Number("1E400")),
            ("null", Value::Null),
            ("true", Value::Bool(true)),
            ("false", Value::Bool(false)),
            ("[]", Value::Nested),
            ("{}", Value::Nested),
            ("[[],{},[{}]]", Value::Nested),
            ("[ 1 , \"]\\\"\" , { \"}\" : [ null , true ] , \"b\" : 2 } ]", Value::Nested),
            ("{\"a\":{\"b\":{\"c\":[1,2,[3]]}},\"d\":\"{\"}", Value::Nested),
        ];
        for (text, want) in rows {
            let document = format!(" {{ \"x\" : {text} , \"y\":1}}\r\n");
            let want = [("x".to_string(), *want), ("y".to_string(), Value::Number("1"))];
            assert_eq!(read(&document).unwrap(), want, "{text}");
        }
        assert_eq!(read("{}"), Ok(Vec::new()));
    }

    #[test]
    fn what_is_no_json_is_refused_where_it_goes_wrong() {
        for (text, at) in [
            ("", 0),
            ("[]", 0),
            ("\u{feff}{}", 0),
            ("{", 1),
            ("{}x", 2),
            ("{}{}", 2),
            ("{,}", 1),
            ("{\"a\":1,}", 7),
            ("{\"a\" 1}", 5),
            ("{\"a\":1 \"b\":2}", 7),
            ("{a:1}", 1),
            ("{\"a\":}", 5),
            ("{\"a\":troo}", 5),
            ("{\"a\":nulll}", 5),
            ("{\"a\":01}", 6),
            ("{\"a\":-}", 6),
            ("{\"a\":1.}", 7),
            ("{\"a\":1e}", 7),
            ("{\"a\":1.2.3}", 8),
            ("{\"a\":+1}", 5),
            ("{\"a\":NaN}", 5),
            ("{\"a\":\"b", 7),
            ("{\"a\":\"b\nc\"}", 7),
            ("{\"a\":\"\\q\"}", 6),
            ("{\"a\":\"\\", 6),
            ("{\"a\":\"\\u12g4\"}", 6),
            ("{\"a\":\"\\u+123\"}", 6),
            ("{\"a\":\"\\ud800\"}", 6),
            ("{\"a\":\"\\ud800\\n\"}", 6),
            ("{\"a\":\"\\ud800\\ud800\"}", 6),
            ("{\"a\":\"\\udc00\"}", 6),
            ("{\"a\":[1}", 7),
            ("{\"a\":[1,]}", 8),
            ("{\"a\":[,1]}", 6),
            ("{\"a\":[}{]}", 6),
            ("{\"a\":{\"b\":1]}", 11),
            ("{\"a\":{1:2}}", 6),
            ("{\"a\":[[1]", 9),
            ("{\"a\":'b'}", 5),
            ("{\"a\":1/*b*/}", 6),
        ] {
            assert_eq!(read(text), Err(Error { at }), "{text}");
        }
    }

    #[test]
    fn no_nesting_is_too_deep_to_be_refused() {
        let nested = |depth: usize| format!("{{\"a\":{}1{}}}", "[".repeat(depth), "]".repeat(depth));
        assert!(read(&nested(32)).is_ok());
        assert_eq!(read(&nested(33)), Err(Error { at: 37 }));
        assert_eq!(read(&nested(1_000_000)), Err(Error { at: 37 }));
        let objects = |depth: usize| format!("{{\"a\":{}1{}}}", "{\"b\":".repeat(depth), "}".repeat(depth));
        assert!(read(&objects(32)).is_ok());
        assert!(read(&objects(33)).is_err());
    }

    #[test]
    fn escapes_are_decoded_when_the_text_is_used() {
        let text = Text(r#"a\/b \u00e4\ud83d\ude00\n"#);
        assert!(text.is("a/b \u{e4}\u{1f600}\n"));
        assert!(!text.is("a/b"));
    }

    #[test]
    fn no_text_can_steer_a_terminal() {
        assert_eq!(Text(r"a\u001b[2Jb\u009b\r\n\tc").to_string(), "a?[2Jb??\n\tc");
    }

    #[test]
    fn what_is_written_is_escaped_and_read_back() {
        let odd = "a \"b\" \\ \n\t\u{0} \u{1b}[2J \u{7f} \u{9b} \u{e4}\u{1f600}";
        let mut text = String::new();
        object(&mut text, &mut |all| {
            all.member("text", &odd)?;
            all.member(odd, &Shown(odd))?;
            all.member("from", &Text(r#"\u001b\/\"\ud83d\ude00"#))?;
            all.member_of(&Quoted(b"\xff\""), &Quoted(b"\xfe"))?;
            all.member("number", &u64::MAX)?;
            all.member("yes", &true)?;
            all.member("none", &None::<u32>)?;
            all.object("empty", &mut |_| Ok(()))?;
            all.array("nothing", &mut |_| Ok(()))?;
            all.array("list", &mut |list| {
                list.value(&"a")?;
                list.value(&Some(7_u32))?;
                list.object_value(&mut |one| one.member("x", &false))
            })
        })
        .unwrap();
        assert!(!text.chars().any(char::is_control), "{text}");
        let read = read(&text).unwrap();
        assert_eq!(read.len(), 10, "{text}");
        for (place, want) in [(0, odd), (1, odd), (2, "\u{1b}/\"\u{1f600}"), (3, "\u{fffd}")] {
            assert!(matches!(read[place].1, Value::Text(text) if text.is(want)), "{place}: {text}");
        }
        assert_eq!(read[4].1, Value::Number("18446744073709551615"));
        assert!(
            text.ends_with(r#""yes":true,"none":null,"empty":{},"nothing":[],"list":["a",7,{"x":false}]}"#),
            "{text}"
        );
    }
}
