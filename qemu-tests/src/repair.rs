//! Knows what the filesystem checkers make of a partition: fsck.fat of the ESP, e2fsck of the others, which replays the
//! journal first. They work on a copy.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use crate::failure::{Result, Step};
use crate::host;
use crate::image::{Image, Part};
use crate::superblock;

const CHUNK: usize = 64 * 1024;

/// How a checker found a partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Condition {
    /// With nothing to do.
    Clean,
    /// It mended what was wrong.
    Mended,
    /// It mended the rest after the superblock, whose two sectors were of different age, had been given its checksum. On
    /// a partition of more than 128 MiB it would have taken a backup of the superblock; smaller ones have none.
    TornSuperblock,
    /// It could not.
    Broken,
}

/// A copy of a partition that its checker has been at.
pub struct Repaired {
    /// How it was found.
    pub condition: Condition,
    part: Part,
    file: PathBuf,
}

impl Image {
    /// Lets the checker mend a copy of the partition. There is one of each partition, and the next takes its place.
    ///
    /// # Errors
    /// When it cannot be copied, or a checker cannot be started.
    pub fn repaired(&self, part: Part) -> Result<Repaired> {
        // A file of its own: fsck.fat knows no offset, and e2fsck forgets it when it has replayed the journal.
        let file = self.beside(&format!("repaired-{part:?}"));
        self.copy_part(part, &file).step(|| format!("copy {part:?} to {}", file.display()))?;
        let name = file.to_string_lossy();
        let condition = if part == Part::Esp {
            let check = |how| host::exit_code("fsck.fat", [how, &*name]);
            match check("-n")? {
                0 => Condition::Clean,
                _ if check("-y")? == 1 && check("-n")? == 0 => Condition::Mended,
                _ => Condition::Broken,
            }
        } else {
            match e2fsck(&name)? {
                Condition::Broken if superblock::is_torn(&file)? => {
                    superblock::seal(&file)?;
                    if e2fsck(&name)? == Condition::Broken { Condition::Broken } else { Condition::TornSuperblock }
                }
                condition => condition,
            }
        };
        Ok(Repaired { condition, part, file })
    }
}

impl Image {
    /// Holes stay holes.
    fn copy_part(&self, part: Part, to: &Path) -> io::Result<()> {
        let extent = self.extent(part);
        let (disk, copy) = (File::open(self.path())?, File::create(to)?);
        copy.set_len(extent.len)?;
        let (mut chunk, zeros) = (vec![0; CHUNK], vec![0; CHUNK]);
        for at in (0..extent.len).step_by(CHUNK) {
            // A partition is a whole number of MiB.
            disk.read_exact_at(&mut chunk, extent.start + at)?;
            if chunk != zeros {
                copy.write_all_at(&chunk, at)?;
            }
        }
        Ok(())
    }
}

fn e2fsck(file: &str) -> Result<Condition> {
    Ok(match host::exit_code("e2fsck", ["-fy", file])? {
        0 => Condition::Clean,
        1..4 => Condition::Mended,
        _ => Condition::Broken,
    })
}

impl Repaired {
    /// A file in it, `path` from its top without a leading slash; `None` if there is none, or it cannot be read.
    pub fn read(&self, path: &str) -> Option<Vec<u8>> {
        let name = self.file.to_string_lossy();
        if self.part == Part::Esp {
            return host::run("mcopy", ["-n", "-i", &name, &format!("::{path}"), "-"]).ok().map(|answer| answer.stdout);
        }
        let to = self.file.with_extension("file");
        drop(fs::remove_file(&to)); // It need not be there.
        let dump = format!("dump {path} {}", to.display());
        let answer = host::run("debugfs", ["-R", &dump, &name]).ok()?;
        // Beside errors it says only its own version on standard error.
        let said_more = answer.stderr.lines().any(|line| !line.starts_with("debugfs 1."));
        fs::read(&to).ok().filter(|_| !said_more)
    }
}
