//! The two copies of the env block as files in one folder: `grubenv` and `grubenv.bak`, under a lock.

use core::time::Duration;

use rustix::fd::OwnedFd;
use rustix::fs::{FlockOperation, OFlags, flock, fsync, ftruncate};
use rustix::io::Errno;

use crate::device::Device;
use crate::envblk::{EnvBlock, SIZE};
use crate::envstore::{self, Bytes, CopyFile, Flaw, Found, Source, store_both};
use crate::failure::{Exit, Failure, Reason};
use crate::mount::Access;

/// Longest wait for another run to give the lock back.
const PATIENCE: Duration = Duration::from_secs(5);
const PAUSE: Duration = Duration::from_millis(50);

/// Longest name of a copy, in bytes.
type Name = heapless::String<64>;

/// The two files, locked for as long as this lives.
pub struct EnvFiles {
    folder: OwnedFd,
    first: Copy,
    second: Copy,
}

/// One of them.
struct Copy {
    name: Name,
    file: Result<Device, Errno>,
    /// Why it cannot be written, if that is known.
    read_only: Option<Errno>,
}

/// What the two files hold.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// The first copy.
    pub first: Found,
    /// The second copy.
    pub second: Found,
}

impl Loaded {
    /// Before anything is read. It is filled in place: two kilobytes are not worth moving about.
    #[inline(always)]
    pub const fn nothing() -> Loaded {
        Loaded { first: Found::nothing(Flaw::Missing), second: Found::nothing(Flaw::Missing) }
    }

    /// The block to go by and where it came from; `None` if neither file is an env block.
    pub fn chosen(&self) -> Option<(EnvBlock<&[u8]>, Source)> {
        envstore::choose(&self.first, &self.second)
    }

    /// The block to go by.
    ///
    /// # Errors
    /// [`Exit::NoBlock`] if there is none.
    pub fn block(&self) -> Result<EnvBlock<&[u8]>, Failure> {
        let absent = |found: &Found| found.flaw().unwrap_or(Flaw::Missing);
        self.chosen().map(|(block, _)| block).ok_or_else(|| {
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
            Name::try_from(text)
                .map_err(|_| Failure::new(Exit::Usage, format_args!("env block: {text}: the file name is too long")))
        };
        let (first, mut second) = (name(first)?, name(first)?);
        second
            .push_str(".bak")
            .map_err(|_| Failure::new(Exit::Usage, format_args!("env block: {first}: the file name is too long")))?;
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
            waited = waited.saturating_add(PAUSE);
        }
        let (first, second) = (Copy::open(&folder, first, access), Copy::open(&folder, second, access));
        Ok(EnvFiles { folder, first, second })
    }

    /// Reads both copies.
    pub fn load(&mut self, loaded: &mut Loaded) {
        self.first.read(&mut loaded.first);
        self.second.read(&mut loaded.second);
    }

    /// Makes both copies hold `new`, as [`envstore::store_both`] does.
    ///
    /// # Errors
    /// [`Exit::Io`].
    pub fn store(&mut self, loaded: &mut Loaded, new: &EnvBlock<Bytes>, make_second: bool) -> Result<(), Failure> {
        let folder = &self.folder;
        let copies = [&mut self.first, &mut self.second].map(|copy| InFolder { folder, copy });
        store_both(copies, [&mut loaded.first, &mut loaded.second], new, make_second)
    }

    /// Makes both copies a block without variables.
    ///
    /// # Errors
    /// [`Exit::Io`].
    pub fn create(&mut self) -> Result<(), Failure> {
        let mut loaded = Loaded::nothing();
        self.load(&mut loaded);
        self.store(&mut loaded, &EnvBlock::blank(), true)
    }
}

impl Copy {
    /// Opens the file if it is there. What is wrong with it otherwise comes to light when it is used.
    fn open(folder: &OwnedFd, name: Name, access: Access) -> Copy {
        let open = |flags| Device::open(folder, name.as_str(), flags | OFlags::NOFOLLOW);
        let (file, read_only) = match access {
            Access::Read => (open(OFlags::RDONLY), Some(Errno::ROFS)),
            Access::Write => match open(OFlags::RDWR) {
                Err(errno @ (Errno::ROFS | Errno::ACCESS | Errno::PERM)) => (open(OFlags::RDONLY), Some(errno)),
                file => (file, None),
            },
        };
        Copy { name, file, read_only }
    }

    fn read(&mut self, found: &mut Found) {
        let result = match &mut self.file {
            Ok(file) => found.read(file).map_err(|error| error.0),
            Err(errno) => Err(*errno),
        };
        match result {
            Ok(()) => {}
            Err(Errno::NOENT) => found.lose(Flaw::Missing),
            Err(_) => found.lose(Flaw::Unreadable),
        }
    }

    fn failed(&self, step: &str, errno: Errno) -> Failure {
        let advice = match errno {
            Errno::ROFS => "; the filesystem is read-only: check it, then mount -o remount,rw",
            Errno::NOSPC => "; the filesystem is full: remove files that do not belong there (FSCK*.REC)",
            Errno::ACCESS | Errno::PERM => "; run as root",
            _ => "",
        };
        Failure::new(Exit::Io, format_args!("{step} {}: {}{advice}", self.name, Reason(errno)))
    }
}

/// A copy with the folder that it is in.
struct InFolder<'a> {
    folder: &'a OwnedFd,
    copy: &'a mut Copy,
}

impl CopyFile for InFolder<'_> {
    type Error = Failure;

    fn replace(&mut self, found: &mut Found, new: &EnvBlock<Bytes>) -> Result<(), Failure> {
        let copy = &mut *self.copy;
        if let Some(errno) = copy.read_only {
            return Err(copy.failed("write", errno));
        }
        if let Err(Errno::NOENT) = copy.file {
            let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW;
            copy.file = Device::open(self.folder, copy.name.as_str(), flags);
        }
        // Never truncated, never renamed: GRUB must find the same blocks, and FAT has no atomic rename.
        let written = match &mut copy.file {
            Ok(file) => envstore::replace(file, found, new),
            &mut Err(errno) => return Err(copy.failed("open", errno)),
        };
        written.map_err(|error| match error {
            envstore::Error::Io(error) => copy.failed("write", error.0),
            envstore::Error::NotTaken => Failure::new(
                Exit::Io,
                format_args!(
                    "write {}: the disk gives other bytes back than were written; replace the disk",
                    copy.name
                ),
            ),
        })
    }

    fn settle(&mut self) -> Result<(), Failure> {
        let settled = self.copy.file.as_ref().map_err(|errno| *errno).and_then(|file| {
            ftruncate(file.fd(), SIZE as u64).and_then(|()| fsync(file.fd())).and_then(|()| fsync(self.folder))
        });
        settled.map_err(|errno| self.copy.failed("sync", errno))
    }
}
