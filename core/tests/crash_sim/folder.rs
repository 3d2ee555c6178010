//! A filesystem of one folder in memory, stricter than ext4: bytes, lengths, marks and names each wait for a sync of
//! their own, and of those that wait any part may have reached the medium when the power goes.
//!
//! A number here stands for a sector of 512 bytes, which is written whole or not at all; one that was never written is 0.

use std::collections::BTreeMap;
use std::hash::{Hash, Hasher};

use crate::scene::faults::{Fault, Faults};
use crate::scene::medium::Fuse;

/// What a sector of 512 bytes holds.
pub type Sector = u16;
/// With these bits turned over it holds something else.
pub const WRONG: Sector = 0x8000;

/// A name in a folder.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Name {
    /// The kernel (0) or the initramfs (1), and the chunk index of each (2, 3).
    Image(usize),
    /// While it is downloaded, with what its hash begins with.
    Part(usize, u8),
    /// `version` (0), `slot.json` (1) or the list of sums (2) of a slot, or `state.json` (3).
    Text(usize),
    /// While it is written.
    New(usize),
}

/// What a file waits to have made durable.
#[derive(Clone, Debug)]
enum Pending {
    Sector(usize, Sector),
    Length(usize),
    ResumePoint(u8),
}

/// What the folder does.
#[derive(Clone, Debug)]
enum Entry {
    Link(Name, usize),
    Unlink(Name),
    Rename(Name, Name, usize),
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Content {
    pub sectors: Vec<Sector>,
    pub resume_point: u8,
}

#[derive(Clone, Debug, Default)]
struct File {
    cached: Content,
    durable: Content,
    pending: Vec<Pending>,
}

impl File {
    /// What the medium holds if that part of what waits has arrived.
    fn with(&self, arrived: impl Fn(usize) -> bool) -> Content {
        let mut content = self.durable.clone();
        for (_, pending) in self.pending.iter().enumerate().filter(|(number, _)| arrived(*number)) {
            match pending {
                Pending::Sector(at, sector) => {
                    content.sectors.resize(content.sectors.len().max(at + 1), 0);
                    content.sectors[*at] = *sector;
                }
                Pending::Length(len) => content.sectors.resize(*len, 0),
                Pending::ResumePoint(len) => content.resume_point = *len,
            }
        }
        content
    }
}

#[derive(Clone, Debug)]
pub struct Folder {
    files: Vec<File>,
    names: BTreeMap<Name, usize>,
    durable: BTreeMap<Name, usize>,
    pending: Vec<Entry>,
    fuse: Fuse,
    pub faults: Faults,
    /// Its journal could not be written: nothing is, until it is mounted again.
    aborted: bool,
}

impl Folder {
    pub fn empty() -> Folder {
        Folder {
            files: Vec::new(),
            names: BTreeMap::new(),
            durable: BTreeMap::new(),
            pending: Vec::new(),
            fuse: Fuse::endless(),
            faults: Faults::default(),
            aborted: false,
        }
    }

    pub fn on(&mut self, fuse: &Fuse) {
        self.fuse = fuse.clone();
    }

    /// A file that has always been there.
    pub fn plant(&mut self, name: Name, sectors: &[Sector]) {
        let content = Content { sectors: sectors.to_vec(), resume_point: 0 };
        self.files.push(File { cached: content.clone(), durable: content, pending: Vec::new() });
        self.names.insert(name, self.files.len() - 1);
        self.durable.insert(name, self.files.len() - 1);
    }

    pub fn names(&self) -> Vec<Name> {
        self.names.keys().copied().collect()
    }

    /// The file as the running system sees it.
    pub fn read(&self, name: Name) -> Option<&Content> {
        Some(&self.files[*self.names.get(&name)?].cached)
    }

    /// The file as the medium has it.
    pub fn read_back(&self, name: Name) -> Option<&Content> {
        Some(&self.files[*self.names.get(&name)?].durable)
    }

    /// Succeeds if the medium lets itself be read.
    pub fn try_read(&mut self) -> Result<(), Fault> {
        self.faults.read()
    }

    /// A small file is written, synced, read back and removed, and leaves nothing.
    pub fn probe(&mut self) -> Result<(), Fault> {
        self.begin_write()?;
        self.faults.take_room()?;
        self.faults.give_room(1);
        self.faults.sync()?;
        self.faults.read()
    }

    fn begin_write(&mut self) -> Result<(), Fault> {
        if self.aborted { Err(Fault::Io) } else { self.faults.write() }
    }

    /// The power goes on: what is cached is what was written, if it was not lost.
    pub fn forget_cache(&mut self) {
        for file in &mut self.files {
            file.cached = file.with(|_| true);
        }
        self.names = self.entries(|_| true);
        self.aborted = false;
    }

    /// Changes a sector on the medium, behind everybody's back.
    pub fn rot(&mut self, name: Name) {
        let file = &mut self.files[self.names[&name]];
        assert!(file.pending.is_empty());
        file.cached = file.durable.clone();
        for content in [&mut file.cached, &mut file.durable] {
            content.sectors[0] ^= WRONG;
        }
    }

    /// Opens the file of that name, or makes it.
    pub fn open(&mut self, name: Name) -> Result<usize, Fault> {
        if let Some(file) = self.names.get(&name) {
            return Ok(*file);
        }
        self.fuse.step()?;
        self.begin_write()?;
        self.files.push(File::default());
        let file = self.files.len() - 1;
        self.names.insert(name, file);
        self.pending.push(Entry::Link(name, file));
        Ok(file)
    }

    pub fn content(&self, file: usize) -> &Content {
        &self.files[file].cached
    }

    pub fn append(&mut self, file: usize, sector: Sector) -> Result<(), Fault> {
        self.fuse.step()?;
        self.begin_write()?;
        self.faults.take_room()?;
        let file = &mut self.files[file];
        file.pending.push(Pending::Sector(file.cached.sectors.len(), sector));
        file.cached.sectors.push(sector);
        Ok(())
    }

    pub fn cut(&mut self, file: usize, len: usize) -> Result<(), Fault> {
        let had = self.files[file].cached.sectors.len();
        if had != len {
            self.fuse.step()?;
            self.begin_write()?;
            self.faults.give_room(had.saturating_sub(len));
            let file = &mut self.files[file];
            file.cached.sectors.resize(len, 0);
            file.pending.push(Pending::Length(len));
        }
        Ok(())
    }

    pub fn set_resume_point(&mut self, file: usize, len: u8) -> Result<(), Fault> {
        self.fuse.step()?;
        self.begin_write()?;
        let file = &mut self.files[file];
        file.cached.resume_point = len;
        file.pending.push(Pending::ResumePoint(len));
        Ok(())
    }

    pub fn sync(&mut self, file: usize) -> Result<(), Fault> {
        self.fuse.sync()?;
        let synced = self.faults.sync();
        let file = &mut self.files[file];
        file.durable = match synced {
            // What an earlier sync lost is not written by this one.
            Ok(()) => file.with(|_| true),
            Err(_) => file.with(|number| self.faults.has_arrived(number)),
        };
        file.pending.clear();
        synced
    }

    pub fn rename(&mut self, from: Name, to: Name) -> Result<(), Fault> {
        self.fuse.step()?;
        self.begin_write()?;
        let file = self.names.remove(&from).unwrap();
        self.names.insert(to, file);
        self.pending.push(Entry::Rename(from, to, file));
        Ok(())
    }

    pub fn unlink(&mut self, name: Name) -> Result<(), Fault> {
        self.fuse.step()?;
        self.begin_write()?;
        if let Some(file) = self.names.remove(&name) {
            self.faults.give_room(self.files[file].cached.sectors.len());
        }
        self.pending.push(Entry::Unlink(name));
        Ok(())
    }

    pub fn sync_names(&mut self) -> Result<(), Fault> {
        self.fuse.sync()?;
        let synced = if self.aborted { Err(Fault::Io) } else { self.faults.sync() };
        self.durable = match synced {
            Ok(()) => self.names.clone(),
            Err(_) => self.entries(|number| self.faults.has_arrived(number)),
        };
        self.pending.clear();
        self.aborted |= synced.is_err();
        synced
    }

    /// How many things wait.
    pub fn waiting(&self) -> usize {
        self.pending.len() + self.files.iter().map(|file| file.pending.len()).sum::<usize>()
    }

    /// The folder after a cut, if that part of what waits has arrived. The names come first, then file by file.
    pub fn after_cut(&self, arrived: impl Fn(usize) -> bool) -> Folder {
        let names = self.entries(&arrived);
        let mut number = self.pending.len();
        let mut files = Vec::with_capacity(self.files.len());
        for file in &self.files {
            let content = file.with(|of_file| arrived(number + of_file));
            number += file.pending.len();
            files.push(File { cached: content.clone(), durable: content, pending: Vec::new() });
        }
        // Two names for one file come of a rename without its first half: a filesystem check gives each its own.
        let mut folder = Folder { files: Vec::new(), names: names.clone(), durable: BTreeMap::new(), ..self.clone() };
        for (place, (name, file)) in names.iter().enumerate() {
            folder.files.push(files[*file].clone());
            folder.names.insert(*name, place);
        }
        folder.durable = folder.names.clone();
        folder.pending.clear();
        folder.aborted = false;
        folder
    }

    /// The names on the medium, if that part of what waits has arrived.
    fn entries(&self, arrived: impl Fn(usize) -> bool) -> BTreeMap<Name, usize> {
        let mut names = self.durable.clone();
        for (_, entry) in self.pending.iter().enumerate().filter(|(number, _)| arrived(*number)) {
            match entry {
                Entry::Link(name, file) => drop(names.insert(*name, *file)),
                Entry::Unlink(name) => drop(names.remove(name)),
                Entry::Rename(from, to, file) => {
                    names.remove(from);
                    names.insert(*to, *file);
                }
            }
        }
        names
    }

    /// Hashes what is on the medium.
    pub fn hash(&self, hasher: &mut impl Hasher) {
        for (name, file) in &self.durable {
            name.hash(hasher);
            self.files[*file].durable.hash(hasher);
        }
        self.durable.len().hash(hasher);
    }
}
