//! The maintenance window: the part of a day in which `apply` may begin.

use core::fmt;

use crate::text::decimal::decimal;
use crate::text::timestamp::Moment;

/// From one minute of the day up to another, UTC; it may wrap midnight. One of no length, such as `00:00-00:00`,
/// holds no moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    from: u16,
    to: u16,
}

impl Window {
    /// Reads `HH:MM-HH:MM`, and nothing else.
    pub fn parse(text: &str) -> Option<Window> {
        let (from, to) = text.split_once('-')?;
        Some(Window { from: parse_minute(from)?, to: parse_minute(to)? })
    }

    /// Whether an update may begin at that moment.
    pub const fn holds(self, moment: Moment) -> bool {
        let minute = moment.minute_of_day();
        if self.from < self.to {
            self.from <= minute && minute < self.to
        } else {
            self.from != self.to && (self.from <= minute || minute < self.to)
        }
    }
}

impl fmt::Display for Window {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:02}:{:02}-{:02}:{:02} UTC", self.from / 60, self.from % 60, self.to / 60, self.to % 60)
    }
}

fn parse_minute(text: &str) -> Option<u16> {
    let (hour, minute) = text.split_once(':')?;
    let two_digits = |text: &str, below: u16| match text.as_bytes() {
        [b'0'..=b'9', b'0'..=b'9'] => decimal::<u16>(text).filter(|number| *number < below),
        _ => None,
    };
    two_digits(hour, 24)?.checked_mul(60)?.checked_add(two_digits(minute, 60)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_may_wrap_midnight() {
        let at = |hour: u64, minute: u64| Moment(1_795_392_000 + hour * 3600 + minute * 60);
        let rows: &[(&str, &[(u64, u64)], &[(u64, u64)])] = &[
            ("02:00-04:30", &[(2, 0), (4, 29)], &[(1, 59), (4, 30), (23, 0)]),
            ("23:00-01:00", &[(23, 0), (0, 0), (0, 59)], &[(1, 0), (22, 59), (12, 0)]),
            ("23:59-00:00", &[(23, 59)], &[(0, 0), (23, 58)]),
            ("00:00-23:59", &[(0, 0), (23, 58)], &[(23, 59)]),
            ("00:00-00:00", &[], &[(0, 0), (12, 0), (23, 59)]),
            ("03:00-03:00", &[], &[(2, 59), (3, 0), (3, 1)]),
        ];
        for (text, inside, outside) in rows {
            let window = Window::parse(text).unwrap();
            assert!(inside.iter().all(|(hour, minute)| window.holds(at(*hour, *minute))), "{text}");
            assert!(!outside.iter().any(|(hour, minute)| window.holds(at(*hour, *minute))), "{text}");
        }
    }

    #[test]
    fn nothing_else_is_a_window() {
        for text in
            ["", "2:00-4:00", "02:00", "24:00-01:00", "02:60-03:00", "02:00-03:00 ", "+2:00-03:00", "02:00-03:00-04:00"]
        {
            assert_eq!(Window::parse(text), None, "{text}");
        }
    }
}
