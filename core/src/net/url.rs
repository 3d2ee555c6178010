//! Where a file is: an `http`, `https` or `file` URL or a path, and how a reference in one document leads to the next
//! (RFC 3986 section 5).
//!
//! A document from the web names what is on the web, and one in a folder names files there: neither leads to another file of this box.
//!
//! A location is only read from. What is fetched is written under fixed names, so that no location can name a file to write.

use core::fmt::{self, Write as _};

use heapless::String;

use crate::text::decimal::decimal;

/// Longest location, in bytes.
pub const MAX: usize = 2048;

/// How the bytes are reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scheme {
    /// Plain HTTP.
    Http,
    /// HTTP inside TLS.
    Https,
    /// A file that the system has mounted.
    File,
}

/// A checked location.
#[derive(Clone, PartialEq, Eq)]
pub struct Location {
    scheme: Scheme,
    /// A URL as `http://HOST[:PORT]/PATH[?QUERY]`, a file as its bare path.
    text: String<MAX>,
    /// Of a file: so many bytes of it are the folder that no link may lead out of.
    folder: usize,
}

/// Why a text is no location.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Error {
    /// No text.
    Empty,
    /// More than [`MAX`] bytes.
    TooLong,
    /// A scheme other than http, https and file.
    Scheme,
    /// No host name, or one with characters that no host name has.
    Host,
    /// The port is no number from 1 to 65535.
    Port,
    /// `user@` or `user:password@`.
    UserInfo,
    /// A control character, or in a URL a space.
    Character,
    /// `file://` with another machine's name, a relative path, or a broken `%` escape.
    FileUrl,
    /// From the web to a file.
    Local,
    /// From https to http.
    Plain,
    /// From a file to one that is not in its folder.
    Outside,
}

impl Location {
    /// Reads an absolute URL, or else takes the text for a path.
    ///
    /// # Errors
    /// If it is malformed.
    pub fn parse(text: &str) -> Result<Location, Error> {
        if text.is_empty() {
            return Err(Error::Empty);
        }
        if text.bytes().any(|byte| byte.is_ascii_control()) {
            return Err(Error::Character);
        }
        match split_scheme(text) {
            None => path(text),
            Some((scheme, rest)) if scheme.eq_ignore_ascii_case("http") => web(Scheme::Http, rest),
            Some((scheme, rest)) if scheme.eq_ignore_ascii_case("https") => web(Scheme::Https, rest),
            Some((scheme, rest)) if scheme.eq_ignore_ascii_case("file") => file_url(rest),
            Some(_) => Err(Error::Scheme),
        }
    }

    /// The update server's manifest: `server` itself if it names a `.json` file, else `latest.json` in that folder.
    ///
    /// # Errors
    /// If `server` is malformed.
    pub fn manifest_of(server: &str) -> Result<Location, Error> {
        let server = Location::parse(server)?;
        if server.path().ends_with(".json") {
            return Ok(server);
        }
        let slash = if server.path().ends_with('/') { "" } else { "/" };
        server.longer(&[slash, "latest.json"])
    }

    /// The location whose path is this one's with `ending` behind it. The query stays: it may hold what lets this box in.
    ///
    /// # Errors
    /// If it is too long.
    pub fn with_ending(&self, ending: &str) -> Result<Location, Error> {
        self.longer(&[ending])
    }

    fn longer(&self, more: &[&str]) -> Result<Location, Error> {
        let query = if self.scheme == Scheme::File { None } else { self.text.find('?') };
        let (before, query) = self.text.split_at_checked(query.unwrap_or(self.text.len())).unwrap_or_default();
        let mut text = concat(&[before])?;
        more.iter().try_for_each(|part| push(&mut text, part))?;
        push(&mut text, query)?;
        if self.scheme == Scheme::File { path(&text) } else { Ok(Location { text, ..self.clone() }) }
    }

    /// Where `reference` leads if it stands in the document at this location: absolute, `//host/path`, `/path`, `?query`, or relative to
    /// the document's folder. What a file names is in its folder, or on the web.
    ///
    /// # Errors
    /// If `reference` is malformed, leads where it may not, or the result is too long.
    pub fn join(&self, reference: &str) -> Result<Location, Error> {
        if reference.is_empty() {
            return Err(Error::Empty);
        }
        let absolute = split_scheme(reference).map(|_| Location::parse(reference)).transpose()?;
        if self.scheme == Scheme::File {
            return match absolute {
                Some(to) if to.scheme != Scheme::File => Ok(to),
                Some(to) => self.in_same_folder(&to.text),
                None => self.in_same_folder(&Location::parse(reference)?.text),
            };
        }
        match absolute.map(|to| (to.scheme, to)) {
            Some((Scheme::File, _)) => return Err(Error::Local),
            Some((Scheme::Http, _)) if self.scheme == Scheme::Https => return Err(Error::Plain),
            Some((_, to)) => return Ok(to),
            None => {}
        }
        let scheme = if self.scheme == Scheme::Https { "https" } else { "http" };
        let authority = self.authority();
        let joined = if reference.starts_with("//") {
            concat(&[scheme, ":", reference])?
        } else if reference.starts_with('/') {
            concat(&[scheme, "://", authority, reference])?
        } else if reference.starts_with('?') {
            concat(&[scheme, "://", authority, self.path(), reference])?
        } else {
            let folder = self.path().rfind('/').and_then(|slash| self.path().get(..=slash)).unwrap_or("/");
            concat(&[scheme, "://", authority, folder, reference])?
        };
        Location::parse(&joined)
    }

    /// A file that the document at this path names.
    fn in_same_folder(&self, reference: &str) -> Result<Location, Error> {
        let folder = self.folder_and_rest().0;
        let joined = if reference.starts_with('/') { concat(&[reference])? } else { concat(&[folder, reference])? };
        let (plain_folder, plain) = (without_dots(folder)?, without_dots(&joined)?);
        let rest = plain
            .strip_prefix(plain_folder.as_str())
            .filter(|rest| !["../", "/"].iter().any(|out| rest.starts_with(out)));
        let rest = rest.filter(|rest| !rest.is_empty()).ok_or(Error::Outside)?;
        Ok(Location { scheme: Scheme::File, text: concat(&[folder, rest])?, folder: folder.len() })
    }

    /// A file's path in two: the folder, with its slash, or empty for the one that the program runs in; and what leads from there to
    /// the file. No link on that way may lead out of the folder.
    pub fn folder_and_rest(&self) -> (&str, &str) {
        self.text.split_at_checked(self.folder).unwrap_or_default()
    }

    /// How the bytes are reached.
    pub fn scheme(&self) -> Scheme {
        self.scheme
    }

    /// The whole text.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The host without port and brackets, as a resolver takes it; empty for a file.
    pub fn host(&self) -> &str {
        let authority = self.authority();
        match authority.strip_prefix('[') {
            Some(address) => address.split(']').next().unwrap_or_default(),
            None => authority.split(':').next().unwrap_or_default(),
        }
    }

    /// The port, given or the scheme's own.
    pub fn port(&self) -> u16 {
        let after = self.authority();
        let after = after.split_once(']').map_or(after, |(_, after)| after);
        let given = after.rsplit_once(':').and_then(|(_, port)| decimal(port));
        given.unwrap_or(if self.scheme == Scheme::Https { 443 } else { 80 })
    }

    /// Host and port as they stand in the URL; empty for a file.
    pub fn authority(&self) -> &str {
        self.web_parts().0
    }

    /// Path and query of a URL, with the leading slash: what a request line asks for. A file's path.
    pub fn target(&self) -> &str {
        self.web_parts().1
    }

    /// The path without the query.
    fn path(&self) -> &str {
        match self.scheme {
            Scheme::File => &self.text,
            Scheme::Http | Scheme::Https => self.target().split('?').next().unwrap_or_default(),
        }
    }

    fn web_parts(&self) -> (&str, &str) {
        if self.scheme == Scheme::File {
            return ("", &self.text);
        }
        let rest = split_scheme(&self.text).map_or("", |(_, rest)| rest);
        rest.split_at_checked(rest.find('/').unwrap_or(rest.len())).unwrap_or_default()
    }
}

/// For messages: without the query, which may hold a secret, and not too long for a line.
impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const SHOWN: usize = 160;
        let query = if self.scheme == Scheme::File { None } else { self.text.find('?') };
        let shown = query.and_then(|at| self.text.get(..at)).unwrap_or(&self.text);
        match shown.char_indices().nth(SHOWN).and_then(|(at, _)| shown.get(..at)) {
            Some(head) => write!(f, "{head}..."),
            None if query.is_some() => write!(f, "{shown}?..."),
            None => f.write_str(shown),
        }
    }
}

impl fmt::Debug for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Error::Empty => "empty",
            Error::TooLong => "longer than 2048 bytes",
            Error::Scheme => "neither http, https nor file",
            Error::Host => "no host name in it",
            Error::Port => "the port is no number from 1 to 65535",
            Error::UserInfo => "user names in a URL are not supported",
            Error::Character => "a space or control character in it; write %20 for a space",
            Error::FileUrl => "a file URL is file:///PATH",
            Error::Local => "leads to a file of this box",
            Error::Plain => "leads from https to http",
            Error::Outside => "leads to a file outside of its folder; put it there",
        })
    }
}

impl core::error::Error for Error {}

/// `scheme://rest`, if what stands before `://` can be a scheme.
pub fn split_scheme(text: &str) -> Option<(&str, &str)> {
    let (scheme, rest) = text.split_once(':')?;
    let rest = rest.strip_prefix("//")?;
    let letters = scheme.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'.'));
    (letters && scheme.starts_with(|first: char| first.is_ascii_alphabetic())).then_some((scheme, rest))
}

fn path(text: &str) -> Result<Location, Error> {
    let folder = text.rfind('/').map_or(0, |slash| slash.saturating_add(1));
    Ok(Location { scheme: Scheme::File, text: concat(&[text])?, folder })
}

/// A path with `.`, `..` and empty segments resolved by its text; `..` stays at the beginning of a relative one.
fn without_dots(path: &str) -> Result<String<MAX>, Error> {
    let root = if path.starts_with('/') { "/" } else { "" };
    let mut text = concat(&[root])?;
    for segment in path.split_inclusive('/') {
        match segment.trim_end_matches('/') {
            "" | "." => {}
            ".." if text == root || text.ends_with("../") => {
                if root.is_empty() {
                    push(&mut text, "../")?;
                }
            }
            ".." => {
                let parent = text.get(..text.len().saturating_sub(1)).and_then(|text| text.rfind('/'));
                text.truncate(parent.map_or(0, |slash| slash.saturating_add(1)));
            }
            _ => push(&mut text, segment)?,
        }
    }
    Ok(text)
}

fn file_url(rest: &str) -> Result<Location, Error> {
    let rest = rest.strip_prefix("localhost").unwrap_or(rest);
    if !rest.starts_with('/') {
        return Err(Error::FileUrl);
    }
    let mut bytes = heapless::Vec::<u8, MAX>::new();
    let mut left = rest.bytes();
    while let Some(byte) = left.next() {
        let byte = if byte == b'%' {
            let digits = [left.next().ok_or(Error::FileUrl)?, left.next().ok_or(Error::FileUrl)?];
            let [byte] = crate::text::hex::parse::<1>(&digits).ok_or(Error::FileUrl)?;
            byte
        } else {
            byte
        };
        if byte.is_ascii_control() {
            return Err(Error::Character);
        }
        bytes.push(byte).map_err(|_| Error::TooLong)?;
    }
    path(core::str::from_utf8(&bytes).map_err(|_| Error::FileUrl)?)
}

fn web(scheme: Scheme, rest: &str) -> Result<Location, Error> {
    let rest = rest.split('#').next().unwrap_or_default();
    if rest.contains(' ') {
        return Err(Error::Character);
    }
    let end = rest.bytes().position(|byte| matches!(byte, b'/' | b'?')).unwrap_or(rest.len());
    let (authority, target) = rest.split_at_checked(end).unwrap_or_default();
    if authority.contains('@') {
        return Err(Error::UserInfo);
    }
    let (host, port) = match authority.strip_prefix('[') {
        Some(inner) => {
            let (address, after) = inner.split_once(']').ok_or(Error::Host)?;
            if address.is_empty()
                || !address.bytes().all(|byte| byte.is_ascii_hexdigit() || matches!(byte, b':' | b'.'))
            {
                return Err(Error::Host);
            }
            let port = after.strip_prefix(':');
            if port.is_none() && !after.is_empty() {
                return Err(Error::Port);
            }
            (address, port)
        }
        None => match authority.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (authority, None),
        },
    };
    let name = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_');
    if host.is_empty() || !authority.starts_with('[') && !host.bytes().all(name) {
        return Err(Error::Host);
    }
    // `host:` with nothing after it is the scheme's own port.
    let authority = if port == Some("") { authority.strip_suffix(':').unwrap_or(authority) } else { authority };
    if let Some(port) = port.filter(|port| !port.is_empty())
        && decimal::<u16>(port).is_none_or(|port| port == 0)
    {
        return Err(Error::Port);
    }
    let (path, query) = match target.find('?').and_then(|at| target.split_at_checked(at)) {
        Some((path, query)) => (path, query),
        None => (target, ""),
    };
    let mut text = concat(&[if scheme == Scheme::Https { "https://" } else { "http://" }, authority])?;
    let root = text.len();
    push_without_dots(&mut text, root, path)?;
    push_escaped(&mut text, query)?;
    Ok(Location { scheme, text, folder: 0 })
}

/// Appends `path` with `.` and `..` resolved: never further up than `root`.
fn push_without_dots(text: &mut String<MAX>, root: usize, path: &str) -> Result<(), Error> {
    let mut open = false;
    for segment in path.split('/').skip(1) {
        open = matches!(segment, "." | "..");
        match segment {
            "." => {}
            ".." => {
                let parent = text.get(root..).and_then(|path| path.rfind('/')).unwrap_or_default();
                text.truncate(root.saturating_add(parent));
            }
            segment => {
                push(text, "/")?;
                push_escaped(text, segment)?;
            }
        }
    }
    // `/a/..` names the folder, and an empty path the root.
    if open || text.len() == root { push(text, "/") } else { Ok(()) }
}

/// Appends with every byte beyond ASCII as `%XX`.
fn push_escaped(text: &mut String<MAX>, part: &str) -> Result<(), Error> {
    for byte in part.bytes() {
        if byte.is_ascii() {
            text.push(char::from(byte)).map_err(|_| Error::TooLong)?;
        } else {
            write!(text, "%{byte:02X}").map_err(|_| Error::TooLong)?;
        }
    }
    Ok(())
}

fn concat(parts: &[&str]) -> Result<String<MAX>, Error> {
    let mut text = String::new();
    parts.iter().try_for_each(|part| push(&mut text, part))?;
    Ok(text)
}

fn push(text: &mut String<MAX>, part: &str) -> Result<(), Error> {
    text.push_str(part).map_err(|_| Error::TooLong)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::string::ToString;

    #[test]
    fn texts_and_the_locations_they_name() {
        use Scheme::{File, Http, Https};
        let rows: &[(&str, &str, Result<(Scheme, &str), Error>)] = &[
            ("plain", "http://a/b", Ok((Http, "http://a/b"))),
            ("upper case scheme", "HTTPS://a/b", Ok((Https, "https://a/b"))),
            ("no path", "http://a", Ok((Http, "http://a/"))),
            ("no path but a query", "http://a?b", Ok((Http, "http://a/?b"))),
            ("port", "http://a:8080/b", Ok((Http, "http://a:8080/b"))),
            ("empty port", "http://a:/b", Ok((Http, "http://a/b"))),
            ("IPv6", "http://[::1]:8080/b", Ok((Http, "http://[::1]:8080/b"))),
            ("fragment", "http://a/b?c#d", Ok((Http, "http://a/b?c"))),
            ("dots", "http://a/b/./c/../../../d/..", Ok((Http, "http://a/"))),
            ("dots in a query stay", "http://a/b?c=/../d", Ok((Http, "http://a/b?c=/../d"))),
            ("double slash stays", "http://a//b", Ok((Http, "http://a//b"))),
            ("beyond ASCII", "http://a/\u{e4}?\u{e4}", Ok((Http, "http://a/%C3%A4?%C3%A4"))),
            ("absolute path", "/mnt/usb", Ok((File, "/mnt/usb"))),
            ("relative path", "usb/latest.json", Ok((File, "usb/latest.json"))),
            ("path with a space", "/mnt/my usb", Ok((File, "/mnt/my usb"))),
            ("path with ://", "./a://b", Ok((File, "./a://b"))),
            ("file URL", "file:///mnt/my%20usb", Ok((File, "/mnt/my usb"))),
            ("file URL, localhost", "file://localhost/mnt", Ok((File, "/mnt"))),
            ("empty", "", Err(Error::Empty)),
            ("other scheme", "ftp://a/b", Err(Error::Scheme)),
            ("no host", "http:///b", Err(Error::Host)),
            ("no host but a port", "http://:80/b", Err(Error::Host)),
            ("host with a slash escape", "http://a%2fb/", Err(Error::Host)),
            ("host beyond ASCII", "http://\u{e4}/", Err(Error::Host)),
            ("IPv6 without end", "http://[::1/b", Err(Error::Host)),
            ("IPv6 and more", "http://[::1]x/b", Err(Error::Port)),
            ("port 0", "http://a:0/", Err(Error::Port)),
            ("port too high", "http://a:65536/", Err(Error::Port)),
            ("port with sign", "http://a:+80/", Err(Error::Port)),
            ("user", "http://me@a/", Err(Error::UserInfo)),
            ("user and password", "http://me:b@a/", Err(Error::UserInfo)),
            ("space", "http://a/b c", Err(Error::Character)),
            ("line break", "http://a/b\r\nX: y", Err(Error::Character)),
            ("line break in a path", "/mnt\n/usb", Err(Error::Character)),
            ("file URL of a machine", "file://nas/usb", Err(Error::FileUrl)),
            ("file URL, bad escape", "file:///a%2", Err(Error::FileUrl)),
            ("file URL, NUL", "file:///a%00", Err(Error::Character)),
        ];
        for (name, text, want) in rows {
            let got = Location::parse(text);
            assert_eq!(got.as_ref().map(|got| (got.scheme, got.as_str())).map_err(|error| *error), *want, "{name}");
        }
        let long = "http://a/".to_string() + &"b".repeat(MAX);
        assert_eq!(Location::parse(&long), Err(Error::TooLong));
        assert_eq!(Location::parse(&long[..MAX]).unwrap().as_str().len(), MAX);
    }

    #[test]
    fn references_lead_where_rfc_3986_says() {
        let rows: &[(&str, &str, &str)] = &[
            // RFC 3986 section 5.4, as far as the scheme is http.
            ("http://a/b/c/d;p?q", "g", "http://a/b/c/g"),
            ("http://a/b/c/d;p?q", "./g", "http://a/b/c/g"),
            ("http://a/b/c/d;p?q", "g/", "http://a/b/c/g/"),
            ("http://a/b/c/d;p?q", "/g", "http://a/g"),
            ("http://a/b/c/d;p?q", "//g", "http://g/"),
            ("http://a/b/c/d;p?q", "?y", "http://a/b/c/d;p?y"),
            ("http://a/b/c/d;p?q", "g?y", "http://a/b/c/g?y"),
            ("http://a/b/c/d;p?q", "g?y/../x", "http://a/b/c/g?y/../x"),
            ("http://a/b/c/d;p?q", ";x", "http://a/b/c/;x"),
            ("http://a/b/c/d;p?q", ".", "http://a/b/c/"),
            ("http://a/b/c/d;p?q", "..", "http://a/b/"),
            ("http://a/b/c/d;p?q", "../g", "http://a/b/g"),
            ("http://a/b/c/d;p?q", "../..", "http://a/"),
            ("http://a/b/c/d;p?q", "../../g", "http://a/g"),
            ("http://a/b/c/d;p?q", "../../../../g", "http://a/g"),
            ("http://a/b/c/d;p?q", "/../g", "http://a/g"),
            ("http://a/b/c/d;p?q", "..g", "http://a/b/c/..g"),
            ("http://a/b/c/d;p?q", "g/../h", "http://a/b/c/h"),
            ("https://a:8443/b/latest.json?token=x/y", "vmlinuz", "https://a:8443/b/vmlinuz"),
            ("https://a:8443/b/latest.json", "//c/d", "https://c/d"),
            ("http://a/latest.json", "https://b/c", "https://b/c"),
            ("http://a/latest.json", "latest.json.sig", "http://a/latest.json.sig"),
            ("/mnt/usb/latest.json", "vmlinuz", "/mnt/usb/vmlinuz"),
            ("/mnt/usb/latest.json", "../usb/./a//vmlinuz", "/mnt/usb/a/vmlinuz"),
            ("/mnt/usb/latest.json", "/mnt/usb/vmlinuz", "/mnt/usb/vmlinuz"),
            ("/mnt/usb/latest.json", "file:///mnt/usb/a%20b", "/mnt/usb/a b"),
            ("/mnt/../usb/latest.json", "vmlinuz", "/mnt/../usb/vmlinuz"),
            ("../usb/latest.json", "vmlinuz", "../usb/vmlinuz"),
            ("../usb/latest.json", "../usb/vmlinuz", "../usb/vmlinuz"),
            ("/mnt/usb/latest.json", "http://a/b", "http://a/b"),
            ("latest.json", "vmlinuz", "vmlinuz"),
            ("/latest.json", "vmlinuz", "/vmlinuz"),
        ];
        for (base, reference, want) in rows {
            let base = Location::parse(base).unwrap();
            assert_eq!(base.join(reference).unwrap().as_str(), *want, "{base} and {reference}");
        }
        let rows = [
            ("http://a/b", "file:///dev/watchdog", Error::Local),
            ("http://a/b", "FILE:///dev/watchdog", Error::Local),
            ("https://a/b", "file://localhost/dev/watchdog", Error::Local),
            ("https://a/b", "http://a/b", Error::Plain),
            ("/mnt/usb/latest.json", "../vmlinuz", Error::Outside),
            ("/mnt/usb/latest.json", "/dev/watchdog", Error::Outside),
            ("/mnt/usb/latest.json", "file:///dev/watchdog", Error::Outside),
            ("/mnt/usb/latest.json", "/mnt/usb/../vmlinuz", Error::Outside),
            ("/mnt/usb/latest.json", "/mnt/usb2/vmlinuz", Error::Outside),
            ("/mnt/usb/latest.json", "a/../../usb2/vmlinuz", Error::Outside),
            ("/mnt/usb/latest.json", ".", Error::Outside),
            ("latest.json", "../vmlinuz", Error::Outside),
            ("../latest.json", "../../vmlinuz", Error::Outside),
            ("latest.json", "/dev/watchdog", Error::Outside),
        ];
        for (base, reference, want) in rows {
            assert_eq!(Location::parse(base).unwrap().join(reference), Err(want), "{base} and {reference}");
        }
        let base = Location::parse("http://a/b").unwrap();
        assert_eq!(base.join(""), Err(Error::Empty));
        assert_eq!(base.join("//"), Err(Error::Host));
        assert_eq!(base.join("gopher://x"), Err(Error::Scheme));
        assert_eq!(base.join(&"x".repeat(MAX)), Err(Error::TooLong));
    }

    #[test]
    fn a_server_is_a_folder_or_names_its_manifest() {
        for (server, want) in [
            ("http://a", "http://a/latest.json"),
            ("http://a/stable", "http://a/stable/latest.json"),
            ("http://a/stable/", "http://a/stable/latest.json"),
            ("http://a/edge.json?token=x", "http://a/edge.json?token=x"),
            ("http://a/stable?token=x/y", "http://a/stable/latest.json?token=x/y"),
            ("http://a?token=x", "http://a/latest.json?token=x"),
            ("/mnt/usb", "/mnt/usb/latest.json"),
            ("file:///mnt/usb/", "/mnt/usb/latest.json"),
            ("/mnt/usb/latest.json", "/mnt/usb/latest.json"),
        ] {
            assert_eq!(Location::manifest_of(server).unwrap().as_str(), want, "{server}");
        }
    }

    #[test]
    fn an_ending_goes_before_the_query() {
        for (at, want) in [
            ("http://a/edge.json", "http://a/edge.json.sig"),
            ("http://a/edge.json?token=x.json", "http://a/edge.json.sig?token=x.json"),
            ("/mnt/what?.json", "/mnt/what?.json.sig"),
        ] {
            assert_eq!(Location::parse(at).unwrap().with_ending(".sig").unwrap().as_str(), want);
        }
        let long = "http://a/".to_string() + &"b".repeat(1000);
        let longer = Location::parse(&long).unwrap().with_ending(".sig").unwrap();
        assert_eq!(longer.as_str(), long.clone() + ".sig");
        let longest = "http://a/".to_string() + &"b".repeat(MAX - 9);
        assert_eq!(Location::parse(&longest).unwrap().with_ending(".sig"), Err(Error::TooLong));
    }

    #[test]
    fn a_file_is_in_a_folder() {
        let parts = |text: &str, reference: &str| {
            let at = Location::parse(text).unwrap();
            let at = if reference.is_empty() { at } else { at.join(reference).unwrap() };
            (at.folder_and_rest().0.to_string(), at.folder_and_rest().1.to_string())
        };
        for (text, reference, folder, rest) in [
            ("/mnt/usb/latest.json", "", "/mnt/usb/", "latest.json"),
            ("/mnt/usb/latest.json", "a/b", "/mnt/usb/", "a/b"),
            ("latest.json", "a/b", "", "a/b"),
            ("/latest.json", "a", "/", "a"),
        ] {
            assert_eq!(parts(text, reference), (folder.to_string(), rest.to_string()), "{text} {reference}");
        }
    }

    #[test]
    fn a_url_comes_apart_into_what_a_request_needs() {
        for (text, host, port, authority, target) in [
            ("http://a/b?c", "a", 80, "a", "/b?c"),
            ("https://a", "a", 443, "a", "/"),
            ("http://a.b:8080/", "a.b", 8080, "a.b:8080", "/"),
            ("http://[::1]/", "::1", 80, "[::1]", "/"),
            ("https://[fe80::1.2.3.4]:8443/x", "fe80::1.2.3.4", 8443, "[fe80::1.2.3.4]:8443", "/x"),
            ("/mnt/usb", "", 80, "", "/mnt/usb"),
        ] {
            let location = Location::parse(text).unwrap();
            let got = (location.host(), location.port(), location.authority(), location.target());
            assert_eq!(got, (host, port, authority, target), "{text}");
        }
    }

    #[test]
    fn a_message_shows_no_query_and_no_endless_url() {
        let shown = |text: &str| Location::parse(text).unwrap().to_string();
        assert_eq!(shown("http://a/b?token=secret"), "http://a/b?...");
        assert_eq!(shown("/mnt/what?"), "/mnt/what?");
        assert_eq!(shown(&("http://a/".to_string() + &"x".repeat(500))).len(), 163);
    }
}
