//! Numbers: addresses on a disk, so that a sector number is never taken for a byte offset, and decimal text.

/// Logical block address: a sector number from the start of the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Lba(pub u64);

impl Lba {
    /// Byte offset of the sector; `None` past 2^64.
    pub const fn bytes(self, sector_size: u64) -> Option<u64> {
        self.0.checked_mul(sector_size)
    }

    /// The sector `count` further on; `None` past 2^64.
    pub const fn after(self, count: u64) -> Option<Lba> {
        match self.0.checked_add(count) {
            Some(lba) => Some(Lba(lba)),
            None => None,
        }
    }
}

/// The number that is written in decimal digits, and nothing else: no sign, no space. `None` if it does not fit.
pub fn decimal<N: TryFrom<u64>>(text: &str) -> Option<N> {
    digits(text).and_then(|number| N::try_from(number).ok())
}

fn digits(text: &str) -> Option<u64> {
    let mut number: Option<u64> = None;
    for byte in text.bytes() {
        let digit = byte.checked_sub(b'0').filter(|digit| *digit < 10)?;
        number = Some(number.unwrap_or_default().checked_mul(10)?.checked_add(digit.into())?);
    }
    number
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decimals_are_digits_that_fit() {
        assert_eq!((decimal::<u8>("0"), decimal::<u8>("0255"), decimal::<u8>("256")), (Some(0), Some(255), None));
        assert_eq!(decimal::<u64>("18446744073709551615"), Some(u64::MAX));
        for text in ["", "+1", "-1", " 1", "1 ", "18446744073709551616", "1e3", "\u{661}"] {
            assert_eq!(decimal::<u64>(text), None, "{text}");
        }
    }
}
