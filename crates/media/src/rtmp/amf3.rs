//! As much of AMF3 as commands need (Action Message Format, AMF 3 specification), for encoders that speak it (quirk Q3).
//!
//! References to earlier strings and classes are followed; a reference to an earlier object reads as undefined, so that
//! a short message cannot stand for a large one.

use super::amf0::{AmfError, Decoder, Value};

/// The marker of an AMF3 string.
pub(super) const STRING_MARKER: u8 = 0x06;

/// The strings and classes that later values of the same message may refer to.
#[derive(Default)]
pub(super) struct Tables {
    strings: Vec<String>,
    classes: Vec<Class>,
    spent: usize,
}

#[derive(Clone)]
struct Class {
    members: Vec<String>,
    dynamic: bool,
}

/// How many bytes references may add to a message altogether.
const REFERENCE_BUDGET: usize = 64 << 10;

/// Reads one AMF3 value.
pub(super) fn value(decoder: &mut Decoder<'_>, tables: &mut Tables, depth: usize) -> Option<Value> {
    decoder.admit(depth)?;
    let offset = decoder.reader.offset();
    let marker = decoder.reader.u8();
    match decoder.note(marker)? {
        0x00 => Some(Value::Undefined),
        0x01 => Some(Value::Null),
        0x02 => Some(Value::Boolean(false)),
        0x03 => Some(Value::Boolean(true)),
        0x04 => {
            let bits = u29(decoder)?;
            // The integer is signed in 29 bits.
            Some(Value::Number(f64::from((bits << 3).cast_signed() >> 3)))
        }
        0x05 => {
            let number = decoder.reader.f64();
            decoder.note(number).map(Value::Number)
        }
        STRING_MARKER => string(decoder, tables).map(Value::String),
        0x07 | 0x0b => match inline_length(decoder)? {
            Some(length) => decoder.text(length).map(Value::Xml),
            None => Some(Value::Undefined),
        },
        0x08 => match inline_length(decoder)? {
            Some(_) => {
                let time = decoder.reader.f64();
                decoder.note(time).map(|time| Value::Date(time, 0))
            }
            None => Some(Value::Undefined),
        },
        0x09 => array(decoder, tables, depth),
        0x0a => object(decoder, tables, depth),
        0x0c => {
            if let Some(length) = inline_length(decoder)? {
                let skipped = decoder.reader.skip(length);
                decoder.note(skipped)?;
            }
            Some(Value::Unsupported)
        }
        marker => decoder.note(Err(AmfError::UnknownMarker { marker, offset })),
    }
}

/// Reads one to four bytes of seven bits each, the last of eight.
fn u29(decoder: &mut Decoder<'_>) -> Option<u32> {
    let mut bits = 0;
    for index in 0..4 {
        let byte = decoder.reader.u8();
        let byte = u32::from(decoder.note(byte)?);
        if index == 3 {
            return Some(bits << 8 | byte);
        }
        bits = bits << 7 | byte & 0x7f;
        if byte & 0x80 == 0 {
            break;
        }
    }
    Some(bits)
}

/// Reads the head of a value that may be a reference: its length, or `None` for a reference.
fn inline_length(decoder: &mut Decoder<'_>) -> Option<Option<usize>> {
    let head = u29(decoder)?;
    Some((head & 1 == 1).then_some((head >> 1) as usize))
}

fn string(decoder: &mut Decoder<'_>, tables: &mut Tables) -> Option<String> {
    let offset = decoder.reader.offset();
    let head = u29(decoder)?;
    let length = (head >> 1) as usize;
    if head & 1 == 1 {
        let text = decoder.text(length)?;
        // The empty string is never put into the table.
        if !text.is_empty() {
            tables.strings.push(text.clone());
        }
        return Some(text);
    }
    let text = tables.strings.get(length).cloned();
    tables.spent += text.as_ref().map_or(0, String::len);
    if tables.spent > REFERENCE_BUDGET {
        return decoder.note(Err(AmfError::TooMany { limit: REFERENCE_BUDGET }));
    }
    decoder.note(text.ok_or(AmfError::Unreadable { offset }))
}

fn array(decoder: &mut Decoder<'_>, tables: &mut Tables, depth: usize) -> Option<Value> {
    let Some(count) = inline_length(decoder)? else { return Some(Value::Undefined) };
    let members = named_members(decoder, tables, depth);
    let mut items = Vec::new();
    for _ in 0..count {
        if decoder.damage.is_some() {
            break;
        }
        let Some(item) = value(decoder, tables, depth + 1) else { break };
        items.push(item);
    }
    if members.is_empty() {
        return Some(Value::StrictArray(items));
    }
    let indexed = items.into_iter().enumerate().map(|(index, item)| (index.to_string(), item));
    Some(Value::EcmaArray(members.into_iter().chain(indexed).collect()))
}

fn object(decoder: &mut Decoder<'_>, tables: &mut Tables, depth: usize) -> Option<Value> {
    let offset = decoder.reader.offset();
    let head = u29(decoder)?;
    if head & 1 == 0 {
        return Some(Value::Undefined);
    }
    let class = if head & 2 == 0 {
        let class = tables.classes.get((head >> 2) as usize).cloned();
        tables.spent += class.as_ref().map_or(0, |class| class.members.iter().map(String::len).sum());
        if tables.spent > REFERENCE_BUDGET {
            return decoder.note(Err(AmfError::TooMany { limit: REFERENCE_BUDGET }));
        }
        decoder.note(class.ok_or(AmfError::Unreadable { offset }))?
    } else if head & 4 != 0 {
        // An externalizable class has a format of its own, which only its code knows.
        return decoder.note(Err(AmfError::Unreadable { offset }));
    } else {
        string(decoder, tables)?;
        let mut members = Vec::new();
        for _ in 0..head >> 4 {
            decoder.admit(depth)?;
            members.push(string(decoder, tables)?);
        }
        let class = Class { members, dynamic: head & 8 != 0 };
        tables.classes.push(class.clone());
        class
    };
    let mut members = Vec::new();
    for name in class.members {
        if decoder.damage.is_some() {
            break;
        }
        let Some(value) = value(decoder, tables, depth + 1) else { break };
        members.push((name, value));
    }
    if class.dynamic && decoder.damage.is_none() {
        members.extend(named_members(decoder, tables, depth));
    }
    Some(Value::Object(members))
}

/// Reads names and values up to the empty name.
fn named_members(decoder: &mut Decoder<'_>, tables: &mut Tables, depth: usize) -> Vec<(String, Value)> {
    let mut members = Vec::new();
    while decoder.damage.is_none() {
        match string(decoder, tables) {
            Some(name) if !name.is_empty() => {
                let Some(value) = value(decoder, tables, depth + 1) else { break };
                members.push((name, value));
            }
            _ => break,
        }
    }
    members
}

#[cfg(test)]
mod tests {
    use super::super::amf0::decode_amf3_message;
    use super::super::limits::Limits;
    use super::*;

    fn check(payload: &[u8], values: &[Value], damaged: bool) {
        let decoded = decode_amf3_message(payload, &Limits::default());
        assert_eq!((decoded.values.as_slice(), decoded.damage.is_some()), (values, damaged), "{:?}", decoded.damage);
    }

    #[test]
    fn q03_amf0_inside_type_17() {
        let values = [Value::string("connect"), Value::Number(1.0)];
        let amf0 = b"\x02\x00\x07connect\x00\x3f\xf0\x00\x00\x00\x00\x00\x00";
        check(&[b"\x00", amf0.as_slice()].concat(), &values, false);
        check(amf0, &values, false);
    }

    #[test]
    fn q03_amf3_scalars() {
        check(
            b"\x06\x0fconnect\x04\x01\x05\x3f\xf0\x00\x00\x00\x00\x00\x00\x00\x01\x02\x03\x06\x00\x06\x01",
            &[
                Value::string("connect"),
                Value::Number(1.0),
                Value::Number(1.0),
                Value::Undefined,
                Value::Null,
                Value::Boolean(false),
                Value::Boolean(true),
                Value::string("connect"),
                Value::string(""),
            ],
            false,
        );
        check(b"\x06\x01\x04\xff\xff\xff\xff", &[Value::string(""), Value::Number(-1.0)], false);
        check(b"\x06\x01\x04\xff\xff\x7f", &[Value::string(""), Value::Number(2_097_151.0)], false);
    }

    #[test]
    fn q03_amf3_value_inside_amf0() {
        check(b"\x00\x02\x00\x01a\x11\x04\x05\x05", &[Value::string("a"), Value::Number(5.0), Value::Null], false);
    }

    #[test]
    fn q03_amf3_objects_and_arrays() {
        // A dynamic object of class "" with the sealed member app, then the same class again by reference.
        let payload = b"\x06\x03c\x0a\x1b\x01\x07app\x06\x09live\x03k\x03\x01\x0a\x01\x06\x02\x01";
        check(
            payload,
            &[
                Value::string("c"),
                Value::object([("app", Value::string("live")), ("k", Value::Boolean(true))]),
                Value::object([("app", Value::string("app"))]),
            ],
            false,
        );
        check(
            b"\x06\x03c\x09\x05\x01\x02\x03",
            &[Value::string("c"), Value::StrictArray(vec![Value::Boolean(false), Value::Boolean(true)])],
            false,
        );
    }

    #[test]
    fn damage_is_found() {
        check(b"\x06\x03c\x06\x04", &[Value::string("c")], true);
        check(b"\x06\x03c\x0a\x07\x01", &[Value::string("c")], true);
        check(b"\x06\x03c\x0d", &[Value::string("c")], true);
        check(b"\x06\x0fcon", &[], true);
    }

    #[test]
    fn references_cannot_blow_up_a_message() {
        // One string of 8191 bytes, then references to it.
        let mut payload = b"\x06\xff\x7f".to_vec();
        payload.extend(vec![b'x'; 8191]);
        payload.extend(b"\x06\x00".repeat(4000));
        let decoded = decode_amf3_message(&payload, &Limits::default());
        assert_eq!(decoded.damage, Some(AmfError::TooMany { limit: REFERENCE_BUDGET }));
        assert!(decoded.values.len() < 12);
    }
}
