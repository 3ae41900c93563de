//! What a certificate says about itself: for whom it is and until when (RFC 5280 4.1). Only as much of DER is read as that
//! needs; what cannot be read is left out, since trust is not decided here.

use std::net::IpAddr;

/// For whom a certificate is, and until when.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Validity {
    /// Host names and addresses.
    pub(crate) names: Vec<String>,
    /// The last moment at which it is good, unix ms.
    pub(crate) not_after_ms: i64,
}

/// The most names that are shown.
const MAX_NAMES: usize = 100;
const SEQUENCE: u8 = 0x30;
const OCTETS: u8 = 0x04;
const OBJECT_ID: u8 = 0x06;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;
const EXTENSIONS: u8 = 0xa3;
const VERSION: u8 = 0xa0;
const DNS_NAME: u8 = 0x82;
const IP_ADDRESS: u8 = 0x87;
/// 2.5.29.17, subjectAltName.
const ALTERNATIVE_NAMES: &[u8] = &[0x55, 0x1d, 0x11];

/// Values one after the other.
#[derive(Clone, Copy)]
struct Der<'a>(&'a [u8]);

impl<'a> Der<'a> {
    /// The next value: its tag and what it holds.
    fn next(&mut self) -> Option<(u8, Der<'a>)> {
        let (&tag, rest) = self.0.split_first()?;
        let (&first, rest) = rest.split_first()?;
        let (len, rest) = match first {
            0..=0x7f => (usize::from(first), rest),
            0x81..=0x83 => {
                let (len, rest) = rest.split_at_checked(usize::from(first & 0x7f))?;
                (len.iter().fold(0, |sum, byte| sum << 8 | usize::from(*byte)), rest)
            }
            _ => return None,
        };
        let (value, rest) = rest.split_at_checked(len)?;
        self.0 = rest;
        Some((tag, Der(value)))
    }

    /// The next value, which has this tag.
    fn expect(&mut self, tag: u8) -> Option<Der<'a>> {
        self.next().filter(|(found, _)| *found == tag).map(|(_, value)| value)
    }
}

/// Reads a certificate.
pub(crate) fn validity(certificate: &[u8]) -> Option<Validity> {
    let mut body = Der(certificate).expect(SEQUENCE)?.expect(SEQUENCE)?;
    let mut ahead = body;
    if ahead.next()?.0 == VERSION {
        body = ahead;
    }
    // Serial number, algorithm, issuer.
    for _ in 0..3 {
        body.next()?;
    }
    let mut span = body.expect(SEQUENCE)?;
    span.next()?;
    let (tag, Der(time)) = span.next()?;
    let not_after_ms = moment_ms(tag, time)?;
    let mut names = Vec::new();
    while let Some((tag, mut value)) = body.next() {
        if tag == EXTENSIONS {
            names = value.expect(SEQUENCE).map(alternative_names).unwrap_or_default();
        }
    }
    Some(Validity { names, not_after_ms })
}

fn alternative_names(mut extensions: Der<'_>) -> Vec<String> {
    while let Some((SEQUENCE, mut extension)) = extensions.next() {
        if extension.expect(OBJECT_ID).is_none_or(|id| id.0 != ALTERNATIVE_NAMES) {
            continue;
        }
        // Whether it is critical may stand before its value.
        while let Some((tag, mut value)) = extension.next() {
            if let (OCTETS, Some(names)) = (tag, value.expect(SEQUENCE)) {
                return names_in(names);
            }
        }
    }
    Vec::new()
}

fn names_in(mut names: Der<'_>) -> Vec<String> {
    let mut found = Vec::new();
    while let Some((tag, Der(value))) = names.next() {
        found.extend(match tag {
            DNS_NAME => std::str::from_utf8(value).ok().filter(|name| name.is_ascii()).map(str::to_owned),
            IP_ADDRESS => address(value).map(|address| address.to_string()),
            _ => None,
        });
        if found.len() == MAX_NAMES {
            break;
        }
    }
    found
}

fn address(bytes: &[u8]) -> Option<IpAddr> {
    match bytes.len() {
        4 => <[u8; 4]>::try_from(bytes).ok().map(IpAddr::from),
        _ => <[u8; 16]>::try_from(bytes).ok().map(IpAddr::from),
    }
}

/// `YYMMDDHHMMSSZ` or `YYYYMMDDHHMMSSZ`.
fn moment_ms(tag: u8, text: &[u8]) -> Option<i64> {
    let text = std::str::from_utf8(text).ok()?.strip_suffix('Z')?;
    let year_digits = match tag {
        UTC_TIME => 2,
        GENERALIZED_TIME => 4,
        _ => return None,
    };
    let (year, rest) = text.split_at_checked(year_digits)?;
    let year: i64 = year.parse().ok()?;
    let year = match tag {
        UTC_TIME if year >= 50 => 1900 + year,
        UTC_TIME => 2000 + year,
        _ => year,
    };
    let part = |index: usize| rest.get(index * 2..index * 2 + 2);
    let stamp = format!("{year:04}-{}-{}T{}:{}:{}.000Z", part(0)?, part(1)?, part(2)?, part(3)?, part(4)?);
    model::date::parse_iso8601(&stamp)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(tag: u8, inner: &[&[u8]]) -> Vec<u8> {
        let inner = inner.concat();
        let mut out = vec![tag];
        match inner.len() {
            0..=0x7f => out.push(inner.len() as u8),
            len => out.extend([0x82, (len >> 8) as u8, len as u8]),
        }
        out.extend(inner);
        out
    }

    fn certificate(names: &[&[u8]], not_after: (u8, &[u8])) -> Vec<u8> {
        let names = value(SEQUENCE, names);
        let extension = value(SEQUENCE, &[&value(OBJECT_ID, &[ALTERNATIVE_NAMES]), &value(OCTETS, &[&names])]);
        let other = value(SEQUENCE, &[&value(OBJECT_ID, &[&[0x55, 0x1d, 0x0f]]), &value(OCTETS, &[&[1]])]);
        let extensions = value(EXTENSIONS, &[&value(SEQUENCE, &[&other, &extension])]);
        let span = value(SEQUENCE, &[&value(UTC_TIME, &[b"240101000000Z"]), &value(not_after.0, &[not_after.1])]);
        let empty = value(SEQUENCE, &[]);
        let body = value(
            SEQUENCE,
            &[&value(VERSION, &[&[2, 1, 2]]), &[2, 1, 7], &empty, &empty, &span, &empty, &empty, &extensions],
        );
        value(SEQUENCE, &[&body, &empty, &[3, 1, 0]])
    }

    #[test]
    fn names_and_end_are_read() {
        let names = [value(DNS_NAME, &[b"media.example.com"]), value(IP_ADDRESS, &[&[192, 0, 2, 7]])];
        let names: Vec<&[u8]> = names.iter().map(Vec::as_slice).collect();
        for (time, expected) in [
            ((UTC_TIME, &b"270102030405Z"[..]), "2027-01-02T03:04:05.000Z"),
            ((GENERALIZED_TIME, &b"20510102030405Z"[..]), "2051-01-02T03:04:05.000Z"),
        ] {
            let found = validity(&certificate(&names, time)).unwrap();
            assert_eq!(found.names, ["media.example.com", "192.0.2.7"]);
            assert_eq!(model::date::format_iso8601(found.not_after_ms), expected);
        }
    }

    #[test]
    fn what_is_no_certificate_is_nothing() {
        let whole = certificate(&[&value(DNS_NAME, &[b"a"])], (UTC_TIME, b"270102030405Z"));
        for len in 0..whole.len() {
            let _ = validity(&whole[..len]);
        }
        assert_eq!(validity(b""), None);
        assert_eq!(validity(&certificate(&[], (UTC_TIME, b"27010203040"))), None);
        assert_eq!(validity(&certificate(&[], (0x05, b"270102030405Z"))), None);
    }
}
