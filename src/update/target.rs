//! The target slot's filesystem: files that are written under a temporary name, made durable, and read back.
//!
//! A file is downloaded as `NAME.HASH.part`, HASH being the first 16 digits of the SHA-256 it will have, so that a partial file of
//! another image is never resumed. Its resume point says how much of a broken download is on the medium for sure; the next run goes
//! on from there, and the whole file is hashed at the end.

use std::format;
use std::string::String;
use std::time::{Duration, Instant};
use std::vec::Vec;

use rustix::fd::{AsFd, OwnedFd};
use rustix::fs::{AtFlags, OFlags, XattrFlags, fgetxattr, fsetxattr, fstatvfs, fsync, ftruncate, statat, unlinkat};
use rustix::io::Errno;

use crate::failure::{Exit, Failure, Reason};
use crate::linux::device::Device;
use crate::linux::folder::open_folder;
use crate::linux::replace::{rename, replace};
use kubesolo_core::disk::storage::{Storage, read_at};
use kubesolo_core::flow::partial_file::{self, ResumableFile, TempFile};
use kubesolo_core::ignore::ignore;
use kubesolo_core::text::decimal::decimal;
use kubesolo_core::update::digest::{Hash, Sha256};
use kubesolo_core::update::sums;

/// A writable slot.
pub struct Target {
    root: OwnedFd,
    name: &'static str,
}

/// Bytes hashed or copied at a time.
pub const CHUNK: usize = 64 * 1024;
/// Every file name in a slot, without partial files.
const OWN: [&str; 7] =
    ["vmlinuz", "vmlinuz.idx", "kubesolo-os.gz", "kubesolo-os.gz.idx", sums::FILE, "version", "slot.json"];
/// How often the resume point of a download is set. It is on the disk by the next one's sync, so that a power cut costs at most what came
/// in twice that time.
const SAVE_EVERY: Duration = Duration::from_secs(3);
/// Longest small file, in bytes: a `latest.json`.
const TEXT_MAX: usize = 64 * 1024;
/// The extended attribute with the resume point: the bytes of the partial file that are on the medium. The file's length is not
/// enough: ext4 may make a length durable before the bytes (`dioread_nolock`).
const RESUME_POINT: &str = "user.kubesolo.mark";
/// The extended attribute of a partial file that was whole, and wrong: how often, when last, in seconds since 1970, and the SHA-256 of
/// where it came from: from elsewhere it may be right.
const WRONG: &str = "user.kubesolo.wrong";

impl Target {
    /// Takes over the root of a slot's filesystem that is mounted for writing; `name` is the partition's.
    pub fn new(root: OwnedFd, name: &'static str) -> Target {
        Target { root, name }
    }

    /// The partition's name.
    pub const fn name(&self) -> &'static str {
        self.name
    }

    /// Bytes that can still be written.
    ///
    /// # Errors
    /// [`Exit::Io`].
    pub fn free(&self) -> Result<u64, Failure> {
        let stat = fstatvfs(&self.root).map_err(|errno| self.failed("read the free space of", "", errno))?;
        Ok(stat.f_bavail.saturating_mul(stat.f_frsize))
    }

    /// How much of the file with this hash has been downloaded already, in bytes.
    pub fn partial_len(&self, name: &str, hash: &Hash) -> u64 {
        self.len(&partial_name(name, hash))
    }

    /// How often the file with this hash was fetched whole from `at` and was another one, and when last, in seconds since 1970.
    pub fn wrong(&self, name: &str, hash: &Hash, at: &str) -> (u32, u64) {
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW;
        let device = Device::open(&self.root, partial_name(name, hash).as_str(), flags);
        device.map_or((0, 0), |device| wrong_of(&device, at))
    }

    /// Opens a file for reading.
    ///
    /// # Errors
    /// [`Exit::Io`], also for a file that is not there.
    pub fn open(&self, name: &str) -> Result<Device, Failure> {
        Device::open(&self.root, name, OFlags::RDONLY | OFlags::NOFOLLOW)
            .map_err(|errno| self.failed("open", name, errno))
    }

    /// The length of a file in bytes; 0 if there is none.
    pub fn len(&self, name: &str) -> u64 {
        let stat = statat(&self.root, name, AtFlags::SYMLINK_NOFOLLOW);
        stat.map_or(0, |stat| u64::try_from(stat.st_size).unwrap_or_default())
    }

    /// Opens the partial file of that name and hash, or creates it.
    ///
    /// # Errors
    /// [`Exit::Io`].
    pub fn partial_file(&self, name: &'static str, hash: &Hash) -> Result<PartialFile<'_>, Failure> {
        let temporary = partial_name(name, hash);
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::NOFOLLOW;
        let device = Device::open(&self.root, temporary.as_str(), flags)
            .map_err(|errno| self.failed("create", &temporary, errno))?;
        Ok(PartialFile { target: self, name, temporary, device, len: 0, saved: Instant::now() })
    }

    /// The size in bytes of the files that are not needed: the old system, and partial files other than those in `except`. With
    /// `remove` they are deleted.
    ///
    /// # Errors
    /// [`Exit::Io`].
    pub fn leftovers(&self, except: &[String], remove: bool) -> Result<u64, Failure> {
        let mut size: u64 = 0;
        let mut buffer = Vec::with_capacity(4096);
        let folder = open_folder(&self.root, ".").map_err(|errno| self.failed("list", "", errno))?;
        let mut entries = rustix::fs::RawDir::new(folder, buffer.spare_capacity_mut());
        while let Some(entry) = entries.next() {
            let entry = entry.map_err(|errno| self.failed("list", "", errno))?;
            let Ok(name) = entry.file_name().to_str() else { continue };
            if !(name.ends_with(".part") || OWN.contains(&name)) || except.iter().any(|other| other == name) {
                continue;
            }
            size = size.saturating_add(self.len(name));
            if remove {
                unlinkat(&self.root, name, AtFlags::empty()).map_err(|errno| self.failed("remove", name, errno))?;
            }
        }
        Ok(size)
    }

    /// Makes a small file hold `text`. As [`replace`].
    ///
    /// # Errors
    /// [`Exit::Io`].
    pub fn write_text(&self, name: &'static str, text: &[u8]) -> Result<(), Failure> {
        replace(self.root.as_fd(), name, text).map_err(|errno| self.failed("write", name, errno))
    }

    /// What a small file holds; `None` if there is none, or it cannot be read.
    pub fn read_text(&self, name: &str) -> Option<Vec<u8>> {
        let mut text = std::vec![0; TEXT_MAX];
        let len = Device::read_small(&self.root, name, &mut text)?.len();
        text.truncate(len);
        Some(text)
    }

    /// Makes the names of the files durable.
    ///
    /// # Errors
    /// [`Exit::Io`].
    pub fn sync_names(&self) -> Result<(), Failure> {
        // The descriptor of fsmount is an O_PATH one and cannot be synced; a folder opened through it can.
        let folder = open_folder(&self.root, ".").and_then(fsync);
        folder.map_err(|errno| self.failed("sync", "", errno))
    }

    /// Hashes a file as the medium has it, past the page cache; gives its hash and length.
    ///
    /// # Errors
    /// [`Exit::Io`], also for a file that is not there.
    pub fn hash(&self, name: &str, progress: &mut dyn FnMut(u64)) -> Result<(Hash, u64), Failure> {
        let failed = |errno| self.failed("read back", name, errno);
        let mut device = Device::open(&self.root, name, OFlags::RDONLY | OFlags::NOFOLLOW).map_err(failed)?;
        device.drop_cache().map_err(|error| failed(error.0))?;
        let mut hash = Sha256::new();
        let len = hash_all(&mut device, &mut hash, progress).map_err(failed)?;
        Ok((hash.finish(), len))
    }

    /// Opens the file if it is that one.
    pub fn open_same(&self, name: &str, hash: &Hash, size: u64) -> Option<Device> {
        let is_same = self.len(name) == size && self.hash(name, &mut |_| ()).is_ok_and(|(of, _)| of == *hash);
        self.open(name).ok().filter(|_| is_same)
    }

    fn rename(&self, from: &str, to: &str) -> Result<(), Failure> {
        rename(self.root.as_fd(), from, to).map_err(|errno| self.failed("rename to", to, errno))
    }

    fn failed(&self, step: &str, file: &str, errno: Errno) -> Failure {
        let advice = match errno {
            Errno::NOSPC => "; the slot is too small for this image",
            Errno::ROFS | Errno::BADMSG | Errno::UCLEAN => "; its filesystem is damaged: check it with e2fsck -f",
            Errno::IO => "; the disk is failing",
            _ => "",
        };
        Failure::new(Exit::Io, format_args!("{step} {}/{file}: {}{advice}", self.name, Reason(errno)))
    }
}

/// The name of the chunk index that lies beside a file.
pub fn index_name(name: &str) -> &'static str {
    if name == "vmlinuz" { "vmlinuz.idx" } else { "kubesolo-os.gz.idx" }
}

/// The temporary name of a file that will have this hash.
pub fn partial_name(name: &str, hash: &Hash) -> String {
    let mut text = format!("{name}.{hash}");
    text.truncate(name.len().saturating_add(17));
    text.push_str(".part");
    text
}

/// A file that is being downloaded.
pub struct PartialFile<'a> {
    target: &'a Target,
    name: &'static str,
    temporary: String,
    device: Device,
    len: u64,
    saved: Instant,
}

impl PartialFile<'_> {
    /// Cuts the file at its resume point, hashes it, and goes to its end; gives its length.
    ///
    /// # Errors
    /// [`Exit::Io`].
    pub fn resume(&mut self, hash: &mut Sha256) -> Result<u64, Failure> {
        partial_file::resume(self)?;
        self.len = hash_all(&mut self.device, hash, &mut |_| ()).map_err(|errno| self.failed("read", errno))?;
        Ok(self.len)
    }

    /// Empties the file, to begin again.
    ///
    /// # Errors
    /// [`Exit::Io`].
    pub fn restart(&mut self) -> Result<(), Failure> {
        use embedded_io::Seek;

        self.len = 0;
        partial_file::restart(self)?;
        self.device.rewind().map_err(|error| self.failed("empty", error.0))
    }

    /// Remembers that the file from `at` was whole, and wrong. Lost where the filesystem has no extended attributes: then it is fetched
    /// again at the next run.
    pub fn note_wrong(&mut self, at: &str, now: u64) {
        let (times, _) = wrong_of(&self.device, at);
        let text = format!("{} {now} {}", times.saturating_add(1), Hash::of(at.as_bytes()));
        let noted = fsetxattr(self.device.fd(), WRONG, text.as_bytes(), XattrFlags::empty())
            .and_then(|()| fsync(self.device.fd()));
        ignore(noted, "the file is only fetched sooner");
    }

    /// Appends bytes, and calls [`PartialFile::save`] from time to time.
    ///
    /// # Errors
    /// [`Exit::Io`].
    pub fn append(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        use embedded_io::Write;

        self.device.write_all(bytes).map_err(|error| self.failed("write", error.0))?;
        self.len = self.len.saturating_add(bytes.len() as u64);
        if self.saved.elapsed() >= SAVE_EVERY { self.save() } else { Ok(()) }
    }

    /// Makes what is there durable, and sets the resume point: the next run goes on from here.
    ///
    /// # Errors
    /// [`Exit::Io`].
    pub fn save(&mut self) -> Result<(), Failure> {
        partial_file::save_resume_point(self, self.len)?;
        self.saved = Instant::now();
        Ok(())
    }

    /// Makes the file durable and gives it its final name, which [`Target::sync_names`] makes durable.
    ///
    /// # Errors
    /// [`Exit::Io`].
    pub fn finish(mut self) -> Result<(), Failure> {
        partial_file::finish(&mut self)
    }

    fn failed(&self, step: &str, errno: Errno) -> Failure {
        self.target.failed(step, &self.temporary, errno)
    }
}

impl TempFile for PartialFile<'_> {
    type Error = Failure;

    fn sync(&mut self) -> Result<(), Failure> {
        fsync(self.device.fd()).map_err(|errno| self.failed("sync", errno))
    }

    fn name(&mut self) -> Result<(), Failure> {
        self.target.rename(&self.temporary, self.name)
    }
}

impl ResumableFile for PartialFile<'_> {
    fn length(&self) -> u64 {
        self.target.len(&self.temporary)
    }

    fn resume_point(&mut self) -> u64 {
        // Without a resume point, or with one that cannot be read, the download starts from the beginning. Earlier versions had more
        // behind it.
        first_number(&mut [0; 256], &self.device, RESUME_POINT).0
    }

    fn set_resume_point(&mut self, len: u64) -> Result<(), Failure> {
        let text = format!("{len}");
        match fsetxattr(self.device.fd(), RESUME_POINT, text.as_bytes(), XattrFlags::empty()) {
            // A filesystem without extended attributes has no older resume point either.
            Ok(()) | Err(Errno::NOTSUP) => Ok(()),
            Err(errno) => Err(self.failed("set the resume point of", errno)),
        }
    }

    fn cut(&mut self, len: u64) -> Result<(), Failure> {
        ftruncate(self.device.fd(), len).map_err(|errno| self.failed("cut", errno))
    }
}

/// How often a partial file from `at` was whole, and wrong, and when last.
fn wrong_of(device: &Device, at: &str) -> (u32, u64) {
    let mut bytes = [0; 128];
    let (times, rest) = first_number(&mut bytes, device, WRONG);
    let (when, from) = rest.split_once(' ').unwrap_or_default();
    if from != format!("{}", Hash::of(at.as_bytes())) {
        return (0, 0);
    }
    (u32::try_from(times).unwrap_or(u32::MAX), decimal(when).unwrap_or(0))
}

/// The number that an extended attribute begins with, 0 if there is none, and what stands behind the space.
fn first_number<'a>(bytes: &'a mut [u8], device: &Device, name: &str) -> (u64, &'a str) {
    let len = fgetxattr(device.fd(), name, &mut *bytes).unwrap_or(0);
    let text = bytes.get(..len).and_then(|text| core::str::from_utf8(text).ok()).unwrap_or_default();
    let (number, rest) = text.split_once(' ').unwrap_or((text, ""));
    (decimal(number).unwrap_or(0), rest)
}

/// Hashes the file's bytes; gives their number.
fn hash_all(device: &mut Device, hash: &mut Sha256, progress: &mut dyn FnMut(u64)) -> Result<u64, Errno> {
    let mut chunk = std::vec![0; CHUNK];
    let mut at: u64 = 0;
    loop {
        let len = read_at(device, at, &mut chunk).map_err(|error| error.0)?;
        if len == 0 {
            break;
        }
        hash.update(chunk.get(..len).unwrap_or_default());
        at = at.saturating_add(len as u64);
        progress(at);
    }
    Ok(at)
}
