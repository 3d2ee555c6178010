//! The description of an update, `latest.json` on a server and `slot.json` in a slot: text → fields, and the policy that decides
//! whether this box may take it. docs/formats.md has the fields.
//!
//! - An unknown field is skipped, whatever it holds. A known field that stands twice is refused: two programs could take different
//!   values from the same signed text.
//! - `null` and `""` count as not there: servers write them for fields they do not use.
//! - Strings stay as they are in the text, [`Text`]; the manifest borrows from it.

use core::fmt::{self, Write as _};

use crate::ignore::ignore;
use crate::net::url;
use crate::text::decimal::decimal;
use crate::text::hex;
use crate::text::hex::Hex;
use crate::text::json::{self, Text, Value};
use crate::text::timestamp::Moment;
use crate::update::digest::Hash;
use crate::update::rollout::{self, Group, Waves};
use crate::update::version::{self, Version};

/// Longest document, in bytes.
pub const MAX: usize = 64 * 1024;

/// The architecture this program runs on, as [`UpdatePolicy`] takes it.
pub const ARCHITECTURE: &str = if cfg!(target_arch = "aarch64") {
    "arm64"
} else if cfg!(target_arch = "x86_64") {
    "amd64"
} else {
    "unknown"
};

/// What an update consists of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Manifest<'a> {
    /// The version it brings.
    pub version: Version,
    /// The kernel.
    pub vmlinuz: Image<'a>,
    /// The initramfs.
    pub initramfs: Image<'a>,
    /// Where the signature is, if not at `latest.json.sig`.
    pub metadata_sig_url: Option<Text<'a>>,
    /// The channel it is published on.
    pub channel: Option<Text<'a>>,
    /// The machine it is for.
    pub architecture: Option<Text<'a>>,
    /// The oldest version that can update to it.
    pub min_compatible_version: Option<Version>,
    /// What is new.
    pub release_notes: Option<Text<'a>>,
    /// When it was published, in the publisher's words.
    pub release_date: Option<Text<'a>>,
    /// Since when it is offered: the start of its waves.
    pub rollout_start: Option<Moment>,
    /// Which share of the boxes is offered it how long after that; all of them at once if there are none.
    pub waves: Option<Waves<'a>>,
    /// A version that no box takes any more, nor activates.
    pub withdrawn: Option<Version>,
    /// Until when the manifest is to be believed.
    pub expires: Option<Moment>,
}

/// One file of an update.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Image<'a> {
    /// Where it is, absolute or relative to the manifest. In `slot.json` it may be missing.
    pub url: Option<Text<'a>>,
    /// Its SHA-256.
    pub sha256: Hash,
    /// Its bytes, if the manifest says: never 0.
    pub size: Option<u64>,
    /// Which chunks it is made of.
    pub index: Option<Index<'a>>,
}

/// The chunk index of a file: [`index`](crate::update::index) has its format.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Index<'a> {
    /// Where it is, absolute or relative to the manifest.
    pub url: Text<'a>,
    /// Its SHA-256.
    pub sha256: Hash,
    /// Its bytes: never 0.
    pub size: u64,
}

/// Why a text is no manifest. The texts are field names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Error {
    /// More than [`MAX`] bytes.
    TooLong,
    /// Bytes that are no UTF-8.
    NotText,
    /// Not a JSON object.
    Json(json::Error),
    /// The field has to be there.
    Missing(&'static str),
    /// The field stands there twice.
    Twice(&'static str),
    /// The field is not a string.
    NotString(&'static str),
    /// The field is not a whole number above 0.
    NotSize(&'static str),
    /// The field's text is too long.
    FieldTooLong(&'static str),
    /// The field is not 64 hex digits.
    NotSha256(&'static str),
    /// The field is no version.
    Version(&'static str, version::Error),
    /// The field is no moment as RFC 3339 has it.
    NotMoment(&'static str),
    /// `rollout` is no list of waves.
    NotWaves,
}

/// Every field that is known; docs/formats.md says what each means.
pub const FIELDS: [&str; 23] = [
    "version",
    "vmlinuz_url",
    "vmlinuz_sha256",
    "vmlinuz_size",
    "vmlinuz_index_url",
    "vmlinuz_index_sha256",
    "vmlinuz_index_size",
    "initramfs_url",
    "initramfs_sha256",
    "initramfs_size",
    "initramfs_index_url",
    "initramfs_index_sha256",
    "initramfs_index_size",
    "metadata_sig_url",
    "channel",
    "architecture",
    "min_compatible_version",
    "release_notes",
    "release_date",
    "rollout_start",
    "rollout",
    "withdrawn",
    "expires",
];

/// The document's values of the known fields.
struct Found<'a>([Option<Value<'a>>; FIELDS.len()]);

impl<'a> Manifest<'a> {
    /// Reads the document. The images' URLs may be missing: see [`Image::url`].
    ///
    /// # Errors
    /// If it is malformed, or lacks a version or a hash.
    pub fn parse(document: &'a [u8]) -> Result<Manifest<'a>, Error> {
        if document.len() > MAX {
            return Err(Error::TooLong);
        }
        let document = core::str::from_utf8(document).map_err(|_| Error::NotText)?;
        let mut found = Found([None; FIELDS.len()]);
        json::members(document, |name, value| found.put(name, value))?;
        Ok(Manifest {
            version: found.version("version")?.ok_or(Error::Missing("version"))?,
            vmlinuz: Image {
                url: found.text("vmlinuz_url", url::MAX)?,
                sha256: found.sha256("vmlinuz_sha256")?,
                size: found.size("vmlinuz_size")?,
                index: found.index("vmlinuz_index_url", "vmlinuz_index_sha256", "vmlinuz_index_size")?,
            },
            initramfs: Image {
                url: found.text("initramfs_url", url::MAX)?,
                sha256: found.sha256("initramfs_sha256")?,
                size: found.size("initramfs_size")?,
                index: found.index("initramfs_index_url", "initramfs_index_sha256", "initramfs_index_size")?,
            },
            metadata_sig_url: found.text("metadata_sig_url", url::MAX)?,
            channel: found.text("channel", 64)?,
            architecture: found.text("architecture", 64)?,
            min_compatible_version: found.version("min_compatible_version")?,
            release_notes: found.text("release_notes", MAX)?,
            release_date: found.text("release_date", 64)?,
            rollout_start: found.moment("rollout_start")?,
            waves: found.waves()?,
            withdrawn: found.version("withdrawn")?,
            expires: found.moment("expires")?,
        })
    }

    /// Where kernel and initramfs are: what a manifest on a server has to say.
    ///
    /// # Errors
    /// If a URL is missing.
    pub fn urls(&self) -> Result<(Text<'a>, Text<'a>), Error> {
        let vmlinuz = self.vmlinuz.url.ok_or(Error::Missing("vmlinuz_url"))?;
        Ok((vmlinuz, self.initramfs.url.ok_or(Error::Missing("initramfs_url"))?))
    }
}

impl<'a> Found<'a> {
    fn put(&mut self, name: Text<'a>, value: Value<'a>) -> Result<(), Error> {
        let known = FIELDS.iter().zip(&mut self.0).find(|(known, _)| name.is(known));
        match known {
            Some((name, Some(_))) => Err(Error::Twice(name)),
            Some((_, place)) => {
                *place = Some(value);
                Ok(())
            }
            None => Ok(()),
        }
    }

    /// The field's value, if it is there.
    fn get(&self, name: &str) -> Option<Value<'a>> {
        let known = FIELDS.iter().zip(&self.0).find(|(known, _)| **known == name);
        known.and_then(|(_, value)| *value).filter(|value| *value != Value::Null)
    }

    /// The field's text, of at most `max` bytes.
    fn text(&self, name: &'static str, max: usize) -> Result<Option<Text<'a>>, Error> {
        match self.get(name) {
            None => Ok(None),
            Some(Value::Text(text)) if text.raw().is_empty() => Ok(None),
            Some(Value::Text(text)) if text.raw().len() > max => Err(Error::FieldTooLong(name)),
            Some(Value::Text(text)) => Ok(Some(text)),
            Some(_) => Err(Error::NotString(name)),
        }
    }

    fn index(&self, url: &'static str, sha256: &'static str, size: &'static str) -> Result<Option<Index<'a>>, Error> {
        let Some(at) = self.text(url, url::MAX)? else { return Ok(None) };
        let size = self.size(size)?.ok_or(Error::Missing(size))?;
        Ok(Some(Index { url: at, sha256: self.sha256(sha256)?, size }))
    }

    fn version(&self, name: &'static str) -> Result<Option<Version>, Error> {
        let Some(text) = self.text(name, 64)? else { return Ok(None) };
        Version::parse(text.raw()).map(Some).map_err(|error| Error::Version(name, error))
    }

    fn moment(&self, name: &'static str) -> Result<Option<Moment>, Error> {
        let Some(text) = self.text(name, 64)? else { return Ok(None) };
        Moment::parse(text.raw()).map(Some).ok_or(Error::NotMoment(name))
    }

    /// The waves, which begin at a moment.
    fn waves(&self) -> Result<Option<Waves<'a>>, Error> {
        let Some(text) = self.text("rollout", 256)? else { return Ok(None) };
        self.moment("rollout_start")?.ok_or(Error::Missing("rollout_start"))?;
        Waves::parse(text.raw()).map(Some).ok_or(Error::NotWaves)
    }

    fn sha256(&self, name: &'static str) -> Result<Hash, Error> {
        let text = self.text(name, 64)?.ok_or(Error::Missing(name))?;
        hex::parse(text.raw().as_bytes()).map(Hash).ok_or(Error::NotSha256(name))
    }

    fn size(&self, name: &'static str) -> Result<Option<u64>, Error> {
        match self.get(name) {
            None => Ok(None),
            Some(Value::Number(number)) => match decimal(number) {
                Some(size) if size > 0 => Ok(Some(size)),
                _ => Err(Error::NotSize(name)),
            },
            Some(_) => Err(Error::NotSize(name)),
        }
    }
}

/// Which updates this box takes.
#[derive(Clone, Copy, Debug)]
pub struct UpdatePolicy<'a> {
    /// The configured channel; `None` takes any.
    pub channel: Option<&'a str>,
    /// The machine, [`ARCHITECTURE`] unless a test says otherwise.
    pub architecture: &'a str,
    /// The running version; `None` if it is not known.
    pub running: Option<Version>,
    /// Whether a version that is not newer is taken too.
    pub allow_downgrade: bool,
    /// The images that were rolled back from, by [`Manifest::image`], a space between two; empty takes them again.
    pub known_bad: &'a str,
    /// When and which version; `None` takes any at once.
    pub rollout: Option<Rollout<'a>>,
}

/// A box in a roll-out.
#[derive(Clone, Copy, Debug)]
pub struct Rollout<'a> {
    /// What the box says of itself in `/etc/machine-id`, if it does. One that does not is among the last.
    pub machine_id: Option<&'a str>,
    /// The configured group.
    pub group: Group,
    /// The only version to take, if one is configured.
    pub want: Option<Version>,
    /// What the clock says.
    pub now: Moment,
}

/// Why this box does not take an update.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal<'a> {
    /// Published on another channel.
    Channel {
        /// The configured one.
        want: &'a str,
        /// The manifest's.
        got: Text<'a>,
    },
    /// Built for another machine.
    Architecture {
        /// This machine's.
        want: &'a str,
        /// The manifest's.
        got: Text<'a>,
    },
    /// The running version is too old to update in one step.
    TooOld {
        /// The oldest version that can.
        min: Version,
        /// The running one.
        running: Version,
    },
    /// The running version is this one.
    UpToDate(Version),
    /// The running version is newer.
    Older {
        /// The manifest's version.
        offered: Version,
        /// The running one.
        running: Version,
    },
    /// The running version is not known.
    RunningUnknown,
    /// This very image was tried here, and rolled back from.
    KnownBad,
    /// Another version is configured as the only one.
    Unwanted(Version),
    /// The publisher has withdrawn it.
    Withdrawn,
    /// The manifest is older than it may be.
    Expired(Moment),
    /// The clock says that the manifest is not yet published.
    Clock(Moment),
    /// Its turn comes.
    NotYet(Moment),
    /// The roll-out stops before this box.
    NotOffered,
}

impl Manifest<'_> {
    /// When it was published, if that is a moment, or a day.
    fn released(&self) -> Option<Moment> {
        let text = self.release_date?.raw();
        let mut day = heapless::String::<32>::new();
        ignore(write!(day, "{text}T00:00:00Z"), "what does not fit is no day");
        Moment::parse(text).or_else(|| Moment::parse(&day))
    }

    /// The name of the image, independent of its version: 16 hex digits of the kernel's hash and 16 of the initramfs'.
    pub fn image(&self) -> heapless::String<32> {
        let mut name = heapless::String::new();
        for image in [&self.vmlinuz, &self.initramfs] {
            let digits = Hex(image.sha256.0.get(..8).unwrap_or_default());
            ignore(write!(name, "{digits}"), "32 digits fit");
        }
        name
    }
}

impl<'a> UpdatePolicy<'a> {
    /// Whether this box may take what `manifest` describes: channel, machine, oldest version, newer, not known to
    /// be bad, in that order.
    ///
    /// # Errors
    /// The first check that fails.
    pub fn check(&self, manifest: &Manifest<'a>) -> Result<(), Refusal<'a>> {
        self.check_channel(manifest)?;
        self.check_architecture(manifest)?;
        self.check_min_compatible(manifest)?;
        self.check_newer(manifest)?;
        let image = manifest.image();
        if self.known_bad.split(' ').any(|bad| bad == image) {
            return Err(Refusal::KnownBad);
        }
        self.rollout.map_or(Ok(()), |rollout| rollout.check(manifest))
    }

    /// A manifest without a channel is for every box, and a box without one takes every channel.
    ///
    /// # Errors
    /// [`Refusal::Channel`].
    pub fn check_channel(&self, manifest: &Manifest<'a>) -> Result<(), Refusal<'a>> {
        match (self.channel, manifest.channel) {
            (Some(want), Some(got)) if !got.is(want) => Err(Refusal::Channel { want, got }),
            _ => Ok(()),
        }
    }

    /// A manifest without an architecture is for every machine. `x86_64` and `amd64` are one, and so are `aarch64` and
    /// `arm64`.
    ///
    /// # Errors
    /// [`Refusal::Architecture`].
    pub fn check_architecture(&self, manifest: &Manifest<'a>) -> Result<(), Refusal<'a>> {
        const SYNONYMS: [[&str; 2]; 2] = [["amd64", "x86_64"], ["arm64", "aarch64"]];
        let want = self.architecture;
        match manifest.architecture {
            Some(got) if !got.is(want) => {
                let same = SYNONYMS.iter().any(|names| names.contains(&want) && names.iter().any(|name| got.is(name)));
                if same { Ok(()) } else { Err(Refusal::Architecture { want, got }) }
            }
            _ => Ok(()),
        }
    }

    /// No flag overrules this check. If the running version is not known it passes, and [`UpdatePolicy::check_newer`] decides.
    ///
    /// # Errors
    /// [`Refusal::TooOld`].
    pub fn check_min_compatible(&self, manifest: &Manifest<'a>) -> Result<(), Refusal<'a>> {
        match (manifest.min_compatible_version, self.running) {
            (Some(min), Some(running)) if running < min => Err(Refusal::TooOld { min, running }),
            _ => Ok(()),
        }
    }

    /// Whether the version is newer, or a downgrade is allowed.
    ///
    /// # Errors
    /// [`Refusal::UpToDate`], [`Refusal::Older`], [`Refusal::RunningUnknown`].
    pub fn check_newer(&self, manifest: &Manifest<'a>) -> Result<(), Refusal<'a>> {
        let offered = manifest.version;
        match self.running {
            _ if self.allow_downgrade => Ok(()),
            None => Err(Refusal::RunningUnknown),
            Some(running) if offered == running => Err(Refusal::UpToDate(running)),
            Some(running) if offered < running => Err(Refusal::Older { offered, running }),
            Some(_) => Ok(()),
        }
    }
}

impl Rollout<'_> {
    /// Whether it is this box's turn: the version is wanted, stands, and is offered here by now. A clock before the day of the release is
    /// not one to go by.
    fn check<'a>(&self, manifest: &Manifest<'a>) -> Result<(), Refusal<'a>> {
        let Manifest { version, rollout_start, waves, withdrawn, expires, .. } = *manifest;
        if let Some(want) = self.want.filter(|want| *want != version) {
            return Err(Refusal::Unwanted(want));
        }
        if withdrawn == Some(version) {
            return Err(Refusal::Withdrawn);
        }
        if let Some(expires) = expires.filter(|expires| *expires <= self.now) {
            return Err(Refusal::Expired(expires));
        }
        let Some(start) = rollout_start else { return Ok(()) };
        if let Some(released) = manifest.released().filter(|released| self.now <= *released) {
            return Err(Refusal::Clock(released));
        }
        match self.offered_from(version, start, waves) {
            Some(from) if from <= self.now => Ok(()),
            Some(from) => Err(Refusal::NotYet(from)),
            None => Err(Refusal::NotOffered),
        }
    }

    fn offered_from(&self, version: Version, start: Moment, waves: Option<Waves<'_>>) -> Option<Moment> {
        let Some(machine_id) = self.machine_id else { return rollout::offered_from(start, waves, Group::Late, 0) };
        let mut text = heapless::String::<64>::new();
        ignore(write!(text, "{version}"), "three numbers fit");
        rollout::offered_from(start, waves, self.group, rollout::place(machine_id, &text))
    }
}

impl From<json::Error> for Error {
    fn from(error: json::Error) -> Error {
        Error::Json(error)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::TooLong => write!(f, "longer than {MAX} bytes"),
            Error::NotText => f.write_str("not UTF-8 text"),
            Error::Json(error) => error.fmt(f),
            Error::Missing(name) => write!(f, "{name} is missing"),
            Error::Twice(name) => write!(f, "{name} is there twice"),
            Error::NotString(name) => write!(f, "{name} is not a string"),
            Error::NotSize(name) => write!(f, "{name} is not a whole number above 0"),
            Error::FieldTooLong(name) => write!(f, "{name} is too long"),
            Error::NotSha256(name) => write!(f, "{name} is not 64 hex digits"),
            Error::Version(name, error) => write!(f, "{name}: {error}"),
            Error::NotMoment(name) => write!(f, "{name} is not a time such as 2026-11-23T12:00:00Z"),
            Error::NotWaves => f.write_str("rollout is not a list of waves such as '1h:1 1d:100'"),
        }
    }
}

impl fmt::Display for Refusal<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Refusal::Channel { want, got } => {
                write!(f, "published on channel {got}, and this box takes {want}; to change it: --channel or channel=")
            }
            Refusal::Architecture { want, got } => write!(f, "built for {got}, and this box is {want}"),
            Refusal::TooOld { min, running } => {
                write!(f, "needs at least {min}, and {running} is running; update to {min} first")
            }
            Refusal::UpToDate(version) => {
                write!(f, "{version} is running already; to install it again: --allow-downgrade")
            }
            Refusal::Older { offered, running } => {
                write!(f, "{offered} is older than {running}, which is running; to go back: --allow-downgrade")
            }
            Refusal::RunningUnknown => {
                f.write_str("which version is running is not known; to install whatever is offered: --allow-downgrade")
            }
            Refusal::KnownBad => {
                f.write_str("this image was tried here and rolled back from; to try it again: --force")
            }
            Refusal::Unwanted(want) => write!(f, "this box is to have version {want}; to change it: --want or want="),
            Refusal::Withdrawn => f.write_str("its publisher has withdrawn it; to take it all the same: --force"),
            Refusal::Expired(at) => write!(
                f,
                "latest.json was good until {at}, and may be held back by somebody; to take it all the same: --force"
            ),
            Refusal::Clock(released) => {
                write!(f, "released {released}, and this box's clock is not so far; set it, or --force")
            }
            Refusal::NotYet(from) => write!(f, "offered to this box from {from} on; to take it now: --force"),
            Refusal::NotOffered => f.write_str("its roll-out stops before this box; to take it all the same: --force"),
        }
    }
}

impl core::error::Error for Error {}
impl core::error::Error for Refusal<'_> {}

#[cfg(test)]
mod tests {
    use super::*;
    use std::format;
    use std::string::{String, ToString};

    const HASH: &str = "00112233445566778899aabbccddeeff00112233445566778899AABBCCDDEEFF";

    /// The smallest manifest, with these members before it.
    fn with(members: &str) -> String {
        format!(r#"{{{members} "version":"1.2.3","vmlinuz_sha256":"{HASH}","initramfs_sha256":"{HASH}"}}"#)
    }

    fn error(text: &str) -> Option<Error> {
        Manifest::parse(text.as_bytes()).err()
    }

    #[test]
    fn every_field_is_read() {
        let text = format!(
            r#"{{
              "version": "v1.2.3",
              "channel": "stable",
              "architecture": "amd64",
              "min_compatible_version": "v1.0.0",
              "vmlinuz_url": "https:\/\/updates.example\/1.2.3\/vmlinuz",
              "vmlinuz_sha256": "{HASH}",
              "vmlinuz_size": 12345678,
              "initramfs_url": "kubesolo-os.gz",
              "initramfs_sha256": "{HASH}",
              "initramfs_size": 18446744073709551615,
              "initramfs_index_url": "kubesolo-os.gz.idx",
              "initramfs_index_sha256": "{HASH}",
              "initramfs_index_size": 52,
              "metadata_sig_url": "latest.json.sig",
              "release_notes": "New:\n- \u00e4",
              "release_date": "2026-11-23T12:00:00Z",
              "build": {{"commit": "abc", "parts": [1, 2.5e3, null, {{"x": []}}]}}
            }}"#
        );
        let manifest = Manifest::parse(text.as_bytes()).unwrap();
        assert_eq!(manifest.version.to_string(), "1.2.3");
        assert_eq!(manifest.min_compatible_version.unwrap().to_string(), "1.0.0");
        assert_eq!(manifest.vmlinuz.sha256.to_string(), HASH.to_lowercase());
        assert_eq!((manifest.vmlinuz.size, manifest.initramfs.size), (Some(12_345_678), Some(u64::MAX)));
        let index = manifest.initramfs.index.unwrap();
        assert_eq!((index.url, index.size), (Text::plain("kubesolo-os.gz.idx"), 52));
        assert_eq!((index.sha256.to_string(), manifest.vmlinuz.index), (HASH.to_lowercase(), None));
        assert_eq!(manifest.channel, Some(Text::plain("stable")));
        assert_eq!(manifest.architecture, Some(Text::plain("amd64")));
        assert_eq!(manifest.metadata_sig_url, Some(Text::plain("latest.json.sig")));
        assert_eq!(manifest.release_date, Some(Text::plain("2026-11-23T12:00:00Z")));
        assert_eq!(manifest.release_notes.unwrap().to_string(), "New:\n- \u{e4}");
        let (vmlinuz, initramfs) = manifest.urls().unwrap();
        assert!(vmlinuz.is("https://updates.example/1.2.3/vmlinuz"));
        assert_eq!(initramfs, Text::plain("kubesolo-os.gz"));
    }

    #[test]
    fn a_slots_own_manifest_has_no_urls() {
        // What image/build writes.
        let text = format!(
            "{{\n  \"version\": \"1.0.0\",\n  \"architecture\": \"amd64\",\n  \"vmlinuz_sha256\": \"{HASH}\",\n  \
             \"vmlinuz_size\": 7,\n  \"initramfs_sha256\": \"{HASH}\",\n  \"initramfs_size\": 8\n}}\n"
        );
        let manifest = Manifest::parse(text.as_bytes()).unwrap();
        assert_eq!((manifest.vmlinuz.size, manifest.initramfs.size), (Some(7), Some(8)));
        assert_eq!(manifest.urls(), Err(Error::Missing("vmlinuz_url")));
        let text = with(r#""vmlinuz_url":"a","#);
        assert_eq!(Manifest::parse(text.as_bytes()).unwrap().urls(), Err(Error::Missing("initramfs_url")));
    }

    #[test]
    fn a_manifest_that_is_not_sound_names_the_field() {
        let short = &HASH[1..];
        let rows: &[(&str, String, Error)] = &[
            ("empty", String::new(), Error::Json(json::Error { at: 0 })),
            ("HTML", "<html>".into(), Error::Json(json::Error { at: 0 })),
            ("nothing in it", "{}".into(), Error::Missing("version")),
            ("version only", r#"{"version":"1.2.3"}"#.into(), Error::Missing("vmlinuz_sha256")),
            (
                "no initramfs",
                format!(r#"{{"version":"1.2.3","vmlinuz_sha256":"{HASH}"}}"#),
                Error::Missing("initramfs_sha256"),
            ),
            ("null version", r#"{"version":null}"#.into(), Error::Missing("version")),
            ("empty version", r#"{"version":""}"#.into(), Error::Missing("version")),
            ("version as a number", r#"{"version":1.2}"#.into(), Error::NotString("version")),
            ("version twice", with(r#""version":"1.2.3","#), Error::Twice("version")),
            ("version twice, escaped", with(r#""ver\u0073ion":"9.9.9","#), Error::Twice("version")),
            ("null and then a channel", with(r#""channel":null,"channel":"a","#), Error::Twice("channel")),
            (
                "hash too short",
                format!(r#"{{"version":"1.2.3","vmlinuz_sha256":"{short}"}}"#),
                Error::NotSha256("vmlinuz_sha256"),
            ),
            (
                "hash too long",
                format!(r#"{{"version":"1.2.3","vmlinuz_sha256":"{HASH}0"}}"#),
                Error::FieldTooLong("vmlinuz_sha256"),
            ),
            (
                "hash not hex",
                format!(r#"{{"version":"1.2.3","vmlinuz_sha256":"{short}g"}}"#),
                Error::NotSha256("vmlinuz_sha256"),
            ),
            ("size 0", with(r#""vmlinuz_size":0,"#), Error::NotSize("vmlinuz_size")),
            ("size below 0", with(r#""initramfs_size":-1,"#), Error::NotSize("initramfs_size")),
            ("size not whole", with(r#""initramfs_size":1.5,"#), Error::NotSize("initramfs_size")),
            ("size with exponent", with(r#""initramfs_size":1e3,"#), Error::NotSize("initramfs_size")),
            ("size too large", with(r#""initramfs_size":18446744073709551616,"#), Error::NotSize("initramfs_size")),
            ("size as text", with(r#""initramfs_size":"1","#), Error::NotSize("initramfs_size")),
            (
                "index without a hash",
                with(r#""vmlinuz_index_url":"a","vmlinuz_index_size":9,"#),
                Error::Missing("vmlinuz_index_sha256"),
            ),
            ("index without a size", with(r#""initramfs_index_url":"a","#), Error::Missing("initramfs_index_size")),
            ("index as a number", with(r#""initramfs_index_url":1,"#), Error::NotString("initramfs_index_url")),
            ("channel as a list", with(r#""channel":["a"],"#), Error::NotString("channel")),
            ("channel as yes", with(r#""channel":true,"#), Error::NotString("channel")),
            ("channel endless", with(&format!(r#""channel":"{}","#, "a".repeat(65))), Error::FieldTooLong("channel")),
            (
                "URL endless",
                with(&format!(r#""vmlinuz_url":"{}","#, "a".repeat(2049))),
                Error::FieldTooLong("vmlinuz_url"),
            ),
            (
                "oldest version",
                with(r#""min_compatible_version":"1","#),
                Error::Version("min_compatible_version", version::Error),
            ),
            ("document endless", with(&" ".repeat(MAX)), Error::TooLong),
        ];
        for (name, text, want) in rows {
            assert_eq!(error(text), Some(*want), "{name}");
        }
        assert_eq!(Manifest::parse(b"{\"version\":\"\xff\"}"), Err(Error::NotText));
    }

    #[test]
    fn what_is_not_known_or_not_used_is_passed_over() {
        for text in [
            r#""x":{"version":"9.9.9"},"#,
            r#""x":1,"x":2,"#,
            r#""Version":"9.9.9","#,
            r#""channel":"","architecture":"","min_compatible_version":"","release_notes":null,"vmlinuz_size":null,"#,
        ] {
            let text = with(text);
            let manifest = Manifest::parse(text.as_bytes()).unwrap();
            assert_eq!(manifest.version.to_string(), "1.2.3", "{text}");
            assert_eq!((manifest.channel, manifest.architecture), (None, None), "{text}");
            assert_eq!((manifest.min_compatible_version, manifest.vmlinuz.size), (None, None), "{text}");
        }
    }

    #[test]
    fn cutting_a_manifest_anywhere_makes_it_malformed() {
        let text = with(r#""vmlinuz_size":12,"x":[{"y":"z\n"}],"#);
        for end in 0..text.len() {
            assert!(error(&text[..end]).is_some(), "cut at {end}");
        }
    }

    const fn version(major: u32, minor: u32, patch: u32) -> Version {
        Version { major, minor, patch }
    }

    #[test]
    fn a_roll_out_says_when_and_to_whom() {
        let at = |text: &str| Moment::parse(text).unwrap();
        let now = at("2026-11-27T12:00:00Z");
        // Place 7779 of 10,000: offered 18:50:24 after the start.
        let rollout = |now| Rollout {
            machine_id: Some("0123456789abcdef0123456789abcdef"),
            group: Group::Waves,
            want: None,
            now,
        };
        let (one, nameless) = (rollout(now), Rollout { machine_id: None, ..rollout(now) });
        let (canary, late) = (Rollout { group: Group::Canary, ..one }, Rollout { group: Group::Late, ..one });
        let wants = |want: &str| Rollout { want: Version::parse(want).ok(), ..one };
        let waves = |start: &str| format!(r#""rollout":"1h:1 1d:100","rollout_start":"{start}","#);
        let rows = [
            ("says nothing", one, String::new(), None),
            ("its turn was", one, waves("2026-11-26T17:09:36Z"), None),
            ("its turn comes", one, waves("2026-11-26T17:09:37Z"), Some(Refusal::NotYet(at("2026-11-27T12:00:01Z")))),
            ("not begun", one, waves("2026-11-28T00:00:00Z"), Some(Refusal::NotYet(at("2026-11-28T18:50:24Z")))),
            ("a canary", canary, waves("2026-11-28T00:00:00Z"), None),
            ("a late one", late, waves("2026-11-27T11:00:00Z"), Some(Refusal::NotYet(at("2026-11-28T11:00:00Z")))),
            (
                "without a name",
                nameless,
                waves("2026-11-27T11:00:00Z"),
                Some(Refusal::NotYet(at("2026-11-28T11:00:00Z"))),
            ),
            ("a late one's turn", late, waves("2026-11-26T12:00:00Z"), None),
            ("at once", one, r#""rollout_start":"2026-11-27T12:00:00Z","#.into(), None),
            (
                "stopped",
                late,
                r#""rollout":"1h:1","rollout_start":"2026-11-01T00:00:00Z","#.into(),
                Some(Refusal::NotOffered),
            ),
            ("withdrawn", canary, r#""withdrawn":"1.2.3","#.into(), Some(Refusal::Withdrawn)),
            ("another is withdrawn", one, r#""withdrawn":"1.2.2","#.into(), None),
            ("good until", one, r#""expires":"2026-11-27T12:00:01Z","#.into(), None),
            ("expired", one, r#""expires":"2026-11-27T12:00:00Z","#.into(), Some(Refusal::Expired(now))),
            ("wanted", wants("1.2.3"), String::new(), None),
            ("unwanted", wants("1.2.2"), String::new(), Some(Refusal::Unwanted(version(1, 2, 2)))),
            (
                "a clock that is behind",
                rollout(Moment(0)),
                waves("1970-01-01T00:00:00Z") + r#""release_date":"2026-11-23","#,
                Some(Refusal::Clock(at("2026-11-23T00:00:00Z"))),
            ),
            (
                "a clock that is right",
                one,
                waves("2026-11-23T00:00:00Z") + r#""release_date":"2026-11-23T10:00:00Z","#,
                None,
            ),
        ];
        for (case, rollout, members, want) in rows {
            let text = with(&members);
            let manifest = Manifest::parse(text.as_bytes()).unwrap();
            assert_eq!(rollout.check(&manifest).err(), want, "{case}");
        }
        for (members, want) in [
            (r#""rollout":"1h:1","#, Error::Missing("rollout_start")),
            (r#""rollout":"soon","rollout_start":"2026-11-23T00:00:00Z","#, Error::NotWaves),
            (r#""rollout_start":"2026-11-23","#, Error::NotMoment("rollout_start")),
            (r#""expires":"never","#, Error::NotMoment("expires")),
        ] {
            assert_eq!(error(&with(members)), Some(want), "{members}");
        }
    }

    #[test]
    fn gates_open_and_shut() {
        let text = |channel, architecture, min| {
            with(&format!(r#""channel":"{channel}","architecture":"{architecture}","min_compatible_version":"{min}","#))
        };
        let gate = UpdatePolicy {
            channel: Some("stable"),
            architecture: "amd64",
            running: Some(version(1, 2, 2)),
            allow_downgrade: false,
            known_bad: "",
            rollout: None,
        };
        let running = |running| UpdatePolicy { running, ..gate };
        let forced = |running| UpdatePolicy { running, allow_downgrade: true, ..gate };
        let arm = UpdatePolicy { architecture: "aarch64", ..gate };
        let any_channel = UpdatePolicy { channel: None, ..gate };
        let rows: &[(&str, UpdatePolicy<'_>, String, Result<(), Refusal<'_>>)] = &[
            ("all fits", gate, text("stable", "amd64", "1.2.2"), Ok(())),
            ("manifest says nothing", gate, text("", "", ""), Ok(())),
            (
                "other channel",
                gate,
                text("edge", "amd64", ""),
                Err(Refusal::Channel { want: "stable", got: Text::plain("edge") }),
            ),
            (
                "channel is case sensitive",
                gate,
                text("Stable", "", ""),
                Err(Refusal::Channel { want: "stable", got: Text::plain("Stable") }),
            ),
            (
                "channel is not a prefix",
                gate,
                text("stable2", "", ""),
                Err(Refusal::Channel { want: "stable", got: Text::plain("stable2") }),
            ),
            ("box of any channel", any_channel, text("edge", "amd64", ""), Ok(())),
            ("synonym", gate, text("", "x86_64", ""), Ok(())),
            ("synonym, other way round", arm, text("", "arm64", ""), Ok(())),
            ("same name", arm, text("", "aarch64", ""), Ok(())),
            (
                "other machine",
                gate,
                text("", "arm64", ""),
                Err(Refusal::Architecture { want: "amd64", got: Text::plain("arm64") }),
            ),
            (
                "other machine, other way round",
                arm,
                text("", "x86_64", ""),
                Err(Refusal::Architecture { want: "aarch64", got: Text::plain("x86_64") }),
            ),
            (
                "unknown machine",
                gate,
                text("", "riscv64", ""),
                Err(Refusal::Architecture { want: "amd64", got: Text::plain("riscv64") }),
            ),
            (
                "too old for one step",
                gate,
                text("", "", "1.2.3"),
                Err(Refusal::TooOld { min: version(1, 2, 3), running: version(1, 2, 2) }),
            ),
            (
                "too old even if forced",
                forced(gate.running),
                text("", "", "1.2.3"),
                Err(Refusal::TooOld { min: version(1, 2, 3), running: version(1, 2, 2) }),
            ),
            (
                "runs already",
                running(Some(version(1, 2, 3))),
                text("", "", ""),
                Err(Refusal::UpToDate(version(1, 2, 3))),
            ),
            (
                "newer runs",
                running(Some(version(1, 10, 0))),
                text("", "", ""),
                Err(Refusal::Older { offered: version(1, 2, 3), running: version(1, 10, 0) }),
            ),
            ("newer runs, allowed", forced(Some(version(1, 10, 0))), text("", "", ""), Ok(())),
            ("runs already, allowed", forced(Some(version(1, 2, 3))), text("", "", ""), Ok(())),
            ("unknown runs", running(None), text("", "", "1.0.0"), Err(Refusal::RunningUnknown)),
            ("unknown runs, allowed", forced(None), text("", "", "1.0.0"), Ok(())),
            (
                "allowed is not any channel",
                forced(None),
                text("edge", "", ""),
                Err(Refusal::Channel { want: "stable", got: Text::plain("edge") }),
            ),
        ];
        for (name, gate, text, want) in rows {
            assert_eq!(gate.check(&Manifest::parse(text.as_bytes()).unwrap()), *want, "{name}");
        }
    }

    #[test]
    fn a_refusal_says_what_to_do() {
        let shown = Refusal::TooOld { min: version(1, 3, 0), running: version(1, 2, 2) }.to_string();
        assert_eq!(shown, "needs at least 1.3.0, and 1.2.2 is running; update to 1.3.0 first");
        let shown = Refusal::Channel { want: "stable", got: Text::plain(r"ed\u001bge") }.to_string();
        assert_eq!(shown, "published on channel ed?ge, and this box takes stable; to change it: --channel or channel=");
    }
}
