//! When to try again after a failure: pauses that grow, until nothing has come for too long. Only computes; the caller sleeps.

use core::time::Duration;

/// First pause, and the one after every try that got further.
const FIRST: Duration = Duration::from_secs(1);
/// Longest pause.
const LONGEST: Duration = Duration::from_secs(60);

/// First and longest pause after a file that was not what its manifest promises.
const WRONG_FIRST: Duration = Duration::from_secs(12 * 3600);
const WRONG_LONGEST: Duration = Duration::from_secs(7 * 24 * 3600);

/// How long not to fetch a file again that was whole, and wrong, so many times: a server that keeps it would cost the whole of it
/// at each run.
pub fn pause_after_wrong(times: u32) -> Duration {
    let doubled = 2_u32.checked_pow(times.saturating_sub(1)).unwrap_or(u32::MAX);
    if times == 0 { Duration::ZERO } else { WRONG_FIRST.saturating_mul(doubled).min(WRONG_LONGEST) }
}

/// The pauses between the tries of one transfer.
#[derive(Clone, Debug)]
pub struct Retry {
    total: Duration,
    pause: Duration,
    seed: u32,
}

impl Retry {
    /// Tries that go on for `total` without progress. `seed` shortens each pause at random, by at most half, so that many boxes do not return
    /// to a server at the same moment.
    pub fn new(total: Duration, seed: u32) -> Retry {
        Retry { total, pause: FIRST, seed }
    }

    /// How long to wait before the next try, or `None` to give up. `elapsed` is the time since the last byte came, or since the first
    /// try began; `progressed` whether the one that just failed brought any bytes.
    pub fn after_failure(&mut self, elapsed: Duration, progressed: bool) -> Option<Duration> {
        if progressed {
            self.pause = FIRST;
        }
        let milliseconds = u32::try_from(self.pause.as_millis()).unwrap_or(u32::MAX);
        // The generator of Numerical Recipes: random enough for that.
        self.seed = self.seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let less = (self.seed >> 8).checked_rem((milliseconds / 2).saturating_add(1)).unwrap_or_default();
        let pause = self.pause.saturating_sub(Duration::from_millis(less.into()));
        self.pause = self.pause.saturating_mul(2).min(LONGEST);
        (elapsed.saturating_add(pause) < self.total).then_some(pause)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Duration = Duration::from_secs(3600);

    #[test]
    fn pauses_double_up_to_a_minute_less_at_most_half() {
        for seed in 0..100 {
            let mut retry = Retry::new(HOUR, seed);
            for whole in [1, 2, 4, 8, 16, 32, 60, 60, 60] {
                let pause = retry.after_failure(Duration::ZERO, false).unwrap();
                let whole = Duration::from_secs(whole);
                assert!(pause <= whole && pause >= whole / 2, "{pause:?} of {whole:?}, seed {seed}");
            }
        }
    }

    #[test]
    fn a_try_that_got_further_begins_anew() {
        let mut retry = Retry::new(HOUR, 7);
        for _ in 0..5 {
            retry.after_failure(Duration::ZERO, false);
        }
        assert!(retry.after_failure(Duration::ZERO, true).unwrap() <= FIRST);
        assert!(retry.after_failure(Duration::ZERO, false).unwrap() <= FIRST * 2);
    }

    #[test]
    fn nothing_begins_after_the_deadline() {
        let mut retry = Retry::new(Duration::from_secs(10), 0);
        assert!(retry.after_failure(Duration::from_secs(8), false).is_some());
        assert_eq!(retry.after_failure(Duration::from_secs(10), true), None);
        assert_eq!(Retry::new(Duration::ZERO, 0).after_failure(Duration::ZERO, true), None);
        assert_eq!(retry.after_failure(Duration::MAX, false), None);
    }

    #[test]
    fn a_wrong_file_is_asked_for_less_and_less() {
        let hours = |times| pause_after_wrong(times).as_secs() / 3600;
        assert_eq!([0, 1, 2, 3, 4, 5, 100].map(hours), [0, 12, 24, 48, 96, 168, 168]);
    }

    #[test]
    fn two_boxes_do_not_wait_alike() {
        let mut pauses: std::vec::Vec<_> =
            (0..50).map(|seed| Retry::new(HOUR, seed).after_failure(Duration::ZERO, false)).collect();
        pauses.sort();
        pauses.dedup();
        assert!(pauses.len() > 25);
    }
}
