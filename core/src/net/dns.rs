//! DNS messages (RFC 1035 section 4, RFC 3596), as far as a host's addresses need them: bytes ↔ question and answer. No
//! IO.

use core::fmt;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use heapless::Vec;

/// Longest message without extensions, in bytes.
pub const MAX: usize = 512;

/// Most addresses of one host that are looked at.
pub const ADDRESSES_MAX: usize = 16;

/// A host's addresses.
pub type Addresses = Vec<IpAddr, ADDRESSES_MAX>;

/// A question as it is sent.
pub type Query = Vec<u8, 300>;

/// Which addresses are asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Kind {
    /// IPv4.
    A = 1,
    /// IPv6.
    Aaaa = 28,
}

/// What an answer can be besides addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Error {
    /// The message is no answer to this question, but a stray or a forgery: wait for the real one.
    Other,
    /// There is no such name.
    NoSuchName,
    /// The server could not find out.
    Server(u8),
    /// An answer that is malformed.
    Malformed,
}

/// The question for `name`'s addresses; `None` if that cannot be a host's name.
pub fn query(id: u16, name: &str, kind: Kind) -> Option<Query> {
    let mut query = Query::new();
    query.extend_from_slice(&id.to_be_bytes()).ok()?;
    // One question, and the server is to go and find out.
    query.extend_from_slice(&[1, 0, 0, 1, 0, 0, 0, 0, 0, 0]).ok()?;
    if name.len() > 253 {
        return None;
    }
    for label in name.split('.') {
        let length = u8::try_from(label.len()).ok().filter(|length| (1..=63).contains(length))?;
        query.push(length).ok()?;
        query.extend_from_slice(label.as_bytes()).ok()?;
    }
    query.extend_from_slice(&[0, 0, kind as u8, 0, 1]).ok()?;
    Some(query)
}

/// Adds the addresses that `reply` gives to `query` to `addresses`, as many as fit. Aliases need no following: a server
/// that looks up for others answers with the addresses they lead to.
///
/// # Errors
/// If the reply is no sound answer to this question.
pub fn answer(query: &[u8], reply: &[u8], addresses: &mut Addresses) -> Result<(), Error> {
    let (header, mut rest) = reply.split_first_chunk::<12>().ok_or(Error::Other)?;
    let [id_high, id_low, flags, status, 0, 1, count_high, count_low, ..] = *header else { return Err(Error::Other) };
    let (question, records) =
        query.get(12..).and_then(|asked| rest.split_at_checked(asked.len())).ok_or(Error::Other)?;
    let same = query.starts_with(&[id_high, id_low])
        && query.get(12..).is_some_and(|asked| question.eq_ignore_ascii_case(asked));
    if flags & 0x80 == 0 || !same {
        return Err(Error::Other);
    }
    match status & 0xf {
        0 => {}
        3 => return Err(Error::NoSuchName),
        code => return Err(Error::Server(code)),
    }
    rest = records;
    for _ in 0..u16::from_be_bytes([count_high, count_low]) {
        rest = match skip_name(rest) {
            Some(rest) => rest,
            // What did not fit in the message is missing from it: the rest has to do.
            None if flags & 2 != 0 => break,
            None => return Err(Error::Malformed),
        };
        let Some((fields, after)) = rest.split_first_chunk::<10>() else { return Err(Error::Malformed) };
        let [0, kind, 0, 1, _, _, _, _, length_high, length_low] = *fields else { return Err(Error::Malformed) };
        let length = usize::from(u16::from_be_bytes([length_high, length_low]));
        let (value, after) = after.split_at_checked(length).ok_or(Error::Malformed)?;
        rest = after;
        let v4 = <[u8; 4]>::try_from(value).ok().filter(|_| kind == Kind::A as u8);
        let v6 = <[u8; 16]>::try_from(value).ok().filter(|_| kind == Kind::Aaaa as u8);
        let address = v4.map(|octets| IpAddr::V4(Ipv4Addr::from(octets)));
        if let Some(address) = address.or(v6.map(|octets| IpAddr::V6(Ipv6Addr::from(octets)))) {
            // More addresses than fit are more than anybody tries.
            addresses.push(address).unwrap_or_default();
        }
    }
    Ok(())
}

/// What follows a name: labels up to an empty one or to a pointer back.
fn skip_name(mut rest: &[u8]) -> Option<&[u8]> {
    loop {
        let (length, after) = rest.split_first()?;
        match length {
            0 => return Some(after),
            1..=63 => rest = after.get(usize::from(*length)..)?,
            0xc0.. => return after.get(1..),
            _ => return None,
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::Other => f.write_str("no answer to the question"),
            Error::NoSuchName => f.write_str("there is no such host"),
            Error::Server(code) => write!(f, "the name server could not find out (code {code})"),
            Error::Malformed => f.write_str("the name server's answer is malformed"),
        }
    }
}

impl core::error::Error for Error {}

#[cfg(test)]
mod tests {
    use super::*;
    use std::string::ToString;
    use std::vec;

    const QUESTION: &[u8] = b"\x01a\x07example\x00\x00\x01\x00\x01";

    fn asked() -> Query {
        query(0x1234, "a.example", Kind::A).unwrap()
    }

    fn reply(flags: [u8; 2], count: u8, records: &[&[u8]]) -> vec::Vec<u8> {
        let header = [0x12, 0x34, flags[0], flags[1], 0, 1, 0, count, 0, 0, 0, 0];
        [&header[..], QUESTION, &records.concat()].concat()
    }

    const ADDRESS: &[u8] = b"\xc0\x0c\x00\x01\x00\x01\x00\x00\x00\x3c\x00\x04\xc0\x00\x02\x01";
    const ALIAS: &[u8] = b"\xc0\x0c\x00\x05\x00\x01\x00\x00\x00\x3c\x00\x04\x01b\xc0\x0e";
    const ADDRESS_6: &[u8] =
        b"\x01B\x07example\x00\x00\x1c\x00\x01\x00\x00\x00\x3c\x00\x10\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x01";

    #[test]
    fn a_question_is_what_rfc_1035_says() {
        assert_eq!(asked().as_slice(), [&b"\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00"[..], QUESTION].concat());
        let aaaa = query(0, "a", Kind::Aaaa).unwrap();
        assert!(aaaa.ends_with(b"\x01a\x00\x00\x1c\x00\x01"));
        let long = [["a".repeat(63), "b".repeat(63), "c".repeat(63)].join("."), "d".repeat(61)].join(".");
        assert!(query(0, &long, Kind::A).is_some());
        for name in ["", ".", "a.", ".a", "a..b", &"a".repeat(64), &(long + "d")] {
            assert_eq!(query(0, name, Kind::A), None, "{name}");
        }
    }

    #[test]
    fn answers_and_the_addresses_in_them() {
        let rows: &[(&str, vec::Vec<u8>, Result<&[&str], Error>)] = &[
            ("one", reply([0x81, 0x80], 1, &[ADDRESS]), Ok(&["192.0.2.1"])),
            ("alias first", reply([0x81, 0x80], 2, &[ALIAS, ADDRESS]), Ok(&["192.0.2.1"])),
            ("IPv6", reply([0x81, 0x80], 1, &[ADDRESS_6]), Ok(&["2001:db8::1"])),
            ("two", reply([0x81, 0x80], 2, &[ADDRESS, ADDRESS_6]), Ok(&["192.0.2.1", "2001:db8::1"])),
            ("none", reply([0x81, 0x80], 0, &[]), Ok(&[])),
            ("more records behind", reply([0x81, 0x80], 1, &[ADDRESS, ADDRESS]), Ok(&["192.0.2.1"])),
            ("cut, and says so", reply([0x83, 0x80], 9, &[ADDRESS]), Ok(&["192.0.2.1"])),
            ("cut, and does not say so", reply([0x81, 0x80], 9, &[ADDRESS]), Err(Error::Malformed)),
            ("cut in an address", reply([0x81, 0x80], 1, &[&ADDRESS[..15]]), Err(Error::Malformed)),
            ("no such name", reply([0x81, 0x83], 0, &[]), Err(Error::NoSuchName)),
            ("server failure", reply([0x81, 0x82], 0, &[]), Err(Error::Server(2))),
            ("refused", reply([0x81, 0x85], 0, &[]), Err(Error::Server(5))),
            ("a question", reply([0x01, 0x00], 0, &[]), Err(Error::Other)),
            ("empty", vec![], Err(Error::Other)),
            ("question only in part", reply([0x81, 0x80], 0, &[])[..20].to_vec(), Err(Error::Other)),
            ("label of a kind not known", reply([0x81, 0x80], 1, &[b"\x40", ADDRESS]), Err(Error::Malformed)),
        ];
        for (name, message, want) in rows {
            let mut addresses = Addresses::new();
            let got = answer(&asked(), message, &mut addresses);
            let addresses: vec::Vec<_> = addresses.iter().map(|address| address.to_string()).collect();
            assert_eq!(
                got.map(|()| addresses),
                want.map(|want| want.iter().map(|want| want.to_string()).collect()),
                "{name}"
            );
        }
    }

    #[test]
    fn an_answer_to_another_question_is_none() {
        let sound = reply([0x81, 0x80], 1, &[ADDRESS]);
        for at in [0, 1, 2, 5, 13, 15, 24, 26] {
            let mut other = sound.clone();
            other[at] ^= 0x81;
            assert_eq!(answer(&asked(), &other, &mut Addresses::new()), Err(Error::Other), "byte {at}");
        }
        let upper = sound.iter().map(u8::to_ascii_uppercase).collect::<vec::Vec<_>>();
        assert_eq!(answer(&asked(), &upper, &mut Addresses::new()), Ok(()));
    }

    #[test]
    fn no_message_makes_it_read_beyond_or_forever() {
        let sound = reply([0x81, 0x80], 3, &[ALIAS, ADDRESS, ADDRESS_6]);
        for end in 0..sound.len() {
            assert!(answer(&asked(), &sound[..end], &mut Addresses::new()).is_err(), "cut at {end}");
        }
        for at in 0..sound.len() {
            for byte in 0..=255 {
                let mut changed = sound.clone();
                changed[at] = byte;
                let mut addresses = Addresses::new();
                if answer(&asked(), &changed, &mut addresses).is_ok() {
                    assert!(addresses.len() <= 3, "byte {at} as {byte}");
                }
            }
        }
        let many = reply([0x81, 0x80], 40, &[ADDRESS; 40]);
        let mut addresses = Addresses::new();
        assert_eq!(answer(&asked(), &many, &mut addresses), Ok(()));
        assert_eq!(addresses.len(), ADDRESSES_MAX);
    }
}
