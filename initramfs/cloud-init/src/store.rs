//! `update.conf` on the data partition, and beside it the identity of the seed that it was made from.
//!
//! Each is written by temporary file, fsync, rename, fsync of the folder; `update.conf` first: a power cut between the two
//! makes the same file once more.

use std::fs::File;
use std::io::Write as _;
use std::path::Path;

use kubesolo_boot::failure::{Exit, Failure, Reason};
use kubesolo_core::update::digest::Hash;
use rustix::fd::OwnedFd;
use rustix::fs::{AtFlags, CWD, Mode, OFlags, fsync, mkdirat, openat, renameat, unlinkat};
use rustix::io::{Errno, read};

/// The settings.
const CONF: &str = "update.conf";
/// The seed's identity: 64 hex digits and a line feed.
const SEED: &str = "cloud-init.seed";

/// The folder `update` of the data partition.
pub struct Store {
    path: String,
    folder: OwnedFd,
}

impl Store {
    /// Opens the folder, making it if need be; `data` itself has to be there.
    ///
    /// # Errors
    /// [`Exit::Io`].
    pub fn open(data: &str) -> Result<Store, Failure> {
        let path = format!("{data}/update");
        let failed = |errno| Failure::new(Exit::Io, format_args!("open folder {path}: {}", Reason(errno)));
        let open = |path: &str| openat(CWD, path, OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty());
        match mkdirat(CWD, path.as_str(), Mode::from_raw_mode(0o755)) {
            Ok(()) => fsync(open(data).map_err(failed)?).map_err(failed)?,
            Err(Errno::EXIST) => {}
            Err(errno) => return Err(failed(errno)),
        }
        let folder = open(&path).map_err(failed)?;
        Ok(Store { path, folder })
    }

    /// Whether the settings were made from that seed before. One that cannot be told is a new one.
    pub fn holds(&self, identity: Hash) -> bool {
        let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOFOLLOW | OFlags::NONBLOCK;
        let Ok(file) = openat(&self.folder, SEED, flags, Mode::empty()) else { return false };
        let mut text = [0; 80];
        let len = read(&file, &mut text).unwrap_or_default();
        text.get(..len) == Some(line(identity).as_bytes())
    }

    /// Writes the settings and remembers their seed. Durable on return.
    ///
    /// # Errors
    /// [`Exit::Io`]; `update.conf` is then the old one or the new one.
    pub fn put(&self, conf: &str, identity: Hash) -> Result<(), Failure> {
        self.replace(CONF, conf)?;
        self.replace(SEED, &line(identity))
    }

    /// Where the settings are.
    pub fn conf(&self) -> String {
        Path::new(&self.path).join(CONF).display().to_string()
    }

    fn replace(&self, name: &str, text: &str) -> Result<(), Failure> {
        let temporary = format!("{name}.new");
        let write = || -> std::io::Result<()> {
            // What a power cut left behind, or a link that somebody laid there.
            match unlinkat(&self.folder, temporary.as_str(), AtFlags::empty()) {
                Ok(()) | Err(Errno::NOENT) => {}
                Err(errno) => return Err(errno.into()),
            }
            let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
            let mut file = File::from(openat(&self.folder, temporary.as_str(), flags, Mode::from_raw_mode(0o644))?);
            file.write_all(text.as_bytes())?;
            file.sync_all()?;
            renameat(&self.folder, temporary.as_str(), &self.folder, name)?;
            Ok(fsync(&self.folder)?)
        };
        write().map_err(|error| {
            // Best effort: it is in nobody's way.
            unlinkat(&self.folder, temporary.as_str(), AtFlags::empty()).unwrap_or_default();
            Failure::new(Exit::Io, format_args!("write {}/{name}: {error}", self.path))
        })
    }
}

fn line(identity: Hash) -> String {
    format!("{identity}\n")
}
