//! Fields of an on-disk structure: little-endian numbers and bytes at fixed offsets. `None` where the bytes end before the field does:
//! what that means, the format says.

/// The `N` bytes at that offset.
pub fn bytes<const N: usize>(structure: &[u8], at: usize) -> Option<[u8; N]> {
    structure.get(at..)?.first_chunk().copied()
}

/// The number of 16 bits at that offset.
pub fn le16(structure: &[u8], at: usize) -> Option<u16> {
    bytes(structure, at).map(u16::from_le_bytes)
}

/// The number of 32 bits at that offset.
pub fn le32(structure: &[u8], at: usize) -> Option<u32> {
    bytes(structure, at).map(u32::from_le_bytes)
}

/// The number of 64 bits at that offset.
pub fn le64(structure: &[u8], at: usize) -> Option<u64> {
    bytes(structure, at).map(u64::from_le_bytes)
}

/// Puts `field` at that offset; `None`, and nothing is changed, if it does not fit.
pub fn put(structure: &mut [u8], at: usize, field: &[u8]) -> Option<()> {
    structure.get_mut(at..)?.get_mut(..field.len())?.copy_from_slice(field);
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_that_the_bytes_do_not_hold_is_none_and_no_zero() {
        let structure = [1, 2, 3, 4, 5, 6, 7, 8, 9];
        assert_eq!((le16(&structure, 7), le16(&structure, 8)), (Some(0x0908), None));
        assert_eq!((le32(&structure, 5), le32(&structure, 6)), (Some(0x0908_0706), None));
        assert_eq!((le64(&structure, 1), le64(&structure, 2)), (Some(0x0908_0706_0504_0302), None));
        assert_eq!((bytes::<1>(&structure, 9), bytes::<0>(&structure, 10)), (None, None));
        let mut changed = structure;
        assert_eq!((put(&mut changed, 8, &[0, 0]), put(&mut changed, usize::MAX, &[0])), (None, None));
        assert_eq!(changed, structure);
        assert_eq!(put(&mut changed, 7, &[0, 0]), Some(()));
        assert_eq!(changed, [1, 2, 3, 4, 5, 6, 7, 0, 0]);
    }
}
