//! Decimal text.

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
