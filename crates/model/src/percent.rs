//! Percent escapes of paths and queries (HTTP API 1.3, 1.4; RFC 3986 2.1).

/// Undoes percent escapes exactly once. Malformed escapes stay as they are, and `+` is a plus sign.
pub fn percent_decode(text: &str) -> Vec<u8> {
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut rest = bytes;
    while let Some((&first, after)) = rest.split_first() {
        let escaped = match (first, after) {
            (b'%', [high, low, ..]) => hex_digit(*high).zip(hex_digit(*low)),
            _ => None,
        };
        if let (Some((high, low)), Some(after)) = (escaped, after.get(2..)) {
            out.push(high << 4 | low);
            rest = after;
        } else {
            out.push(first);
            rest = after;
        }
    }
    out
}

/// As [`percent_decode`], with `+` as a space: how forms write one, and the copy sources and link targets of the Go SDK
/// and ossutil (D30). A plus is sent as `%2B` by every client.
pub fn form_decode(text: &str) -> Vec<u8> {
    percent_decode(&text.replace('+', " "))
}

/// Escapes everything but the unreserved characters `A-Z a-z 0-9 - . _ ~` (and `/` with `keep_slash`), with upper-case
/// digits. Every percent decoder, that of forms included, gives the bytes back.
pub fn percent_encode(bytes: &[u8], keep_slash: bool) -> String {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    let digit = |nibble: u8| char::from(DIGITS[usize::from(nibble & 15)]);
    let mut out = String::with_capacity(bytes.len());
    for &byte in bytes {
        let is_unreserved = byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~');
        if is_unreserved || (keep_slash && byte == b'/') {
            out.push(char::from(byte));
        } else {
            out.push('%');
            out.push(digit(byte >> 4));
            out.push(digit(byte));
        }
    }
    out
}

fn hex_digit(byte: u8) -> Option<u8> {
    char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn decoding_happens_once_and_keeps_what_is_malformed() {
        for (text, bytes) in [
            ("a%2Fb", &b"a/b"[..]),
            ("a%252Fb", b"a%2Fb"),
            ("a+b", b"a+b"),
            ("%", b"%"),
            ("%4", b"%4"),
            ("%zz%41", b"%zzA"),
            ("%%41", b"%A"),
            ("%e8%a7%86", "视".as_bytes()),
            ("%FF", b"\xff"),
            ("", b""),
        ] {
            assert_eq!(percent_decode(text), bytes, "{text}");
        }
    }

    #[test]
    fn encoding_follows_the_signed_form() {
        assert_eq!(
            percent_encode("视频/a+b &c~*'()!.ts".as_bytes(), true),
            "%E8%A7%86%E9%A2%91/a%2Bb%20%26c~%2A%27%28%29%21.ts"
        );
        assert_eq!(percent_encode(b"a/b", false), "a%2Fb");
    }

    #[test]
    fn forms_write_spaces_as_pluses() {
        for (text, bytes) in [("a+b%2Bc%20d", &b"a b+c d"[..]), ("+%2b%252B", b" +%2B"), ("", b"")] {
            assert_eq!(form_decode(text), bytes, "{text}");
        }
    }

    proptest! {
        #[test]
        fn decoding_undoes_encoding(bytes: Vec<u8>, keep_slash: bool) {
            prop_assert_eq!(percent_decode(&percent_encode(&bytes, keep_slash)), bytes);
        }

        #[test]
        fn decoding_never_grows(text: String) {
            prop_assert!(percent_decode(&text).len() <= text.len());
        }
    }
}
