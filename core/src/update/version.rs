//! Three-part versions: text ↔ numbers, and their order.

use core::fmt;

use crate::text::decimal::decimal;

/// Longest text that is looked at, in bytes.
const MAX: usize = 64;

/// A version such as `1.2.3`. The order is that of the three numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version {
    /// The first number.
    pub major: u32,
    /// The second.
    pub minor: u32,
    /// The third.
    pub patch: u32,
}

/// The text is not three decimal numbers below 2³² with dots between them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Error;

impl Version {
    /// Reads `1.2.3` or `v1.2.3`, with white space around it.
    ///
    /// What follows the numbers, a pre-release (`1.2.3-rc1`) or a build (`1.2.3+debian2`), is passed over, as KubeSolo OS does:
    /// its nightly images have such names, and a box that runs one has to be able to take the next.
    ///
    /// # Errors
    /// If the text is something else.
    pub fn parse(text: &str) -> Result<Version, Error> {
        let text = text.trim_ascii();
        if text.len() > MAX {
            return Err(Error);
        }
        let text = text.strip_prefix('v').unwrap_or(text);
        let text = text.split(['-', '+']).next().unwrap_or_default();
        let mut numbers = text.split('.');
        let mut next = || numbers.next().and_then(decimal).ok_or(Error);
        let version = Version { major: next()?, minor: next()?, patch: next()? };
        numbers.next().map_or(Ok(version), |_| Err(Error))
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.major, self.minor, self.patch)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("not a version of three numbers such as 1.2.3")
    }
}

impl core::error::Error for Error {}

#[cfg(test)]
mod tests {
    use super::*;
    use std::string::ToString;

    const fn version(major: u32, minor: u32, patch: u32) -> Version {
        Version { major, minor, patch }
    }

    #[test]
    fn texts_and_what_they_mean() {
        let rows: &[(&str, &str, Result<Version, Error>)] = &[
            ("plain", "1.2.3", Ok(version(1, 2, 3))),
            ("with v", "v1.2.3", Ok(version(1, 2, 3))),
            ("newline of a file", "1.2.3\n", Ok(version(1, 2, 3))),
            ("spaces and CRLF", "  v0.0.0 \r\n", Ok(version(0, 0, 0))),
            ("calendar", "2026.01.05", Ok(version(2026, 1, 5))),
            ("largest", "4294967295.0.0", Ok(version(u32::MAX, 0, 0))),
            ("too large", "4294967296.0.0", Err(Error)),
            ("far too large", "99999999999999999999.0.0", Err(Error)),
            ("build suffix", "1.2.3+debian-2", Ok(version(1, 2, 3))),
            ("pre-release", "1.2.3-rc.1", Ok(version(1, 2, 3))),
            ("pre-release and build", "1.2.3-rc.1+7", Ok(version(1, 2, 3))),
            ("pre-release of a build", "1.2.3+7-rc.1", Ok(version(1, 2, 3))),
            ("dash and nothing", "v1.2.3-", Ok(version(1, 2, 3))),
            ("pre-release of two parts", "1.2-rc.3", Err(Error)),
            ("empty", "", Err(Error)),
            ("only v", "v", Err(Error)),
            ("two v", "vv1.2.3", Err(Error)),
            ("two parts", "1.2", Err(Error)),
            ("four parts", "1.2.3.4", Err(Error)),
            ("empty part", "1..3", Err(Error)),
            ("dot at the end", "1.2.3.", Err(Error)),
            ("sign", "1.+2.3", Err(Error)),
            ("minus", "-1.2.3", Err(Error)),
            ("letters", "1.2.x", Err(Error)),
            ("space inside", "1. 2.3", Err(Error)),
            ("other digits", "1.2.٣", Err(Error)),
        ];
        for (name, text, want) in rows {
            assert_eq!(Version::parse(text), *want, "{name}");
        }
        assert_eq!(Version::parse(&("1.2.3+".to_string() + &"x".repeat(60))), Err(Error));
    }

    #[test]
    fn numbers_are_compared_as_numbers() {
        let ordered = ["0.0.9", "0.0.10", "0.9.0", "0.10.0", "1.0.0", "1.0.1", "1.1.0", "2.0.0", "10.0.0"];
        for pair in ordered.windows(2) {
            assert!(Version::parse(pair[0]).unwrap() < Version::parse(pair[1]).unwrap(), "{pair:?}");
        }
    }

    #[test]
    fn a_version_is_shown_as_it_is_read() {
        assert_eq!(version(1, 20, 300).to_string(), "1.20.300");
        assert_eq!(Version::parse(&version(u32::MAX, u32::MAX, u32::MAX).to_string()).unwrap().patch, u32::MAX);
    }
}
