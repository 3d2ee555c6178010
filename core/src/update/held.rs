//! Which chunks a box has already, and where: a table that is sorted once and looked into for each chunk of the new file.

use crate::update::digest::Hash;

/// A chunk of a file that is here: the first eight bytes of its SHA-256, and where it begins. 16 bytes; that two chunks may have
/// the first eight in common does no harm, as what stands there is hashed before it is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    prefix: u64,
    at: u64,
}

impl Place {
    /// The chunk with this hash, at that byte of the file.
    pub fn new(hash: &Hash, at: u64) -> Place {
        Place { prefix: prefix(hash), at }
    }
}

/// Puts the places into the order in which [`find`] looks for them.
pub fn sort(places: &mut [Place]) {
    places.sort_unstable();
}

/// Where a chunk with that hash may begin; `places` are sorted.
pub fn find(places: &[Place], hash: &Hash) -> Option<u64> {
    let prefix = prefix(hash);
    let first = places.partition_point(|place| place.prefix < prefix);
    places.get(first).filter(|place| place.prefix == prefix).map(|place| place.at)
}

fn prefix(hash: &Hash) -> u64 {
    let [a, b, c, d, e, f, g, h, ..] = hash.0;
    u64::from_be_bytes([a, b, c, d, e, f, g, h])
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::vec::Vec;

    #[test]
    fn each_is_found_where_it_is() {
        let hash = |number: u64| Hash::of(&number.to_le_bytes());
        let mut places: Vec<_> = (0..1000).map(|number| Place::new(&hash(number), number * 7)).collect();
        sort(&mut places);
        assert!((0..1000).all(|number| find(&places, &hash(number)) == Some(number * 7)));
        assert!((1000..2000).all(|number| find(&places, &hash(number)).is_none()));
        assert_eq!(find(&[], &hash(1)), None);
        // Of two that look the same, the first.
        let mut same = [Place::new(&hash(1), 9), Place::new(&hash(1), 4)];
        sort(&mut same);
        assert_eq!(find(&same, &hash(1)), Some(4));
        assert_eq!(size_of::<Place>(), 16);
    }
}
