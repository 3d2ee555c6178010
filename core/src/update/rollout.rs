//! Waves: from when on a box is offered a version. The signed manifest and the box's machine-id say it alone; nobody keeps a list.
//!
//! `1h:1 4h:5 1d:100` in the manifest is: an hour after `rollout_start` one box in a hundred has been offered the version, after four
//! hours five, after a day all. Each box has a place among [`PLACES`], another one each version, so that not always the same ones are
//! first. Between two waves boxes come at an even rate, so that a server has no peak.

use crate::text::decimal::decimal;
use crate::text::timestamp::Moment;
use crate::update::digest::Sha256;

/// How many places there are.
pub const PLACES: u16 = 10_000;

/// Which boxes a box is among: the key `rollout_group`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Group {
    /// Those that are offered a version at once.
    Canary,
    /// Those that have a place in the waves.
    #[default]
    Waves,
    /// Those that are offered it when all others have been.
    Late,
}

impl Group {
    /// The words in update.conf, in the order of [`Group`]'s values.
    pub const WORDS: [&str; 3] = ["canary", "waves", "late"];

    /// Reads the word.
    pub fn parse(word: &str) -> Option<Group> {
        let groups = [Group::Canary, Group::Waves, Group::Late];
        groups.into_iter().zip(Group::WORDS).find_map(|(group, name)| (name == word).then_some(group))
    }
}

/// The place of a box among all, from 0: the first four bytes of SHA-256(machine-id, a zero byte, version), as a big-endian number,
/// modulo [`PLACES`]. The version is the manifest's text without a `v` before it.
pub fn place(machine_id: &str, version: &str) -> u16 {
    let mut sha256 = Sha256::new();
    [machine_id.as_bytes(), &[0], version.as_bytes()].iter().for_each(|part| sha256.update(part));
    let [a, b, c, d, ..] = sha256.finish().0;
    let place = u32::from_be_bytes([a, b, c, d]).checked_rem(PLACES.into()).unwrap_or_default();
    u16::try_from(place).unwrap_or_default()
}

/// The waves of a manifest, well-formed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Waves<'a>(&'a str);

/// So many seconds after the start so many places have been offered the version.
#[derive(Clone, Copy, Default)]
struct Wave {
    after: u64,
    places: u16,
}

impl<'a> Waves<'a> {
    /// Reads `AFTER:PERCENT` with a space between two, AFTER in minutes, hours or days (`90m`, `4h`, `1d`); both grow from wave to wave.
    pub fn parse(text: &'a str) -> Option<Waves<'a>> {
        let mut last = Wave::default();
        for word in text.split(' ') {
            let wave = Wave::parse(word)?;
            if wave.after <= last.after || wave.places <= last.places {
                return None;
            }
            last = wave;
        }
        Some(Waves(text))
    }

    /// When a box at that place is offered the version: seconds after the start. `None`: not in these waves.
    pub fn reach(self, place: u16) -> Option<u64> {
        let mut before = Wave::default();
        for wave in self.0.split(' ').filter_map(Wave::parse) {
            if place < wave.places {
                let (time, places) =
                    (wave.after.saturating_sub(before.after), wave.places.saturating_sub(before.places));
                let ahead = u64::from(place.saturating_sub(before.places));
                let waits = time.saturating_mul(ahead).checked_div(places.into()).unwrap_or_default();
                return Some(before.after.saturating_add(waits));
            }
            before = wave;
        }
        None
    }

    /// When all have been offered the version, if these waves go so far.
    pub fn end(self) -> Option<u64> {
        let last = self.0.rsplit(' ').next().and_then(Wave::parse)?;
        (last.places == PLACES).then_some(last.after)
    }
}

impl Wave {
    fn parse(word: &str) -> Option<Wave> {
        let (after, percent) = word.split_once(':')?;
        let unit = match after.bytes().last()? {
            b'm' => 60,
            b'h' => 3600,
            b'd' => 86_400,
            _ => return None,
        };
        let number: u32 = decimal(after.get(..after.len().checked_sub(1)?)?)?;
        let percent: u16 = decimal(percent).filter(|percent| *percent <= 100)?;
        Some(Wave { after: u64::from(number).saturating_mul(unit), places: percent.saturating_mul(PLACES / 100) })
    }
}

/// From when on a box is offered a version; `None`: not by this manifest. Without waves all are offered it at the start.
pub fn offered_from(start: Moment, waves: Option<Waves<'_>>, group: Group, place: u16) -> Option<Moment> {
    let after = match (group, waves) {
        (Group::Canary, _) => return Some(Moment(0)),
        (_, None) => 0,
        (Group::Waves, Some(waves)) => waves.reach(place)?,
        (Group::Late, Some(waves)) => waves.end()?,
    };
    start.0.checked_add(after).map(Moment)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::format;
    use std::vec::Vec;

    const SIX_DAYS: &str = "1h:1 4h:5 1d:15 2d:40 4d:70 6d:100";

    #[test]
    fn waves_are_read() {
        for text in [SIX_DAYS, "1m:1", "90m:100", "1d:50"] {
            assert!(Waves::parse(text).is_some(), "{text}");
        }
        for text in [
            "",
            " ",
            "1h",
            "1h:",
            ":1",
            "h:1",
            "1:1",
            "1w:1",
            "1h:101",
            "1h:-1",
            "1h:1.5",
            "1h:0",
            "0h:5",
            "1h:5 1h:6",
            "1h:5 2h:5",
            "2h:5 1h:6",
            "1h:1  2h:2",
            "1h:1 ",
            "1h:1,2h:2",
            "99999999999h:1",
            "1ä:1",
        ] {
            assert_eq!(Waves::parse(text), None, "{text}");
        }
    }

    #[test]
    fn a_place_is_reached_within_its_wave() {
        let waves = Waves::parse(SIX_DAYS).unwrap();
        for (place, hours) in
            [(0, 0.0), (50, 0.5), (100, 1.0), (300, 2.5), (500, 4.0), (1500, 24.0), (2750, 36.0), (7000, 96.0)]
        {
            assert_eq!(waves.reach(place), Some((hours * 3600.0) as u64), "{place}");
        }
        assert_eq!(waves.end(), Some(6 * 86_400));
        let stopped = Waves::parse("1h:1 4h:5").unwrap();
        assert_eq!((stopped.reach(499).is_some(), stopped.reach(500), stopped.end()), (true, None, None));
    }

    #[test]
    fn canaries_go_first_and_the_late_last() {
        let (start, waves) = (Moment(1_000_000), Waves::parse("1h:50 2h:100"));
        let rows = [
            (Group::Canary, waves, 9999, Some(0)),
            (Group::Waves, waves, 2500, Some(1_001_800)),
            (Group::Late, waves, 0, Some(1_007_200)),
            (Group::Late, Waves::parse("1h:50"), 0, None),
            (Group::Waves, Waves::parse("1h:50"), 5000, None),
            (Group::Waves, None, 9999, Some(1_000_000)),
        ];
        for (group, waves, place, want) in rows {
            assert_eq!(offered_from(start, waves, group, place), want.map(Moment), "{group:?} {place}");
        }
        for (word, group) in [("canary", Some(Group::Canary)), ("late", Some(Group::Late)), ("early", None), ("", None)]
        {
            assert_eq!(Group::parse(word), group);
        }
    }

    /// `printf 'MACHINE-ID\0VERSION' | sha256sum`, and the first eight digits in Python.
    #[test]
    fn a_place_is_what_the_documentation_says() {
        for (version, want) in [("1.2.0", 79), ("1.2.1", 9691)] {
            assert_eq!(place("0123456789abcdef0123456789abcdef", version), want, "{version}");
        }
    }

    /// 10,000 machine-ids over six days.
    #[test]
    fn a_fleet_follows_the_table() {
        let waves = Waves::parse(SIX_DAYS).unwrap();
        let fleet = |version: &str| -> Vec<u64> {
            let id = |number: u32| {
                format!("{:032x}", u128::from(number).wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835))
            };
            (0..10_000).map(|number| waves.reach(place(&id(number), version)).unwrap()).collect()
        };
        let times = fleet("1.2.0");
        // Within one per cent of the curve at each quarter of an hour.
        let table = [(0.0, 0.0), (1.0, 1.0), (4.0, 5.0), (24.0, 15.0), (48.0, 40.0), (96.0, 70.0), (144.0, 100.0)];
        for quarter in 0..=4 * 144_u32 {
            let hour = f64::from(quarter) / 4.0;
            let got = times.iter().filter(|time| **time as f64 <= hour * 3600.0).count() as f64 / 100.0;
            let pair = table.windows(2).find(|pair| hour <= pair[1].0).unwrap();
            let want = pair[0].1 + (pair[1].1 - pair[0].1) * (hour - pair[0].0) / (pair[1].0 - pair[0].0);
            assert!((got - want).abs() <= 1.0, "{got} % after {hour} hours, not {want} %");
        }
        // No minute has many more than its share of the steepest wave: 2500 boxes in a day.
        let mut minutes = std::collections::BTreeMap::<u64, u32>::new();
        times.iter().for_each(|time| *minutes.entry(time / 60).or_default() += 1);
        assert!(minutes.values().all(|count| *count <= 12), "{:?}", minutes.values().max());
        // Those that were first are not first again.
        let again = fleet("1.2.1");
        let first = |times: &[u64]| -> Vec<usize> { (0..times.len()).filter(|at| times[*at] < 4 * 3600).collect() };
        let both = first(&times).iter().filter(|at| first(&again).contains(at)).count();
        assert!((5..60).contains(&both), "{both} of 500 boxes are among the first twice");
    }
}
