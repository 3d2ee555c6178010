//! Knows what a disk may hold when the power goes: all that was flushed, and of the rest any part, in any order. A sector is
//! written wholly or not at all.

use std::collections::BTreeSet;
use std::fmt;
use std::ops::Range;

use crate::dice::Dice;
use crate::writelog::{Event, SECTOR, Write, WriteLog};

/// Tears of one write that are tried, if it has as many sectors.
const TEARS: usize = 20;

/// What became of the writes since the last flush.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Fate {
    /// All are on the medium, up to this one.
    After,
    /// The last has only some of its sectors there.
    Torn,
    /// One is missing, and later ones are there.
    Lost,
    /// One is there, and no other.
    Alone,
    /// They came onto the medium from the last to the first, as far as this one.
    Backwards,
    /// Any of them are there, in any order.
    Some,
}

/// A write's sectors that are on the medium.
#[derive(Clone, Debug)]
pub struct Piece {
    /// The write's place among the events.
    pub write: usize,
    /// Which of its bytes.
    pub bytes: Range<usize>,
}

/// One thing that a power cut may leave.
#[derive(Clone, Debug)]
pub struct Cut {
    /// In which manner.
    pub fate: Fate,
    /// What is on the medium of the writes since the last flush, in this order.
    pub pieces: Vec<Piece>,
}

impl fmt::Display for Cut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}:", self.fate)?;
        self.pieces.iter().try_for_each(|piece| {
            write!(f, " {}[{}..{}]", piece.write, piece.bytes.start / SECTOR, piece.bytes.end / SECTOR)
        })
    }
}

impl WriteLog {
    /// The events between two flushes, and after the last.
    pub fn epochs(&self) -> Vec<Range<usize>> {
        let flushes = self.events.iter().enumerate().filter(|(_, event)| **event == Event::Flush);
        let ends = flushes.map(|(place, _)| place).chain([self.events.len()]);
        let mut begin = 0;
        ends.map(|end| std::mem::replace(&mut begin, end + 1)..end).collect()
    }

    /// The write at this place among the events.
    pub fn write(&self, place: usize) -> Option<&Write> {
        match self.events.get(place) {
            Some(Event::Write(write)) => Some(write),
            _ => None,
        }
    }

    /// What the power may leave when it goes within this epoch, or at its end before the flush is done.
    pub fn cuts(&self, epoch: &Range<usize>, dice: &mut Dice) -> Vec<Cut> {
        let writes: Vec<_> = epoch.clone().filter(|place| self.write(*place).is_some()).collect();
        let mut cuts = Vec::new();
        let mut cut = |fate, pieces| cuts.push(Cut { fate, pieces });
        for (nth, place) in writes.iter().enumerate() {
            cut(Fate::After, self.pieces(&writes[..=nth]));
            for bytes in self.tears(*place, dice) {
                let mut pieces = self.pieces(&writes[..nth]);
                pieces.push(Piece { write: *place, bytes });
                cut(Fate::Torn, pieces);
            }
            let others: Vec<_> = writes.iter().copied().filter(|other| other != place).collect();
            cut(Fate::Lost, self.forced_and(&writes, &others));
            cut(Fate::Alone, self.forced_and(&writes, &[*place]));
            let backwards: Vec<_> = writes[nth..].iter().rev().copied().collect();
            cut(Fate::Backwards, self.forced_and(&writes, &backwards));
            cut(Fate::Some, self.some(&writes, dice));
        }
        cuts
    }

    /// What the power may leave when it goes at the end of the log: any part of the last epoch, and all before it.
    pub fn cut_at_end(&self, dice: &mut Dice) -> (Range<usize>, Cut) {
        let end = self.epochs().pop().unwrap_or_default();
        let writes: Vec<_> = end.clone().filter(|place| self.write(*place).is_some()).collect();
        (0..end.start, Cut { fate: Fate::Some, pieces: self.some(&writes, dice) })
    }

    /// Any of these writes, in any order.
    fn some(&self, writes: &[usize], dice: &mut Dice) -> Vec<Piece> {
        let mut some: Vec<_> = writes.iter().copied().filter(|_| dice.coin()).collect();
        for nth in (1..some.len()).rev() {
            some.swap(nth, dice.below(nth + 1));
        }
        self.forced_and(writes, &some)
    }

    /// Those of `writes` that the power cannot take back, then `others`.
    fn forced_and(&self, writes: &[usize], others: &[usize]) -> Vec<Piece> {
        let is_forced = |place: &usize| self.write(*place).is_some_and(|write| write.forced);
        let forced = writes.iter().filter(|place| is_forced(place));
        let rest = others.iter().filter(|place| !is_forced(place));
        self.pieces(&forced.chain(rest).copied().collect::<Vec<_>>())
    }

    fn pieces(&self, places: &[usize]) -> Vec<Piece> {
        let whole = |place: &usize| Piece { write: *place, bytes: 0..self.write(*place).map_or(0, |w| w.bytes.len()) };
        places.iter().map(whole).collect()
    }

    /// The first or the last sectors of this write.
    fn tears(&self, place: usize, dice: &mut Dice) -> Vec<Range<usize>> {
        let len = self.write(place).map_or(0, |write| write.bytes.len());
        let sectors = len / SECTOR;
        let count = TEARS.min(sectors.saturating_sub(1));
        let mut at = BTreeSet::new();
        while at.len() < count {
            at.insert((1 + dice.below(sectors - 1)) * SECTOR);
        }
        at.into_iter().map(|at| if dice.coin() { 0..at } else { at..len }).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn log(words: &str) -> WriteLog {
        let event = |(place, word): (usize, &str)| match word {
            "flush" => Event::Flush,
            word => {
                let sectors = word.trim_end_matches('!').parse::<usize>().unwrap();
                let bytes = vec![place as u8; sectors * SECTOR];
                let write = Write::new((place * SECTOR * 100) as u64, bytes);
                Event::Write(Write { forced: word.ends_with('!'), ..write })
            }
        };
        WriteLog { events: words.split(' ').enumerate().map(event).collect() }
    }

    #[test]
    fn an_epoch_ends_at_a_flush() {
        assert_eq!(log("1 2 flush flush 1").epochs(), [0..2, 3..3, 4..5]);
    }

    #[test]
    fn every_write_is_the_last_the_only_and_the_missing_one() {
        let log = log("1 1 3 flush");
        let cuts = log.cuts(&(0..3), &mut Dice::new(1));
        let told = |fate| {
            let cuts = cuts.iter().filter(|cut: &&Cut| cut.fate == fate).map(ToString::to_string);
            cuts.map(|cut| cut.split_once(": ").unwrap_or_default().1.to_owned()).collect::<Vec<_>>()
        };
        assert_eq!(told(Fate::After), ["0[0..1]", "0[0..1] 1[0..1]", "0[0..1] 1[0..1] 2[0..3]"]);
        assert_eq!(told(Fate::Lost), ["1[0..1] 2[0..3]", "0[0..1] 2[0..3]", "0[0..1] 1[0..1]"]);
        assert_eq!(told(Fate::Alone), ["0[0..1]", "1[0..1]", "2[0..3]"]);
        assert_eq!(told(Fate::Backwards), ["2[0..3] 1[0..1] 0[0..1]", "2[0..3] 1[0..1]", "2[0..3]"]);
        assert_eq!(told(Fate::Torn).len(), 2);
    }

    #[test]
    fn a_forced_write_is_never_missing() {
        let log = log("1! 1 1");
        let cuts = log.cuts(&(0..3), &mut Dice::new(1));
        assert!(cuts.iter().all(|cut| cut.pieces.first().is_some_and(|piece| piece.write == 0)));
    }
}
