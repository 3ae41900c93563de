//! The spellings of a moment that signatures and policies use, to and from Unix time, without a clock.

const SECONDS_PER_DAY: i64 = 86_400;
const WEEKDAYS: [&str; 7] = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"];
const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

/// Reads `YYYYMMDDTHHMMSSZ`, the form of V4 (OSS auth 5.3). Unix seconds; anything else is `None`.
pub fn parse_basic(text: &str) -> Option<i64> {
    let bytes = text.as_bytes();
    if bytes.len() != 16 || bytes.get(8) != Some(&b'T') || bytes.get(15) != Some(&b'Z') {
        return None;
    }
    let day = parse_basic_day(text.get(..8)?)?;
    let time = Clock {
        hour: number(text.get(9..11)?)?,
        minute: number(text.get(11..13)?)?,
        second: number(text.get(13..15)?)?,
    };
    Some(day * SECONDS_PER_DAY + time.seconds()?)
}

/// Reads `YYYYMMDD` as days since 1970-01-01; anything but a date of the calendar is `None`.
pub(crate) fn parse_basic_day(text: &str) -> Option<i64> {
    if text.len() != 8 {
        return None;
    }
    days(number(text.get(..4)?)?, number(text.get(4..6)?)?, number(text.get(6..)?)?)
}

/// Reads the three forms of an HTTP date: RFC 1123, RFC 850 and asctime (RFC 9110 5.6.7). Unix seconds. The name of
/// the day is not compared with the date, because some clients compute it wrongly and sign it as they wrote it.
pub fn parse_http(text: &str) -> Option<i64> {
    let text = text.trim();
    let (day_name, rest) = match text.split_once(',') {
        Some((name, rest)) => (name, rest.trim_start()),
        None => text.split_once(' ')?,
    };
    if !WEEKDAYS.iter().any(|day| day_name.get(..3).is_some_and(|start| start.eq_ignore_ascii_case(day))) {
        return None;
    }
    let mut words = rest.split_ascii_whitespace();
    let first = words.next()?;
    let (year, month, day, clock) = if text.contains(',') {
        let (day, month, year) = match first.split_once('-') {
            Some((day, month_year)) => {
                let (month, year) = month_year.split_once('-')?;
                (day, month, year)
            }
            None => (first, words.next()?, words.next()?),
        };
        let clock = words.next()?;
        if !matches!(words.next()?, "GMT" | "UTC") {
            return None;
        }
        (year, month, day, clock)
    } else {
        let day = words.next()?;
        let clock = words.next()?;
        (words.next()?, first, day, clock)
    };
    if words.next().is_some() || day.len() > 2 {
        return None;
    }
    let month = MONTHS.iter().position(|name| name.eq_ignore_ascii_case(month))? + 1;
    let year: i64 = match year.len() {
        4 => number(year)?,
        // RFC 850 writes two digits; nobody signs requests of the 1960s.
        2 => number(year).map(|short: i64| if short < 70 { short + 2000 } else { short + 1900 })?,
        _ => return None,
    };
    Some(days(year, i64::try_from(month).ok()?, number(day)?)? * SECONDS_PER_DAY + Clock::parse(clock)?.seconds()?)
}

/// Reads an ISO 8601 date or moment as policies write it: `2024-01-02`, `2024-01-02T03:04:05Z`, with an optional
/// fraction (cut off) and `Z` or `+hh:mm`. Unix seconds.
pub fn parse_iso(text: &str) -> Option<i64> {
    let (date, time) = match text.split_once(['T', ' ']) {
        Some((date, time)) => (date, Some(time)),
        None => (text, None),
    };
    let mut fields = date.split('-');
    let (year, month, day) = (fields.next()?, fields.next()?, fields.next()?);
    if fields.next().is_some() || year.len() != 4 || month.len() != 2 || day.len() != 2 {
        return None;
    }
    let midnight = days(number(year)?, number(month)?, number(day)?)? * SECONDS_PER_DAY;
    let Some(time) = time else { return Some(midnight) };
    let (clock, offset) = match time.find(['Z', '+', '-']) {
        Some(at) => (time.get(..at)?, time.get(at..)?),
        None => (time, "Z"),
    };
    let clock = match clock.split_once('.') {
        Some((whole, fraction)) if !fraction.is_empty() && fraction.bytes().all(|b| b.is_ascii_digit()) => whole,
        Some(_) => return None,
        None => clock,
    };
    let east = match offset {
        "Z" => 0,
        _ => {
            let (hours, minutes) = offset.get(1..)?.split_once(':')?;
            let (hours, minutes): (i64, i64) = (two_digits(hours)?, two_digits(minutes)?);
            if hours > 23 || minutes > 59 {
                return None;
            }
            let seconds = hours * 3600 + minutes * 60;
            if offset.starts_with('-') { -seconds } else { seconds }
        }
    };
    Some(midnight + Clock::parse(clock)?.seconds()? - east)
}

/// Writes Unix seconds as `20240102T030405Z`.
pub fn format_basic(unix_s: i64) -> String {
    let moment = Moment::new(unix_s);
    format!(
        "{:04}{:02}{:02}T{:02}{:02}{:02}Z",
        moment.year, moment.month, moment.day, moment.clock.hour, moment.clock.minute, moment.clock.second
    )
}

/// Writes Unix seconds as `Tue, 02 Jan 2024 03:04:05 GMT`.
pub fn format_http(unix_s: i64) -> String {
    let moment = Moment::new(unix_s);
    let name = |names: &[&'static str], index: i64| usize::try_from(index).ok().and_then(|i| names.get(i).copied());
    format!(
        "{}, {:02} {} {:04} {:02}:{:02}:{:02} GMT",
        name(&WEEKDAYS, moment.weekday).unwrap_or("Mon"),
        moment.day,
        name(&MONTHS, moment.month - 1).unwrap_or("Jan"),
        moment.year,
        moment.clock.hour,
        moment.clock.minute,
        moment.clock.second
    )
}

/// Writes Unix seconds as `2024-01-02T03:04:05.000Z`, the form of answers (OSS auth 8).
pub fn format_iso(unix_s: i64) -> String {
    let moment = Moment::new(unix_s);
    format!(
        "{:04}-{:02}-{:02}T{:02}:{:02}:{:02}.000Z",
        moment.year, moment.month, moment.day, moment.clock.hour, moment.clock.minute, moment.clock.second
    )
}

/// A time of day.
struct Clock {
    hour: i64,
    minute: i64,
    second: i64,
}

impl Clock {
    fn parse(text: &str) -> Option<Self> {
        let mut fields = text.split(':');
        let clock = Self {
            hour: two_digits(fields.next()?)?,
            minute: two_digits(fields.next()?)?,
            second: two_digits(fields.next()?)?,
        };
        if fields.next().is_some() { None } else { Some(clock) }
    }

    /// Seconds since midnight; a leap second counts as the second after it.
    fn seconds(&self) -> Option<i64> {
        (self.hour < 24 && self.minute < 60 && self.second <= 60)
            .then(|| self.hour * 3600 + self.minute * 60 + self.second)
    }
}

/// A moment of the Gregorian calendar.
struct Moment {
    year: i64,
    month: i64,
    day: i64,
    weekday: i64,
    clock: Clock,
}

impl Moment {
    /// Moments outside the years 0 to 9999 are moved to the nearest end: four digits are what the formats have.
    fn new(unix_s: i64) -> Self {
        let unix_s = unix_s.clamp(-62_167_219_200, 253_402_300_799);
        let day_number = unix_s.div_euclid(SECONDS_PER_DAY);
        let second = unix_s.rem_euclid(SECONDS_PER_DAY);
        // Years are counted from March, so that the leap day is the last day of a year; an era is 400 years.
        let shifted = day_number + 719_468;
        let era = shifted.div_euclid(146_097);
        let day_of_era = shifted.rem_euclid(146_097);
        let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
        let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let month_from_march = (5 * day_of_year + 2) / 153;
        let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
        Self {
            year: year_of_era + era * 400 + i64::from(month <= 2),
            month,
            day: day_of_year - (153 * month_from_march + 2) / 5 + 1,
            weekday: (day_number + 3).rem_euclid(7),
            clock: Clock { hour: second / 3600, minute: second / 60 % 60, second: second % 60 },
        }
    }
}

/// Days since 1970-01-01 of a date that exists, for years 0 to 9999.
fn days(year: i64, month: i64, day: i64) -> Option<i64> {
    let is_leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let length = match month {
        1 | 3 | 5 | 7 | 8 | 10 | 12 => 31,
        4 | 6 | 9 | 11 => 30,
        2 => 28 + i64::from(is_leap),
        _ => return None,
    };
    if !(0..=9999).contains(&year) || !(1..=length).contains(&day) {
        return None;
    }
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let month_from_march = (month + 9) % 12;
    let day_of_year = (153 * month_from_march + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    Some(era * 146_097 + day_of_era - 719_468)
}

/// A number of one to four decimal digits.
fn number(text: &str) -> Option<i64> {
    ((1..=4).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit())).then(|| text.parse().ok()).flatten()
}

fn two_digits(text: &str) -> Option<i64> {
    (text.len() == 2).then(|| number(text)).flatten()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const NOW: i64 = 1_704_164_645;

    #[test]
    fn every_spelling_of_one_moment() {
        for (text, value) in [
            ("Tue, 02 Jan 2024 03:04:05 GMT", Some(NOW)),
            ("Tue, 2 Jan 2024 03:04:05 GMT", Some(NOW)),
            ("Tuesday, 02-Jan-24 03:04:05 GMT", Some(NOW)),
            ("Tue Jan  2 03:04:05 2024", Some(NOW)),
            ("Tue, 02 Jan 2024 03:04:05", None),
            ("Tue, 02 Jan 2024 03:04:05 CET", None),
            ("Tue, 32 Jan 2024 03:04:05 GMT", None),
            ("Tue, 29 Feb 2023 03:04:05 GMT", None),
            ("Xxx, 02 Jan 2024 03:04:05 GMT", None),
            ("Tue, 02 Jan 2024 24:04:05 GMT", None),
            ("", None),
            (",", None),
            ("日, 02 Jan 2024 03:04:05 GMT", None),
        ] {
            assert_eq!(parse_http(text), value, "{text}");
        }
        for (text, value) in [
            ("20240102T030405Z", Some(NOW)),
            ("20240102t030405Z", None),
            ("20240102T030405", None),
            ("20241302T030405Z", None),
            ("2024010 T030405Z", None),
            ("+0240102T030405Z", None),
        ] {
            assert_eq!(parse_basic(text), value, "{text}");
        }
        for (text, value) in [
            ("2024-01-02T03:04:05Z", Some(NOW)),
            ("2024-01-02T03:04:05.678Z", Some(NOW)),
            ("2024-01-02T11:04:05+08:00", Some(NOW)),
            ("2024-01-01T19:04:05-08:00", Some(NOW)),
            ("2024-01-02", Some(NOW - 11_045)),
            ("2024-1-02", None),
            ("2024-01-02T03:04:05.Z", None),
            ("2024-01-02T03:04Z", None),
            ("1704164645", None),
        ] {
            assert_eq!(parse_iso(text), value, "{text}");
        }
    }

    #[test]
    fn known_moments_are_written_as_specified() {
        assert_eq!(format_http(NOW), "Tue, 02 Jan 2024 03:04:05 GMT");
        assert_eq!(format_basic(NOW), "20240102T030405Z");
        assert_eq!(format_iso(NOW), "2024-01-02T03:04:05.000Z");
        assert_eq!(format_http(0), "Thu, 01 Jan 1970 00:00:00 GMT");
        assert_eq!(format_iso(i64::MAX), "9999-12-31T23:59:59.000Z");
        assert_eq!(format_iso(i64::MIN), "0000-01-01T00:00:00.000Z");
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(unix_s in -62_135_596_800_i64..253_402_300_799) {
            prop_assert_eq!(parse_http(&format_http(unix_s)), Some(unix_s));
            prop_assert_eq!(parse_basic(&format_basic(unix_s)), Some(unix_s));
            prop_assert_eq!(parse_iso(&format_iso(unix_s)), Some(unix_s));
        }

        #[test]
        fn no_text_panics(text in "\\PC{0,40}", near in "[A-Za-z]{3},? ?[0-9A-Za-z:TZ -]{0,32}") {
            for text in [text, near] {
                let _ = (parse_http(&text), parse_basic(&text), parse_iso(&text));
            }
        }
    }
}
