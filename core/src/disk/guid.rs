//! GUIDs as GPT stores them: three little-endian fields, then eight bytes in order (UEFI 2.10, appendix A).

use core::fmt;

/// A GUID in its on-disk byte order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Guid(pub [u8; 16]);

impl Guid {
    /// The GUID of an unused partition entry.
    pub const ZERO: Guid = Guid([0; 16]);

    /// The version (RFC 9562), the first digit of the third group in its text: 4 for a random GUID, 8 for a custom one, such as
    /// image/build makes from a seed.
    pub const fn version(&self) -> u8 {
        self.0[7] >> 4
    }

    /// A GUID of random bytes.
    pub const fn random(mut bytes: [u8; 16]) -> Guid {
        bytes[7] = bytes[7] & 0x0f | 0x40;
        bytes[8] = bytes[8] & 0x3f | 0x80;
        Guid(bytes)
    }

    /// Whether `text` is this GUID in its usual form, upper or lower case.
    pub fn is(&self, text: &str) -> bool {
        let mut formatted = heapless::String::<36>::new();
        fmt::write(&mut formatted, format_args!("{self}")).is_ok() && formatted.eq_ignore_ascii_case(text)
    }
}

impl fmt::Display for Guid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, g, h, i, rest @ ..] = self.0;
        for (pair, byte) in [d, c, b, a, g, e, i, h].into_iter().chain(rest).enumerate() {
            if matches!(pair, 4 | 6 | 8 | 10) {
                f.write_str("-")?;
            }
            write!(f, "{byte:02x}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    extern crate std;
    use std::string::ToString;

    #[test]
    fn the_esp_type_reads_as_in_the_specification() {
        let esp = Guid([0x28, 0x73, 0x2a, 0xc1, 0x1f, 0xf8, 0xd2, 0x11, 0xba, 0x4b, 0, 0xa0, 0xc9, 0x3e, 0xc9, 0x3b]);
        assert_eq!(esp.to_string(), "c12a7328-f81f-11d2-ba4b-00a0c93ec93b");
        assert!(esp.is("C12A7328-F81F-11D2-BA4B-00A0C93EC93B"));
        assert!(!esp.is("C12A7328-F81F-11D2-BA4B-00A0C93EC93"));
        assert_eq!(esp.version(), 1);
    }

    #[test]
    fn a_random_one_says_so_and_keeps_its_other_bits() {
        assert_eq!(Guid::random([0xff; 16]).to_string(), "ffffffff-ffff-4fff-bfff-ffffffffffff");
        assert_eq!(Guid::random([0; 16]).to_string(), "00000000-0000-4000-8000-000000000000");
        assert_eq!(Guid::random([0x5a; 16]).version(), 4);
    }
}
