//! Ed25519 (RFC 8032) signatures: the files that hold public keys and signatures, and the check itself.
//!
//! ed25519-compact with `opt_size`: the whole check in some 16 KB, constant formulas, formally verified field
//! arithmetic. ed25519-dalek is the other well-kept crate, and 40 KB larger.

use core::fmt;

use ed25519_compact::{PublicKey, Signature};
use heapless::Vec;

use crate::text::hex;

/// Most keys in one file.
const KEYS_MAX: usize = 16;

/// Public keys, of which any one may have signed.
#[derive(Clone, Debug)]
pub struct Keys(Vec<PublicKey, KEYS_MAX>);

/// Why a key file is not taken. The numbers are lines, from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeysError {
    /// The line is not 64 hex digits.
    NotHex(u32),
    /// The line's 32 bytes are no key that a signature could be checked with.
    NotAKey(u32),
    /// No line holds a key. This is an error, as it must not count as "no key configured".
    Empty,
    /// More keys than one file may hold.
    TooMany,
}

/// Why a signature is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Error {
    /// Neither 64 bytes nor 128 hex digits.
    Form(usize),
    /// None of the keys has signed this message with it.
    Mismatch,
}

impl Keys {
    /// Reads 64 hex digits a line; `#` begins a comment, empty lines are passed over.
    ///
    /// # Errors
    /// For any line that holds something else, and for a file without a key: a key that is skipped because of a typing error would
    /// be missed only when it is needed.
    pub fn parse(text: &[u8]) -> Result<Keys, KeysError> {
        let mut keys = Keys(Vec::new());
        for (line, number) in text.split(|byte| *byte == b'\n').zip(1..) {
            let line = line.split(|byte| *byte == b'#').next().unwrap_or_default().trim_ascii();
            if line.is_empty() {
                continue;
            }
            let key = PublicKey::new(hex::parse(line).ok_or(KeysError::NotHex(number))?);
            key.validate().map_err(|_| KeysError::NotAKey(number))?;
            keys.0.push(key).map_err(|_| KeysError::TooMany)?;
        }
        if keys.0.is_empty() { Err(KeysError::Empty) } else { Ok(keys) }
    }

    /// Checks `signature`, as its file holds it, of `message`. Gives the number of the key that signed, from 1, in the
    /// order of the key file.
    ///
    /// # Errors
    /// If the signature is none, or none of these keys'.
    pub fn verify(&self, message: &[u8], signature: &[u8]) -> Result<usize, Error> {
        let signature = Signature::new(parse(signature)?);
        let signed = self.0.iter().zip(1..).find(|(key, _)| key.verify(message, &signature).is_ok());
        signed.map(|(_, number)| number).ok_or(Error::Mismatch)
    }
}

/// A signature file: 64 raw bytes, or 128 hex digits with white space around them.
fn parse(file: &[u8]) -> Result<[u8; 64], Error> {
    // 64 bytes are always raw: hex digits would be 128.
    <[u8; 64]>::try_from(file).ok().or_else(|| hex::parse(file.trim_ascii())).ok_or(Error::Form(file.len()))
}

impl fmt::Display for KeysError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            KeysError::NotHex(line) => write!(f, "line {line} is not a key of 64 hex digits"),
            KeysError::NotAKey(line) => write!(f, "line {line} is not an Ed25519 public key"),
            KeysError::Empty => f.write_str("no key in it"),
            KeysError::TooMany => write!(f, "more than {KEYS_MAX} keys in it"),
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::Form(length) => write!(f, "{length} bytes are not a signature of 64 bytes or 128 hex digits"),
            Error::Mismatch => f.write_str("signature does not match any configured key"),
        }
    }
}

impl core::error::Error for KeysError {}
impl core::error::Error for Error {}

#[cfg(test)]
#[path = "../../tests/scene/skips.rs"]
mod skips;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::text::hex::Hex;
    use std::format;
    use std::string::{String, ToString};
    use std::vec;

    /// RFC 8032 section 7.1: public key, message, signature.
    const RFC_8032: [(&str, &str, &str, &str); 4] = [
        (
            "TEST 1",
            "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a",
            "",
            "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b",
        ),
        (
            "TEST 2",
            "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c",
            "72",
            "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00",
        ),
        (
            "TEST 3",
            "fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025",
            "af82",
            "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac18ff9b538d16f290ae67f760984dc6594a7c15e9716ed28dc027beceea1ec40a",
        ),
        (
            "TEST SHA(abc)",
            "ec172b93ad5e563bf4932c70e1245034c35467ef2efd4d64ebf819683467e2bf",
            "ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a2192992a274fc1a836ba3c23a3feebbd454d4423643ce80e2a9ac94fa54ca49f",
            "dc2a4459e7369633a52b1bf277839a00201009a3efbf3ecb69bea2186c26b58909351fc9ac90b3ecfdfbc7c66431e0303dca179c138ac17ad9bef1177331a704",
        ),
    ];

    fn bytes(digits: &str) -> vec::Vec<u8> {
        digits.as_bytes().chunks(2).map(|pair| hex::parse::<1>(pair).unwrap()[0]).collect()
    }

    #[test]
    fn the_rfcs_vectors_verify_raw_and_as_digits() {
        for (name, key, message, signature) in RFC_8032 {
            let keys = Keys::parse(key.as_bytes()).unwrap();
            let message = bytes(message);
            assert_eq!(keys.verify(&message, &bytes(signature)), Ok(1), "{name}");
            for form in
                [signature.to_string(), signature.to_uppercase(), format!("{signature}\n"), format!("{signature}\r\n")]
            {
                assert_eq!(keys.verify(&message, form.as_bytes()), Ok(1), "{name}");
            }
        }
    }

    #[test]
    fn a_flipped_bit_anywhere_is_refused() {
        let (_, key, message, signature) = RFC_8032[2];
        let (key, message, signature) = (bytes(key), bytes(message), bytes(signature));
        let whole = [&key[..], &message, &signature].concat();
        for bit in 0..whole.len() * 8 {
            let mut flipped = whole.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            let (key, rest) = flipped.split_at(32);
            let (message, signature) = rest.split_at(2);
            match Keys::parse(Hex(key).to_string().as_bytes()) {
                Ok(keys) => assert_eq!(keys.verify(message, signature), Err(Error::Mismatch), "bit {bit}"),
                Err(error) => assert_eq!(error, KeysError::NotAKey(1), "bit {bit}"),
            }
        }
    }

    #[test]
    fn a_signature_of_another_length_is_refused() {
        let (_, key, message, signature) = RFC_8032[1];
        let keys = Keys::parse(key.as_bytes()).unwrap();
        let raw = bytes(signature);
        let rows: [(&str, vec::Vec<u8>); 8] = [
            ("empty", vec![]),
            ("63 bytes", raw[..63].to_vec()),
            ("65 bytes", [&raw[..], b"\n"].concat()),
            ("127 digits", signature.as_bytes()[..127].to_vec()),
            ("129 digits", format!("{signature}0").into_bytes()),
            ("two signatures", raw.repeat(2)),
            ("not hex", format!("{}g", &signature[..127]).into_bytes()),
            ("PEM", b"-----BEGIN SIGNATURE-----".to_vec()),
        ];
        for (name, file) in rows {
            assert_eq!(keys.verify(&bytes(message), &file), Err(Error::Form(file.len())), "{name}");
        }
    }

    #[test]
    fn s_beyond_the_groups_order_is_refused() {
        // L, the order of the base point (RFC 8032 section 5.1), lowest byte first.
        let order = bytes("edd3f55c1a631258d69cf7a2def9de1400000000000000000000000000000010");
        for (name, key, message, signature) in RFC_8032 {
            let mut signature = bytes(signature);
            let mut carry = 0;
            for (byte, add) in signature[32..].iter_mut().zip(&order) {
                let sum = u16::from(*byte) + u16::from(*add) + carry;
                *byte = sum as u8;
                carry = sum >> 8;
            }
            assert_eq!(carry, 0, "{name}");
            assert_eq!(
                Keys::parse(key.as_bytes()).unwrap().verify(&bytes(message), &signature),
                Err(Error::Mismatch),
                "{name}"
            );
        }
    }

    #[test]
    fn any_key_of_the_file_may_have_signed_and_is_named() {
        let file: String =
            RFC_8032.iter().map(|row| format!("  {}  # {}\r\n\n", row.1.to_uppercase(), row.0)).collect();
        let keys = Keys::parse(format!("# keys\n{file}").as_bytes()).unwrap();
        for ((name, _, message, signature), number) in RFC_8032.into_iter().zip(1..) {
            assert_eq!(keys.verify(&bytes(message), signature.as_bytes()), Ok(number), "{name}");
        }
        let others = Keys::parse(format!("{}\n{}", RFC_8032[0].1, RFC_8032[1].1).as_bytes()).unwrap();
        assert_eq!(others.verify(&bytes(RFC_8032[2].2), RFC_8032[2].3.as_bytes()), Err(Error::Mismatch));
    }

    #[test]
    fn a_key_file_with_any_bad_line_is_refused() {
        let key = RFC_8032[0].1;
        let rows: [(&str, String, KeysError); 9] = [
            ("empty", String::new(), KeysError::Empty),
            ("comments only", "# nothing\n\n   # here\n".to_string(), KeysError::Empty),
            ("short", format!("{key}\n{}", &key[1..]), KeysError::NotHex(2)),
            ("long", format!("\n{key}0"), KeysError::NotHex(2)),
            ("two on a line", format!("{key} {key}"), KeysError::NotHex(1)),
            ("PEM", "-----BEGIN PUBLIC KEY-----\n".to_string(), KeysError::NotHex(1)),
            ("all zero: a point of small order", "0".repeat(64), KeysError::NotAKey(1)),
            ("identity: a point of small order", format!("01{}", "0".repeat(62)), KeysError::NotAKey(1)),
            ("too many", format!("{key}\n").repeat(17), KeysError::TooMany),
        ];
        for (name, text, want) in rows {
            assert_eq!(Keys::parse(text.as_bytes()).err(), Some(want), "{name}");
        }
        assert!(Keys::parse(format!("{key}\n").repeat(16).as_bytes()).is_ok());
    }

    /// What a release really does, key file included.
    #[test]
    fn what_openssl_signs_verifies() {
        use std::process::Command;
        let folder = std::env::temp_dir().join(format!("kubesolo-signature-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let openssl = |arguments: &str| {
            let run = Command::new("openssl").args(arguments.split(' ')).current_dir(&folder).output();
            run.map(|output| {
                assert!(output.status.success(), "openssl {arguments}: {}", String::from_utf8_lossy(&output.stderr));
                output.stdout
            })
        };
        if openssl("version").is_err() {
            super::skips::skipped("no openssl");
            return;
        }
        for length in [1, 63, 64, 1000, 65536] {
            let message = b"{\"version\"}".iter().copied().cycle().take(length).collect::<vec::Vec<u8>>();
            std::fs::write(folder.join("latest.json"), &message).unwrap();
            openssl("genpkey -algorithm ed25519 -out key.pem").unwrap();
            let public = openssl("pkey -in key.pem -pubout -outform DER").unwrap();
            let digits = Hex(&public[public.len() - 32..]).to_string();
            openssl("pkeyutl -sign -rawin -inkey key.pem -in latest.json -out latest.json.sig").unwrap();
            let signature = std::fs::read(folder.join("latest.json.sig")).unwrap();
            let keys = Keys::parse(format!("{}\n{digits}\n", RFC_8032[0].1).as_bytes()).unwrap();
            assert_eq!(keys.verify(&message, &signature), Ok(2), "{length} bytes");
            assert_eq!(keys.verify(&[&message[..], b" "].concat(), &signature), Err(Error::Mismatch), "{length} bytes");
        }
        std::fs::remove_dir_all(&folder).unwrap();
    }
}
