//! Bytes as hex digits and back.

use core::fmt;

/// Reads exactly two digits a byte, of either case; `None` for anything else.
pub fn parse<const N: usize>(text: &[u8]) -> Option<[u8; N]> {
    let mut bytes = [0; N];
    let mut digits = text.iter();
    for byte in &mut bytes {
        let high = digit(*digits.next()?)?;
        let low = digit(*digits.next()?)?;
        *byte = high << 4 | low;
    }
    digits.next().is_none().then_some(bytes)
}

fn digit(character: u8) -> Option<u8> {
    char::from(character).to_digit(16).and_then(|digit| u8::try_from(digit).ok())
}

/// Shows bytes as lower-case digits.
pub struct Hex<'a>(pub &'a [u8]);

impl fmt::Display for Hex<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::string::ToString;

    #[test]
    fn what_is_shown_is_read_back_in_either_case() {
        let bytes = [0x00, 0x1f, 0xab, 0xff];
        assert_eq!(Hex(&bytes).to_string(), "001fabff");
        assert_eq!(parse(b"001fabff"), Some(bytes));
        assert_eq!(parse(b"001FaBfF"), Some(bytes));
    }

    #[test]
    fn too_few_too_many_and_other_characters_are_refused() {
        for text in ["", "0", "001fabf", "001fabff0", "001fabff00", "001fabfg", "0x1fabff", " 01fabff", "+01fabff"] {
            assert_eq!(parse::<4>(text.as_bytes()), None, "{text:?}");
        }
    }
}
