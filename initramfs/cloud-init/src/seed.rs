//! A NoCloud seed: `user-data`, and `meta-data` beside it if there is one (cloud-init, datasource NoCloud).

use std::fs::File;
use std::io::Read;

use kubesolo_boot::failure::{Exit, Failure, Reason};
use kubesolo_core::update::digest::{Hash, Sha256};
use rustix::fd::{AsFd, OwnedFd};
use rustix::fs::{CWD, FileType, Mode, OFlags, fstat, openat};
use rustix::io::Errno;

use crate::volume;
use crate::yaml::{self, Value};

/// Longest file that is read, in bytes.
const LEN_MAX: u64 = 1 << 20;

/// Where to look.
pub struct Places<'a> {
    /// Folders, the first with a `user-data` counts.
    pub folders: &'a [&'a str],
    /// Where the kernel lists disks, and where their nodes are; `None`: look at no disk.
    pub disks: Option<(&'a str, &'a str)>,
}

/// A seed that was found.
pub struct Seed {
    /// Its `user-data`, as a person would find it.
    pub source: String,
    /// The text of `user-data`.
    pub user_data: String,
    /// `instance-id` of `meta-data`; empty if there is none.
    instance_id: String,
}

impl Seed {
    /// The first seed there is.
    ///
    /// # Errors
    /// [`Exit::Io`] for one that cannot be read, [`Exit::Refused`] for one that is too long, no text, or no file.
    pub fn find(places: &Places<'_>) -> Result<Option<Seed>, Failure> {
        for folder in places.folders {
            let opened = match openat(CWD, *folder, OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty()) {
                Err(Errno::NOENT | Errno::NOTDIR) => continue,
                Err(errno) => return Err(Failure::new(Exit::Io, format_args!("open {folder}: {}", Reason(errno)))),
                Ok(opened) => opened,
            };
            if let Some(seed) = Seed::read(&opened, folder)? {
                return Ok(Some(seed));
            }
        }
        let Some((sys, dev)) = places.disks else { return Ok(None) };
        match volume::find(sys, dev)? {
            None => Ok(None),
            // Somebody labelled it for this. What is not found on it must not go by in silence.
            Some(volume) => match Seed::read(&volume.mount()?, &volume.device)? {
                Some(seed) => Ok(Some(seed)),
                None => Err(Failure::new(
                    Exit::Refused,
                    format_args!("{}: labelled CIDATA, but without a file user-data in its top folder", volume.device),
                )),
            },
        }
    }

    fn read(folder: &OwnedFd, place: &str) -> Result<Option<Seed>, Failure> {
        let Some(user_data) = read(folder, place, "user-data")? else { return Ok(None) };
        let meta_data = read(folder, place, "meta-data")?.unwrap_or_default();
        let meta_data = meta_data.strip_prefix('\u{feff}').unwrap_or(&meta_data);
        let instance_id = yaml::member(meta_data, "instance-id").map_err(|flaw| {
            Failure::new(Exit::Refused, format_args!("{place}/meta-data:{}: {}", flaw.line, flaw.reason))
        })?;
        let instance_id = match instance_id.map(|member| member.value) {
            Some(Value::Text(text)) => text,
            _ => String::new(),
        };
        Ok(Some(Seed { source: format!("{place}/user-data"), user_data, instance_id }))
    }

    /// What tells this seed from another: a hash over instance-id and `user-data`.
    pub fn identity(&self) -> Hash {
        let mut hash = Sha256::new();
        // No instance-id can hold a NUL: where it ends is certain.
        hash.update(self.instance_id.as_bytes());
        hash.update(b"\0");
        hash.update(self.user_data.as_bytes());
        hash.finish()
    }
}

/// The text of a file in `folder`; `None` if there is no such file. Links are not followed, and nothing but a plain file
/// is read.
fn read(folder: impl AsFd, place: &str, name: &str) -> Result<Option<String>, Failure> {
    let failed = |errno| Failure::new(Exit::Io, format_args!("read {place}/{name}: {}", Reason(errno)));
    let refused = |reason: &str| Failure::new(Exit::Refused, format_args!("{place}/{name}: {reason}"));
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOFOLLOW | OFlags::NONBLOCK;
    let file = match openat(folder, name, flags, Mode::empty()) {
        Err(Errno::NOENT) => return Ok(None),
        Err(Errno::LOOP) => return Err(refused("is a symbolic link; it has to be the file itself")),
        file => file.map_err(failed)?,
    };
    if !FileType::from_raw_mode(fstat(&file).map_err(failed)?.st_mode).is_file() {
        return Err(refused("is no file"));
    }
    let mut bytes = Vec::new();
    let limit = LEN_MAX.saturating_add(1);
    File::from(file)
        .take(limit)
        .read_to_end(&mut bytes)
        .map_err(|error| Failure::new(Exit::Io, format_args!("read {place}/{name}: {error}")))?;
    if bytes.len() as u64 > LEN_MAX {
        return Err(refused(&format!("longer than {LEN_MAX} bytes")));
    }
    match bytes.as_slice() {
        [0x1f, 0x8b, ..] => return Err(refused("packed by gzip, which is not unpacked here; unpack it with gunzip")),
        [0xff, 0xfe, ..] | [0xfe, 0xff, ..] => return Err(refused("text in UTF-16; save it as UTF-8")),
        _ => {}
    }
    String::from_utf8(bytes).map(Some).map_err(|error| {
        let before = error.utf8_error().valid_up_to();
        let line = error.as_bytes().get(..before).unwrap_or_default().iter().filter(|byte| **byte == b'\n').count();
        Failure::new(Exit::Refused, format_args!("{place}/{name}:{}: not text (UTF-8)", line.saturating_add(1)))
    })
}
