//! The settings of this run: flags beat the keys of `update.conf`, and these the defaults.

use core::fmt;

use rustix::fs::{CWD, OFlags};
use rustix::io::Errno;

use crate::config::{Config, Problem};
use crate::device::Device;
use crate::failure::{Exit, Failure, Reason};
use crate::host::Flags;
use crate::storage::read_at;

/// Where `update.conf` is, unless `--conf` says otherwise.
const PATH: &str = "/etc/kubesolo/update.conf";
/// Longest file that is read, in bytes.
pub const LEN_MAX: usize = 4096;

/// The text of `update.conf`, for a [`Config`] to borrow from.
pub struct Settings<'a> {
    path: &'a str,
    text: &'a str,
}

impl<'a> Settings<'a> {
    /// Reads the file into `buffer`. One that is not there is empty, unless it was asked for by name.
    ///
    /// # Errors
    /// [`Exit::Io`] if it cannot be read, is too long or no text.
    pub fn read(flags: &Flags<'a>, buffer: &'a mut [u8; LEN_MAX]) -> Result<Settings<'a>, Failure> {
        let path = flags.conf.unwrap_or(PATH);
        let failed = |reason: fmt::Arguments<'_>| Failure::new(Exit::Io, format_args!("read {path}: {reason}"));
        let len = match Device::open(CWD, path, OFlags::RDONLY) {
            Err(Errno::NOENT) if flags.conf.is_none() => 0,
            Err(errno) => return Err(failed(format_args!("{}", Reason(errno)))),
            Ok(mut file) => read_at(&mut file, 0, buffer).map_err(|error| failed(format_args!("{error}")))?,
        };
        if len == LEN_MAX {
            return Err(failed(format_args!("{LEN_MAX} bytes or longer")));
        }
        let text = buffer.get(..len).and_then(|text| core::str::from_utf8(text).ok());
        text.map(|text| Settings { path, text }).ok_or_else(|| failed(format_args!("not text (UTF-8)")))
    }

    /// The settings; `problem` is told of each line that was not taken, by file and number.
    pub fn lenient(&self, problem: &dyn Fn(fmt::Arguments<'_>)) -> Config<'a> {
        Config::parse(self.text, &mut |line, found| problem(format_args!("{}:{line}: {found}", self.path)))
    }

    /// The settings with the flags over them; `warn` is told of each unknown key.
    ///
    /// # Errors
    /// [`Exit::Usage`] for a value that its key cannot have, naming the line or the flag.
    pub fn strict(&self, flags: &Flags<'a>, warn: &dyn Fn(fmt::Arguments<'_>)) -> Result<Config<'a>, Failure> {
        let mut wrong = None;
        let mut config = Config::parse(self.text, &mut |line, found| {
            if found.is_warning() {
                warn(format_args!("warning: {}:{line}: {found}", self.path));
            } else {
                wrong.get_or_insert((line, found));
            }
        });
        if let Some((line, found)) = wrong {
            return Err(Failure::new(
                Exit::Usage,
                format_args!("read {}:{line}: {found}; correct the line", self.path),
            ));
        }
        for (key, value) in &flags.settings {
            config
                .set(key, value)
                .map_err(|found: Problem<'_>| Failure::new(Exit::Usage, format_args!("flag: {found}")))?;
        }
        Ok(config)
    }
}
