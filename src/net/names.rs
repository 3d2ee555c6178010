//! A host's addresses, by the system's resolver, with a deadline.
//!
//! getaddrinfo has no deadline, and this program has no second thread, so a child process calls it. For an address no child is
//! needed.

use core::fmt;
use core::net::{IpAddr, Ipv6Addr};
use std::net::ToSocketAddrs;
use std::string::{String, ToString};
use std::time::Instant;

use rustix::io::Errno;

use crate::failure::Reason;
use crate::linux::children::{self, Answer};
use crate::linux::process::Process;

/// Most addresses of one host that are looked at: what fits in an answer.
pub const ADDRESSES_MAX: usize = 15;

/// A host's addresses.
pub type Addresses = heapless::Vec<IpAddr, ADDRESSES_MAX>;

/// Why there is no address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Error {
    /// The resolver does not answer in time.
    NoAnswer,
    /// What it says instead.
    Resolver(String),
}

/// First byte of a child's answer: addresses of 16 bytes each, IPv4 as RFC 4291 section 2.5.5.2 maps it.
const FOUND: u8 = 0;
/// A text follows.
const FAILED: u8 = 1;

/// The addresses of `host`, a name or an address, IPv4 first, as a box behind a broken IPv6 link is more common than one
/// without IPv4 that has an address; then one of each kind in turn, as often all of one kind are dead.
///
/// # Errors
/// If there is none, or none is known by `deadline`.
pub fn look_up(process: Process, host: &str, deadline: Instant) -> Result<Addresses, Error> {
    if let Ok(address) = host.parse() {
        return Ok([address].into_iter().collect());
    }
    let left = deadline.saturating_duration_since(Instant::now());
    let answer = children::one(process, left, &|| encode(&addresses_of(host))).ok_or(Error::NoAnswer)?;
    decode(&answer)
}

/// Calls the resolver, which takes its time. It gives up at the first search domain whose server fails, though the name may be in
/// the next one, or need none: so those are asked for one by one then.
fn addresses_of(host: &str) -> Result<Addresses, Error> {
    let failed = match resolve(host) {
        Err(error) if !host.ends_with('.') && !host.is_empty() => error,
        result => return result,
    };
    let conf = std::fs::read_to_string("/etc/resolv.conf").unwrap_or_default();
    let names = search_domains(&conf).map(|domain| std::format!("{host}.{domain}."));
    let plain = core::iter::once(std::format!("{host}."));
    names.chain(plain).find_map(|name| resolve(&name).ok()).ok_or(failed)
}

/// The domains of the last line that has some (resolv.conf(5)), without the dots that some end in.
fn search_domains(conf: &str) -> impl Iterator<Item = &str> {
    let words = |line: &'_ str| matches!(line.split_ascii_whitespace().next(), Some("search" | "domain"));
    let line = conf.lines().rev().find(|line| words(line)).unwrap_or_default();
    line.split_ascii_whitespace().skip(1).map(|domain| domain.trim_matches('.')).filter(|domain| !domain.is_empty())
}

fn resolve(name: &str) -> Result<Addresses, Error> {
    let found = (name, 0).to_socket_addrs().map_err(|error| {
        // Only in the first words does the standard library's text differ from the C library's.
        let text = error
            .get_ref()
            .map(ToString::to_string)
            .unwrap_or_else(|| Reason(Errno::from_io_error(&error).unwrap_or(Errno::IO)).to_string());
        Error::Resolver(text.rsplit(": ").next().unwrap_or_default().into())
    })?;
    let (mut four, mut six) = (found.clone().filter(|found| found.is_ipv4()), found.filter(|found| found.is_ipv6()));
    let pairs =
        core::iter::repeat_with(|| [four.next(), six.next()]).take_while(|pair| pair.iter().any(Option::is_some));
    Ok(pairs.flatten().flatten().map(|found| found.ip()).take(ADDRESSES_MAX).collect())
}

fn encode(found: &Result<Addresses, Error>) -> Answer {
    let mut answer = Answer::new();
    match found {
        Ok(addresses) => {
            let bytes = addresses.iter().flat_map(|address| match address {
                IpAddr::V4(address) => address.to_ipv6_mapped().octets(),
                IpAddr::V6(address) => address.octets(),
            });
            answer.extend([FOUND].into_iter().chain(bytes));
        }
        Err(error) => {
            let text = if let Error::Resolver(text) = error { text.as_str() } else { "" };
            answer.extend([FAILED].into_iter().chain(text.bytes()).take(children::ANSWER_MAX));
        }
    }
    answer
}

fn decode(answer: &[u8]) -> Result<Addresses, Error> {
    let (kind, bytes) = answer.split_first().ok_or(Error::NoAnswer)?;
    if *kind != FOUND {
        return Err(Error::Resolver(String::from_utf8_lossy(bytes).into()));
    }
    let (addresses, _) = bytes.as_chunks::<16>();
    Ok(addresses.iter().map(|octets| Ipv6Addr::from(*octets).to_canonical()).take(ADDRESSES_MAX).collect())
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::NoAnswer => f.write_str("no name server answers in time; see /etc/resolv.conf"),
            Error::Resolver(text) => write!(f, "{text}; check the name, and the name servers in /etc/resolv.conf"),
        }
    }
}

impl core::error::Error for Error {}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;
    use std::vec::Vec;

    fn look_up_by(process: Process, host: &str) -> Result<Vec<String>, Error> {
        let deadline = Instant::now().checked_add(Duration::from_secs(30)).unwrap();
        look_up(process, host, deadline).map(|found| found.iter().map(ToString::to_string).collect())
    }

    /// No child can be started, and nothing is done.
    const CHILDLESS: Process = Process { apart: |_| None, ..Process::BARE };

    #[test]
    fn an_address_needs_no_resolver() {
        for address in ["127.0.0.1", "::1", "2001:db8::7"] {
            assert_eq!(look_up_by(CHILDLESS, address).unwrap(), [address]);
        }
        assert_eq!(look_up_by(CHILDLESS, "localhost"), Err(Error::NoAnswer));
    }

    #[test]
    fn names_are_the_systems_matter_and_ipv4_comes_first() {
        assert_eq!(look_up_by(Process::BARE, "localhost").unwrap()[0], "127.0.0.1");
        for host in ["no-such-host.invalid", "not..a.name", "", &"a".repeat(300)] {
            let Err(Error::Resolver(text)) = look_up_by(Process::BARE, host) else { panic!("{host}: found") };
            assert!(!text.is_empty() && !text.contains(':'), "{host}: {text}");
        }
    }

    #[test]
    fn the_last_line_names_the_search_domains() {
        for (conf, want) in [
            ("", &[] as &[&str]),
            ("nameserver 192.0.2.1\nsearch a b.c\n", &["a", "b.c"]),
            ("search corp.\n", &["corp"]),
            ("search a\ndomain b\noptions ndots:5", &["b"]),
            ("search\t.\n", &[]),
            ("# search a\n", &[]),
        ] {
            assert_eq!(search_domains(conf).collect::<Vec<_>>(), want, "{conf}");
        }
    }

    #[test]
    fn what_a_child_finds_comes_back_as_it_was() {
        let address = |text: &str| text.parse::<IpAddr>().unwrap();
        let mixed: Addresses = [address("192.0.2.1"), address("2001:db8::1")].into_iter().collect();
        let many: Addresses = [address("2001:db8::1"); ADDRESSES_MAX].into_iter().collect();
        for found in [Ok(Addresses::new()), Ok(mixed), Ok(many), Err(Error::Resolver("Try again".into()))] {
            assert_eq!(decode(&encode(&found)), found);
        }
        let long = encode(&Err(Error::Resolver("a".repeat(1000))));
        assert_eq!(decode(&long), Err(Error::Resolver("a".repeat(children::ANSWER_MAX - 1))));
        assert_eq!(decode(&[]), Err(Error::NoAnswer));
    }
}
