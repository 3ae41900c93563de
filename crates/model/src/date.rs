//! Dates as documents and headers write them (HTTP API 5.1), against unix time. Years 1 to 9999.

use time::{Date, Month, UtcDateTime};

const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
const WEEKDAYS: [&str; 7] = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"];

/// A moment to the second; those outside of the years 1 to 9999 are the nearest one inside.
fn moment(unix_ms: i64) -> UtcDateTime {
    let unix_s = unix_ms.clamp(-62_135_596_800_000, 253_402_300_799_999).div_euclid(1000);
    UtcDateTime::from_unix_timestamp(unix_s).unwrap_or(UtcDateTime::UNIX_EPOCH)
}

/// The name of a month in HTTP.
fn name_of(month: Month) -> &'static str {
    MONTHS.get(usize::from(u8::from(month)) - 1).copied().unwrap_or_default()
}

/// Year, month and day, hour, minute and second as Unix time. `None` when one is out of its range; 60 is a legal second.
fn unix_ms([year, month, day]: [i64; 3], [hour, minute, second]: [i64; 3]) -> Option<i64> {
    let small = |number: i64| u8::try_from(number).ok();
    if !(1..=9999).contains(&year) || !(0..=60).contains(&second) {
        return None;
    }
    let month = Month::try_from(small(month)?).ok()?;
    let date = Date::from_calendar_date(i32::try_from(year).ok()?, month, small(day)?).ok()?;
    let minute = date.with_hms(small(hour)?, small(minute)?, 0).ok()?;
    Some((minute.as_utc().unix_timestamp() + second) * 1000)
}

/// `YYYY-MM-DDTHH:MM:SS.000Z`, the milliseconds always written as zeros: oss2 reads nothing else (LiveChannel 0.6).
/// Instants outside the years 1 to 9999 are written as the nearest one inside.
pub fn format_iso8601(unix_ms: i64) -> String {
    let moment = moment(unix_ms);
    let ((year, month, day), (hour, minute, second)) = (moment.to_calendar_date(), moment.as_hms());
    format!("{year:04}-{:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.000Z", u8::from(month))
}

/// `Tue, 02 Jan 2024 03:04:05 GMT`, for headers.
pub fn format_http(unix_ms: i64) -> String {
    let moment = moment(unix_ms);
    let ((year, month, day), (hour, minute, second)) = (moment.to_calendar_date(), moment.as_hms());
    let weekday = usize::from(moment.weekday().number_days_from_monday());
    let weekday = WEEKDAYS.get(weekday).copied().unwrap_or_default();
    format!("{weekday}, {day:02} {} {year:04} {hour:02}:{minute:02}:{second:02} GMT", name_of(month))
}

/// `02/Jan/2024:03:04:05 +0000`, for access logs.
pub fn format_log(unix_ms: i64) -> String {
    let moment = moment(unix_ms);
    let ((year, month, day), (hour, minute, second)) = (moment.to_calendar_date(), moment.as_hms());
    format!("{day:02}/{}/{year:04}:{hour:02}:{minute:02}:{second:02} +0000", name_of(month))
}

/// `2024-01-02-03-04-05`, for the names of access logs.
pub fn format_dashes(unix_ms: i64) -> String {
    let moment = moment(unix_ms);
    let ((year, month, day), (hour, minute, second)) = (moment.to_calendar_date(), moment.as_hms());
    format!("{year:04}-{:02}-{day:02}-{hour:02}-{minute:02}-{second:02}", u8::from(month))
}

/// Reads `YYYY-MM-DDTHH:MM:SS[.fraction]Z`, the fraction cut to milliseconds.
pub fn parse_iso8601(text: &str) -> Option<i64> {
    let (date, time) = text.trim().strip_suffix('Z')?.split_once('T')?;
    let (time, fraction) = time.split_once('.').unwrap_or((time, "0"));
    let (date, clock) = (numbers(date, '-', [4, 2, 2])?, numbers(time, ':', [2, 2, 2])?);
    if fraction.is_empty() || !fraction.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let millis = fraction.bytes().chain(*b"00").take(3).fold(0, |sum, byte| sum * 10 + i64::from(byte - b'0'));
    Some(unix_ms(date, clock)? + millis)
}

/// Reads an ISO 8601 date or moment as policies and official calls write it: `2024-01-02`, `2024-01-02T03:04:05Z`, with
/// an optional fraction and `Z`, `+hh:mm` or `-hh:mm`; a space may stand for the `T`.
pub fn parse_moment(text: &str) -> Option<i64> {
    let Some((date, time)) = text.split_once(['T', ' ']) else { return parse_iso8601(&format!("{text}T00:00:00Z")) };
    let (clock, offset) = match time.find(['Z', '+', '-']) {
        Some(at) => time.split_at_checked(at)?,
        None => (time, "Z"),
    };
    let local_ms = parse_iso8601(&format!("{date}T{clock}Z"))?;
    if offset == "Z" {
        return Some(local_ms);
    }
    let (sign, span) = offset.split_at_checked(1)?;
    let (hours, minutes) = span.split_once(':').filter(|(hours, minutes)| hours.len() == 2 && minutes.len() == 2)?;
    let (hours, minutes) = (number(hours).filter(|h| *h < 24)?, number(minutes).filter(|m| *m < 60)?);
    let east_ms = (hours * 60 + minutes) * 60_000;
    match sign {
        "+" => Some(local_ms - east_ms),
        "-" => Some(local_ms + east_ms),
        _ => None,
    }
}

/// Reads the three forms of HTTP dates (RFC 9110 5.6.7): RFC 1123, RFC 850 and asctime. The name of the day is not
/// compared with the date. A year of two digits is the one that is at most 50 years ahead of `now_ms`, Unix time.
pub fn parse_http(text: &str, now_ms: i64) -> Option<i64> {
    let words: Vec<&str> = text.split([' ', ',']).filter(|word| !word.is_empty()).take(7).collect();
    let (day, month, year, time) = match words.as_slice() {
        [_, day, month, year, time, "GMT" | "UTC" | "+0000"] => (*day, *month, *year, *time),
        [_, date, time, "GMT" | "UTC" | "+0000"] => {
            let (day, rest) = date.split_once('-')?;
            let (month, year) = rest.split_once('-')?;
            (day, month, year, *time)
        }
        [_, month, day, time, year] => (*day, *month, *year, *time),
        _ => return None,
    };
    let clock = numbers(time, ':', [2, 2, 2])?;
    let month = MONTHS.iter().position(|name| name.eq_ignore_ascii_case(month))?;
    let year = match (year.len(), number(year)?) {
        (4, year) => year,
        (2, year) => year_near(year, now_ms),
        _ => return None,
    };
    let day = if (1..=2).contains(&day.len()) { number(day)? } else { return None };
    unix_ms([year, i64::try_from(month).ok()? + 1, day], clock)
}

/// The year that ends with these two digits, from 49 years ago to 50 years ahead.
fn year_near(digits: i64, now_ms: i64) -> i64 {
    let now = i64::from(moment(now_ms).year());
    let year = now - now.rem_euclid(100) + digits;
    match year - now {
        51.. => year - 100,
        ..=-50 => year + 100,
        _ => year,
    }
}

fn number(text: &str) -> Option<i64> {
    let is_plain = (1..=9).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
    if is_plain { text.parse().ok() } else { None }
}

fn numbers(text: &str, separator: char, lengths: [usize; 3]) -> Option<[i64; 3]> {
    let mut parts = text.split(separator);
    let mut out = [0; 3];
    for (slot, length) in out.iter_mut().zip(lengths) {
        *slot = parts.next().filter(|part| part.len() == length).and_then(number)?;
    }
    parts.next().is_none().then_some(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const EXAMPLE_MS: i64 = 1_704_164_645_000;

    #[test]
    fn the_example_date_is_written_both_ways() {
        assert_eq!(format_iso8601(EXAMPLE_MS + 999), "2024-01-02T03:04:05.000Z");
        assert_eq!(format_http(EXAMPLE_MS), "Tue, 02 Jan 2024 03:04:05 GMT");
        assert_eq!(format_log(EXAMPLE_MS), "02/Jan/2024:03:04:05 +0000");
        assert_eq!(format_dashes(EXAMPLE_MS), "2024-01-02-03-04-05");
        assert_eq!(format_http(0), "Thu, 01 Jan 1970 00:00:00 GMT");
        assert_eq!(format_http(-1000), "Wed, 31 Dec 1969 23:59:59 GMT");
        assert_eq!(format_iso8601(951_782_400_000), "2000-02-29T00:00:00.000Z");
        assert_eq!(format_iso8601(-1), "1969-12-31T23:59:59.000Z");
        assert_eq!(parse_iso8601("2016-12-31T23:59:60Z"), parse_iso8601("2017-01-01T00:00:00Z"), "a leap second");
        assert_eq!(format_iso8601(i64::MAX), "9999-12-31T23:59:59.000Z");
        assert_eq!(format_iso8601(i64::MIN), "0001-01-01T00:00:00.000Z");
    }

    #[test]
    fn all_forms_are_read() {
        for text in [
            "Tue, 02 Jan 2024 03:04:05 GMT",
            "Tuesday, 02-Jan-24 03:04:05 GMT",
            "Tue Jan  2 03:04:05 2024",
            "tue, 2 jan 2024 03:04:05 GMT",
        ] {
            assert_eq!(parse_http(text, EXAMPLE_MS), Some(EXAMPLE_MS), "{text}");
        }
        for (text, offset) in
            [("2024-01-02T03:04:05Z", 0), ("2024-01-02T03:04:05.5Z", 500), ("2024-01-02T03:04:05.123456Z", 123)]
        {
            assert_eq!(parse_iso8601(text), Some(EXAMPLE_MS + offset), "{text}");
        }
        for text in
            ["", "Tue, 30 Feb 2024 03:04:05 GMT", "Tue, 02 Jan 2024 24:00:00 GMT", "now", "2024-01-02T03:04:05+08:00"]
        {
            assert_eq!((parse_http(text, EXAMPLE_MS), parse_iso8601(text)), (None, None), "{text}");
        }
    }

    #[test]
    fn years_of_two_digits_are_near() {
        for (now, digits, year) in
            [(2024, 24, 2024), (2024, 74, 2074), (2024, 75, 1975), (2024, 94, 1994), (2024, 0, 2000), (2090, 10, 2110)]
        {
            let now_ms = parse_iso8601(&format!("{now}-06-01T00:00:00Z")).unwrap();
            let read = parse_http(&format!("Sunday, 06-Nov-{digits:02} 08:49:37 GMT"), now_ms);
            assert_eq!(read, parse_iso8601(&format!("{year}-11-06T08:49:37Z")), "{now} {digits}");
        }
    }

    #[test]
    fn moments_of_policies_have_offsets() {
        for (text, value) in [
            ("2024-01-02T03:04:05Z", Some(EXAMPLE_MS)),
            ("2024-01-02 03:04:05", Some(EXAMPLE_MS)),
            ("2024-01-02T03:04:05.678Z", Some(EXAMPLE_MS + 678)),
            ("2024-01-02T11:04:05+08:00", Some(EXAMPLE_MS)),
            ("2024-01-01T19:04:05-08:00", Some(EXAMPLE_MS)),
            ("2024-01-02", Some(EXAMPLE_MS - 11_045_000)),
            ("2024-1-02", None),
            ("2024-01-02T03:04:05.Z", None),
            ("2024-01-02T03:04Z", None),
            ("2024-01-02T03:04:05+8:00", None),
            ("2024-01-02T03:04:05+24:00", None),
            ("2024-01-02T03:04:05Zx", None),
            ("1704164645", None),
            ("", None),
        ] {
            assert_eq!(parse_moment(text), value, "{text}");
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back(seconds in -62_135_596_800_i64..253_402_300_800) {
            let ms = seconds * 1000;
            prop_assert_eq!(parse_iso8601(&format_iso8601(ms)), Some(ms));
            prop_assert_eq!(parse_http(&format_http(ms), 0), Some(ms));
        }

        #[test]
        fn any_text_is_a_date_or_not(text in "\\PC{0,40}|[0-9T:.Z, GMTJan-]{0,40}", ms: i64) {
            let _ = (parse_http(&text, ms), parse_iso8601(&text), parse_moment(&text), format_http(ms));
        }
    }
}
