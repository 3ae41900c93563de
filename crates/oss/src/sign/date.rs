//! `YYYYMMDDTHHMMSSZ`, the spelling of moments that only V4 uses (OSS auth 5.3); every other spelling is [`model::date`]'s.

use model::date;

/// Reads `YYYYMMDDTHHMMSSZ`. Unix seconds; anything else is `None`.
pub(super) fn parse_basic(text: &str) -> Option<i64> {
    let (day, time) = text.strip_suffix('Z')?.split_once('T')?;
    let [hour, minute, second] = fields(time, [2, 2, 2])?;
    let [year, month, day] = fields(day, [4, 2, 2])?;
    let unix_ms = date::parse_iso8601(&format!("{year}-{month}-{day}T{hour}:{minute}:{second}Z"))?;
    Some(unix_ms.div_euclid(1000))
}

/// Whether the text is a day of the calendar, written `YYYYMMDD`.
pub(super) fn is_day(text: &str) -> bool {
    parse_basic(&format!("{text}T000000Z")).is_some()
}

/// Writes Unix seconds as `20240102T030405Z`.
pub(super) fn format_basic(unix_s: i64) -> String {
    let mut text = date::format_iso8601(unix_s.saturating_mul(1000));
    // What is left of `2024-01-02T03:04:05.000Z` without its punctuation and milliseconds.
    text.truncate("2024-01-02T03:04:05".len());
    text.retain(|c| !matches!(c, '-' | ':'));
    text.push('Z');
    text
}

/// Cuts a text into pieces of these lengths, and nothing may be left.
fn fields(text: &str, lengths: [usize; 3]) -> Option<[&str; 3]> {
    let mut rest = text;
    let mut out = [""; 3];
    for (slot, length) in out.iter_mut().zip(lengths) {
        (*slot, rest) = rest.split_at_checked(length)?;
    }
    rest.is_empty().then_some(out)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const NOW: i64 = 1_704_164_645;

    #[test]
    fn the_basic_form_is_strict() {
        for (text, value) in [
            ("20240102T030405Z", Some(NOW)),
            ("20240102t030405Z", None),
            ("20240102T030405", None),
            ("20241302T030405Z", None),
            ("2024010 T030405Z", None),
            ("+0240102T030405Z", None),
            ("20240102T0304055Z", None),
            ("2024-102T030405Z", None),
            ("字字字字T字字Z", None),
            ("", None),
        ] {
            assert_eq!(parse_basic(text), value, "{text}");
        }
        assert!(is_day("20240229") && !is_day("20230229") && !is_day("2024022") && !is_day("20240102T"));
        assert_eq!(format_basic(NOW), "20240102T030405Z");
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(unix_s in -62_135_596_800_i64..253_402_300_799) {
            prop_assert_eq!(parse_basic(&format_basic(unix_s)), Some(unix_s));
        }

        #[test]
        fn no_text_panics(text in "\\PC{0,20}", near in "[0-9字TZ-]{0,18}Z") {
            let _ = (parse_basic(&text), parse_basic(&near), is_day(&text));
        }
    }
}
