//! The two copies of the env block as files in one folder: `grubenv` and `grubenv.bak`, under a lock.
//!
//! A copy is changed in place. A copy that can neither be read as a block nor be written is replaced by a new file: it is missing, a
//! folder has its name, or its FAT chain is shorter than the length in its directory entry. GRUB cannot read such a file either and
//! uses the other copy.
//!
//! | step | a cut right after it leaves |
//! |---|---|
//! | the old entry removed | no file, which GRUB treats like an unreadable one |
//! | `grubenv.part` created, written, synced | the same, and a file that is not used |
//! | renamed to `grubenv`; folder and file synced | the new copy |
//!
//! The new file gets the name only when its bytes are durable: before that its clusters may hold an old block.

use core::time::Duration;

use rustix::fd::{AsFd, OwnedFd};
use rustix::fs::{AtFlags, OFlags, fsync, ftruncate, syncfs, unlinkat};
use rustix::io::Errno;

use crate::failure::{Exit, Failure, Reason};
use crate::linux::device::{Device, IoError};
use crate::linux::lock::{self, Share};
use crate::linux::mount::Access;
use crate::linux::odd;
use crate::linux::replace::replace_by;
use kubesolo_core::boot::env_block::{EnvBlock, SIZE};
use kubesolo_core::boot::env_copies::{self, Bytes, CopyFault, CopyFile, Found, Source, store_both};

/// How often a change is retried if another program, which takes no lock, changes the file at the same time.
const TRIES: u32 = 20;
/// How often a file that is too short is read again: grub-editenv empties it before it writes.
const SHORT_TRIES: u32 = 4;
const PAUSE: Duration = Duration::from_millis(20);

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
    /// Nothing read yet. It is filled in place, to avoid copies of two kilobytes.
    #[inline(always)]
    pub const fn nothing() -> Loaded {
        Loaded { first: Found::nothing(CopyFault::Missing), second: Found::nothing(CopyFault::Missing) }
    }

    /// The block to use and where it came from; `None` if neither file is an env block.
    pub fn chosen(&self) -> Option<(EnvBlock<&[u8]>, Source)> {
        env_copies::choose(&self.first, &self.second)
    }

    /// The block to use.
    ///
    /// # Errors
    /// [`Exit::NoBlock`] if there is none.
    pub fn block(&self) -> Result<EnvBlock<&[u8]>, Failure> {
        let absent = |found: &Found| found.fault().unwrap_or(CopyFault::Missing);
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
        let share = match access {
            Access::Read => Share::Readers,
            Access::Write => Share::Nobody,
        };
        lock::take(&folder, share).map_err(|errno| {
            Failure::new(
                Exit::Busy,
                format_args!("lock env block: {first}: {}; is another kubesolo-boot running?", Reason(errno)),
            )
        })?;
        let (first, second) = (Copy::open(&folder, first, access), Copy::open(&folder, second, access));
        Ok(EnvFiles { folder, first, second })
    }

    /// Reads both copies.
    pub fn load(&mut self, loaded: &mut Loaded) {
        self.first.read(&mut loaded.first);
        self.second.read(&mut loaded.second);
    }

    /// Makes both copies hold `new`, as [`env_copies::store_both`] does. Gives a warning if one of them could not be written: the
    /// change has taken effect in the other.
    ///
    /// # Errors
    /// [`Exit::Io`]; transient if another program changed the file at the same time.
    pub fn store(
        &mut self,
        loaded: &mut Loaded,
        new: &EnvBlock<Bytes>,
        make_second: bool,
    ) -> Result<Option<Failure>, Failure> {
        let folder = &self.folder;
        let copies = [&mut self.first, &mut self.second].map(|copy| InFolder { folder, copy });
        let spare = store_both(copies, [&mut loaded.first, &mut loaded.second], new, make_second)?;
        Ok(spare.map(|failure| {
            Failure::new(failure.exit(), format_args!("one copy of the env block is safe, the other is not: {failure}"))
        }))
    }

    /// Reads both copies, calls `change` for the new block, and stores that as [`EnvFiles::store`] does. If another program changes
    /// the file meanwhile, all of this is done again with its block. Gives the second value of `change`, and the warning.
    ///
    /// # Errors
    /// Those of `change`; as [`EnvFiles::store`].
    pub fn edit<T>(
        &mut self,
        make_second: bool,
        change: &dyn Fn(&Loaded) -> Result<(EnvBlock<Bytes>, T), Failure>,
    ) -> Result<(T, Option<Failure>), Failure> {
        let mut loaded = Loaded::nothing();
        let mut left = TRIES;
        loop {
            self.load(&mut loaded);
            left = left.saturating_sub(1);
            if !loaded.first.is_short() || left < TRIES.saturating_sub(SHORT_TRIES) {
                let (block, given) = change(&loaded)?;
                match self.store(&mut loaded, &block, make_second) {
                    Err(failure) if failure.is_transient() && left > 0 => {}
                    stored => return stored.map(|spare| (given, spare)),
                }
            }
            std::thread::sleep(PAUSE);
        }
    }

    /// Makes both copies a block without variables.
    ///
    /// # Errors
    /// As [`EnvFiles::store`].
    pub fn create(&mut self) -> Result<Option<Failure>, Failure> {
        self.edit(true, &|_| Ok((EnvBlock::blank(), ()))).map(|(_, spare)| spare)
    }
}

impl Copy {
    /// Opens the file if it is there. An error is kept, and reported when the file is used.
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
            Err(Errno::NOENT) => found.lose(CopyFault::Missing),
            Err(_) => found.lose(CopyFault::Unreadable),
        }
    }

    /// Removes what has the copy's name; a folder is renamed.
    fn take_away(&mut self, folder: &OwnedFd) -> Result<(), Errno> {
        // Closed first: only then FAT gives its clusters back.
        self.file = Err(Errno::NOENT);
        match unlinkat(folder, self.name.as_str(), AtFlags::empty()) {
            Err(Errno::NOENT) => Ok(()),
            // On FAT a sync of the parent folder does not write the entry of the renamed folder; one of the filesystem does.
            Err(Errno::ISDIR) => odd::set_aside(folder.as_fd(), &self.name).and_then(|()| syncfs(folder)),
            removed => removed,
        }
    }

    fn write_error(&self, error: WriteError) -> Failure {
        match error {
            env_copies::Error::Io(error) => self.failed("write", error.0),
            env_copies::Error::NotTaken => {
                Failure::new(Exit::Io, format_args!("write {}: read-back mismatch; replace the disk", self.name))
            }
            env_copies::Error::Changed => Failure::new(
                Exit::Io,
                format_args!("write {}: another program changed it at the same time; try again", self.name),
            )
            .transient(true),
        }
    }

    fn failed(&self, step: &str, errno: Errno) -> Failure {
        let advice = match errno {
            Errno::ROFS => "; the filesystem is read-only: check it, then mount -o remount,rw",
            Errno::NOSPC => "; the filesystem is full: remove files that do not belong there (FSCK*.REC)",
            Errno::ACCESS | Errno::PERM => "; run as root",
            Errno::ISDIR | Errno::NOTEMPTY => "; a folder stands there: move it away",
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

impl InFolder<'_> {
    /// Replaces the copy by a new file, in the order of the table above.
    fn make_anew(&mut self, found: &mut Found, new: &EnvBlock<Bytes>) -> Result<(), Failure> {
        let folder = self.folder;
        let copy = &mut *self.copy;
        copy.take_away(folder).map_err(|errno| copy.failed("remove what stands in the place of", errno))?;
        let mut make = || -> Result<bool, Errno> {
            let mut part = copy.name.clone();
            part.push_str(".part").map_err(|_| Errno::NAMETOOLONG)?;
            replace_by(folder.as_fd(), &part, &copy.name, new.bytes())?;
            let mut file = Device::open(folder, copy.name.as_str(), OFlags::RDWR | OFlags::NOFOLLOW)?;
            // On FAT the new directory entry gets the first cluster and the length when the file itself is synced.
            fsync(file.fd())?;
            found.read(&mut file).map_err(|error| error.0)?;
            copy.file = Ok(file);
            Ok(found.holds(new))
        };
        match make() {
            Ok(true) => Ok(()),
            Ok(false) => Err(copy.write_error(env_copies::Error::NotTaken)),
            Err(errno) => Err(copy.failed("make", errno)),
        }
    }
}

type WriteError = env_copies::Error<IoError>;

impl CopyFile for InFolder<'_> {
    type Error = Failure;

    fn replace(&mut self, found: &mut Found, new: &EnvBlock<Bytes>) -> Result<(), Failure> {
        let copy = &mut *self.copy;
        if let Some(errno) = copy.read_only {
            return Err(copy.failed("write", errno));
        }
        // A copy that GRUB can use is never removed, whatever error the write gave.
        let is_usable = found.names_a_slot();
        // Written in place, not truncated or renamed: FAT has no atomic rename, and GRUB saves into the same sectors.
        let written = match &mut copy.file {
            Ok(file) if found.fault() != Some(CopyFault::Unreadable) => env_copies::replace(file, found, new),
            Ok(_) => Err(IoError(Errno::IO).into()),
            &mut Err(errno) => Err(IoError(errno).into()),
        };
        match written {
            Ok(()) => Ok(()),
            Err(env_copies::Error::Io(IoError(Errno::NOENT | Errno::ISDIR | Errno::IO | Errno::NXIO)))
                if !is_usable =>
            {
                self.make_anew(found, new)
            }
            Err(error) => Err(copy.write_error(error)),
        }
    }

    fn hide(&mut self) -> Result<(), Failure> {
        match &mut self.copy.file {
            Ok(file) => env_copies::hide(file).map_err(|error| self.copy.write_error(error)),
            &mut Err(errno) => Err(self.copy.failed("write", errno)),
        }
    }

    fn sync_length(&mut self) -> Result<(), Failure> {
        let synced = self.copy.file.as_ref().map_err(|errno| *errno).and_then(|file| {
            ftruncate(file.fd(), SIZE as u64).and_then(|()| fsync(file.fd())).and_then(|()| fsync(self.folder))
        });
        synced.map_err(|errno| self.copy.failed("sync", errno))
    }
}
