//! Hours and months in UTC.

use ::time::{Date, UtcDateTime};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// Hours are kept for 90 days; months for ever.
pub const RETAINED_HOURS: u64 = 90 * 24;

/// Seconds of an hour.
const HOUR: u64 = 3600;

/// An hour in UTC, counted from 1970.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Hour(pub u64);

/// A calendar month in UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Month {
    /// 1970 to 9999.
    year: u16,
    /// 1 to 12.
    month: u8,
}

impl Hour {
    /// The hour of a moment, in seconds since 1970.
    pub fn of(unix_s: u64) -> Self {
        Self(unix_s / HOUR)
    }

    /// Its first second.
    pub fn start(self) -> u64 {
        self.0.saturating_mul(HOUR)
    }

    /// The first second behind it.
    pub fn end(self) -> u64 {
        self.start().saturating_add(HOUR)
    }

    /// Whether hours are still kept for it at this moment.
    pub fn is_retained(self, now_s: u64) -> bool {
        self.0 + RETAINED_HOURS > Hour::of(now_s).0
    }
}

impl Month {
    /// A month; `None` outside of 1970-01 to 9999-12.
    pub fn new(year: u16, month: u8) -> Option<Self> {
        ((1970..=9999).contains(&year) && (1..=12).contains(&month)).then_some(Self { year, month })
    }

    /// The month of a moment, in seconds since 1970; moments behind the year 9999 count to its last.
    pub fn of(unix_s: u64) -> Self {
        let moment = i64::try_from(unix_s).ok().and_then(|unix_s| UtcDateTime::from_unix_timestamp(unix_s).ok());
        moment
            .and_then(|moment| Self::new(u16::try_from(moment.year()).ok()?, moment.month().into()))
            .unwrap_or(Self { year: 9999, month: 12 })
    }

    /// Its first second.
    pub fn start(self) -> u64 {
        let month = ::time::Month::try_from(self.month).unwrap_or(::time::Month::January);
        let first = Date::from_calendar_date(self.year.into(), month, 1).unwrap_or(Date::MAX);
        u64::try_from(first.midnight().as_utc().unix_timestamp()).unwrap_or_default()
    }

    /// The first second behind it.
    pub fn end(self) -> u64 {
        self.next().map_or(253_402_300_800, Self::start)
    }

    /// Counted from the year 0.
    pub(crate) fn number(self) -> u64 {
        u64::from(self.year) * 12 + u64::from(self.month)
    }

    /// Seconds of it.
    pub fn seconds(self) -> u64 {
        self.end() - self.start()
    }

    /// The one after; `None` behind the year 9999.
    pub fn next(self) -> Option<Self> {
        if self.month == 12 { Self::new(self.year + 1, 1) } else { Self::new(self.year, self.month + 1) }
    }

    /// So many months before it, or the first there is.
    #[must_use]
    pub fn back(self, months: u64) -> Self {
        let number = (self.number() - 1).saturating_sub(months);
        let found = u16::try_from(number / 12).ok().zip(u8::try_from(number % 12 + 1).ok());
        found.and_then(|(year, month)| Self::new(year, month)).unwrap_or(Self { year: 1970, month: 1 })
    }

    /// Its hours.
    pub fn hours(self) -> impl Iterator<Item = Hour> {
        (Hour::of(self.start()).0..Hour::of(self.end()).0).map(Hour)
    }
}

impl fmt::Display for Hour {
    /// `2026-11-28T19:00Z`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let month = Month::of(self.start());
        let within = (self.start() - month.start().min(self.start())) / HOUR;
        write!(f, "{month}-{:02}T{:02}:00Z", within / 24 + 1, within % 24)
    }
}

impl fmt::Display for Month {
    /// `2026-11`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04}-{:02}", self.year, self.month)
    }
}

impl FromStr for Month {
    type Err = ();

    /// `2026-11`; nothing else.
    fn from_str(text: &str) -> Result<Self, ()> {
        let digits = |part: &str, length: usize| part.len() == length && part.bytes().all(|byte| byte.is_ascii_digit());
        let (year, month) = text.split_once('-').ok_or(())?;
        if !digits(year, 4) || !digits(month, 2) {
            return Err(());
        }
        Self::new(year.parse().map_err(drop)?, month.parse().map_err(drop)?).ok_or(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn table_of_months() {
        for (unix_s, month, start) in [
            (0, "1970-01", 0),
            (1_796_040_000, "2026-11", 1_793_491_200),
            (1_709_164_800, "2024-02", 1_706_745_600),
            (951_782_399, "2000-02", 949_363_200),
            (4_107_542_400, "2100-03", 4_107_542_400),
            (4_107_542_399, "2100-02", 4_105_123_200),
        ] {
            assert_eq!((Month::of(unix_s).to_string().as_str(), Month::of(unix_s).start()), (month, start), "{unix_s}");
        }
        assert_eq!(Hour::of(1_796_040_000).to_string(), "2026-11-30T12:00Z");
        assert_eq!(Month::of(u64::MAX).to_string(), "9999-12");
        for bad in ["2026", "2026-13", "2026-00", "26-01", "2026-1", "+026-01", "1969-12", "2026-11-01"] {
            assert_eq!(bad.parse::<Month>(), Err(()), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn each_moment_lies_in_its_month_and_hour(unix_s in 0_u64..253_402_300_800) {
            let (month, hour) = (Month::of(unix_s), Hour::of(unix_s));
            prop_assert!((month.start()..month.end()).contains(&unix_s));
            prop_assert!((hour.start()..hour.end()).contains(&unix_s));
            prop_assert_eq!(month.to_string().parse(), Ok(month));
            prop_assert_eq!(Month::of(month.start()), month);
            prop_assert!((28 * 86_400..=31 * 86_400).contains(&month.seconds()));
        }
    }

    #[test]
    fn months_follow_each_other_without_gaps() {
        let mut month = Month::new(1970, 1).unwrap();
        while let Some(next) = month.next() {
            assert_eq!((month.end(), month.hours().count() as u64 * 3600), (next.start(), month.seconds()));
            month = next;
        }
        assert_eq!(month.to_string(), "9999-12");
    }

    #[test]
    fn months_back() {
        let month = Month::new(2026, 2).unwrap();
        for (months, expected) in [(0, "2026-02"), (1, "2026-01"), (2, "2025-12"), (14, "2024-12"), (999, "1970-01")] {
            assert_eq!(month.back(months).to_string(), expected);
        }
    }

    #[test]
    fn ninety_days_of_hours() {
        let now = 1_796_040_000;
        assert!(Hour(Hour::of(now).0 - RETAINED_HOURS + 1).is_retained(now));
        assert!(!Hour(Hour::of(now).0 - RETAINED_HOURS).is_retained(now));
    }
}
