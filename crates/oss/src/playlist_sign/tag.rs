//! The `URI` attribute of the tags that have one (OSS auth 9.3; RFC 8216 4.2).

const TAGS: [&str; 8] = [
    "#EXT-X-KEY:",
    "#EXT-X-SESSION-KEY:",
    "#EXT-X-MAP:",
    "#EXT-X-MEDIA:",
    "#EXT-X-I-FRAME-STREAM-INF:",
    "#EXT-X-PART:",
    "#EXT-X-PRELOAD-HINT:",
    "#EXT-X-RENDITION-REPORT:",
];

/// Splits a tag line around the text of its quoted `URI` attribute; `None` for any other line.
pub(super) fn uri_attribute(line: &[u8]) -> Option<(&[u8], &[u8], &[u8])> {
    let mut at = TAGS.iter().find(|tag| line.starts_with(tag.as_bytes()))?.len();
    loop {
        let rest = line.get(at..)?;
        let equals = rest.iter().position(|b| *b == b'=')?;
        let name = rest.get(..equals)?.trim_ascii();
        let value = rest.get(equals + 1..)?;
        let value_at = at + equals + 1;
        // Commas and equal signs inside quotes belong to the value.
        let end = match value.strip_prefix(b"\"") {
            Some(quoted) => {
                let length = quoted.iter().position(|b| *b == b'"')?;
                if name == b"URI" {
                    let start = value_at + 1;
                    return Some((line.get(..start)?, line.get(start..start + length)?, line.get(start + length..)?));
                }
                length + 2
            }
            None => value.iter().position(|b| *b == b',').unwrap_or(value.len()),
        };
        let comma = value.get(end..)?.iter().position(|b| *b == b',')?;
        at = value_at + end + comma + 1;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_uri_attribute_is_found_among_others() {
        for (line, expected) in [
            (r#"#EXT-X-KEY:METHOD=AES-128,URI="k.bin",IV=0x1"#, Some("k.bin")),
            (r#"#EXT-X-MAP:URI="init.mp4""#, Some("init.mp4")),
            (r#"#EXT-X-MEDIA:TYPE=AUDIO,NAME="a,URI=\",URI="a.m3u8""#, Some("a.m3u8")),
            (r#"#EXT-X-MEDIA:NAME="URI=",DEFAULT=YES , URI="b.m3u8""#, Some("b.m3u8")),
            (r#"#EXT-X-PART:DURATION=0.3,X-URI="no",URI="p.ts""#, Some("p.ts")),
            (r#"#EXT-X-MAP:URI="""#, Some("")),
            (r#"#EXT-X-KEY:METHOD=NONE"#, None),
            (r#"#EXT-X-MAP:URI=init.mp4"#, None),
            (r#"#EXT-X-MAP:URI="init.mp4"#, None),
            (r#"#EXT-X-DATERANGE:URI="x""#, None),
            (r#"#EXT-X-KEYS:URI="x""#, None),
            ("#EXT-X-KEY:", None),
            ("#EXTM3U", None),
        ] {
            let found = uri_attribute(line.as_bytes());
            assert_eq!(found.map(|(_, uri, _)| std::str::from_utf8(uri).unwrap()), expected, "{line}");
        }
    }

    proptest! {
        #[test]
        fn the_three_parts_are_the_line(rest in "([A-Z,=\"]{0,4}(URI=)?){0,6}") {
            let line = format!("#EXT-X-KEY:{rest}");
            if let Some((before, uri, after)) = uri_attribute(line.as_bytes()) {
                prop_assert_eq!([before, uri, after].concat(), line.as_bytes());
                prop_assert!(before.ends_with(b"URI=\"") && after.starts_with(b"\""));
            }
        }
    }
}
