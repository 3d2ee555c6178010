//! The two copies of the env block: which one counts, and the order of the writes that change them.
//!
//! GRUB and Linux both change the first copy in place. The second is written after the first is synced, and is used while the first
//! cannot be read. A copy that names no active slot is not used.

use core::fmt;

use crate::boot::env_block::{BlockDefect, EnvBlock, Error as BlockError, ONE_SECTOR, SIZE};
use crate::boot::state;
use crate::disk::storage::{self, Storage, read_at};

/// The bytes of a block of the one length that GRUB writes.
pub type Bytes = [u8; SIZE];

/// Why a copy is not used, or has to be written anew.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CopyFault {
    /// There is no such file.
    Missing,
    /// The medium gives a read error.
    Unreadable,
    /// Another program is writing it.
    Changing,
    /// The bytes are no env block.
    Block(BlockError),
    /// It can be read, but GRUB could not save into it.
    BlockDefect(BlockDefect),
    /// It names no active slot.
    NoSlot,
}

impl fmt::Display for CopyFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            CopyFault::Missing => f.write_str("missing"),
            CopyFault::Unreadable => f.write_str("unreadable"),
            CopyFault::Changing => f.write_str("being written by another program"),
            CopyFault::Block(error) => error.fmt(f),
            CopyFault::BlockDefect(defect) => defect.fmt(f),
            CopyFault::NoSlot => f.write_str("names no active slot"),
        }
    }
}

/// One copy as it was found: the content of the file, or why there is none. It is parsed at each call instead of kept beside its
/// parsed form, so that a kilobyte is not copied.
#[derive(Clone, Debug)]
pub struct Found {
    content: [u8; SIZE + 1],
    len: usize,
    absent: Option<CopyFault>,
}

impl Found {
    /// A copy without content, for this reason.
    #[inline(always)]
    pub const fn nothing(fault: CopyFault) -> Found {
        Found { content: [0; SIZE + 1], len: 0, absent: Some(fault) }
    }

    /// A copy with this content, of which the first `SIZE + 1` bytes count.
    pub fn with(content: &[u8]) -> Found {
        let mut found = Found::nothing(CopyFault::Missing);
        let len = content.len().min(SIZE.saturating_add(1));
        if let (Some(to), Some(from)) = (found.content.get_mut(..len), content.get(..len)) {
            to.copy_from_slice(from);
        }
        Found { len, absent: None, ..found }
    }

    /// Reads the content from the medium. Of what a failed sync did not write, the cache above it still has the new bytes, and
    /// nothing would write them again: they would count as stored.
    ///
    /// # Errors
    /// The storage's own; the copy is then [`CopyFault::Unreadable`].
    pub fn read<S: Storage>(&mut self, copy: &mut S) -> Result<(), S::Error> {
        self.read_up_to(copy, SIZE.saturating_add(1))
    }

    /// The same, of its first bytes: a file that is longer than `len` looks as if it ended there.
    fn read_up_to<S: Storage>(&mut self, copy: &mut S, len: usize) -> Result<(), S::Error> {
        self.absent = Some(CopyFault::Unreadable);
        copy.drop_cache()?;
        self.len = read_at(copy, 0, self.content.get_mut(..len).unwrap_or_default())?;
        self.absent = None;
        Ok(())
    }

    /// Drops the content, for this reason.
    pub fn lose(&mut self, fault: CopyFault) {
        self.absent = Some(fault);
        self.len = 0;
    }

    /// The block in it, if it begins like one; of a file that is too long, the first part.
    pub fn block(&self) -> Option<EnvBlock<&[u8]>> {
        EnvBlock::parse(self.first_block()).ok().filter(|_| self.absent.is_none())
    }

    /// Whether GRUB can use it.
    pub fn names_a_slot(&self) -> bool {
        self.block().is_some_and(|block| state::names_a_slot(&block))
    }

    /// Whether the file is shorter than a block, as it is for a moment while grub-editenv writes it.
    pub fn is_short(&self) -> bool {
        self.len < SIZE && self.absent.is_none()
    }

    /// What is wrong with it.
    pub fn fault(&self) -> Option<CopyFault> {
        if self.absent.is_some() {
            return self.absent;
        }
        match EnvBlock::parse(self.first_block()) {
            Err(error) => Some(CopyFault::Block(error)),
            Ok(block) if !state::names_a_slot(&block) => Some(CopyFault::NoSlot),
            Ok(_) if self.len != SIZE => Some(CopyFault::BlockDefect(BlockDefect::Length(self.len))),
            Ok(block) => block.defect().map(CopyFault::BlockDefect),
        }
    }

    /// Whether the file holds exactly this block.
    pub fn holds(&self, block: &EnvBlock<Bytes>) -> bool {
        self.whole() == Some(block.bytes())
    }

    /// The file's bytes, if there are exactly as many as there should be.
    pub fn whole(&self) -> Option<&[u8]> {
        (self.len == SIZE && self.absent.is_none()).then(|| self.first_block())
    }

    fn first_block(&self) -> &[u8] {
        self.content.get(..self.len.min(SIZE)).unwrap_or_default()
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
    NoActiveSlot,
}

/// The block to use, and from which copy; `None` if neither copy is an env block at all.
pub fn choose<'a>(first: &'a Found, second: &'a Found) -> Option<(EnvBlock<&'a [u8]>, Source)> {
    let usable = |found: &'a Found| found.block().filter(state::names_a_slot);
    let source = |source| move |block| (block, source);
    (usable(first).map(source(Source::First)))
        .or_else(|| usable(second).map(source(Source::Second)))
        .or_else(|| first.block().or_else(|| second.block()).map(source(Source::NoActiveSlot)))
}

/// Why a copy does not hold the new block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Error<E> {
    /// The medium gave an error.
    Io(E),
    /// Other bytes were read back than were written.
    NotTaken,
    /// Another program wrote into the file at the same time.
    Changed,
}

impl<E> From<E> for Error<E> {
    fn from(error: E) -> Self {
        Error::Io(error)
    }
}

/// Whether every variable of the block can be changed by writing one sector.
pub fn fits_one_sector(block: &EnvBlock<Bytes>) -> bool {
    block.text_len() <= ONE_SECTOR
}

/// Makes a copy hold `new`. `found` is what it holds now, and then what is read back.
///
/// Durable on return, and read back from the medium. Where only the first 512 bytes differ, only they are written:
/// a power cut leaves the old block or the new one. Otherwise the second sector is made durable before the first,
/// and a cut between the two leaves the new tail behind the old head. Without a whole old block there is nothing to
/// lose, and all is written at once.
///
/// # Errors
/// [`Error::Io`], [`Error::NotTaken`], [`Error::Changed`].
pub fn replace<S: Storage>(copy: &mut S, found: &mut Found, new: &EnvBlock<Bytes>) -> Result<(), Error<S::Error>> {
    let (head, tail) = new.bytes().split_at(ONE_SECTOR);
    let old: Option<Bytes> = found.whole().and_then(|old| old.first_chunk().copied());
    match &old {
        None => write_at(copy, 0, new.bytes())?,
        Some(old) => {
            if old.get(ONE_SECTOR..) != Some(tail) {
                write_at(copy, ONE_SECTOR as u64, tail)?;
                copy.sync()?;
            }
            write_at(copy, 0, head)?;
        }
    }
    if !is_taken(copy, found, new)? {
        // A file that is shorter now, or holds a third block, was written by another program. A failing medium leaves the old
        // block or garbage.
        let is_old = old.is_some_and(|old| found.first_block() == old);
        if found.is_short() || found.block().is_some() && !is_old {
            found.lose(CopyFault::Changing);
            return Err(Error::Changed);
        }
        write_at(copy, 0, new.bytes())?;
        if !is_taken(copy, found, new)? {
            return Err(Error::NotTaken);
        }
    }
    Ok(())
}

/// Syncs, reads back from the medium, and gives whether that is `new`. Only the first [`SIZE`] bytes count: a file that was too long
/// is cut later.
fn is_taken<S: Storage>(copy: &mut S, found: &mut Found, new: &EnvBlock<Bytes>) -> Result<bool, S::Error> {
    copy.sync()?;
    found.read_up_to(copy, SIZE)?;
    Ok(found.first_block() == new.bytes())
}

/// A copy as a file in its folder.
pub trait CopyFile {
    /// Why a step failed.
    type Error;

    /// Makes the file hold `new`, by [`replace`] if possible. If there is no file that can be written, it is replaced by a new one.
    ///
    /// # Errors
    /// Those of [`replace`] and of making the file.
    fn replace(&mut self, found: &mut Found, new: &EnvBlock<Bytes>) -> Result<(), Self::Error>;

    /// Makes the file [`SIZE`] bytes long; that and its name are durable on return.
    ///
    /// # Errors
    /// Those of the filesystem.
    fn sync_length(&mut self) -> Result<(), Self::Error>;

    /// Makes the file invalid as an env block, by [`hide`].
    ///
    /// # Errors
    /// Those of [`hide`].
    fn hide(&mut self) -> Result<(), Self::Error>;
}

impl<C: CopyFile> CopyFile for &mut C {
    type Error = C::Error;

    fn replace(&mut self, found: &mut Found, new: &EnvBlock<Bytes>) -> Result<(), C::Error> {
        (**self).replace(found, new)
    }

    fn sync_length(&mut self) -> Result<(), C::Error> {
        (**self).sync_length()
    }

    fn hide(&mut self) -> Result<(), C::Error> {
        (**self).hide()
    }
}

/// Overwrites the first letter of GRUB's header: GRUB and `init` then use the other copy. Durable on return.
///
/// # Errors
/// [`Error::Io`], [`Error::NotTaken`].
pub fn hide<S: Storage>(copy: &mut S) -> Result<(), Error<S::Error>> {
    write_at(copy, 0, b"?")?;
    Ok(copy.sync()?)
}

/// Whether a copy that names a slot needs more than one sector's write to become `new`.
fn takes_two_sectors(found: &Found, new: &EnvBlock<Bytes>) -> bool {
    let (_, new_tail) = new.bytes().split_at(ONE_SECTOR);
    let same_tail = found.whole().and_then(|old| old.get(ONE_SECTOR..)).is_none_or(|old| old == new_tail);
    let reaches = found.block().is_some_and(|old| old.text_len() > ONE_SECTOR) || !fits_one_sector(new);
    found.names_a_slot() && reaches && !same_tail
}

/// Makes a copy hold `new`. Writes nothing if it does already. Durable on return.
///
/// # Errors
/// Those of the file.
pub fn store<C: CopyFile>(mut copy: C, found: &mut Found, new: &EnvBlock<Bytes>) -> Result<(), C::Error> {
    if found.holds(new) {
        return Ok(());
    }
    let whole = found.whole().is_some();
    copy.replace(found, new)?;
    // The file had the wrong length, or is new: its length and its name must be made durable too.
    if whole { Ok(()) } else { copy.sync_length() }
}

/// Makes both copies hold `new`, the first before the second. A second copy that is not there is made only if
/// `make_second`.
///
/// Durable on return, in the copy that GRUB uses: the first; or the second, if the first names no slot and cannot be written.
/// `Some` is the error of the other copy: the change has taken effect, and only one copy holds it. A power cut leaves the first
/// copy old or new, and the second untouched until the first is synced.
///
/// A block whose text is longer than one sector can tear. Then the second copy is written first, the first one is hidden, and
/// only then written: at each moment one copy is in use, and whole. Without a second copy the second sector is written before the
/// first, which has the boot state ([`crate::boot::state::BootState::into_block`]): a cut may lose another program's variable.
///
/// # Errors
/// Those of the copy that GRUB uses.
pub fn store_both<C: CopyFile>(
    [mut first, mut second]: [C; 2],
    [found_first, found_second]: [&mut Found; 2],
    new: &EnvBlock<Bytes>,
    make_second: bool,
) -> Result<Option<C::Error>, C::Error> {
    let uses_second = !found_first.names_a_slot() && found_second.names_a_slot();
    let make_second = make_second || found_second.fault() != Some(CopyFault::Missing);
    if takes_two_sectors(found_first, new) && make_second && store(&mut second, found_second, new).is_ok() {
        first.hide()?;
    }
    match store(first, found_first, new) {
        Ok(()) if make_second => Ok(store(second, found_second, new).err()),
        Ok(()) => Ok(None),
        // Not if another program is writing the first copy, as that may name a slot then.
        Err(error) if uses_second && found_first.fault() != Some(CopyFault::Changing) => {
            store(second, found_second, new).map(|()| Some(error))
        }
        Err(error) => Err(error),
    }
}

fn write_at<S: Storage>(copy: &mut S, offset: u64, bytes: &[u8]) -> Result<(), Error<S::Error>> {
    if storage::write_at(copy, offset, bytes)? == bytes.len() { Ok(()) } else { Err(Error::NotTaken) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::boot::slot::{Slot, SlotState};
    use crate::boot::state::BootState;

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
        let blank = EnvBlock::blank();
        let found = |block: &EnvBlock<Bytes>| Found::with(block.bytes());
        let nameless = found(&blank);
        let corrupt = Found::with(&[0; SIZE]);

        let check = |first: &Found, second: &Found, want: Option<(&EnvBlock<Bytes>, Source)>| {
            let got = choose(first, second);
            assert_eq!(
                got.map(|(block, source)| (block.rebuilt(), source)),
                want.map(|(block, source)| (block.clone(), source))
            );
        };
        check(&found(&a), &found(&b), Some((&a, Source::First)));
        for bad in [&nameless, &corrupt, &Found::nothing(CopyFault::Missing)] {
            check(bad, &found(&b), Some((&b, Source::Second)));
            check(&found(&b), bad, Some((&b, Source::First)));
        }
        check(&nameless, &corrupt, Some((&blank, Source::NoActiveSlot)));
        check(&corrupt, &Found::nothing(CopyFault::Unreadable), None);
    }

    #[test]
    fn a_block_of_the_wrong_length_or_padding_is_used_and_can_be_rebuilt() {
        let whole = block(BootState::fresh(SlotState::Good));
        let short = Found::with(whole.bytes().get(..600).unwrap());
        assert_eq!(short.fault(), Some(CopyFault::BlockDefect(BlockDefect::Length(600))));
        assert_eq!(short.whole(), None);
        let mut nul = *whole.bytes().first_chunk::<SIZE>().unwrap();
        nul.iter_mut().skip(whole.text_len()).for_each(|byte| *byte = 0);
        let nul = Found::with(&nul);
        assert_eq!(nul.fault(), Some(CopyFault::BlockDefect(BlockDefect::Padding)));
        for found in [short, nul] {
            assert_eq!(choose(&found, &Found::nothing(CopyFault::Missing)).unwrap().0.rebuilt(), whole);
        }
    }
}
