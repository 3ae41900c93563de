//! AMF0, the encoding of commands and metadata (Action Message Format, AMF 0 specification).
//!
//! Decoding is lenient on purpose: what was read before the damage is kept, because a wrong array count or a cut-off
//! object must not cost a publisher its session (quirk Q7).

use thiserror::Error;

use super::amf3;
use super::limits::Limits;
use crate::bits::{Reader, UnexpectedEnd, WriteBytes};

/// One AMF value. AMF3 values decode to the same type.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// Marker 0x00.
    Number(f64),
    /// Marker 0x01.
    Boolean(bool),
    /// Marker 0x02, or 0x0c when longer than 65 535 bytes. Bytes that are not UTF-8 become U+FFFD.
    String(String),
    /// Marker 0x03, with its members in the order sent.
    Object(Vec<(String, Value)>),
    /// Marker 0x05.
    Null,
    /// Marker 0x06.
    Undefined,
    /// Marker 0x07: the index of an earlier object of the message. It is not followed.
    Reference(u16),
    /// Marker 0x08, with its members in the order sent.
    EcmaArray(Vec<(String, Value)>),
    /// Marker 0x0a.
    StrictArray(Vec<Value>),
    /// Marker 0x0b: milliseconds since 1970 and a time zone that is always 0 in practice.
    Date(f64, i16),
    /// Marker 0x0d: the sender had something it could not encode.
    Unsupported,
    /// Marker 0x0f: the text of an XML document.
    Xml(String),
    /// Marker 0x10: an object with the name of its class.
    TypedObject(String, Vec<(String, Value)>),
}

impl Value {
    /// A string value.
    pub fn string(text: impl Into<String>) -> Self {
        Self::String(text.into())
    }

    /// An object of the given members.
    pub fn object<const N: usize>(members: [(&str, Value); N]) -> Self {
        Self::Object(members.into_iter().map(|(name, value)| (name.to_owned(), value)).collect())
    }

    /// The text of a string.
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Self::String(text) => Some(text),
            _ => None,
        }
    }

    /// The number of a number.
    pub fn as_number(&self) -> Option<f64> {
        match self {
            Self::Number(number) => Some(*number),
            _ => None,
        }
    }

    /// The members of an object of any kind.
    pub fn members(&self) -> Option<&[(String, Value)]> {
        match self {
            Self::Object(members) | Self::EcmaArray(members) | Self::TypedObject(_, members) => Some(members),
            _ => None,
        }
    }

    /// The first member of that name.
    pub fn member(&self, name: &str) -> Option<&Value> {
        self.members()?.iter().find(|(key, _)| key == name).map(|(_, value)| value)
    }
}

/// Why a value could not be read to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum AmfError {
    /// The input ends inside a value.
    #[error(transparent)]
    UnexpectedEnd(#[from] UnexpectedEnd),
    /// A marker that AMF does not define, or defines as reserved.
    #[error("unknown AMF marker {marker:#04x} at offset {offset}")]
    UnknownMarker {
        /// The marker.
        marker: u8,
        /// Where it stands.
        offset: usize,
    },
    /// A part of AMF3 that needs knowledge of the sender's classes, or an index into a table that is shorter.
    #[error("unreadable AMF3 value at offset {offset}")]
    Unreadable {
        /// Where it stands.
        offset: usize,
    },
    /// Values nest deeper than the limit.
    #[error("AMF values nest deeper than {limit}")]
    TooDeep {
        /// The limit.
        limit: usize,
    },
    /// There are more values than the limit.
    #[error("more than {limit} AMF values")]
    TooMany {
        /// The limit.
        limit: usize,
    },
}

/// The values of a message, as far as they could be read.
#[derive(Clone, Debug, PartialEq)]
pub struct Decoded {
    /// The values in order. The last may lack members when there is damage.
    pub values: Vec<Value>,
    /// What ended the reading before the end of the input.
    pub damage: Option<AmfError>,
}

/// Decodes a sequence of AMF0 values. The AMF3 marker 0x11 before a value is understood.
pub fn decode(payload: &[u8], limits: &Limits) -> Decoded {
    let mut decoder = Decoder::new(payload, limits);
    let values = decoder.sequence();
    Decoded { values, damage: decoder.damage }
}

/// Decodes the body of a message of type 15 or 17: AMF0 after a zero byte, AMF0 without it, or AMF3 (quirk Q3).
pub fn decode_amf3_message(payload: &[u8], limits: &Limits) -> Decoded {
    let rest = match payload {
        [0, rest @ ..] => rest,
        whole => whole,
    };
    // A command or data message begins with a string, and the string markers of the two formats differ.
    if rest.first() != Some(&amf3::STRING_MARKER) {
        return decode(rest, limits);
    }
    let mut decoder = Decoder::new(rest, limits);
    let mut tables = amf3::Tables::default();
    let mut values = Vec::new();
    while !decoder.reader.is_empty() && decoder.damage.is_none() {
        values.extend(amf3::value(&mut decoder, &mut tables, 0));
    }
    Decoded { values, damage: decoder.damage }
}

/// Reads values one after the other, noting the first damage instead of returning it, so that the containers around it
/// keep the members they already have.
pub(super) struct Decoder<'a> {
    pub(super) reader: Reader<'a>,
    pub(super) damage: Option<AmfError>,
    limits: &'a Limits,
    count: usize,
}

impl<'a> Decoder<'a> {
    fn new(payload: &'a [u8], limits: &'a Limits) -> Self {
        Self { reader: Reader::new(payload), damage: None, limits, count: 0 }
    }

    fn sequence(&mut self) -> Vec<Value> {
        let mut values = Vec::new();
        while !self.reader.is_empty() && self.damage.is_none() {
            values.extend(self.value(0));
        }
        values
    }

    /// Takes the value of a read, or notes why there is none.
    pub(super) fn note<T>(&mut self, result: Result<T, impl Into<AmfError>>) -> Option<T> {
        match result {
            Ok(value) => Some(value),
            Err(error) => {
                self.damage.get_or_insert(error.into());
                None
            }
        }
    }

    /// Notes one more value at `depth`, or that there are too many or that they nest too deep.
    pub(super) fn admit(&mut self, depth: usize) -> Option<()> {
        self.count += 1;
        let checked = if depth > self.limits.max_amf_depth {
            Err(AmfError::TooDeep { limit: self.limits.max_amf_depth })
        } else if self.count > self.limits.max_amf_values {
            Err(AmfError::TooMany { limit: self.limits.max_amf_values })
        } else {
            Ok(())
        };
        self.note(checked)
    }

    fn value(&mut self, depth: usize) -> Option<Value> {
        self.admit(depth)?;
        let offset = self.reader.offset();
        let marker = self.reader.u8();
        match self.note(marker)? {
            0x00 => self.number().map(Value::Number),
            0x01 => {
                let byte = self.reader.u8();
                self.note(byte).map(|byte| Value::Boolean(byte != 0))
            }
            0x02 => self.short_string().map(Value::String),
            0x03 => Some(Value::Object(self.members(depth))),
            0x05 => Some(Value::Null),
            0x06 => Some(Value::Undefined),
            0x07 => {
                let index = self.reader.u16();
                self.note(index).map(Value::Reference)
            }
            0x08 => {
                // The count is wrong or zero in many encoders; the end marker is what counts.
                let count = self.reader.u32();
                self.note(count)?;
                Some(Value::EcmaArray(self.members(depth)))
            }
            0x0a => {
                let count = self.reader.u32();
                let count = self.note(count)?;
                let mut items = Vec::new();
                for _ in 0..count {
                    let Some(item) = self.value(depth + 1) else { break };
                    items.push(item);
                    if self.damage.is_some() {
                        break;
                    }
                }
                Some(Value::StrictArray(items))
            }
            0x0b => {
                let time = self.number()?;
                let zone = self.reader.u16();
                self.note(zone).map(|zone| Value::Date(time, zone.cast_signed()))
            }
            0x0c => self.long_string().map(Value::String),
            0x0d => Some(Value::Unsupported),
            0x0f => self.long_string().map(Value::Xml),
            0x10 => {
                let class = self.short_string()?;
                Some(Value::TypedObject(class, self.members(depth)))
            }
            0x11 => amf3::value(self, &mut amf3::Tables::default(), depth),
            marker => self.note(Err(AmfError::UnknownMarker { marker, offset })),
        }
    }

    fn number(&mut self) -> Option<f64> {
        let number = self.reader.f64();
        self.note(number)
    }

    fn short_string(&mut self) -> Option<String> {
        let length = self.reader.u16();
        let length = self.note(length)?;
        self.text(usize::from(length))
    }

    fn long_string(&mut self) -> Option<String> {
        let length = self.reader.u32();
        let length = self.note(length)?;
        self.text(length as usize)
    }

    /// Reads `length` bytes of text.
    pub(super) fn text(&mut self, length: usize) -> Option<String> {
        let bytes = self.reader.bytes(length);
        self.note(bytes).map(|bytes| String::from_utf8_lossy(bytes).into_owned())
    }

    /// Reads members up to the end marker. The end of the input counts as one, since some encoders leave it out.
    fn members(&mut self, depth: usize) -> Vec<(String, Value)> {
        const END: [u8; 3] = [0, 0, 9];
        let mut members = Vec::new();
        while !self.reader.is_empty() && self.damage.is_none() {
            if self.reader.rest().starts_with(&END) {
                let end = self.reader.skip(END.len());
                self.note(end);
                break;
            }
            let Some(name) = self.short_string() else { break };
            let Some(value) = self.value(depth + 1) else { break };
            members.push((name, value));
        }
        members
    }
}

/// Appends `value` to `output`. Texts beyond the length field of their place are cut at a character boundary.
pub fn encode(value: &Value, output: &mut impl WriteBytes) {
    match value {
        Value::Number(number) => {
            output.write_u8(0x00);
            output.write_f64(*number);
        }
        Value::Boolean(flag) => output.write_bytes(&[0x01, u8::from(*flag)]),
        Value::String(text) if text.len() <= usize::from(u16::MAX) => {
            output.write_u8(0x02);
            encode_name(text, output);
        }
        Value::String(text) => {
            output.write_u8(0x0c);
            encode_long(text, output);
        }
        Value::Object(members) => {
            output.write_u8(0x03);
            encode_members(members, output);
        }
        Value::Null => output.write_u8(0x05),
        Value::Undefined => output.write_u8(0x06),
        Value::Reference(index) => {
            output.write_u8(0x07);
            output.write_u16(*index);
        }
        Value::EcmaArray(members) => {
            output.write_u8(0x08);
            output.write_u32(u32::try_from(members.len()).unwrap_or(u32::MAX));
            encode_members(members, output);
        }
        Value::StrictArray(items) => {
            output.write_u8(0x0a);
            output.write_u32(u32::try_from(items.len()).unwrap_or(u32::MAX));
            for item in items {
                encode(item, output);
            }
        }
        Value::Date(time, zone) => {
            output.write_u8(0x0b);
            output.write_f64(*time);
            output.write_u16(zone.cast_unsigned());
        }
        Value::Unsupported => output.write_u8(0x0d),
        Value::Xml(text) => {
            output.write_u8(0x0f);
            encode_long(text, output);
        }
        Value::TypedObject(class, members) => {
            output.write_u8(0x10);
            encode_name(class, output);
            encode_members(members, output);
        }
    }
}

fn encode_members(members: &[(String, Value)], output: &mut impl WriteBytes) {
    for (name, value) in members {
        encode_name(name, output);
        encode(value, output);
    }
    output.write_bytes(&[0, 0, 9]);
}

fn encode_name(text: &str, output: &mut impl WriteBytes) {
    let text = cut(text, usize::from(u16::MAX));
    output.write_u16(u16::try_from(text.len()).unwrap_or(u16::MAX));
    output.write_bytes(text.as_bytes());
}

fn encode_long(text: &str, output: &mut impl WriteBytes) {
    let text = cut(text, u32::MAX as usize);
    output.write_u32(u32::try_from(text.len()).unwrap_or(u32::MAX));
    output.write_bytes(text.as_bytes());
}

fn cut(text: &str, limit: usize) -> &str {
    text.get(..text.floor_char_boundary(limit)).unwrap_or(text)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Each row is a value, its encoding, and the other way round.
    fn table() -> Vec<(&'static str, Vec<u8>, Value)> {
        let members = || vec![("a".to_owned(), Value::Null), (String::new(), Value::Boolean(true))];
        vec![
            ("number", vec![0x00, 0x3f, 0xf0, 0, 0, 0, 0, 0, 0], Value::Number(1.0)),
            ("boolean", vec![0x01, 1], Value::Boolean(true)),
            ("string", b"\x02\x00\x04live".to_vec(), Value::string("live")),
            ("object", b"\x03\x00\x01a\x05\x00\x00\x01\x01\x00\x00\x09".to_vec(), Value::Object(members())),
            ("null", vec![0x05], Value::Null),
            ("undefined", vec![0x06], Value::Undefined),
            ("reference", vec![0x07, 1, 2], Value::Reference(0x102)),
            (
                "array",
                b"\x08\x00\x00\x00\x02\x00\x01a\x05\x00\x00\x01\x01\x00\x00\x09".to_vec(),
                Value::EcmaArray(members()),
            ),
            ("strict array", vec![0x0a, 0, 0, 0, 2, 5, 6], Value::StrictArray(vec![Value::Null, Value::Undefined])),
            ("date", vec![0x0b, 0xbf, 0xf0, 0, 0, 0, 0, 0, 0, 0xff, 0xc4], Value::Date(-1.0, -60)),
            ("unsupported", vec![0x0d], Value::Unsupported),
            ("xml", b"\x0f\x00\x00\x00\x04<a/>".to_vec(), Value::Xml("<a/>".to_owned())),
            (
                "typed object",
                b"\x10\x00\x01C\x00\x01a\x05\x00\x00\x01\x01\x00\x00\x09".to_vec(),
                Value::TypedObject("C".to_owned(), members()),
            ),
        ]
    }

    fn check(payload: &[u8], values: &[Value], damaged: bool) {
        let decoded = decode(payload, &Limits::default());
        assert_eq!((decoded.values.as_slice(), decoded.damage.is_some()), (values, damaged), "{:?}", decoded.damage);
    }

    #[test]
    fn table_decodes_and_encodes() {
        for (name, bytes, value) in table() {
            let mut encoded = Vec::new();
            encode(&value, &mut encoded);
            assert_eq!(encoded, bytes, "{name}");
            check(&bytes, &[value], false);
        }
    }

    #[test]
    fn long_strings_use_the_long_marker() {
        let text = Value::String("x".repeat(70_000));
        let mut bytes = Vec::new();
        encode(&text, &mut bytes);
        assert_eq!(bytes[..5], [0x0c, 0, 1, 0x11, 0x70]);
        check(&bytes, &[text], false);
    }

    #[test]
    fn q07_wrong_counts_and_missing_ends_keep_the_members() {
        let width = || vec![("w".to_owned(), Value::Number(1.0))];
        let member = b"\x00\x01w\x00\x3f\xf0\x00\x00\x00\x00\x00\x00";
        check(
            &[b"\x08\xff\xff\xff\xff".as_slice(), member, b"\x00\x00\x09"].concat(),
            &[Value::EcmaArray(width())],
            false,
        );
        check(&[b"\x08\x00\x00\x00\x00".as_slice(), member].concat(), &[Value::EcmaArray(width())], false);
        check(&[b"\x03".as_slice(), member, b"\x00\x05he"].concat(), &[Value::Object(width())], true);
        check(&[b"\x03".as_slice(), member, b"\x00\x01h\xee"].concat(), &[Value::Object(width())], true);
    }

    #[test]
    fn a_count_reserves_nothing() {
        check(b"\x0a\xff\xff\xff\xff\x05", &[Value::StrictArray(vec![Value::Null])], true);
        check(b"\x0c\xff\xff\xff\xffabc", &[], true);
    }

    #[test]
    fn depth_and_count_are_bounded() {
        let limits = Limits::default();
        let deep = b"\x03\x00\x01a".repeat(200_000);
        assert_eq!(decode(&deep, &limits).damage, Some(AmfError::TooDeep { limit: 16 }));
        let deep = b"\x0a\x00\x00\x00\x01".repeat(200_000);
        assert_eq!(decode(&deep, &limits).damage, Some(AmfError::TooDeep { limit: 16 }));
        assert_eq!(decode(&[5; 5000], &limits).damage, Some(AmfError::TooMany { limit: 4096 }));
    }

    #[test]
    fn reserved_markers_are_damage() {
        for marker in [0x04, 0x09, 0x0e, 0x12, 0xff] {
            check(&[0x05, marker], &[Value::Null], true);
        }
    }

    fn values() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            any::<f64>().prop_filter("NaN is not equal to itself", |n| !n.is_nan()).prop_map(Value::Number),
            any::<bool>().prop_map(Value::Boolean),
            ".{0,8}".prop_map(Value::String),
            Just(Value::Null),
            Just(Value::Undefined),
            Just(Value::Unsupported),
            any::<u16>().prop_map(Value::Reference),
            ".{0,8}".prop_map(Value::Xml),
            (-1e15..1e15, any::<i16>()).prop_map(|(time, zone)| Value::Date(time, zone)),
        ];
        leaf.prop_recursive(4, 32, 4, |inner| {
            let members = prop::collection::vec((".{0,5}", inner.clone()), 0..4);
            prop_oneof![
                members.clone().prop_map(Value::Object),
                members.clone().prop_map(Value::EcmaArray),
                (".{0,5}", members).prop_map(|(class, members)| Value::TypedObject(class, members)),
                prop::collection::vec(inner, 0..4).prop_map(Value::StrictArray),
            ]
        })
    }

    proptest! {
        #[test]
        fn decode_after_encode_is_the_identity(values in prop::collection::vec(values(), 0..4)) {
            let mut bytes = Vec::new();
            for value in &values {
                encode(value, &mut bytes);
            }
            let decoded = decode(&bytes, &Limits::default());
            prop_assert_eq!(decoded, Decoded { values, damage: None });
        }

        #[test]
        fn any_bytes_decode_to_something_that_encodes(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            for decoded in [decode(&bytes, &Limits::default()), decode_amf3_message(&bytes, &Limits::default())] {
                let mut encoded = Vec::new();
                for value in &decoded.values {
                    encode(value, &mut encoded);
                }
                let again = decode(&encoded, &Limits::default());
                // Compared as text because NaN differs from itself.
                prop_assert_eq!(format!("{:?}", again.values), format!("{:?}", decoded.values));
            }
        }
    }
}
