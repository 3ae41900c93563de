//! Commands: what a client asks for, and the words of our answers (RTMP 1.0, section 7.2).

use super::amf0::{self, Value};
use super::limits::Limits;
use super::target::{PublishTarget, TargetError};

/// A command message: its name, its transaction and the values that follow.
#[derive(Clone, Debug, PartialEq)]
pub struct Command {
    /// What is asked.
    pub name: String,
    /// The number under which an answer is expected; 0 when none is.
    pub transaction: f64,
    /// The command object, then the arguments.
    pub values: Vec<Value>,
}

impl Command {
    /// A command with its command object and arguments.
    pub fn new(name: &str, transaction: f64, values: impl Into<Vec<Value>>) -> Self {
        Self { name: name.to_owned(), transaction, values: values.into() }
    }

    /// Reads the body of a command message; `is_amf3` for type 17. The flag tells whether it was damaged behind what was
    /// read. `None` when there is not even a name.
    pub fn parse(payload: &[u8], is_amf3: bool, limits: &Limits) -> Option<(Self, bool)> {
        let decoded = match is_amf3 {
            true => amf0::decode_amf3_message(payload, limits),
            false => amf0::decode(payload, limits),
        };
        let mut values = decoded.values.into_iter();
        let Some(Value::String(name)) = values.next() else { return None };
        let mut transaction = 0.0;
        let mut rest: Vec<_> = values.collect();
        if let Some(number) = rest.first().and_then(Value::as_number) {
            transaction = number;
            rest.remove(0);
        }
        Some((Self { name, transaction, values: rest }, decoded.damage.is_some()))
    }

    /// The body of a command message of type 20.
    pub fn encode(&self) -> Vec<u8> {
        let mut body = Vec::new();
        amf0::encode(&Value::string(self.name.as_str()), &mut body);
        amf0::encode(&Value::Number(self.transaction), &mut body);
        for value in &self.values {
            amf0::encode(value, &mut body);
        }
        body
    }

    /// The text of the argument at `index`, where 0 is the one after the command object.
    pub fn text(&self, index: usize) -> Option<&str> {
        self.values.get(index + 1).and_then(Value::as_str)
    }

    /// The number of the argument at `index`.
    pub fn number(&self, index: usize) -> Option<f64> {
        self.values.get(index + 1).and_then(Value::as_number)
    }

    /// A string member of the info object, the argument after the command object.
    pub fn info(&self, name: &str) -> Option<&str> {
        self.values.iter().rev().find_map(|value| value.member(name)).and_then(Value::as_str)
    }
}

/// What a client said in `connect`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ConnectRequest {
    /// The application as sent, without its trailing slashes; when it was missing, the path of `tc_url`.
    pub app: String,
    /// The URL of the application as sent; empty when it was missing.
    pub tc_url: String,
    /// How the client names itself.
    pub flash_version: Option<String>,
    /// 0 for AMF0, 3 for AMF3. We always answer in AMF0.
    pub object_encoding: Option<f64>,
    /// Whether it knows what to do with a `ReconnectRequest` (Enhanced RTMP v2, `capsEx`).
    pub can_reconnect: bool,
}

/// The bit of `capsEx` that stands for `ReconnectRequest`.
const CAPS_RECONNECT: u32 = 1;

impl ConnectRequest {
    /// Reads the command object of `connect`.
    pub(super) fn new(command: &Command) -> Self {
        let text = |name| command.values.first().and_then(|object| object.member(name)).and_then(Value::as_str);
        let tc_url = text("tcUrl").unwrap_or_default().to_owned();
        let app = match text("app").map(|app| app.trim_end_matches('/')) {
            Some(app) if !app.is_empty() => app.to_owned(),
            _ => path_of(&tc_url).trim_end_matches('/').to_owned(),
        };
        let number = |name| command.values.first().and_then(|object| object.member(name)).and_then(Value::as_number);
        // What is no number of bits has none: the conversion saturates, and NaN is 0.
        let can_reconnect = number("capsEx").is_some_and(|caps| caps as u32 & CAPS_RECONNECT != 0);
        let object_encoding = number("objectEncoding");
        Self { app, tc_url, flash_version: text("flashVer").map(str::to_owned), object_encoding, can_reconnect }
    }

    /// Why the connection cannot lead to a publish, if so (LiveChannel 3.9).
    pub(super) fn objection(&self, limits: &Limits) -> Option<&'static str> {
        if self.app.len() > limits.max_name || self.tc_url.len() > limits.max_name {
            return Some("app and tcUrl are limited in length");
        }
        let path = self.app.split('?').next().unwrap_or_default();
        match path.split('/').any(|segment| segment == "live") {
            true => None,
            false => Some("the application is live, or bucket/live"),
        }
    }
}

/// The path of a URL with its query, without the slash before it.
fn path_of(url: &str) -> &str {
    let rest = url.split_once("://").map_or("", |(_, rest)| rest);
    rest.split_once('/').map_or("", |(_, path)| path)
}

/// A `publish` that waits for its answer.
#[derive(Clone, Debug, PartialEq)]
pub struct PublishRequest {
    /// `app` of `connect`.
    pub app: String,
    /// `tcUrl` of `connect`.
    pub tc_url: String,
    /// The publish name as sent, with its query. It may be empty when all is in `app`.
    pub name: String,
    /// `live`, `record`, `append` or anything; it has no effect (quirk Q6).
    pub publish_type: Option<String>,
    /// The message stream of the publish.
    pub stream_id: u32,
    /// The transaction of the command.
    pub transaction: f64,
    /// How the client names itself.
    pub flash_version: Option<String>,
}

impl PublishRequest {
    /// What it wants to publish to (LiveChannel 3.8).
    pub fn target(&self) -> Result<PublishTarget, TargetError> {
        PublishTarget::parse(&self.app, &self.tc_url, &self.name)
    }
}

/// The class of a refusal, which encoders show in words of their own (LiveChannel 3.9).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RefusalCode {
    /// The name is wrong, unknown or taken.
    BadName,
    /// The client may not publish.
    Denied,
}

impl RefusalCode {
    /// The `code` of the status.
    pub fn code(self) -> &'static str {
        match self {
            Self::BadName => "NetStream.Publish.BadName",
            Self::Denied => "NetStream.Publish.Denied",
        }
    }
}

/// Why a publish is refused or ended, in the form that the peer gets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// Its class.
    pub code: RefusalCode,
    /// The text shown to people: `{Code}: {Message} (EC={ec}, RequestId={id})`.
    pub description: String,
    /// The channel.
    pub details: String,
}

/// A text that no encoder takes for the start of an authentication (LiveChannel 3.9), at most 1000 bytes long.
fn plain_text(text: &str) -> String {
    let text = text.get(..text.floor_char_boundary(1000)).unwrap_or_default();
    text.replace("authmod=", "authmod ").replace("code=403", "code 403")
}

/// The status that a stream gets (RTMP 1.0, section 7.2.2).
pub(super) fn on_status(level: &str, code: &str, description: &str, details: &str) -> Command {
    let info = Value::object([
        ("level", Value::string(level)),
        ("code", Value::string(code)),
        ("description", Value::string(plain_text(description))),
        ("details", Value::string(plain_text(details))),
    ]);
    Command::new("onStatus", 0.0, [Value::Null, info])
}

/// The answer to a command that needs nothing but an answer.
pub(super) fn empty_result(transaction: f64) -> Command {
    Command::new("_result", transaction, [Value::Null, Value::Null])
}

/// The answer to a `connect` that may go on.
pub(super) fn connected(transaction: f64) -> Command {
    let properties =
        Value::object([("fmsVer", Value::string("FMS/3,5,7,7009")), ("capabilities", Value::Number(31.0))]);
    let info = Value::object([
        ("level", Value::string("status")),
        ("code", Value::string("NetConnection.Connect.Success")),
        ("description", Value::string("Connection succeeded.")),
        ("objectEncoding", Value::Number(0.0)),
    ]);
    Command::new("_result", transaction, [properties, info])
}

/// The answer to a `connect` that leads nowhere.
pub(super) fn connect_rejected(transaction: f64, description: &str) -> Command {
    let info = Value::object([
        ("level", Value::string("error")),
        ("code", Value::string("NetConnection.Connect.Rejected")),
        ("description", Value::string(plain_text(description))),
    ]);
    Command::new("_error", transaction, [Value::Null, info])
}

/// The call that FMLE and some hardware wait for after `FCPublish` and `FCUnpublish`, with the transaction they sent
/// (quirk Q5).
pub(super) fn fc_answer(name: &str, transaction: f64, code: &str, stream: &str) -> Command {
    let info = Value::object([
        ("level", Value::string("status")),
        ("code", Value::string(code)),
        ("description", Value::string(plain_text(stream))),
    ]);
    Command::new(name, transaction, [Value::Null, info])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn connect(members: &[(&str, Value)]) -> ConnectRequest {
        let members = members.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect();
        ConnectRequest::new(&Command::new("connect", 1.0, [Value::Object(members)]))
    }

    #[test]
    fn commands_read_back() {
        let command = Command::new("publish", 5.0, [Value::Null, Value::string("name"), Value::Number(2.0)]);
        let (read, is_damaged) = Command::parse(&command.encode(), false, &Limits::default()).unwrap();
        assert_eq!((&read, is_damaged), (&command, false));
        assert_eq!((read.text(0), read.number(1), read.text(1)), (Some("name"), Some(2.0), None));

        let mut wrapped = vec![0];
        wrapped.extend(command.encode());
        assert_eq!(Command::parse(&wrapped, true, &Limits::default()), Some((command, false)));
    }

    #[test]
    fn q05_a_transaction_may_be_missing() {
        let (read, _) = Command::parse(b"\x02\x00\x01a\x05\x02\x00\x01n", false, &Limits::default()).unwrap();
        assert_eq!((read.transaction, read.text(0)), (0.0, Some("n")));
        assert_eq!(Command::parse(b"\x05", false, &Limits::default()), None);
        assert_eq!(Command::parse(b"", false, &Limits::default()), None);
    }

    #[test]
    fn connect_takes_the_application_from_where_it_is() {
        let url = ("tcUrl", Value::string("rtmp://h:1935/b/live/?x=1"));
        assert_eq!(connect(&[("app", Value::string("live/")), url.clone()]).app, "live");
        assert_eq!(connect(std::slice::from_ref(&url)).app, "b/live/?x=1");
        assert_eq!(connect(&[("app", Value::string("")), url]).app, "b/live/?x=1");
        assert_eq!(connect(&[]).app, "");
    }

    #[test]
    fn connect_needs_the_word_live() {
        let objection = |app: &str| connect(&[("app", Value::string(app))]).objection(&Limits::default());
        for app in ["live", "bucket/live", "live/chan?Signature=ab", "live?vhost=b"] {
            assert_eq!(objection(app), None, "{app}");
        }
        for app in ["", "alive", "bucket?x=/live", "vod/livestream"] {
            assert!(objection(app).is_some(), "{app}");
        }
        assert!(objection(&format!("live/{}", "x".repeat(4096))).is_some());
    }

    #[test]
    fn a_status_never_starts_an_authentication() {
        let status = on_status("error", "c", "AccessDenied: authmod=adobe code=403 need auth", &"x".repeat(2000));
        let body = String::from_utf8_lossy(&status.encode()).into_owned();
        assert!(body.contains("AccessDenied"));
        assert!(!body.contains("authmod=") && !body.contains("code=403 need auth"));
        assert_eq!(status.info("details").map(str::len), Some(1000));
    }
}
