//! The settings of this run: flags beat the keys of `update.conf`, and these the defaults.

use core::fmt;
use std::string::String;

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
const LEN_MAX: usize = 8192;

/// The text of `update.conf`, for a [`Config`] to borrow from.
pub struct Settings<'a> {
    path: &'a str,
    text: String,
}

impl<'a> Settings<'a> {
    /// Reads the file. One that is not there is empty, unless it was asked for by name.
    ///
    /// # Errors
    /// [`Exit::Io`] if it cannot be read, is too long or no text.
    pub fn read(flags: &Flags<'a>) -> Result<Settings<'a>, Failure> {
        let path = flags.conf.unwrap_or(PATH);
        let failed = |reason: fmt::Arguments<'_>| Failure::new(Exit::Io, format_args!("read {path}: {reason}"));
        let mut bytes = std::vec![0; LEN_MAX];
        let len = match Device::open(CWD, path, OFlags::RDONLY) {
            Err(Errno::NOENT) if flags.conf.is_none() => 0,
            Err(errno) => return Err(failed(format_args!("{}", Reason(errno)))),
            Ok(mut file) => read_at(&mut file, 0, &mut bytes).map_err(|error| failed(format_args!("{error}")))?,
        };
        if len == LEN_MAX {
            return Err(failed(format_args!("longer than {LEN_MAX} bytes")));
        }
        bytes.truncate(len);
        let text = String::from_utf8(bytes).map_err(|_| failed(format_args!("not UTF-8 text")))?;
        Ok(Settings { path, text })
    }

    /// The settings; `problem` is told of each line that was not taken, by file and number.
    pub fn lenient<'b>(&'b self, problem: &dyn Fn(fmt::Arguments<'_>)) -> Config<'b> {
        Config::parse(&self.text, |line, found| problem(format_args!("{}:{line}: {found}", self.path)))
    }

    /// The settings with the flags over them; `warn` is told of each unknown key.
    ///
    /// # Errors
    /// [`Exit::Usage`] for a value that its key cannot have, naming the line or the flag.
    pub fn strict<'b>(&'b self, flags: &Flags<'b>, warn: &dyn Fn(fmt::Arguments<'_>)) -> Result<Config<'b>, Failure> {
        let mut wrong = None;
        let mut config = Config::parse(&self.text, |line, found| {
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
