//! The two copies of the env block: which one counts, and the order of the writes that change them.
//!
//! GRUB and Linux both change the first copy in place; the second is written once the first is safe, and stands in
//! while the first cannot be read. A copy that names no active slot is not gone by.

use core::fmt;

use embedded_io::SeekFrom;

use crate::boot;
use crate::envblk::{Defect, EnvBlock, Error as BlockError, ONE_SECTOR, SIZE};
use crate::storage::{Storage, read_at};

/// The bytes of a block of the one length that GRUB writes.
pub type Bytes = [u8; SIZE];

/// Why a copy is not used, or has to be written anew.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flaw {
    /// There is no such file.
    Missing,
    /// The medium does not give it.
    Unreadable,
    /// The bytes are no env block.
    Block(BlockError),
    /// It can be read, but GRUB could not save into it.
    Defect(Defect),
    /// It names no active slot.
    NoSlot,
}

impl fmt::Display for Flaw {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Flaw::Missing => f.write_str("missing"),
            Flaw::Unreadable => f.write_str("unreadable"),
            Flaw::Block(error) => error.fmt(f),
            Flaw::Defect(defect) => defect.fmt(f),
            Flaw::NoSlot => f.write_str("names no active slot"),
        }
    }
}

/// One copy as it was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// Its bytes, if there are exactly as many as there should be.
    pub bytes: Option<Bytes>,
    /// The block in it, if it begins like one.
    pub block: Option<EnvBlock<Bytes>>,
    /// What is wrong with it.
    pub flaw: Option<Flaw>,
}

impl Found {
    /// A copy of which no byte is known.
    pub fn nothing(flaw: Flaw) -> Found {
        Found { bytes: None, block: None, flaw: Some(flaw) }
    }

    /// Judges the content of a file: all of it, or its first `SIZE + 1` bytes if it is longer.
    pub fn examine(content: &[u8]) -> Found {
        let mut bytes = [b'#'; SIZE];
        for (to, from) in bytes.iter_mut().zip(content) {
            *to = *from;
        }
        let whole = (content.len() == SIZE).then_some(bytes);
        let block = match EnvBlock::parse(content) {
            Err(error) => return Found { bytes: whole, block: None, flaw: Some(Flaw::Block(error)) },
            Ok(_) => EnvBlock::parse(bytes),
        };
        let flaw = match &block {
            Err(error) => Some(Flaw::Block(*error)),
            Ok(block) if !boot::names_a_slot(block) => Some(Flaw::NoSlot),
            Ok(_) if whole.is_none() => Some(Flaw::Defect(Defect::Length(content.len()))),
            Ok(block) => block.defect().map(Flaw::Defect),
        };
        Found { bytes: whole, block: block.ok(), flaw }
    }

    fn names_a_slot(&self) -> bool {
        self.block.as_ref().is_some_and(boot::names_a_slot)
    }
}

/// Where a block came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// The first copy names a slot.
    First,
    /// Only the second does.
    Second,
    /// Neither does; these are the variables that are left in one of them.
    Remains,
}

/// The block to go by, and from which copy; `None` if neither copy is an env block at all. A block with a defect is
/// given in its rebuilt form.
pub fn choose(first: &Found, second: &Found) -> Option<(EnvBlock<Bytes>, Source)> {
    let (found, source) = if first.names_a_slot() {
        (first, Source::First)
    } else if second.names_a_slot() {
        (second, Source::Second)
    } else if first.block.is_some() {
        (first, Source::Remains)
    } else {
        (second, Source::Remains)
    };
    let block = found.block.as_ref()?;
    let block = if block.defect().is_some() { block.rebuilt() } else { block.clone() };
    Some((block, source))
}

/// Why a copy does not hold the new block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Error<E> {
    /// The medium refused.
    Io(E),
    /// The medium took the write and gave other bytes back.
    NotTaken,
}

impl<E> From<E> for Error<E> {
    fn from(error: E) -> Self {
        Error::Io(error)
    }
}

/// Whether every variable of the block can be changed by writing one sector. The boot verbs write no other block.
pub fn fits_one_sector(block: &EnvBlock<Bytes>) -> bool {
    block.text_len() <= ONE_SECTOR
}

/// Makes a copy hold `new`. `old` is what it holds now, if that is a whole block.
///
/// Durable on return, and read back from the medium. Where only the first 512 bytes differ, only they are written:
/// a power cut leaves the old block or the new one. Otherwise the second sector is made durable before the first,
/// and a cut between the two leaves the new tail behind the old head. Without a whole old block there is nothing to
/// lose, and all is written at once.
///
/// # Errors
/// [`Error::Io`], [`Error::NotTaken`].
pub fn replace<S: Storage>(copy: &mut S, old: Option<&Bytes>, new: &Bytes) -> Result<(), Error<S::Error>> {
    let (head, tail) = new.split_at(ONE_SECTOR);
    match old {
        None => write_at(copy, 0, new)?,
        Some(old) => {
            if old.get(ONE_SECTOR..) != Some(tail) {
                write_at(copy, ONE_SECTOR as u64, tail)?;
                copy.sync()?;
            }
            write_at(copy, 0, head)?;
        }
    }
    copy.sync()?;
    copy.drop_cache()?;
    let mut back = [0; SIZE];
    if read_at(copy, 0, &mut back)? != SIZE || back != *new {
        return Err(Error::NotTaken);
    }
    Ok(())
}

fn write_at<S: Storage>(copy: &mut S, offset: u64, bytes: &[u8]) -> Result<(), Error<S::Error>> {
    copy.seek(SeekFrom::Start(offset))?;
    let mut left = bytes;
    while !left.is_empty() {
        match copy.write(left)? {
            0 => return Err(Error::NotTaken),
            count => left = left.get(count..).unwrap_or_default(),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::boot::BootState;
    use crate::slot::{Slot, SlotState};

    fn block(state: BootState) -> EnvBlock<Bytes> {
        let mut block = EnvBlock::blank();
        state.write_to(&mut block).unwrap();
        block
    }

    #[test]
    fn the_first_copy_that_names_a_slot_counts() {
        let state = BootState::fresh(SlotState::Empty);
        let a = block(state);
        let b = block(BootState { active: Slot::B, ..state });
        let found = |block: &EnvBlock<Bytes>| Found::examine(block.bytes());
        let nameless = Found::examine(EnvBlock::blank().bytes());
        let corrupt = Found::examine(&[0; SIZE]);

        assert_eq!(choose(&found(&a), &found(&b)), Some((a.clone(), Source::First)));
        for bad in [&nameless, &corrupt, &Found::nothing(Flaw::Missing)] {
            assert_eq!(choose(bad, &found(&b)), Some((b.clone(), Source::Second)));
            assert_eq!(choose(&found(&b), bad), Some((b.clone(), Source::First)));
        }
        assert_eq!(choose(&nameless, &corrupt), Some((EnvBlock::blank(), Source::Remains)));
        assert_eq!(choose(&corrupt, &Found::nothing(Flaw::Unreadable)), None);
    }

    #[test]
    fn a_block_of_the_wrong_length_or_padding_is_used_and_rebuilt() {
        let whole = block(BootState::fresh(SlotState::Good));
        let short = Found::examine(whole.bytes().get(..600).unwrap());
        assert_eq!(short.flaw, Some(Flaw::Defect(Defect::Length(600))));
        let mut nul = *whole.bytes().first_chunk::<SIZE>().unwrap();
        nul.iter_mut().skip(whole.text_len()).for_each(|byte| *byte = 0);
        let nul = Found::examine(&nul);
        assert_eq!(nul.flaw, Some(Flaw::Defect(Defect::Padding)));
        for found in [short, nul] {
            assert_eq!(choose(&found, &Found::nothing(Flaw::Missing)), Some((whole.clone(), Source::First)));
        }
    }
}
