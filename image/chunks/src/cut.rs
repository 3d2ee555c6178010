//! Cuts a file by its content: whether it is cut at a byte depends on the 64 bytes before it alone, so that two files that have
//! the same bytes somewhere are cut alike there, wherever that is in each. After W. Xia and others, "FastCDC", USENIX ATC 2016.

/// Shortest chunk but the last, in bytes.
pub const MIN: usize = 32 * 1024;
/// Longest chunk, in bytes.
pub const MAX: usize = 64 * 1024;
/// Of so many places one is a cut: most chunks end before they are of [`MAX`].
const ONE_OF: u64 = 8 * 1024;

/// The chunks of `content`, in order.
pub fn chunks(content: &[u8]) -> impl Iterator<Item = &[u8]> {
    chunks_by(first, content)
}

/// The same where `first` says how long the first chunk of what is left is.
pub fn chunks_by(first: fn(&[u8]) -> usize, content: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = content;
    std::iter::from_fn(move || {
        let (chunk, behind) = rest.split_at_checked(first(rest))?;
        rest = behind;
        (!chunk.is_empty()).then_some(chunk)
    })
}

/// How long the first chunk is.
pub fn first(content: &[u8]) -> usize {
    let end = content.len().min(MAX);
    // The hash has forgotten a byte after 64 more.
    let begin = MIN.saturating_sub(64).min(end);
    let mut hash = 0_u64;
    for (at, byte) in content.iter().enumerate().take(end).skip(begin) {
        hash = (hash << 1).wrapping_add(gear(*byte));
        // The upper bits: they have something of each of the 64 bytes.
        if at >= MIN && hash >> (64 - ONE_OF.ilog2()) == 0 {
            return at;
        }
    }
    end
}

/// A number for each byte, as a random one: the finalizer of splitmix64 (G. Steele and others, OOPSLA 2014).
const fn gear(byte: u8) -> u64 {
    let mut number = (byte as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    number = (number ^ (number >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    number = (number ^ (number >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    number ^ (number >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Bytes as random ones.
    pub fn noise(seed: u64, len: usize) -> Vec<u8> {
        let mut state = seed;
        std::iter::repeat_with(|| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 56) as u8
        })
        .take(len)
        .collect()
    }

    #[test]
    fn all_of_it_is_in_chunks_of_their_size() {
        for content in [noise(1, 3_000_000), vec![0; 1_000_000], noise(2, MIN), noise(3, 5), Vec::new()] {
            let chunks: Vec<_> = chunks(&content).collect();
            assert_eq!(chunks.concat(), content);
            assert!(chunks.iter().rev().skip(1).all(|chunk| (MIN..=MAX).contains(&chunk.len())));
            assert!(chunks.iter().all(|chunk| !chunk.is_empty() && chunk.len() <= MAX));
        }
        let content = noise(1, 3_000_000);
        let forced = chunks(&content).filter(|chunk| chunk.len() == MAX).count();
        let all = chunks(&content).count();
        assert!(forced * 5 < all * 2, "{forced} of {all} end where nothing says so");
    }

    #[test]
    fn a_byte_more_changes_the_chunks_around_it_alone() {
        let old = noise(7, 3_000_000);
        let new = [&old[..1_000_000], b"x", &old[1_000_000..]].concat();
        let known: std::collections::HashSet<_> = chunks(&old).collect();
        let changed: usize = chunks(&new).filter(|chunk| !known.contains(chunk)).map(<[u8]>::len).sum();
        assert!((1..=4 * MAX).contains(&changed), "{changed} bytes are others");
    }
}
