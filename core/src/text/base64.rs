//! Base64 (RFC 4648 section 4) → bytes, as they come. Line breaks are passed over; padding, or any other character, ends it.

/// The bytes that the characters stand for.
pub fn decode(mut text: impl Iterator<Item = u8>) -> impl Iterator<Item = u8> {
    let (mut bits, mut count): (u32, u32) = (0, 0);
    core::iter::from_fn(move || {
        while count < 8 {
            let byte = text.find(|byte| !byte.is_ascii_whitespace())?;
            let digit = match byte {
                b'A'..=b'Z' => byte.wrapping_sub(b'A'),
                b'a'..=b'z' => byte.wrapping_sub(b'a').wrapping_add(26),
                b'0'..=b'9' => byte.wrapping_sub(b'0').wrapping_add(52),
                b'+' => 62,
                b'/' => 63,
                _ => return None,
            };
            // At most seven bits are left of those before.
            bits = (bits & 0x7f) << 6 | u32::from(digit);
            count = count.saturating_add(6);
        }
        count = count.saturating_sub(8);
        u8::try_from(bits >> count & 0xff).ok()
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::vec::Vec;

    #[test]
    fn the_vectors_of_the_rfc() {
        let rows: [(&str, &str); 9] = [
            ("", ""),
            ("Zg==", "f"),
            ("Zm8=", "fo"),
            ("Zm9v", "foo"),
            ("Zm9vYg==", "foob"),
            ("Zm9v\nYmE=\n", "fooba"),
            ("Zm9vYmFy", "foobar"),
            ("Zm9v-Zm9v", "foo"),
            ("Z", ""),
        ];
        for (text, want) in rows {
            assert_eq!(decode(text.bytes()).collect::<Vec<u8>>(), want.as_bytes(), "{text}");
        }
        let all = decode(b"AP/+/v8Q".iter().copied()).collect::<Vec<u8>>();
        assert_eq!(all, [0, 255, 254, 254, 255, 16]);
    }
}
