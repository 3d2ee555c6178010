//! What stands in a slot, and how its files and the copies of the env block are written: the program's own code, over files in
//! memory.

use kubesolo_core::boot::env_block::{EnvBlock, SIZE};
use kubesolo_core::boot::env_copies::{self, Bytes, CopyFile, Found};
use kubesolo_core::flow::partial_file::{self, ResumableFile, TempFile};

use crate::folder::{Folder, Name, Sector, WRONG};
use crate::machine::{Machine, Server, Stop, Version};
use crate::scene::medium::Medium;

/// Texts in a slot.
pub const TEXTS: usize = 3;
/// Of these the list of sums.
pub const LIST: usize = 2;
/// A download is kept after so many sectors.
const KEEP_AFTER: usize = 7;

/// A file of this version, by its number in a slot: 0 and 1 are images, 2 to 4 texts.
fn sectors(version: Version, file: u16, len: u16) -> Vec<Sector> {
    (0..len).map(|sector| u16::from(version) << 9 | file << 6 | sector | 1 << 5).collect()
}

pub fn image(version: Version, which: usize) -> Vec<Sector> {
    sectors(version, which as u16, 9 + (u16::from(version) + which as u16) % 2)
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

impl Machine {
    /// One image into the target slot, as the program downloads it.
    pub fn download(&mut self, which: usize, version: Version, left: &mut usize) -> Result<(), Stop> {
        let (server, want) = (self.server, image(version, which));
        let (from, to) = (Name::Part(which, version), Name::Image(which));
        let folder = self.target_folder();
        folder.try_read()?;
        let file = folder.open(from)?;
        let mut part = Part { folder, file, from, to };
        partial_file::resume(&mut part)?;
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
            part.folder.append(file, want[done] ^ spoilt)?;
            if done % KEEP_AFTER == KEEP_AFTER - 1 {
                partial_file::save_resume_point(&mut part, done as u64 + 1)?;
            }
        }
        if part.folder.content(file).sectors != want {
            partial_file::restart(&mut part)?;
            return Err(Stop::Server);
        }
        partial_file::finish(&mut part)
    }
}
