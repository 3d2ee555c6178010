//! Which proxy the usual environment variables name for a URL, as Go reads them, and so KubeSolo and containerd beside this program.
//!
//! `HTTP_PROXY`, `HTTPS_PROXY`, `ALL_PROXY` and `NO_PROXY`, in upper or lower case, hold `[http://][USER:PASSWORD@]HOST[:PORT]`, and a list
//! of hosts, domains, addresses and networks, each with a port or without, to reach directly. This box itself never is by a proxy.
//! No SOCKS, and no TLS to the proxy itself.

use core::net::IpAddr;
use std::string::String;

use kubesolo_core::net::url::{Location, Scheme, split_scheme};
use kubesolo_core::text::decimal::decimal;

/// curl's own default.
const PORT: u16 = 1080;

/// A proxy to go through.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proxy {
    /// Its host name or address.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// What its `Proxy-Authorization` header says after `Basic`.
    pub credentials: Option<String>,
}

/// The variable's value is no proxy this program can use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unusable {
    /// The variable.
    pub variable: &'static str,
}

/// The proxy for `location`; `variable` gives an environment variable.
///
/// # Errors
/// If there should be one and it cannot be used: going directly instead would pass by whoever set it.
pub fn choose(location: &Location, variable: &dyn Fn(&str) -> Option<String>) -> Result<Option<Proxy>, Unusable> {
    let names: &[&'static str] = match location.scheme() {
        Scheme::File => return Ok(None),
        // A CGI server sets HTTP_PROXY from a request's header.
        Scheme::Http if variable("REQUEST_METHOD").is_some() => &["http_proxy", "all_proxy", "ALL_PROXY"],
        Scheme::Http => &["HTTP_PROXY", "http_proxy", "all_proxy", "ALL_PROXY"],
        Scheme::Https => &["HTTPS_PROXY", "https_proxy", "all_proxy", "ALL_PROXY"],
    };
    let set = |name: &&'static str| variable(name).filter(|value| !value.is_empty()).map(|value| (*name, value));
    let Some((name, value)) = names.iter().find_map(set) else { return Ok(None) };
    let except = ["NO_PROXY", "no_proxy"].iter().find_map(|name| variable(name).filter(|list| !list.is_empty()));
    if is_direct(location.host(), location.port(), &except.unwrap_or_default()) {
        return Ok(None);
    }
    Proxy::parse(&value).map(Some).ok_or(Unusable { variable: name })
}

fn is_direct(host: &str, port: u16, except: &str) -> bool {
    let address = host.parse::<IpAddr>().ok().map(|address| address.to_canonical());
    let this_box = host.eq_ignore_ascii_case("localhost") || address.is_some_and(|address| address.is_loopback());
    this_box
        || except.split([',', ' ', '\t']).filter(|entry| !entry.is_empty()).any(|entry| {
            let (entry, only) = without_port(entry);
            only.is_none_or(|only| decimal(only) == Some(port)) && is_excepted(host, address, entry)
        })
}

/// An entry in two: what it names, and the port.
fn without_port(entry: &str) -> (&str, Option<&str>) {
    if let Some((address, rest)) = entry.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        return (address, rest.strip_prefix(':'));
    }
    match entry.split_once(':') {
        // Two colons and no brackets: an IPv6 address or network.
        Some((host, port)) if !port.contains(':') => (host, Some(port)),
        _ => (entry, None),
    }
}

fn is_excepted(host: &str, address: Option<IpAddr>, entry: &str) -> bool {
    if entry == "*" {
        return true;
    }
    if let Some(address) = address {
        let (net, bits) = entry.split_once('/').map_or((entry, None), |(net, bits)| (net, Some(bits)));
        let Ok(net) = net.parse::<IpAddr>() else { return false };
        return bits.map_or(Some(128), decimal).is_some_and(|bits| is_in(address, net.to_canonical(), bits));
    }
    let entry = entry.strip_prefix("*.").or_else(|| entry.strip_prefix('.')).unwrap_or(entry);
    let host = host.strip_suffix('.').unwrap_or(host);
    // The domain itself, or a name inside it: `example.org` is no part of `notexample.org`.
    let domain = host.len().checked_sub(entry.len()).and_then(|at| host.split_at_checked(at));
    domain
        .is_some_and(|(before, tail)| tail.eq_ignore_ascii_case(entry) && (before.is_empty() || before.ends_with('.')))
}

/// Whether the first `bits` of both are the same; no network has more bits than its address.
fn is_in(address: IpAddr, net: IpAddr, bits: u32) -> bool {
    let same = |differ: u128, len: u32| differ.checked_shr(len.saturating_sub(bits)).unwrap_or_default() == 0;
    match (address, net) {
        (IpAddr::V4(address), IpAddr::V4(net)) => same((address.to_bits() ^ net.to_bits()).into(), 32),
        (IpAddr::V6(address), IpAddr::V6(net)) => same(address.to_bits() ^ net.to_bits(), 128),
        _ => false,
    }
}

impl Proxy {
    fn parse(text: &str) -> Option<Proxy> {
        let rest = match split_scheme(text) {
            Some((scheme, rest)) if scheme.eq_ignore_ascii_case("http") => rest,
            Some(_) => return None,
            None => text,
        };
        let rest = rest.split('/').next()?;
        let (user, address) = rest.rsplit_once('@').map_or((None, rest), |(user, address)| (Some(user), address));
        let mut url = String::from("http://");
        url.push_str(address);
        let given = Location::parse(&url).ok()?;
        let port = if address.ends_with(']') || !address.contains(':') { PORT } else { given.port() };
        let credentials = match user {
            Some(user) => Some(base64(&unescape(user)?)),
            None => None,
        };
        Some(Proxy { host: given.host().into(), port, credentials })
    }
}

/// `%XX` → bytes: a password may hold `@` or `/`.
fn unescape(text: &str) -> Option<std::vec::Vec<u8>> {
    let mut bytes = std::vec::Vec::new();
    let mut left = text.bytes();
    while let Some(byte) = left.next() {
        bytes.push(match byte {
            b'%' => kubesolo_core::text::hex::parse::<1>(&[left.next()?, left.next()?])?[0],
            byte => byte,
        });
    }
    Some(bytes)
}

/// RFC 4648 section 4.
fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for group in bytes.chunks(3) {
        let bits = group.iter().chain(&[0; 2]).take(3).fold(0_usize, |bits, byte| bits << 8 | usize::from(*byte));
        for (digit, shift) in [18, 12, 6, 0].into_iter().enumerate() {
            let value = bits.checked_shr(shift).unwrap_or_default() & 63;
            let shown = digit <= group.len();
            text.push(DIGITS.get(value).filter(|_| shown).map_or('=', |digit| char::from(*digit)));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::string::ToString;

    fn chosen(url: &str, variables: &[(&str, &str)]) -> Result<Option<(String, u16)>, Unusable> {
        let variable =
            |name: &str| variables.iter().find(|(known, _)| *known == name).map(|(_, value)| value.to_string());
        choose(&Location::parse(url).unwrap(), &variable).map(|proxy| proxy.map(|proxy| (proxy.host, proxy.port)))
    }

    #[test]
    fn the_usual_variables_name_the_proxy() {
        let p = |port| Ok(Some(("p".to_string(), port)));
        let rows: &[(&str, &str, &[(&str, &str)], Result<Option<(String, u16)>, Unusable>)] = &[
            ("none", "http://a/", &[], Ok(None)),
            ("http", "http://a/", &[("http_proxy", "http://p:3128/")], p(3128)),
            ("bare", "http://a/", &[("http_proxy", "p:3128")], p(3128)),
            ("no port", "http://a/", &[("http_proxy", "p")], p(1080)),
            ("port 80", "http://a/", &[("http_proxy", "p:80")], p(80)),
            ("address", "http://a/", &[("http_proxy", "[::1]:8080")], Ok(Some(("::1".to_string(), 8080)))),
            ("address, no port", "http://a/", &[("http_proxy", "[::1]")], Ok(Some(("::1".to_string(), 1080)))),
            ("in upper case", "http://a/", &[("HTTP_PROXY", "p:3128")], p(3128)),
            ("by a CGI server", "http://a/", &[("HTTP_PROXY", "p:3128"), ("REQUEST_METHOD", "GET")], Ok(None)),
            ("both", "http://a/", &[("HTTP_PROXY", "p:3128"), ("http_proxy", "q:1")], p(3128)),
            ("localhost", "http://LocalHost/", &[("http_proxy", "p")], Ok(None)),
            ("loopback", "http://127.1.2.3/", &[("http_proxy", "p")], Ok(None)),
            ("loopback of IPv6", "http://[::1]/", &[("http_proxy", "p")], Ok(None)),
            (
                "in a network",
                "http://10.1.2.3/",
                &[("http_proxy", "p"), ("no_proxy", "192.168.0.0/16,10.0.0.0/8")],
                Ok(None),
            ),
            ("beside a network", "http://11.1.2.3/", &[("http_proxy", "p"), ("no_proxy", "10.0.0.0/8")], p(1080)),
            ("at a network's end", "http://10.0.0.127/", &[("http_proxy", "p"), ("no_proxy", "10.0.0.0/25")], Ok(None)),
            (
                "past a network's end",
                "http://10.0.0.128/",
                &[("http_proxy", "p"), ("no_proxy", "10.0.0.0/25")],
                p(1080),
            ),
            ("in all networks", "http://10.0.0.1/", &[("http_proxy", "p"), ("no_proxy", "0.0.0.0/0")], Ok(None)),
            ("in a network of IPv6", "http://[fd00::7]/", &[("http_proxy", "p"), ("no_proxy", "fd00::/8")], Ok(None)),
            ("beside one of IPv6", "http://[fc00::7]/", &[("http_proxy", "p"), ("no_proxy", "fd00::/8")], p(1080)),
            (
                "a broken network",
                "http://10.0.0.1/",
                &[("http_proxy", "p"), ("no_proxy", "10.0.0.0/x,10.0.0/8")],
                p(1080),
            ),
            ("a name in a network", "http://a/", &[("http_proxy", "p"), ("no_proxy", "10.0.0.0/8")], p(1080)),
            ("an address", "http://10.0.0.1/", &[("http_proxy", "p"), ("no_proxy", "10.0.0.1")], Ok(None)),
            ("part of an address", "http://10.0.0.1/", &[("http_proxy", "p"), ("no_proxy", "0.1")], p(1080)),
            ("that port", "http://a:8080/", &[("http_proxy", "p"), ("no_proxy", "a:8080")], Ok(None)),
            ("the scheme's port", "http://a/", &[("http_proxy", "p"), ("no_proxy", "a:80")], Ok(None)),
            ("another port", "http://a:81/", &[("http_proxy", "p"), ("no_proxy", "a:8080")], p(1080)),
            (
                "port of an address",
                "http://[fd00::7]:81/",
                &[("http_proxy", "p"), ("no_proxy", "[fd00::7]:81")],
                Ok(None),
            ),
            ("parted by spaces", "http://a/", &[("http_proxy", "p"), ("no_proxy", "b a")], Ok(None)),
            ("empty", "http://a/", &[("http_proxy", "")], Ok(None)),
            ("of the other scheme", "https://a/", &[("http_proxy", "p:3128")], Ok(None)),
            ("https", "https://a/", &[("HTTPS_PROXY", "p:3128")], p(3128)),
            ("for all", "https://a/", &[("all_proxy", "p:3128")], p(3128)),
            ("one before all", "http://a/", &[("ALL_PROXY", "q:1"), ("http_proxy", "p:3128")], p(3128)),
            ("a path needs none", "/mnt/usb", &[("all_proxy", "p:3128")], Ok(None)),
            ("SOCKS", "http://a/", &[("all_proxy", "socks5://p")], Err(Unusable { variable: "all_proxy" })),
            ("nonsense", "http://a/", &[("http_proxy", "p:x")], Err(Unusable { variable: "http_proxy" })),
            ("excepted", "http://a/", &[("http_proxy", "p"), ("no_proxy", "b,a")], Ok(None)),
            ("excepted in upper case", "http://A.example/", &[("http_proxy", "p"), ("NO_PROXY", "EXAMPLE")], Ok(None)),
            ("domain", "http://x.b.c/", &[("http_proxy", "p"), ("no_proxy", " b.c ")], Ok(None)),
            ("domain with dot", "http://x.b.c/", &[("http_proxy", "p"), ("no_proxy", ".b.c")], Ok(None)),
            ("domain with star", "http://x.b.c/", &[("http_proxy", "p"), ("no_proxy", "*.b.c")], Ok(None)),
            ("no part of a domain", "http://xb.c/", &[("http_proxy", "p"), ("no_proxy", "b.c")], p(1080)),
            ("all excepted", "http://a/", &[("http_proxy", "p"), ("no_proxy", "*")], Ok(None)),
            ("excepted address", "http://[::1]/", &[("http_proxy", "p"), ("no_proxy", "[::1]")], Ok(None)),
        ];
        for (name, url, variables, want) in rows {
            assert_eq!(chosen(url, variables), *want, "{name}");
        }
    }

    #[test]
    fn credentials_are_sent_as_rfc_7617_says() {
        for (text, want) in [
            ("Aladdin:open%20sesame@p", "QWxhZGRpbjpvcGVuIHNlc2FtZQ=="),
            ("http://a:b@c@p:1", "YTpiQGM="),
            ("ab:c@p", "YWI6Yw=="),
            ("a:bcd@p", "YTpiY2Q="),
            ("a:bcde@p", "YTpiY2Rl"),
        ] {
            assert_eq!(Proxy::parse(text).unwrap().credentials.as_deref(), Some(want), "{text}");
        }
        assert_eq!(Proxy::parse("a%2:b@p"), None);
    }
}
