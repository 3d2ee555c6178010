//! What stands in a slot, and how its files and the copies of the env block are written: the program's own code, over files in
//! memory.

use kubesolo_core::boot::env_block::{EnvBlock, SIZE};
use kubesolo_core::boot::env_copies::{self, Bytes, CopyFile, Found};
use kubesolo_core::flow::assemble::{self, Answer, Assembly};
use kubesolo_core::flow::partial_file::{self, ResumableFile, TempFile};
use kubesolo_core::update::digest::Hash;
use kubesolo_core::update::index::Chunk;

use crate::folder::{Folder, Name, Sector, WRONG};
use crate::machine::{Machine, Server, Stop, Version};
use crate::scene::medium::Medium;

/// Texts in a slot.
pub const TEXTS: usize = 3;
/// Of these the list of sums.
pub const LIST: usize = 2;
/// The number of an image's chunk index is so much larger.
pub const INDEX: usize = 2;
/// Sectors a chunk.
const CHUNK: usize = 3;
/// A download is kept after so many sectors.
const KEEP_AFTER: usize = 7;

/// A file of this version, by its number in a slot: 0 and 1 are images, 2 to 4 texts.
fn sectors(version: Version, file: u16, len: u16) -> Vec<Sector> {
    (0..len).map(|sector| u16::from(version) << 9 | file << 6 | sector | 1 << 5).collect()
}

pub fn image(version: Version, which: usize) -> Vec<Sector> {
    sectors(version, which as u16, 9 + (u16::from(version) + which as u16) % 2)
}

/// The chunk index of an image; what it says is not looked at.
pub fn chunk_index(version: Version, which: usize) -> Vec<Sector> {
    sectors(version, which as u16 + 5, 2)
}

pub fn text(version: Version, which: usize) -> Vec<Sector> {
    sectors(version, which as u16 + 2, which as u16 + 1)
}

pub fn plant(folder: &mut Folder, version: Version) {
    for which in 0..2 {
        folder.plant(Name::Image(which), &image(version, which));
    }
    for which in 0..TEXTS {
        folder.plant(Name::Text(which), &text(version, which));
    }
}

/// The program's `replace`: a small file beside the old one, and in its place. Its name is not synced.
pub fn replace(folder: &mut Folder, which: usize, sectors: &[Sector]) -> Result<(), Stop> {
    let file = folder.open(Name::New(which))?;
    folder.cut(file, 0)?;
    for sector in sectors {
        folder.append(file, *sector)?;
    }
    partial_file::finish(&mut Part { folder, file, from: Name::New(which), to: Name::Text(which) })
}

/// A copy of the env block.
pub struct Copy<'a> {
    pub medium: &'a mut Medium,
    pub read_only: bool,
}

impl CopyFile for Copy<'_> {
    type Error = Stop;

    fn replace(&mut self, found: &mut Found, new: &EnvBlock<Bytes>) -> Result<(), Stop> {
        if self.read_only {
            return Err(Stop::Env);
        }
        env_copies::replace(self.medium, found, new).map_err(|error| match error {
            env_copies::Error::Io(fault) => fault.into(),
            env_copies::Error::NotTaken | env_copies::Error::Changed => Stop::Env,
        })
    }

    fn hide(&mut self) -> Result<(), Stop> {
        env_copies::hide(self.medium).map_err(|error| match error {
            env_copies::Error::Io(fault) => fault.into(),
            env_copies::Error::NotTaken | env_copies::Error::Changed => Stop::Env,
        })
    }

    fn sync_length(&mut self) -> Result<(), Stop> {
        use kubesolo_core::disk::storage::Storage;

        self.medium.truncate(SIZE)?;
        Ok(self.medium.sync()?)
    }
}

/// A file that is being written under another name.
pub struct Part<'a> {
    folder: &'a mut Folder,
    file: usize,
    from: Name,
    to: Name,
}

impl TempFile for Part<'_> {
    type Error = Stop;

    fn sync(&mut self) -> Result<(), Stop> {
        Ok(self.folder.sync(self.file)?)
    }

    fn name(&mut self) -> Result<(), Stop> {
        Ok(self.folder.rename(self.from, self.to)?)
    }
}

impl ResumableFile for Part<'_> {
    fn length(&self) -> u64 {
        self.folder.content(self.file).sectors.len() as u64
    }

    fn resume_point(&mut self) -> u64 {
        self.folder.content(self.file).resume_point.into()
    }

    fn set_resume_point(&mut self, len: u64) -> Result<(), Stop> {
        Ok(self.folder.set_resume_point(self.file, len as u8)?)
    }

    fn cut(&mut self, len: u64) -> Result<(), Stop> {
        Ok(self.folder.cut(self.file, len as usize)?)
    }
}

/// A file that is put together: a sector is two bytes.
struct Job<'a> {
    part: Part<'a>,
    want: Vec<Sector>,
    left: &'a mut usize,
    /// Where the server goes on, in bytes.
    at: usize,
}

impl Job<'_> {
    fn chunks(&self) -> impl Iterator<Item = Vec<u8>> {
        self.want.chunks(CHUNK).map(|chunk| chunk.iter().flat_map(|sector| sector.to_le_bytes()).collect())
    }
}

impl Assembly for Job<'_> {
    type Error = Stop;

    fn chunk(&mut self, number: u32) -> Result<Option<Chunk>, Stop> {
        let bytes = self.chunks().nth(number as usize);
        Ok(bytes.map(|bytes| Chunk { len: bytes.len() as u32, hash: Hash::of(&bytes) }))
    }

    fn read_held(&mut self, chunk: &Chunk, buffer: &mut [u8]) -> bool {
        let held = self.chunks().step_by(2).find(|bytes| Hash::of(bytes) == chunk.hash);
        held.inspect(|bytes| buffer.copy_from_slice(bytes)).is_some()
    }

    fn ask(&mut self, from: u64, _: u64) -> Result<Answer, Stop> {
        self.at = from as usize;
        Ok(Answer::Part)
    }

    fn read_fetched(&mut self, buffer: &mut [u8]) -> Result<(), Stop> {
        *self.left = self.left.checked_sub(buffer.len() / 2).ok_or(Stop::Server)?;
        let all: Vec<u8> = self.chunks().flatten().collect();
        buffer.copy_from_slice(&all[self.at..][..buffer.len()]);
        self.at += buffer.len();
        Ok(())
    }

    fn append(&mut self, bytes: &[u8]) -> Result<(), Stop> {
        for sector in bytes.chunks(2) {
            self.part.folder.append(self.part.file, Sector::from_le_bytes([sector[0], sector[1]]))?;
            let done = self.part.length();
            if (done as usize).is_multiple_of(KEEP_AFTER) {
                partial_file::save_resume_point(&mut self.part, done)?;
            }
        }
        Ok(())
    }

    fn differs(&mut self, _: u64) -> Stop {
        Stop::Files
    }
}

impl Machine {
    /// One image into the target slot, as the program downloads it.
    pub fn download(&mut self, which: usize, version: Version, left: &mut usize) -> Result<(), Stop> {
        if let Server::Chunks(_) = self.server {
            self.fetch(INDEX + which, version, chunk_index(version, which), &mut usize::MAX.clone())?;
            return self.assemble(which, version, left);
        }
        self.fetch(which, version, image(version, which), left)
    }

    /// The file on its way, as far as it is there.
    fn begin(&mut self, which: usize, version: Version) -> Result<Part<'_>, Stop> {
        let (from, to) = (Name::Part(which, version), Name::Image(which));
        let folder = self.target_folder();
        folder.try_read()?;
        let file = folder.open(from)?;
        let mut part = Part { folder, file, from, to };
        partial_file::resume(&mut part)?;
        Ok(part)
    }

    /// An image of which the running slot has every other chunk.
    fn assemble(&mut self, which: usize, version: Version, left: &mut usize) -> Result<(), Stop> {
        let part = self.begin(which, version)?;
        let (want, done) = (image(version, which), part.length());
        let mut job = Job { part, want, left, at: 0 };
        let assembled = assemble::assemble(&mut job, done * 2, &mut [0; CHUNK * 2]);
        let mut part = job.part;
        if assembled == Err(Stop::Server) {
            let done = part.length();
            partial_file::save_resume_point(&mut part, done)?;
        }
        assembled?;
        if part.folder.content(part.file).sectors != job.want {
            partial_file::restart(&mut part)?;
            return Err(Stop::Server);
        }
        partial_file::finish(&mut part)
    }

    fn fetch(&mut self, which: usize, version: Version, want: Vec<Sector>, left: &mut usize) -> Result<(), Stop> {
        let server = self.server;
        let mut part = self.begin(which, version)?;
        if server == Server::FromTheStart && part.length() > 0 {
            partial_file::restart(&mut part)?;
        }
        while (part.length() as usize) < want.len() {
            let done = part.length() as usize;
            let Some(still) = left.checked_sub(1) else {
                partial_file::save_resume_point(&mut part, done as u64)?;
                return Err(Stop::Server);
            };
            *left = still;
            let spoilt = if server == Server::Wrong && done + 1 == want.len() { WRONG } else { 0 };
            part.folder.append(part.file, want[done] ^ spoilt)?;
            if done % KEEP_AFTER == KEEP_AFTER - 1 {
                partial_file::save_resume_point(&mut part, done as u64 + 1)?;
            }
        }
        if part.folder.content(part.file).sectors != want {
            partial_file::restart(&mut part)?;
            return Err(Stop::Server);
        }
        partial_file::finish(&mut part)
    }
}
