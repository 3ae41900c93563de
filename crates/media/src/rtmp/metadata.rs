//! The facts of `onMetaData`: hints for people, never needed for the media itself (quirk Q7).

use super::amf0::Value;

/// A codec as metadata names it.
#[derive(Clone, Debug, PartialEq)]
pub enum CodecName {
    /// An FLV codec id, or a FourCC as number in Enhanced RTMP.
    Id(u32),
    /// A FourCC or a name.
    Name(String),
}

/// What `onMetaData` says. Everything is optional and nothing is checked against the media.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Metadata {
    /// In pixels.
    pub width: Option<u32>,
    /// In pixels.
    pub height: Option<u32>,
    /// In pictures per second.
    pub frame_rate: Option<f64>,
    /// The video codec.
    pub video_codec: Option<CodecName>,
    /// The audio codec.
    pub audio_codec: Option<CodecName>,
    /// In Hz.
    pub audio_sample_rate: Option<u32>,
    /// In kbit/s.
    pub video_data_rate: Option<f64>,
    /// In kbit/s.
    pub audio_data_rate: Option<f64>,
    /// The software that sends, at most 256 bytes of it.
    pub encoder: Option<String>,
}

impl Metadata {
    /// Reads the values of a data message: `onMetaData` alone or behind `@setDataFrame`. `None` when it is other data.
    pub fn parse(values: &[Value]) -> Option<Self> {
        let values = match values {
            [Value::String(name), rest @ ..] if name == "@setDataFrame" => rest,
            whole => whole,
        };
        let [Value::String(name), facts @ ..] = values else { return None };
        if name != "onMetaData" {
            return None;
        }
        let facts = facts.iter().find(|value| value.members().is_some());
        let member = |name| facts.and_then(|facts| facts.member(name));
        Some(Self {
            width: whole(member("width")),
            height: whole(member("height")),
            frame_rate: positive(member("framerate")).or_else(|| positive(member("fps"))),
            video_codec: codec(member("videocodecid")),
            audio_codec: codec(member("audiocodecid")),
            audio_sample_rate: whole(member("audiosamplerate")),
            video_data_rate: positive(member("videodatarate")),
            audio_data_rate: positive(member("audiodatarate")),
            encoder: member("encoder").and_then(Value::as_str).map(|name| {
                let name: String = name.chars().filter(|char| !char.is_control()).collect();
                name.get(..name.floor_char_boundary(256)).unwrap_or_default().to_owned()
            }),
        })
    }
}

/// A positive number; some encoders send numbers as text.
fn positive(value: Option<&Value>) -> Option<f64> {
    let number = match value? {
        Value::Number(number) => *number,
        Value::String(text) => text.trim().parse().ok()?,
        _ => return None,
    };
    (number.is_finite() && number > 0.0).then_some(number)
}

fn whole(value: Option<&Value>) -> Option<u32> {
    let number = positive(value)?.round();
    // The cast is exact within these bounds.
    (number <= f64::from(u32::MAX)).then_some(number as u32)
}

fn codec(value: Option<&Value>) -> Option<CodecName> {
    match value? {
        Value::String(name) => {
            Some(CodecName::Name(name.get(..name.floor_char_boundary(32)).unwrap_or_default().to_owned()))
        }
        // 0 is uncompressed audio, so it is a codec too.
        Value::Number(0.0) => Some(CodecName::Id(0)),
        number => whole(Some(number)).map(CodecName::Id),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts() -> Vec<(String, Value)> {
        let Value::Object(members) = Value::object([
            ("width", Value::Number(1920.0)),
            ("height", Value::string("1080")),
            ("framerate", Value::Number(29.97)),
            ("videocodecid", Value::string("avc1")),
            ("audiocodecid", Value::Number(10.0)),
            ("audiosamplerate", Value::Number(-1.0)),
            ("videodatarate", Value::Number(f64::NAN)),
            ("encoder", Value::string("obs\n-output")),
        ]) else {
            unreachable!("object makes an object")
        };
        members
    }

    fn check(values: &[Value], known: bool) {
        let expected = Metadata {
            width: Some(1920),
            height: Some(1080),
            frame_rate: Some(29.97),
            video_codec: Some(CodecName::Name("avc1".to_owned())),
            audio_codec: Some(CodecName::Id(10)),
            encoder: Some("obs-output".to_owned()),
            ..Metadata::default()
        };
        assert_eq!(Metadata::parse(values), known.then_some(expected));
    }

    #[test]
    fn q07_metadata_comes_in_several_forms() {
        let (set, on) = (Value::string("@setDataFrame"), Value::string("onMetaData"));
        check(&[set.clone(), on.clone(), Value::EcmaArray(facts())], true);
        check(&[on.clone(), Value::Object(facts())], true);
        check(&[on.clone(), Value::Null, Value::TypedObject("x".to_owned(), facts())], true);
        check(&[set.clone(), Value::string("onTextData"), Value::Object(facts())], false);
        check(&[Value::Object(facts())], false);
        check(&[set], false);
        assert_eq!(Metadata::parse(&[on]), Some(Metadata::default()));
    }
}
