//! Knows a story's own copy of the disk image: where its partitions are, and how to read and change their files from outside.
//!
//! The table is read with fdisk, the ESP with mtools, the slots with debugfs: none of it is the code under test, and none
//! of it needs root. A machine may be running; it then sees changes only after its next start.

use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use kubesolo_core::boot::slot::Slot;
use kubesolo_core::update::digest::Hash;
use kubesolo_core::update::sums::{self, Sums};

use crate::failure::{Failure, Result, Step};
use crate::{ensure, host};

/// The four partitions, by their number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// KSOLOEFI.
    Esp = 1,
    /// KSOLOA.
    SlotA,
    /// KSOLOB.
    SlotB,
    /// KSOLODATA.
    State,
}

impl Part {
    /// All four.
    pub const ALL: [Self; 4] = [Self::Esp, Self::SlotA, Self::SlotB, Self::State];
}

impl From<Slot> for Part {
    fn from(slot: Slot) -> Self {
        match slot {
            Slot::A => Self::SlotA,
            Slot::B => Self::SlotB,
        }
    }
}

/// Where a partition is.
#[derive(Clone, Debug, Default)]
pub struct Extent {
    /// Its first byte.
    pub start: u64,
    /// Its length in bytes.
    pub len: u64,
    /// Its GUID in lower case.
    pub guid: String,
}

/// A raw disk image that nobody else uses.
pub struct Image {
    path: PathBuf,
    extents: Vec<Extent>,
}

impl Image {
    /// Copies the original, holes as holes.
    ///
    /// # Errors
    /// When it cannot be read, or has not the four partitions.
    pub fn copy(original: &Path, to: PathBuf) -> Result<Self> {
        let paths = [original.as_os_str(), to.as_os_str()];
        host::run("cp", [&["--sparse=always".as_ref(), "--reflink=auto".as_ref()], &paths[..]].concat())?;
        let extents = extents(&to)?;
        Ok(Self { path: to, extents })
    }

    /// Makes the disk larger, as one is that the image was written to.
    ///
    /// # Errors
    /// When the file cannot be.
    pub fn enlarge(&self, len: u64) -> Result {
        let file = OpenOptions::new().write(true).open(&self.path);
        file.and_then(|file| file.set_len(len)).step(|| format!("enlarge {}", self.path.display()))
    }

    /// Reads the partition table again.
    ///
    /// # Errors
    /// When it has not the four partitions.
    pub fn reread(&mut self) -> Result {
        self.extents = extents(&self.path)?;
        Ok(())
    }

    /// What sgdisk finds wrong with the table: nothing.
    ///
    /// # Errors
    /// When it does, with its words.
    pub fn verify_table(&self) -> Result {
        let answer = host::run("sgdisk", ["-v", &self.path.to_string_lossy()])?;
        let text = String::from_utf8_lossy(&answer.stdout).into_owned();
        ensure!(text.contains("No problems found"), "sgdisk -v: {text}{}", answer.stderr);
        Ok(())
    }

    /// The image's file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Where the partition is.
    pub fn extent(&self, part: Part) -> &Extent {
        &self.extents[part as usize - 1]
    }

    /// The partitions' GUIDs.
    pub fn guids(&self) -> Vec<String> {
        self.extents.iter().map(|extent| extent.guid.clone()).collect()
    }

    /// The partition that holds this byte of the disk.
    pub fn part_at(&self, at: u64) -> Option<Part> {
        let holds = |part: &Part| {
            let extent = self.extent(*part);
            (extent.start..extent.start + extent.len).contains(&at)
        };
        Part::ALL.into_iter().find(holds)
    }

    /// Writes zeros over the first `len` bytes of a partition: no filesystem is found there any more.
    ///
    /// # Errors
    /// When the image cannot be written.
    pub fn wipe(&self, part: Part, len: usize) -> Result {
        let at = self.extent(part).start;
        let file = OpenOptions::new().write(true).open(&self.path);
        file.and_then(|f| f.write_all_at(&vec![0; len], at)).step(|| format!("wipe {part:?}"))
    }

    /// Reads a file on the ESP; `path` is from its top, without a leading slash.
    ///
    /// # Errors
    /// When mtools cannot, for instance as there is no such file.
    pub fn esp_read(&self, path: &str) -> Result<Vec<u8>> {
        Ok(host::run("mcopy", ["-n", "-i", &self.esp(), &format!("::{path}"), "-"])?.stdout)
    }

    /// Writes a file on the ESP, in place of the one that is there.
    ///
    /// # Errors
    /// When mtools cannot.
    pub fn esp_write(&self, path: &str, content: &[u8]) -> Result {
        let file = self.beside("esp-file");
        fs::write(&file, content).step(|| format!("write {}", file.display()))?;
        host::run("mcopy", ["-o", "-i", &self.esp(), &file.to_string_lossy(), &format!("::{path}")])?;
        Ok(())
    }

    /// Deletes a file on the ESP.
    ///
    /// # Errors
    /// When mtools cannot.
    pub fn esp_delete(&self, path: &str) -> Result {
        host::run("mdel", ["-i", &self.esp(), &format!("::{path}")])?;
        Ok(())
    }

    /// Makes a folder on the ESP.
    ///
    /// # Errors
    /// When mtools cannot.
    pub fn esp_make_folder(&self, path: &str) -> Result {
        host::run("mmd", ["-i", &self.esp(), &format!("::{path}")])?;
        Ok(())
    }

    /// Writes a file on the ESP that leaves no cluster free.
    ///
    /// # Errors
    /// When mtools cannot.
    pub fn esp_fill(&self, path: &str) -> Result {
        let listing = host::run("mdir", ["-i", &self.esp(), "::"])?;
        let text = String::from_utf8_lossy(&listing.stdout).into_owned();
        let free: String = text
            .lines()
            .rev()
            .find(|line| line.contains("bytes free"))
            .into_iter()
            .flat_map(str::chars)
            .filter(char::is_ascii_digit)
            .collect();
        let free: usize = free.parse().step(|| format!("mdir: {text}"))?;
        self.esp_write(path, &vec![0x5a; free])
    }

    /// Makes the directory entry of a file on the ESP claim this length; its FAT chain stays as it is.
    ///
    /// # Errors
    /// When no such entry is found.
    pub fn esp_claim_length(&self, path: &str, len: u32) -> Result {
        const LENGTH_AT: usize = 28;
        let short = short_name(path);
        let Extent { start, len: esp_len, .. } = *self.extent(Part::Esp);
        let mut esp = vec![0; esp_len as usize];
        let file = OpenOptions::new().read(true).write(true).open(&self.path).step(|| "open the image".into())?;
        file.read_exact_at(&mut esp, start).step(|| "read the ESP".into())?;
        let entry = esp.chunks(32).position(|entry| entry.starts_with(&short));
        let entry = entry.ok_or_else(|| Failure::new(format!("{path}: no directory entry")))?;
        let at = start + (entry * 32 + LENGTH_AT) as u64;
        file.write_all_at(&len.to_le_bytes(), at).step(|| "write the ESP".into())
    }

    /// Reads a file in the top folder of an ext4 partition.
    ///
    /// # Errors
    /// When debugfs cannot.
    pub fn ext4_read(&self, part: Part, name: &str) -> Result<Vec<u8>> {
        let file = self.beside("ext4-file");
        self.debugfs(part, &[&format!("dump {name} {}", file.display())])?;
        fs::read(&file).step(|| format!("read {}", file.display()))
    }

    /// Writes a file in the top folder of an ext4 partition, in place of one that may be there.
    ///
    /// # Errors
    /// When debugfs cannot.
    pub fn ext4_write(&self, part: Part, name: &str, content: &[u8]) -> Result {
        let file = self.beside("ext4-file");
        fs::write(&file, content).step(|| format!("write {}", file.display()))?;
        drop(self.ext4_delete(part, name)); // It need not be there.
        self.debugfs(part, &[&format!("write {} {name}", file.display())])
    }

    /// Gives a slot the list of its files' sums, as its builder does: by it GRUB sees that they are what was installed.
    ///
    /// # Errors
    /// When debugfs cannot.
    pub fn seal(&self, slot: Slot) -> Result {
        let hash = |name| Ok::<_, Failure>((name, Hash::of(&self.ext4_read(slot.into(), name)?)));
        let list = Sums([hash("vmlinuz")?, hash("kubesolo-os.gz")?]).to_string();
        self.ext4_write(slot.into(), sums::FILE, list.as_bytes())
    }

    /// Turns one bit over in each of `count` bytes from the middle of a file on, as a failing medium does: its list of sums
    /// stays.
    ///
    /// # Errors
    /// When debugfs cannot.
    pub fn rot(&self, slot: Slot, name: &str, count: usize) -> Result {
        let mut content = self.ext4_read(slot.into(), name)?;
        let middle = content.len() / 2;
        content.iter_mut().skip(middle).take(count).for_each(|byte| *byte ^= 1);
        self.ext4_write(slot.into(), name, &content)
    }

    /// Deletes a file in the top folder of an ext4 partition.
    ///
    /// # Errors
    /// When debugfs cannot, for instance as there is no such file.
    pub fn ext4_delete(&self, part: Part, name: &str) -> Result {
        self.debugfs(part, &[&format!("rm {name}")])
    }

    /// Lets debugfs work on an ext4 partition, writing.
    ///
    /// # Errors
    /// When one of the requests fails.
    pub fn debugfs(&self, part: Part, requests: &[&str]) -> Result {
        let script = self.beside("debugfs-requests");
        fs::write(&script, requests.join("\n")).step(|| format!("write {}", script.display()))?;
        let device = format!("{}?offset={}", self.path.display(), self.extent(part).start);
        let answer = host::run("debugfs", ["-w", "-f", &script.to_string_lossy(), &device])?;
        // Its exit code is 0 whatever happens; beside errors it says only its own version on standard error.
        let errors: Vec<_> = answer.stderr.lines().filter(|l| !l.starts_with("debugfs 1.")).collect();
        if errors.is_empty() {
            return Ok(());
        }
        Err(Failure::new(format!("debugfs {part:?} {requests:?}: {}", errors.join("; "))))
    }

    /// A path for a short-lived file of this image's own.
    pub fn beside(&self, name: &str) -> PathBuf {
        self.path.with_file_name(name)
    }

    /// mtools' name for the ESP.
    fn esp(&self) -> String {
        format!("{}@@{}", self.path.display(), self.extent(Part::Esp).start)
    }
}

/// The eleven bytes that a FAT directory has for a name that needs no more.
fn short_name(path: &str) -> [u8; 11] {
    let file = path.rsplit('/').next().unwrap_or(path).to_uppercase();
    let (stem, extension) = file.split_once('.').unwrap_or((&file, ""));
    let mut short = [b' '; 11];
    short.iter_mut().zip(stem.bytes()).for_each(|(to, from)| *to = from);
    short[8..].iter_mut().zip(extension.bytes()).for_each(|(to, from)| *to = from);
    short
}

/// The partition table as fdisk prints it.
fn extents(path: &Path) -> Result<Vec<Extent>> {
    let name = path.to_string_lossy();
    let sector_size = sector_size(path)?;
    let answer = host::run("fdisk", ["-b", &sector_size.to_string(), "-l", "-o", "Start,End,UUID", &name])?;
    let text = String::from_utf8_lossy(&answer.stdout).into_owned();
    let rows = text.lines().skip_while(|line| !line.trim_start().starts_with("Start")).skip(1);
    let found = rows.filter_map(|row| {
        let mut columns = row.split_whitespace();
        let mut sector = || columns.next()?.parse::<u64>().ok();
        let (first, last) = (sector()?, sector()?);
        let guid = columns.next()?.to_lowercase();
        Some(Extent { start: first * sector_size, len: (last + 1 - first) * sector_size, guid })
    });
    let found: Vec<_> = found.collect();
    if found.len() != Part::ALL.len() {
        return Err(Failure::new(format!("fdisk {name}: not four partitions: {}", text.trim())));
    }
    Ok(found)
}

/// A disk of 4096-byte sectors has the table's head in the second of these.
fn sector_size(path: &Path) -> Result<u64> {
    const LARGE: u64 = 4096;
    let mut signature = [0; 8];
    let file = File::open(path).and_then(|file| file.read_exact_at(&mut signature, LARGE));
    file.step(|| format!("read {}", path.display()))?;
    Ok(if &signature == b"EFI PART" { LARGE } else { 512 })
}
