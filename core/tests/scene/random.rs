//! Random numbers that can be had again.

/// xorshift64*: the same numbers for the same seed.
pub struct Random(u64);

impl Random {
    pub fn seeded(seed: u64) -> Random {
        Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    /// 0 to `end` - 1.
    pub fn below(&mut self, end: usize) -> usize {
        (self.next() >> 33) as usize % end
    }

    pub fn one_in(&mut self, count: usize) -> bool {
        self.below(count) == 0
    }

    pub fn pick<'a, T>(&mut self, from: &'a [T]) -> &'a T {
        &from[self.below(from.len())]
    }
}

/// How many random cases to try: as many as `make proof` has time for, so many of them as `KSOLO_CASES=1/10` says, or
/// `KSOLO_CASES` itself.
pub fn cases(usual: usize) -> usize {
    let Ok(text) = std::env::var("KSOLO_CASES") else { return usual };
    match text.strip_prefix("1/") {
        Some(part) => usual.div_ceil(part.parse().unwrap()),
        None => text.parse().unwrap(),
    }
}

/// The seed of the random cases: `KSOLO_SEED`, or always the same one. Printed, for a failure.
pub fn seed() -> u64 {
    let seed = std::env::var("KSOLO_SEED").ok().and_then(|text| text.parse().ok()).unwrap_or(20_261_123);
    println!("seed: KSOLO_SEED={seed}");
    seed
}
