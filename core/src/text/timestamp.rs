//! Time as `state.json` writes it: seconds since 1970 → RFC 3339 in UTC. No names of time zones, no leap seconds, no clock.

use core::fmt;

use crate::text::decimal::decimal;

const DAY: u64 = 86_400;

/// A moment, in whole seconds since 1970-01-01 00:00 UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Moment(pub u64);

impl Moment {
    /// Reads RFC 3339, also with a fraction of a second, which is dropped, and an offset, as Go writes it; `None` for anything else.
    pub fn parse(text: &str) -> Option<Moment> {
        let (date, rest) = text.split_at_checked(19)?;
        let rest = match rest.strip_prefix('.') {
            Some(fraction) => fraction.trim_start_matches(|digit: char| digit.is_ascii_digit()),
            None => rest,
        };
        let local = Moment::parse_local(date)?;
        if rest == "Z" {
            return Some(local);
        }
        let (hours, minutes) = rest.get(1..)?.split_once(':').filter(|_| rest.len() == 6)?;
        let offset =
            decimal::<u64>(hours)?.checked_mul(3600)?.checked_add(decimal::<u64>(minutes)?.checked_mul(60)?)?;
        match rest.as_bytes().first()? {
            b'+' => local.0.checked_sub(offset).map(Moment),
            b'-' => local.0.checked_add(offset).map(Moment),
            _ => None,
        }
    }

    /// Reads `2026-11-23T15:30:00`, 19 bytes.
    fn parse_local(text: &str) -> Option<Moment> {
        let number = |from: usize, to: usize| text.get(from..to).and_then(decimal::<u64>);
        let separators = [(4, b'-'), (7, b'-'), (10, b'T'), (13, b':'), (16, b':')];
        if separators.iter().any(|(at, byte)| text.as_bytes().get(*at) != Some(byte)) {
            return None;
        }
        let (year, month, day) = (number(0, 4)?, number(5, 7)?, number(8, 10)?);
        // The inverse of `civil`, by search: 365.25 days a year are too many by at most 61 days up to year 9999.
        let before = (year.checked_sub(1970)?.checked_mul(1461)? / 4).saturating_sub(61);
        let days = (before..before.checked_add(430)?).find(|days| civil(*days) == (year, month, day))?;
        let minutes =
            days.checked_mul(1440)?.checked_add(number(11, 13)?.checked_mul(60)?)?.checked_add(number(14, 16)?)?;
        Some(Moment(minutes.checked_mul(60)?.checked_add(number(17, 19)?)?))
    }

    /// Minutes since midnight, UTC: 0 to 1439.
    pub const fn minute_of_day(self) -> u16 {
        // The remainder of a day in minutes is below 1440.
        (self.0 % DAY / 60) as u16
    }
}

impl fmt::Display for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (year, month, day) = civil(self.0 / DAY);
        let second = self.0 % DAY;
        write!(f, "{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}Z", second / 3600, second / 60 % 60, second % 60)
    }
}

/// Year, month and day of the Gregorian calendar for a number of days since 1970-01-01.
///
/// Years are counted from March, so that the leap day comes last; 400 years are always 146,097 days.
fn civil(days: u64) -> (u64, u64, u64) {
    let days = days.saturating_add(719_468); // From 0000-03-01.
    let era = days / 146_097;
    let day_of_era = days % 146_097;
    let leap_days = (day_of_era / 1460).saturating_sub(day_of_era / 36_524).saturating_add(day_of_era / 146_096);
    let year_of_era = day_of_era.saturating_sub(leap_days) / 365;
    let before = year_of_era.saturating_mul(365).saturating_add(year_of_era / 4).saturating_sub(year_of_era / 100);
    let day_of_year = day_of_era.saturating_sub(before);
    let march_month = day_of_year.saturating_mul(5).saturating_add(2) / 153;
    let day = day_of_year.saturating_sub(march_month.saturating_mul(153).saturating_add(2) / 5).saturating_add(1);
    let month = if march_month < 10 { march_month.saturating_add(3) } else { march_month.saturating_sub(9) };
    let year = year_of_era.saturating_add(era.saturating_mul(400)).saturating_add(u64::from(month <= 2));
    (year, month, day)
}

#[cfg(test)]
mod tests {
    use super::*;
    extern crate std;
    use std::string::ToString;

    #[test]
    fn moments_read_as_date_prints_them() {
        // date -u -d @N +%FT%TZ
        for (seconds, want) in [
            (0, "1970-01-01T00:00:00Z"),
            (951_782_399, "2000-02-28T23:59:59Z"),
            (951_782_400, "2000-02-29T00:00:00Z"),
            (951_868_800, "2000-03-01T00:00:00Z"),
            (1_795_447_800, "2026-11-23T15:30:00Z"),
            (4_107_542_400, "2100-03-01T00:00:00Z"),
            (4_107_456_000, "2100-02-28T00:00:00Z"),
        ] {
            assert_eq!(Moment(seconds).to_string(), want);
            assert_eq!(Moment::parse(want), Some(Moment(seconds)), "{want}");
        }
        for day in 0..60_000 {
            let moment = Moment(day * DAY + 1);
            assert_eq!(Moment::parse(&moment.to_string()), Some(moment));
        }
        for (text, same) in [
            ("2026-11-23T15:30:00.123456789Z", 1_795_447_800),
            ("2026-11-23T16:30:00+01:00", 1_795_447_800),
            ("2026-11-23T10:00:00.5-05:30", 1_795_447_800),
            ("1970-01-01T01:00:00+01:00", 0),
        ] {
            assert_eq!(Moment::parse(text), Some(Moment(same)), "{text}");
        }
        for text in [
            "2026-11-23T15:30:00",
            "2026-11-23T15:30:00+0100",
            "2026-11-23T15:30:00 01:00",
            "1970-01-01T00:00:00+01:00",
        ] {
            assert_eq!(Moment::parse(text), None, "{text}");
        }
        for text in ["", "2026-02-30T00:00:00Z", "1969-12-31T23:59:59Z", "2026-01-01 00:00:00Z", "2026-1-01T00:00:00ZZ"]
        {
            assert_eq!(Moment::parse(text), None, "{text}");
        }
        assert_eq!(Moment(1_795_447_800).minute_of_day(), 15 * 60 + 30);
    }
}
