//! SHA-256 (FIPS 180-4), with the CPU's own instructions where it has them.

use core::fmt;

use sha2::Digest as _;

use crate::text::hex::Hex;

/// A SHA-256 in the making. The state is 112 bytes.
#[derive(Clone, Default)]
pub struct Sha256(sha2::Sha256);

/// A finished SHA-256.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hash(pub [u8; 32]);

impl Sha256 {
    /// The hash of nothing yet.
    pub fn new() -> Sha256 {
        Sha256::default()
    }

    /// Takes these bytes too.
    pub fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// The hash of all bytes taken.
    pub fn finish(self) -> Hash {
        Hash(self.0.finalize().into())
    }
}

impl Hash {
    /// The hash of bytes that are all there.
    pub fn of(bytes: &[u8]) -> Hash {
        let mut sha256 = Sha256::new();
        sha256.update(bytes);
        sha256.finish()
    }
}

impl fmt::Display for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Hex(&self.0).fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::string::ToString;
    use std::vec;

    /// FIPS 180-4's examples and the empty text.
    const ROWS: [(&str, &str); 3] = [
        ("", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"),
        ("abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"),
        (
            "abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq",
            "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1",
        ),
    ];

    #[test]
    fn the_standards_examples_hash_to_the_standards_values() {
        for (text, want) in ROWS {
            let mut sha256 = Sha256::new();
            sha256.update(text.as_bytes());
            assert_eq!(sha256.finish().to_string(), want, "{text:?}");
        }
    }

    #[test]
    fn a_million_letters_in_pieces_of_any_size_hash_to_one_value() {
        let text = vec![b'a'; 1_000_000];
        for size in [1, 7, 64, 65, 4096, 65536] {
            let mut sha256 = Sha256::new();
            text.chunks(size).for_each(|piece| sha256.update(piece));
            let want = "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0";
            assert_eq!(sha256.finish().to_string(), want, "{size}");
        }
    }
}
