//! The settings of this run. In order of priority: flags, the keys of `update.conf`, the keys that the image comes with, the
//! defaults.

use core::fmt;

use rustix::fs::{Access, CWD, OFlags, access};
use rustix::io::Errno;

use crate::failure::{Exit, Failure, Reason};
use crate::flags::Flags;
use crate::linux::device::Device;
use kubesolo_core::disk::storage::read_at;
use kubesolo_core::update::config::{Config, KEYS, Key, Problem};

/// The image's own settings, unless `--image-conf` names another file. They are in a file of their own, so that they hold for every
/// key that the box's `update.conf` does not set: an image whose system sends keepalives to the watchdog sets `watchdog=` here.
const IMAGE_PATH: &str = "/etc/kubesolo/image.conf";
/// Where `update.conf` is, unless `--conf` says otherwise: the box's own, on its data partition, and where it has none the image's.
/// At boot `/init` lets the second lead to the first; one that is written later counts at once.
const PATHS: [&str; 2] = ["/var/lib/kubesolo/update/update.conf", "/etc/kubesolo/update.conf"];
/// Longest file that is read, in bytes.
pub const LEN_MAX: usize = 4096;
/// Room for the text of both.
pub type Buffer = [[u8; LEN_MAX]; 2];

/// The text of both files, for a [`Config`] to borrow from.
pub struct Settings<'a> {
    files: [(&'a str, &'a str); 2],
    /// Why one of them could not be read, which then counts as empty.
    pub unread: Option<Failure>,
}

impl<'a> Settings<'a> {
    /// Reads the files into `buffer`. One that is not there is empty, unless it was asked for by name.
    pub fn read(flags: &Flags<'a>, buffer: &'a mut Buffer) -> Settings<'a> {
        let mut unread = None;
        let mut file = |given: Option<&'a str>, path, buffer| {
            let text = read_text(given, path, buffer).unwrap_or_else(|failure| {
                unread.get_or_insert(failure);
                ""
            });
            (given.unwrap_or(path), text)
        };
        let [image, own] = buffer;
        let [of_box, of_image] = PATHS;
        // With another data folder this is not the box, but a person who looks at one, or a test.
        let has_own = flags.data.is_none() && access(of_box, Access::EXISTS).is_ok();
        let path = if has_own { of_box } else { of_image };
        let files = [file(flags.image_conf, IMAGE_PATH, image), file(flags.conf, path, own)];
        Settings { files, unread }
    }

    /// The settings, for a verb that must go on whatever the files hold. `problem` is called for a file that could not be read, and
    /// for each line that was skipped, with its file and number.
    pub fn lenient(&self, flags: &Flags<'a>, problem: &dyn Fn(fmt::Arguments<'_>)) -> Config<'a> {
        if let Some(failure) = &self.unread {
            problem(format_args!("{failure}; going on without it"));
        }
        let mut config = Config::default();
        for (path, text) in self.files {
            config.take(text, &mut |line, found| problem(format_args!("{path}:{line}: {found}")));
        }
        for (key, value) in &flags.settings {
            config.set(key, value).unwrap_or_else(|found| problem(format_args!("flag: {found}")));
        }
        config
    }

    /// The settings, with every mistake in a key that this verb needs an error. `warn` is called for the other mistakes: a value
    /// that it does not go by must not stop it. A line that names no key may be the lost one of any, and counts as
    /// [`Key::PUBKEY`]'s, without which nothing is verified.
    ///
    /// # Errors
    /// [`Exit::Io`] if a file cannot be read, is too long or no text; [`Exit::Usage`] for a value that its key cannot
    /// have, naming the line or the flag.
    pub fn strict(
        self,
        flags: &Flags<'a>,
        needs: &dyn Fn(&str) -> bool,
        warn: &dyn Fn(fmt::Arguments<'_>),
    ) -> Result<Config<'a>, Failure> {
        if let Some(failure) = self.unread {
            return Err(failure);
        }
        let mut wrong = None;
        let mut config = Config::default();
        for (path, text) in self.files {
            config.take(text, &mut |line, found| {
                let is_wrong = match found {
                    Problem::UnknownKey(_) => false,
                    Problem::NoValue(_) if !KEYS.iter().any(|key| key.name == found.key()) => needs(Key::PUBKEY.name),
                    _ => needs(found.key()),
                };
                if is_wrong {
                    wrong.get_or_insert((path, line, found));
                } else {
                    warn(format_args!("warning: {path}:{line}: {found}"));
                }
            });
        }
        if let Some((path, line, found)) = wrong {
            return Err(Failure::new(Exit::Usage, format_args!("read {path}:{line}: {found}; correct the line")));
        }
        for (key, value) in &flags.settings {
            config
                .set(key, value)
                .map_err(|found: Problem<'_>| Failure::new(Exit::Usage, format_args!("flag: {found}")))?;
        }
        Ok(config)
    }
}

/// The text of one file.
fn read_text<'a>(given: Option<&str>, path: &str, buffer: &'a mut [u8; LEN_MAX]) -> Result<&'a str, Failure> {
    let path = given.unwrap_or(path);
    let failed = |reason: fmt::Arguments<'_>| Failure::new(Exit::Io, format_args!("read {path}: {reason}"));
    let len = match Device::open(CWD, path, OFlags::RDONLY) {
        Err(Errno::NOENT) if given.is_none() => 0,
        Err(errno) => return Err(failed(format_args!("{}", Reason(errno)))),
        Ok(mut file) => read_at(&mut file, 0, buffer).map_err(|error| failed(format_args!("{error}")))?,
    };
    if len == LEN_MAX {
        return Err(failed(format_args!("{LEN_MAX} bytes or longer")));
    }
    let text = buffer.get(..len).and_then(|text| core::str::from_utf8(text).ok());
    text.ok_or_else(|| failed(format_args!("not text (UTF-8)")))
}
