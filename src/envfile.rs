//! The two copies of the env block as files in one folder: `grubenv` and `grubenv.bak`, under a lock.

use core::time::Duration;

use rustix::fd::OwnedFd;
use rustix::fs::{FlockOperation, OFlags, fsync, ftruncate, flock};
use rustix::io::Errno;

use crate::device::Device;
use crate::envblk::{EnvBlock, SIZE};
use crate::envstore::{self, Bytes, Flaw, Found, Source};
use crate::failure::{Exit, Failure, Reason};
use crate::mount::Access;
use crate::storage::read_at;

/// Longest wait for another run to give the lock back.
const PATIENCE: Duration = Duration::from_secs(5);
const PAUSE: Duration = Duration::from_millis(50);

/// Longest name of a copy, in bytes.
type Name = heapless::String<64>;

/// The two files, locked for as long as this lives.
pub struct EnvFiles {
    folder: OwnedFd,
    first: Name,
    second: Name,
    access: Access,
}

/// What the two files hold.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// The block to go by and where it came from; `None` if neither file is an env block.
    pub chosen: Option<(EnvBlock<Bytes>, Source)>,
    /// The first copy.
    pub first: Found,
    /// The second copy.
    pub second: Found,
}

impl Loaded {
    /// The block to go by.
    ///
    /// # Errors
    /// [`Exit::NoBlock`] if there is none.
    pub fn block(&self) -> Result<&EnvBlock<Bytes>, Failure> {
        let absent = |found: &Found| found.flaw.unwrap_or(Flaw::Missing);
        self.chosen.as_ref().map(|(block, _)| block).ok_or_else(|| {
            Failure::new(
                Exit::NoBlock,
                format_args!(
                    "read env block: grubenv: {}; grubenv.bak: {}; the next boot writes them anew, or do it by hand: \
                     kubesolo-boot env create",
                    absent(&self.first),
                    absent(&self.second)
                ),
            )
        })
    }
}

impl EnvFiles {
    /// Takes the lock on `folder`, which holds `first` and its second copy `first` + `.bak`.
    ///
    /// # Errors
    /// [`Exit::Busy`] if another run holds it for longer than five seconds.
    pub fn lock(folder: OwnedFd, first: &str, access: Access) -> Result<EnvFiles, Failure> {
        let name = |text: &str| {
            Name::try_from(text).map_err(|_| {
                Failure::new(Exit::Usage, format_args!("env block: {text}: the file name is too long"))
            })
        };
        let (first, mut second) = (name(first)?, name(first)?);
        second.push_str(".bak").map_err(|_| {
            Failure::new(Exit::Usage, format_args!("env block: {first}: the file name is too long"))
        })?;
        let how = match access {
            Access::Read => FlockOperation::NonBlockingLockShared,
            Access::Write => FlockOperation::NonBlockingLockExclusive,
        };
        let mut waited = Duration::ZERO;
        while let Err(errno) = flock(&folder, how) {
            if errno != Errno::WOULDBLOCK || waited >= PATIENCE {
                return Err(Failure::new(
                    Exit::Busy,
                    format_args!("lock env block: {first}: {}; is another kubesolo-boot running?", Reason(errno)),
                ));
            }
            std::thread::sleep(PAUSE);
            waited += PAUSE;
        }
        Ok(EnvFiles { folder, first, second, access })
    }

    /// Reads both copies.
    pub fn load(&self) -> Loaded {
        let (first, second) = (self.examine(&self.first), self.examine(&self.second));
        Loaded { chosen: envstore::choose(&first, &second), first, second }
    }

    fn examine(&self, name: &Name) -> Found {
        let mut content = [0; SIZE + 1];
        let read = Device::open(&self.folder, name.as_str(), OFlags::RDONLY | OFlags::NOFOLLOW)
            .and_then(|mut file| read_at(&mut file, 0, &mut content).map_err(|error| error.0));
        match read {
            Ok(len) => Found::examine(content.get(..len).unwrap_or_default()),
            Err(Errno::NOENT) => Found::nothing(Flaw::Missing),
            Err(_) => Found::nothing(Flaw::Unreadable),
        }
    }

    /// Makes both copies hold `new`, the first before the second; what holds it already is not written. A second copy
    /// that is not there is made only if `make_second`.
    ///
    /// Durable on return. A power cut leaves the first copy old or new, and the second untouched until the first is
    /// safe.
    ///
    /// # Errors
    /// [`Exit::Io`]; the first copy's error counts, for GRUB goes by it.
    pub fn store(&self, loaded: &Loaded, new: &EnvBlock<Bytes>, make_second: bool) -> Result<(), Failure> {
        let Some(new) = new.bytes().first_chunk::<SIZE>() else {
            return Err(Failure::new(Exit::Io, format_args!("write env block: not {SIZE} bytes long")));
        };
        self.replace(&self.first, &loaded.first, new)?;
        if make_second || loaded.second.flaw != Some(Flaw::Missing) {
            self.replace(&self.second, &loaded.second, new)?;
        }
        Ok(())
    }

    /// Makes both copies a block without variables.
    ///
    /// # Errors
    /// [`Exit::Io`].
    pub fn create(&self) -> Result<(), Failure> {
        self.store(&self.load(), &EnvBlock::blank(), true)
    }

    fn replace(&self, name: &Name, found: &Found, new: &Bytes) -> Result<(), Failure> {
        if found.bytes.as_ref() == Some(new) {
            return Ok(());
        }
        let failed = |step: &str, errno: Errno| {
            let advice = match errno {
                Errno::ROFS => "; the filesystem is read-only: check it, then mount -o remount,rw",
                Errno::NOSPC => "; the filesystem is full: remove files that do not belong there (FSCK*.REC)",
                Errno::ACCESS | Errno::PERM => "; run as root",
                _ => "",
            };
            Failure::new(Exit::Io, format_args!("{step} {name}: {}{advice}", Reason(errno)))
        };
        if self.access == Access::Read {
            return Err(failed("write", Errno::ROFS));
        }
        // Never truncated, never renamed: GRUB must find the same blocks, and FAT has no atomic rename.
        let mut file = Device::open(&self.folder, name.as_str(), OFlags::RDWR | OFlags::CREATE | OFlags::NOFOLLOW)
            .map_err(|errno| failed("open", errno))?;
        envstore::replace(&mut file, found.bytes.as_ref(), new).map_err(|error| match error {
            envstore::Error::Io(error) => failed("write", error.0),
            envstore::Error::NotTaken => Failure::new(
                Exit::Io,
                format_args!("write {name}: the disk gives other bytes back than were written; replace the disk"),
            ),
        })?;
        if found.bytes.is_none() {
            // Of the wrong length before, or new: the rest goes, and the name is made durable too.
            ftruncate(file.fd(), SIZE as u64)
                .and_then(|()| fsync(file.fd()))
                .and_then(|()| fsync(&self.folder))
                .map_err(|errno| failed("sync", errno))?;
        }
        Ok(())
    }
}
