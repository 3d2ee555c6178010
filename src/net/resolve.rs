//! A host's addresses: `/etc/hosts`, then the name servers of `/etc/resolv.conf`, over UDP and in time.
//!
//! The C library's `getaddrinfo` does the same and more in 30 KB of this program, without a deadline. What it does more
//! and this does not: answers longer than 512 bytes over TCP (the addresses that fit are enough), the order of RFC 6724
//! (IPv4 comes first here: a box behind a broken IPv6 link is more common than one without IPv4 that has an address).

use core::fmt;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::{Duration, Instant};
use std::vec::Vec;

use rustix::fs::{Mode, OFlags, open};
use rustix::io::{Errno, read};
use rustix::net::sockopt::{Timeout, set_socket_timeout};
use rustix::net::{RecvFlags, SendFlags, SocketType, recv, send};
use rustix::rand::{GetRandomFlags, getrandom};

use crate::linux::socket::connected;
use kubesolo_core::net::dns::{self, Addresses, Kind};
use kubesolo_core::text::decimal::decimal;

/// Longest wait for one server's answers.
const WAIT: Duration = Duration::from_secs(2);
/// How often every server is asked.
const ROUNDS: u32 = 2;
/// What the C libraries take of it too.
const SERVERS_MAX: usize = 3;
const SEARCH_MAX: usize = 6;
/// Longest file that is read.
const FILE_MAX: usize = 256 * 1024;

/// Where to look.
#[derive(Clone, Copy, Debug)]
pub struct Resolver<'a> {
    /// The file with addresses and their names.
    pub hosts: &'a str,
    /// The file with the name servers.
    pub resolv_conf: &'a str,
    /// The name servers' port.
    pub port: u16,
}

/// Why there is no address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Error {
    /// No name server answers in time.
    NoAnswer,
    /// The answer holds no address.
    NoAddress,
    /// The answer is no.
    Dns(dns::Error),
}

/// What `/etc/resolv.conf` says (resolv.conf(5)).
struct Conf<'a> {
    servers: heapless::Vec<IpAddr, SERVERS_MAX>,
    search: heapless::Vec<&'a str, SEARCH_MAX>,
    ndots: usize,
}

impl Resolver<'static> {
    /// The system's own files.
    pub const SYSTEM: Resolver<'static> = Resolver { hosts: "/etc/hosts", resolv_conf: "/etc/resolv.conf", port: 53 };
}

impl Resolver<'_> {
    /// The addresses of `host`, a name or an address, IPv4 first.
    ///
    /// # Errors
    /// If there is none, or none is known by `deadline`.
    pub fn resolve(&self, host: &str, deadline: Instant) -> Result<Addresses, Error> {
        let mut addresses = Addresses::new();
        if let Ok(address) = host.parse() {
            addresses.push(address).unwrap_or_default();
            return Ok(addresses);
        }
        let (host, absolute) = host.strip_suffix('.').map_or((host, false), |host| (host, true));
        in_hosts(&text(self.hosts), host, &mut addresses);
        let local = host.len().checked_sub("localhost".len()).and_then(|at| host.split_at_checked(at));
        let local = local.is_some_and(|(before, tail)| {
            tail.eq_ignore_ascii_case("localhost") && (before.is_empty() || before.ends_with('.'))
        });
        if local && addresses.is_empty() {
            // RFC 6761: no name server is asked for it.
            addresses.extend([IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST)]);
        }
        if !addresses.is_empty() {
            return Ok(addresses);
        }
        let conf = text(self.resolv_conf);
        let conf = Conf::parse(&conf);
        let dots = host.bytes().filter(|byte| *byte == b'.').count();
        let whole_first = absolute || dots >= conf.ndots;
        let mut result = Err(Error::NoAddress);
        if whole_first {
            result = self.ask_all(host, "", &conf, deadline);
        }
        for domain in conf.search.iter().filter(|_| !absolute) {
            if !matches!(result, Err(Error::NoAddress | Error::Dns(dns::Error::NoSuchName))) {
                return result;
            }
            result = self.ask_all(host, domain, &conf, deadline);
        }
        if !whole_first && result.is_err() {
            result = self.ask_all(host, "", &conf, deadline);
        }
        result
    }

    /// Asks one server after the other for a name in a domain.
    fn ask_all(&self, host: &str, domain: &str, conf: &Conf<'_>, deadline: Instant) -> Result<Addresses, Error> {
        let mut name = heapless::String::<256>::new();
        let parts = [host, if domain.is_empty() { "" } else { "." }, domain];
        if parts.iter().any(|part| name.push_str(part).is_err()) {
            return Err(Error::NoAddress);
        }
        let mut result = Err(Error::NoAnswer);
        for _ in 0..ROUNDS {
            for server in &conf.servers {
                result = self.ask(SocketAddr::new(*server, self.port), &name, deadline);
                match result {
                    Err(Error::NoAnswer | Error::Dns(dns::Error::Server(_) | dns::Error::Malformed)) => {}
                    _ => return result,
                }
            }
        }
        result
    }

    /// Asks one server for both kinds of address at once.
    fn ask(&self, server: SocketAddr, name: &str, deadline: Instant) -> Result<Addresses, Error> {
        let mut ids = [0; 4];
        getrandom(&mut ids, GetRandomFlags::empty()).map_err(|_| Error::NoAnswer)?;
        let [a, b, c, d] = ids;
        let question = |id, kind| dns::query(u16::from_be_bytes(id), name, kind).ok_or(Error::NoAddress);
        let questions = [question([a, b], Kind::A)?, question([c, d], Kind::Aaaa)?];
        let gone = |_: Errno| Error::NoAnswer;
        // Each socket has a port by chance and takes answers from this server only.
        let socket = connected(SocketType::DGRAM, server, WAIT).map_err(gone)?;
        for question in &questions {
            send(&socket, question, SendFlags::NOSIGNAL).map_err(gone)?;
        }
        let end = Instant::now().checked_add(WAIT).unwrap_or(deadline).min(deadline);
        let mut found = [Addresses::new(), Addresses::new()];
        let mut answers = [None, None];
        while answers.contains(&None) {
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            set_socket_timeout(&socket, Timeout::Recv, Some(left)).map_err(gone)?;
            let mut reply = [0; dns::MAX];
            let Ok((length, _)) = recv(&socket, &mut reply[..], RecvFlags::empty()) else { break };
            let reply = reply.get(..length).unwrap_or_default();
            for ((question, found), answer) in questions.iter().zip(&mut found).zip(&mut answers) {
                match dns::answer(question, reply, found) {
                    Err(dns::Error::Other) => {}
                    result => *answer = Some(result),
                }
            }
        }
        let [mut addresses, sixes] = found;
        addresses.extend(sixes.into_iter().take(dns::ADDRESSES_MAX.saturating_sub(addresses.len())));
        if !addresses.is_empty() {
            return Ok(addresses);
        }
        match answers {
            // That one kind has no answer is none for the other.
            [Some(Ok(())), Some(Ok(()))] => Err(Error::NoAddress),
            [Some(Err(error)), _] | [_, Some(Err(error))] => Err(Error::Dns(error)),
            _ => Err(Error::NoAnswer),
        }
    }
}

impl<'a> Conf<'a> {
    fn parse(text: &'a [u8]) -> Conf<'a> {
        let mut conf = Conf { servers: heapless::Vec::new(), search: heapless::Vec::new(), ndots: 1 };
        for line in lines(text) {
            let mut words = line.split_ascii_whitespace();
            match words.next() {
                Some("nameserver") => {
                    let server = words.next().and_then(|word| word.parse().ok());
                    // The first three count.
                    conf.servers.extend(server.filter(|_| !conf.servers.is_full()));
                }
                Some("search" | "domain") => {
                    conf.search.clear();
                    conf.search.extend(words.filter(|word| *word != ".").take(SEARCH_MAX));
                }
                Some("options") => {
                    let ndots = words.find_map(|word| decimal(word.strip_prefix("ndots:")?));
                    conf.ndots = ndots.unwrap_or(conf.ndots);
                }
                _ => {}
            }
        }
        if conf.servers.is_empty() {
            conf.servers.extend([IpAddr::V4(Ipv4Addr::LOCALHOST)]);
        }
        conf
    }
}

/// Adds the addresses that the lines of `/etc/hosts` (hosts(5)) give `host`.
fn in_hosts(text: &[u8], host: &str, addresses: &mut Addresses) {
    for line in lines(text) {
        let line = line.split('#').next().unwrap_or_default();
        let mut words = line.split_ascii_whitespace();
        let Some(address) = words.next().and_then(|word| word.parse().ok()) else { continue };
        if words.any(|name| name.eq_ignore_ascii_case(host)) && addresses.push(address).is_err() {
            return;
        }
    }
}

/// The lines that are text.
fn lines(text: &[u8]) -> impl Iterator<Item = &str> {
    text.split(|byte| *byte == b'\n').filter_map(|line| core::str::from_utf8(line).ok())
}

/// The file's bytes; what cannot be read says nothing.
fn text(path: &str) -> Vec<u8> {
    let mut text = Vec::new();
    let Ok(file) = open(path, OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC, Mode::empty()) else { return text };
    let mut piece = [0; 1024];
    while text.len() < FILE_MAX {
        match read(&file, &mut piece) {
            Ok(0) => break,
            Ok(count) => text.extend_from_slice(piece.get(..count).unwrap_or_default()),
            Err(Errno::INTR) => {}
            Err(_) => break,
        }
    }
    text
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::NoAnswer => f.write_str("no name server answers; see /etc/resolv.conf"),
            Error::NoAddress => f.write_str("the host has no address"),
            Error::Dns(error) => error.fmt(f),
        }
    }
}

impl core::error::Error for Error {}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::UdpSocket;
    use std::string::{String, ToString};
    use std::sync::mpsc::{Receiver, channel};
    use std::{format, thread, vec};

    /// A name server on the loopback: what it is asked, and what it answers by name and kind.
    fn server(answers: fn(&str, u8) -> Option<vec::Vec<u8>>) -> (u16, Receiver<String>) {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let port = socket.local_addr().unwrap().port();
        let (told, asked) = channel();
        thread::spawn(move || {
            let mut message = [0; 512];
            while let Ok((length, from)) = socket.recv_from(&mut message) {
                let message = &message[..length];
                let mut name = vec::Vec::new();
                let mut rest = &message[12..];
                while rest[0] > 0 {
                    name.push(String::from_utf8(rest[1..=usize::from(rest[0])].to_vec()).unwrap());
                    rest = &rest[1 + usize::from(rest[0])..];
                }
                let (name, kind) = (name.join("."), rest[2]);
                let answer = answers(&name, kind);
                told.send(format!("{name} {kind}")).unwrap_or_default();
                let Some(mut answer) = answer else { continue };
                // `answer` is the status, then the records.
                let status = answer.remove(0);
                let count = u8::from(!answer.is_empty());
                let header = [message[0], message[1], 0x81, 0x80 | status, 0, 1, 0, count, 0, 0, 0, 0];
                // A forger who does not know the number comes first.
                let mut forged = [&header[..], &message[12..], &answer].concat();
                forged[0] ^= 1;
                socket.send_to(&forged, from).unwrap();
                socket.send_to(&[&header[..], &message[12..], &answer].concat(), from).unwrap();
            }
        });
        (port, asked)
    }

    fn address(last: u8) -> vec::Vec<u8> {
        [&b"\0\xc0\x0c\x00\x01\x00\x01\x00\x00\x00\x3c\x00\x04\xc0\x00\x02"[..], &[last]].concat()
    }

    fn address_6(last: u8) -> vec::Vec<u8> {
        let head = &b"\0\xc0\x0c\x00\x1c\x00\x01\x00\x00\x00\x3c\x00\x10\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0"[..];
        [head, &[last]].concat()
    }

    struct Files(std::path::PathBuf);

    impl Files {
        fn new(name: &str, hosts: &str, resolv_conf: &str) -> Files {
            let folder = std::env::temp_dir().join(format!("kubesolo-resolve-{name}-{}", std::process::id()));
            std::fs::create_dir_all(&folder).unwrap();
            std::fs::write(folder.join("hosts"), hosts).unwrap();
            std::fs::write(folder.join("resolv.conf"), resolv_conf).unwrap();
            Files(folder)
        }

        fn resolve(&self, port: u16, host: &str) -> Result<vec::Vec<String>, Error> {
            let path = |name| self.0.join(name).to_str().unwrap().to_string();
            let (hosts, resolv_conf) = (path("hosts"), path("resolv.conf"));
            let resolver = Resolver { hosts: &hosts, resolv_conf: &resolv_conf, port };
            let deadline = Instant::now().checked_add(Duration::from_millis(300)).unwrap();
            let addresses = resolver.resolve(host, deadline);
            addresses.map(|addresses| addresses.iter().map(|address| address.to_string()).collect())
        }
    }

    impl Drop for Files {
        fn drop(&mut self) {
            std::fs::remove_dir_all(&self.0).unwrap();
        }
    }

    #[test]
    fn addresses_and_hosts_need_no_server() {
        let files = Files::new(
            "hosts",
            "# us\n192.0.2.7 updates Updates.Example # x updates2\n2001:db8::7\tupdates\r\nnonsense updates\n",
            "",
        );
        let rows: &[(&str, &[&str])] = &[
            ("127.0.0.1", &["127.0.0.1"]),
            ("::1", &["::1"]),
            ("updates", &["192.0.2.7", "2001:db8::7"]),
            ("updates.example.", &["192.0.2.7"]),
            ("localhost", &["127.0.0.1", "::1"]),
            ("x.LocalHost", &["127.0.0.1", "::1"]),
        ];
        for (host, want) in rows {
            assert_eq!(files.resolve(1, host).unwrap(), *want, "{host}");
        }
    }

    #[test]
    fn servers_are_asked_for_both_kinds() {
        let (port, asked) = server(|name, kind| match (name, kind) {
            ("both.example", 1) => Some(address(1)),
            ("both.example", _) => Some(address_6(1)),
            ("four.example", 1) => Some(address(4)),
            ("six.example", 28) => Some(address_6(6)),
            ("four.example" | "six.example" | "none.example", _) => Some(vec![0]),
            ("failing.example", _) => Some(vec![2]),
            // A server that does not know the newer kind keeps silent.
            ("old.example", 1) => Some(address(9)),
            ("old.example" | "silent.example", _) => None,
            _ => Some(vec![3]),
        });
        let files = Files::new("servers", "", "nameserver fe80::1%eth0\nnameserver 127.0.0.2\nnameserver 127.0.0.1\n");
        let rows: &[(&str, Result<&[&str], Error>)] = &[
            ("both.example", Ok(&["192.0.2.1", "2001:db8::1"])),
            ("four.example", Ok(&["192.0.2.4"])),
            ("six.example", Ok(&["2001:db8::6"])),
            ("old.example", Ok(&["192.0.2.9"])),
            ("none.example", Err(Error::NoAddress)),
            ("gone.example", Err(Error::Dns(dns::Error::NoSuchName))),
            ("failing.example", Err(Error::Dns(dns::Error::Server(2)))),
            ("silent.example", Err(Error::NoAnswer)),
            ("not..a.name", Err(Error::NoAddress)),
        ];
        for (host, want) in rows {
            let start = Instant::now();
            let got = files.resolve(port, host);
            assert_eq!(got, want.map(|want| want.iter().map(|want| want.to_string()).collect()), "{host}");
            assert!(start.elapsed() < Duration::from_millis(500), "{host}");
        }
        assert_eq!(asked.iter().take(2).collect::<vec::Vec<_>>(), ["both.example 1", "both.example 28"]);
        drop(files);
        let nobody = UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let files = Files::new("nobody", "", "");
        assert_eq!(files.resolve(nobody, "a.example"), Err(Error::NoAnswer));
    }

    #[test]
    fn short_names_are_looked_for_in_the_search_domains() {
        let answers: fn(&str, u8) -> Option<vec::Vec<u8>> = |name, kind| match (name, kind) {
            ("box.site.example", 1) => Some(address(1)),
            ("box.site.example", _) => Some(vec![0]),
            _ => Some(vec![3]),
        };
        let rows: &[(&str, &str, bool, &[&str])] = &[
            ("search", "box", true, &["box.lab.example", "box.site.example"]),
            (
                "dots first as they are",
                "box.site",
                true,
                &["box.site", "box.site.lab.example", "box.site.site.example", "box.site.example"],
            ),
            ("absolute", "box.", false, &["box"]),
            ("nowhere", "fox", false, &["fox.lab.example", "fox.site.example", "fox.example", "fox"]),
        ];
        for (name, host, found, want) in rows {
            let (port, asked) = server(answers);
            let conf = "search nowhere.example\nsearch lab.example site.example example\nnameserver 127.0.0.1\n";
            let files = Files::new(&format!("search-{host}"), "", conf);
            assert_eq!(files.resolve(port, host).is_ok(), *found, "{name}");
            let asked: vec::Vec<String> =
                asked.try_iter().filter_map(|asked| asked.strip_suffix(" 1").map(str::to_string)).collect();
            assert_eq!(asked, *want, "{name}");
        }
    }

    #[test]
    fn resolv_conf_is_read_as_the_c_library_reads_it() {
        let text = b"; a\n# b\nnameserver 192.0.2.1\nnameserver x\nnameserver ::1\nnameserver 192.0.2.3\nnameserver 192.0.2.4\n\
            domain a\nsearch b c .\noptions rotate ndots:2 timeout:1\n";
        let conf = Conf::parse(text);
        let servers: vec::Vec<String> = conf.servers.iter().map(|server| server.to_string()).collect();
        assert_eq!(servers, ["192.0.2.1", "::1", "192.0.2.3"]);
        assert_eq!(conf.search, ["b", "c"]);
        assert_eq!(conf.ndots, 2);
        assert_eq!(Conf::parse(b"\xff\n").servers, [IpAddr::V4(Ipv4Addr::LOCALHOST)]);
    }
}
