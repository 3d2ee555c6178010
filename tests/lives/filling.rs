//! How a slot and the copies of the env block are written: the program's orders, over files in memory.

use kubesolo_core::boot::env_block::{EnvBlock, SIZE};
use kubesolo_core::boot::env_copies::{self, Bytes, CopyFile, Found};
use kubesolo_core::boot::slot::Slot;
use kubesolo_core::boot::state::BootState;
use kubesolo_core::flow::install::{self, Change};
use kubesolo_core::flow::partial_file::{self, Growing, Unnamed};

use crate::folder::{Folder, Name, Sector, WRONG};
use crate::machine::{Machine, Orders, Server, Stop, Version, index};
use crate::scene::medium::{Cut, Medium};

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

/// The program's `replace`: a small file beside the old one, and in its place.
pub fn replace(
    orders: &'static Orders,
    folder: &mut Folder,
    which: usize,
    sectors: &[Sector],
    sync_names: fn(&mut Folder) -> Result<(), Cut>,
) -> Result<(), Stop> {
    let file = folder.open(Name::New(which))?;
    folder.cut(file, 0)?;
    for sector in sectors {
        folder.append(file, *sector)?;
    }
    (orders.finish)(&mut Part { folder, file, from: Name::New(which), to: Name::Text(which) })?;
    Ok(sync_names(folder)?)
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
            env_copies::Error::Io(Cut) => Stop::Cut,
            env_copies::Error::NotTaken | env_copies::Error::Changed => Stop::Env,
        })
    }

    fn hide(&mut self) -> Result<(), Stop> {
        env_copies::hide(self.medium).map_err(|_| Stop::Cut)
    }

    fn settle(&mut self) -> Result<(), Stop> {
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

impl Unnamed for Part<'_> {
    type Error = Stop;

    fn sync(&mut self) -> Result<(), Stop> {
        Ok(self.folder.sync(self.file)?)
    }

    fn name(&mut self) -> Result<(), Stop> {
        Ok(self.folder.rename(self.from, self.to)?)
    }
}

impl Growing for Part<'_> {
    fn length(&self) -> u64 {
        self.folder.content(self.file).sectors.len() as u64
    }

    fn marked(&mut self) -> u64 {
        self.folder.content(self.file).mark.into()
    }

    fn mark(&mut self, len: u64) {
        // Without power, the next step says so.
        self.folder.mark(self.file, len as u8).unwrap_or_default();
    }

    fn cut(&mut self, len: u64) -> Result<(), Stop> {
        Ok(self.folder.cut(self.file, len as usize)?)
    }
}

/// The target slot: filled with a version, or with what it says itself that it holds.
pub struct Install<'a> {
    pub machine: &'a mut Machine,
    pub slot: Slot,
    pub version: Option<Version>,
    pub server: Server,
}

impl Install<'_> {
    fn folder(&mut self) -> &mut Folder {
        &mut self.machine.slots[index(self.slot)]
    }

    /// Makes all of the slot durable.
    pub fn sync_all(&mut self) -> Result<(), Stop> {
        let folder = self.folder();
        for name in folder.names() {
            let file = folder.open(name)?;
            folder.sync(file)?;
        }
        Ok(folder.sync_names()?)
    }

    fn download(&mut self, which: usize, version: Version, left: &mut usize) -> Result<(), Stop> {
        let (orders, server, want) = (self.machine.orders, self.server, image(version, which));
        let (from, to) = (Name::Part(which, version), Name::Image(which));
        let folder = self.folder();
        let file = folder.open(from)?;
        let mut part = Part { folder, file, from, to };
        partial_file::resume(&mut part)?;
        if server == Server::FromTheStart && part.length() > 0 {
            (orders.restart)(&mut part)?;
        }
        while (part.length() as usize) < want.len() {
            let done = part.length() as usize;
            let Some(still) = left.checked_sub(1) else {
                partial_file::keep(&mut part, done as u64)?;
                return Err(Stop::Server);
            };
            *left = still;
            let spoilt = if server == Server::Wrong && done + 1 == want.len() { WRONG } else { 0 };
            part.folder.append(file, want[done] ^ spoilt)?;
            if done % KEEP_AFTER == KEEP_AFTER - 1 {
                partial_file::keep(&mut part, done as u64 + 1)?;
            }
        }
        if part.folder.content(file).sectors != want {
            (orders.restart)(&mut part)?;
            return Err(Stop::Server);
        }
        (orders.finish)(&mut part)
    }
}

impl install::Target for Install<'_> {
    type Error = Stop;

    fn record(&mut self, change: Change) -> Result<BootState, Stop> {
        let slot = self.slot;
        self.machine.change(|state| change.of(state, slot).ok())
    }

    fn verify(&mut self) -> Result<(), Stop> {
        let folder = self.folder();
        let told =
            folder.read(Name::Text(1)).and_then(|file| (1..=7).find(|version| file.sectors == text(*version, 1)));
        let version = self.version.or(told).ok_or(Stop::Files)?;
        let folder = self.folder();
        let holds = |which| folder.read(Name::Image(which)).is_some_and(|file| file.sectors == image(version, which));
        if holds(0) && holds(1) { Ok(()) } else { Err(Stop::Files) }
    }
}

impl install::Writable for Install<'_> {
    fn remove_leftovers(&mut self) -> Result<(), Stop> {
        let version = self.version.unwrap();
        let folder = self.folder();
        for name in folder.names().into_iter().filter(|name| !matches!(name, Name::Part(_, kept) if *kept == version)) {
            folder.unlink(name)?;
        }
        Ok(())
    }

    fn write_images(&mut self) -> Result<(), Stop> {
        let mut left = if let Server::Breaks(after) = self.server { after } else { usize::MAX };
        for which in 0..2 {
            self.download(which, self.version.unwrap(), &mut left)?;
        }
        Ok(())
    }

    fn write_texts(&mut self) -> Result<(), Stop> {
        let (orders, version) = (self.machine.orders, self.version.unwrap());
        // The list of sums first, as the program does.
        for which in [LIST, 0, 1] {
            replace(orders, self.folder(), which, &text(version, which), orders.sync_names)?;
        }
        Ok(())
    }

    fn sync_names(&mut self) -> Result<(), Stop> {
        let sync_names = self.machine.orders.sync_names;
        Ok(sync_names(self.folder())?)
    }
}
