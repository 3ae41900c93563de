//! Reads `multipart/form-data` (RFC 7578) as its bytes arrive. The body of the file is never kept.

use model::{Error, ErrorCode, Result};

const MAX_NAME_BYTES: usize = 8 * 1024;
const MAX_VALUE_BYTES: usize = 2 * 1024 * 1024;
const MAX_HEADER_BYTES: usize = 2 * MAX_NAME_BYTES;
/// Everything before the file.
const MAX_PRE_DATA_BYTES: usize = 20 * 1024 * 1024;
/// The same of a form that has not said yet who sends it.
const MAX_STRANGE_BYTES: usize = 64 * 1024;
/// RFC 2046 5.1.1.
const MAX_BOUNDARY_BYTES: usize = 70;

/// What a form turned out to contain, in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FormEvent {
    /// A field that is not the file.
    Field {
        /// Its name as sent.
        name: String,
        /// Its value.
        value: Vec<u8>,
    },
    /// The file begins. Everything after it is ignored.
    File {
        /// Its base name, without directories.
        filename: String,
        /// The `Content-Type` line of its part.
        content_type: Option<String>,
    },
    /// The next bytes of the file.
    Data(Vec<u8>),
    /// The file is complete.
    End,
}

#[derive(Debug, PartialEq, Eq)]
enum State {
    Preamble,
    AfterDelimiter,
    Headers,
    Value { name: String },
    File,
    Ended,
}

/// A form being read. Feed bytes, then take events until there are none; what is buffered is at most what was fed since
/// the last event, one value, and one boundary.
#[derive(Debug)]
pub struct FormReader {
    /// `CR LF -- boundary`.
    delimiter: Vec<u8>,
    buffer: Vec<u8>,
    /// Bytes of `buffer` that are done with.
    start: usize,
    /// Bytes after `start` that are known not to begin a delimiter.
    searched: usize,
    /// Bytes done with before the file.
    pre_data: usize,
    max_pre_data: usize,
    state: State,
}

fn malformed() -> Error {
    ErrorCode::MalformedPOSTRequest.into()
}

impl FormReader {
    /// A reader for a body with this `Content-Type`.
    ///
    /// # Errors
    /// `RequestIsNotMultiPartContent`.
    pub fn new(content_type: &str) -> Result<Self> {
        let not_multipart = || Error::new(ErrorCode::RequestIsNotMultiPartContent);
        let (kind, parameters) = content_type.split_once(';').ok_or_else(not_multipart)?;
        if !kind.trim().eq_ignore_ascii_case("multipart/form-data") {
            return Err(not_multipart());
        }
        let boundary = parameter(parameters, "boundary").ok_or_else(not_multipart)?;
        if boundary.is_empty() || boundary.len() > MAX_BOUNDARY_BYTES {
            return Err(not_multipart());
        }
        let delimiter = [b"\r\n--", boundary.as_bytes()].concat();
        // The first delimiter has no line break before it.
        Ok(Self {
            delimiter,
            buffer: b"\r\n".to_vec(),
            start: 0,
            searched: 0,
            pre_data: 0,
            max_pre_data: MAX_STRANGE_BYTES,
            state: State::Preamble,
        })
    }

    /// Allows the fields as many bytes as OSS does. Before, the form has 64 KiB to say who sends it: whoever keeps what
    /// strangers send keeps little.
    pub fn trust_sender(&mut self) {
        self.max_pre_data = MAX_PRE_DATA_BYTES;
    }

    /// Bytes that are kept here.
    pub fn buffered(&self) -> usize {
        self.buffer.len()
    }

    /// Takes bytes of the body.
    pub fn feed(&mut self, bytes: &[u8]) {
        self.buffer.drain(..self.start);
        self.start = 0;
        if self.state != State::Ended {
            self.buffer.extend_from_slice(bytes);
        }
    }

    /// The next thing that is complete. `None` asks for more bytes, or after [`FormEvent::End`] for nothing more.
    ///
    /// # Errors
    /// `MalformedPOSTRequest`, `FieldItemTooLong`, `MaxPOSTPreDataLengthExceededError`,
    /// `IncorrectNumberOfFilesInPOSTRequest`.
    pub fn next_event(&mut self) -> Result<Option<FormEvent>> {
        loop {
            match self.state {
                State::Preamble => {
                    let Some(at) = self.find_delimiter() else {
                        self.check_pre_data()?;
                        return Ok(None);
                    };
                    self.skip(at.saturating_add(self.delimiter.len()));
                    self.state = State::AfterDelimiter;
                }
                State::AfterDelimiter => match self.rest().get(..2) {
                    None => return Ok(None),
                    Some(b"--") => return Err(ErrorCode::IncorrectNumberOfFilesInPOSTRequest.into()),
                    Some(_) => self.state = State::Headers,
                },
                State::Headers => match find(self.rest(), b"\r\n\r\n", 0) {
                    Some(end) if end <= MAX_HEADER_BYTES => {
                        let event = self.enter_part(end)?;
                        if event.is_some() {
                            return Ok(event);
                        }
                    }
                    None if self.rest().len() <= MAX_HEADER_BYTES => return Ok(None),
                    _ => return Err(ErrorCode::FieldItemTooLong.into()),
                },
                State::Value { .. } => return self.read_value(),
                State::File => return Ok(self.read_file()),
                State::Ended => return Ok(None),
            }
        }
    }

    /// To be called when the body is over.
    ///
    /// # Errors
    /// `MalformedPOSTRequest` when it was cut. One that ends as it should but has no file is refused before.
    pub fn finish(&self) -> Result<()> {
        match self.state {
            State::Ended => Ok(()),
            _ => Err(malformed()),
        }
    }

    fn rest(&self) -> &[u8] {
        self.buffer.get(self.start..).unwrap_or_default()
    }

    fn skip(&mut self, count: usize) {
        let count = count.min(self.rest().len());
        self.start += count;
        self.searched = 0;
        self.pre_data = self.pre_data.saturating_add(count);
    }

    fn take(&mut self, count: usize) -> Vec<u8> {
        let taken = self.rest().get(..count).unwrap_or_default().to_vec();
        self.skip(count);
        taken
    }

    /// The position of the next delimiter; remembers how far it has looked.
    fn find_delimiter(&mut self) -> Option<usize> {
        let found = find(self.rest(), &self.delimiter, self.searched);
        if found.is_none() {
            self.searched = (self.rest().len() + 1).saturating_sub(self.delimiter.len());
        }
        found
    }

    fn check_pre_data(&self) -> Result<()> {
        if self.pre_data.saturating_add(self.rest().len().min(self.searched)) > self.max_pre_data {
            return Err(ErrorCode::MaxPOSTPreDataLengthExceededError.into());
        }
        Ok(())
    }

    /// Reads the headers of a part, which end at `end`. They begin with the line break of the delimiter's line.
    fn enter_part(&mut self, end: usize) -> Result<Option<FormEvent>> {
        let lines = String::from_utf8(self.take(end)).map_err(|_| malformed())?;
        self.skip(4);
        self.check_pre_data()?;
        let header = |wanted: &str| {
            let lines = lines.split("\r\n").filter_map(|line| line.split_once(':'));
            lines.map(|(name, value)| (name.trim(), value.trim())).find(|(name, _)| name.eq_ignore_ascii_case(wanted))
        };
        let (_, disposition) = header("content-disposition").ok_or_else(malformed)?;
        let (kind, parameters) = disposition.split_once(';').ok_or_else(malformed)?;
        if !kind.trim().eq_ignore_ascii_case("form-data") {
            return Err(malformed());
        }
        let name = parameter(parameters, "name").ok_or_else(malformed)?;
        if name.len() > MAX_NAME_BYTES {
            return Err(ErrorCode::FieldItemTooLong.into());
        }
        if !name.eq_ignore_ascii_case("file") {
            self.state = State::Value { name };
            return Ok(None);
        }
        let filename = parameter(parameters, "filename").unwrap_or_default();
        // Some browsers send the whole path.
        let filename = filename.rsplit(['/', '\\']).next().unwrap_or_default().to_owned();
        let content_type = header("content-type").map(|(_, text)| text.to_owned()).filter(|text| !text.is_empty());
        self.state = State::File;
        Ok(Some(FormEvent::File { filename, content_type }))
    }

    fn read_value(&mut self) -> Result<Option<FormEvent>> {
        let found = self.find_delimiter();
        if found.unwrap_or(self.searched) > MAX_VALUE_BYTES {
            return Err(ErrorCode::FieldItemTooLong.into());
        }
        self.check_pre_data()?;
        let Some(at) = found else { return Ok(None) };
        let value = self.take(at);
        self.skip(self.delimiter.len());
        self.check_pre_data()?;
        match std::mem::replace(&mut self.state, State::AfterDelimiter) {
            State::Value { name } => Ok(Some(FormEvent::Field { name, value })),
            _ => Err(malformed()),
        }
    }

    fn read_file(&mut self) -> Option<FormEvent> {
        match self.find_delimiter() {
            Some(0) => {
                self.state = State::Ended;
                self.buffer = Vec::new();
                self.start = 0;
                Some(FormEvent::End)
            }
            Some(at) => Some(FormEvent::Data(self.take(at))),
            None if self.searched > 0 => Some(FormEvent::Data(self.take(self.searched))),
            None => None,
        }
    }
}

fn find(haystack: &[u8], needle: &[u8], from: usize) -> Option<usize> {
    let first = *needle.first()?;
    let mut at = from;
    loop {
        at += haystack.get(at..)?.iter().position(|byte| *byte == first)?;
        if haystack.get(at..)?.starts_with(needle) {
            return Some(at);
        }
        at += 1;
    }
}

/// The value of `name=value` or `name="value"` among parameters separated by `;`. Browsers write a quote inside a value
/// as `%22` or `\"`, and leave backslashes of Windows paths alone.
fn parameter(parameters: &str, wanted: &str) -> Option<String> {
    let mut rest = parameters;
    loop {
        let (name, after) = rest.split_once('=')?;
        let after = after.trim_start();
        let (value, next) = match after.strip_prefix('"') {
            Some(quoted) => {
                let mut value = String::new();
                let mut characters = quoted.char_indices().peekable();
                let end = loop {
                    match characters.next()? {
                        (_, '\\') if characters.peek().is_some_and(|(_, next)| *next == '"') => {
                            characters.next();
                            value.push('"');
                        }
                        (at, '"') => break at,
                        (_, character) => value.push(character),
                    }
                };
                (value, quoted.get(end..)?.trim_start_matches('"'))
            }
            None => {
                let (value, next) = after.split_once(';').unwrap_or((after, ""));
                (value.trim().to_owned(), next)
            }
        };
        if name.trim_matches([' ', ';', '\t']).eq_ignore_ascii_case(wanted) {
            return Some(value);
        }
        rest = next;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const TYPE: &str = "multipart/form-data; boundary=\"b 1\"";

    fn part(disposition: &str, value: &str) -> String {
        format!("--b 1\r\nContent-Disposition: form-data; {disposition}\r\n\r\n{value}\r\n")
    }

    fn read(body: &[u8], chunk: usize) -> Result<Vec<FormEvent>> {
        let mut reader = FormReader::new(TYPE)?;
        reader.trust_sender();
        let mut events: Vec<FormEvent> = Vec::new();
        for bytes in body.chunks(chunk.max(1)) {
            reader.feed(bytes);
            while let Some(event) = reader.next_event()? {
                match (events.last_mut(), event) {
                    (Some(FormEvent::Data(earlier)), FormEvent::Data(more)) => earlier.extend(more),
                    (_, event) => events.push(event),
                }
            }
        }
        reader.finish()?;
        Ok(events)
    }

    fn check(body: &str, expected: Result<Vec<FormEvent>, ErrorCode>) {
        for chunk in [1, 2, 7, body.len()] {
            let found = read(body.as_bytes(), chunk).map_err(|error| error.code);
            assert_eq!(found, expected, "{chunk} {body}");
        }
    }

    fn field(name: &str, value: &str) -> FormEvent {
        FormEvent::Field { name: name.into(), value: value.into() }
    }

    #[test]
    fn forms_are_read_in_any_pieces() {
        let file = |content_type: Option<&str>| FormEvent::File {
            filename: "a\".jpg".into(),
            content_type: content_type.map(str::to_owned),
        };
        let body = format!(
            "preamble\r\n{}{}--b 1  \r\ncontent-type: image/jpeg\r\ncontent-disposition: form-data; name=\"File\"; \
             filename=\"C:\\x/a\\\".jpg\"\r\n\r\nJPEG\r\n--b2\r\n\r\n--b 1\r\nignored",
            part("name=\"key\"", "upload/${filename}"),
            part("name=x:empty", ""),
        );
        let expected = vec![
            field("key", "upload/${filename}"),
            field("x:empty", ""),
            file(Some("image/jpeg")),
            FormEvent::Data(b"JPEG\r\n--b2\r\n".to_vec()),
            FormEvent::End,
        ];
        check(&body, Ok(expected));
        let body = format!("{}--b 1--\r\n", part("filename=\"a\\\".jpg\"; name=\"file\"", ""));
        check(&body, Ok(vec![file(None), FormEvent::End]));
    }

    #[test]
    fn broken_forms_are_refused() {
        let no_file = Err(ErrorCode::IncorrectNumberOfFilesInPOSTRequest);
        check(&format!("{}--b 1--\r\n", part("name=key", "k")), no_file);
        check("", Err(ErrorCode::MalformedPOSTRequest));
        check("--other\r\n", Err(ErrorCode::MalformedPOSTRequest));
        check(&part("name=key", "k"), Err(ErrorCode::MalformedPOSTRequest));
        check(&part("nam=key", "k"), Err(ErrorCode::MalformedPOSTRequest));
        check("--b 1\r\nx: y\r\n\r\n", Err(ErrorCode::MalformedPOSTRequest));
        check("--b 1\r\nContent-Disposition: form-data; name=file\r\n\r\ncut", Err(ErrorCode::MalformedPOSTRequest));
        check("--b 1\r\nContent-Disposition: inline; name=a\r\n\r\n", Err(ErrorCode::MalformedPOSTRequest));
    }

    #[test]
    fn everything_before_the_file_is_bounded() {
        let code = |body: String| read(body.as_bytes(), 65_536).err().map(|error| error.code);
        let long = Some(ErrorCode::FieldItemTooLong);
        assert_eq!(code(part(&format!("name={}", "n".repeat(MAX_NAME_BYTES + 1)), "")), long);
        assert_eq!(code(format!("--b 1\r\n{}", "h".repeat(MAX_HEADER_BYTES))), long);
        assert_eq!(code(part("name=a", &"v".repeat(MAX_VALUE_BYTES + 1)) + "--b 1"), long);
        let ten = part("name=a", &"v".repeat(MAX_VALUE_BYTES)).repeat(10);
        assert_eq!(code(ten), Some(ErrorCode::MaxPOSTPreDataLengthExceededError));
        let preamble = "p".repeat(MAX_PRE_DATA_BYTES + 100);
        assert_eq!(code(preamble), Some(ErrorCode::MaxPOSTPreDataLengthExceededError));
    }

    #[test]
    fn strangers_have_room_for_little() {
        let body = part("name=a", &"v".repeat(MAX_STRANGE_BYTES / 4)).repeat(4);
        for piece in [100, 10_000, body.len()] {
            for (is_trusted, fault) in [(false, Some(ErrorCode::MaxPOSTPreDataLengthExceededError)), (true, None)] {
                let mut reader = FormReader::new(TYPE).unwrap();
                if is_trusted {
                    reader.trust_sender();
                }
                let mut most = 0;
                let outcome = body.as_bytes().chunks(piece).try_for_each(|bytes| {
                    reader.feed(bytes);
                    most = most.max(reader.buffered());
                    while reader.next_event()?.is_some() {}
                    Ok::<_, Error>(())
                });
                assert_eq!(outcome.err().map(|error| error.code), fault);
                assert!(most <= MAX_STRANGE_BYTES + piece);
            }
        }
    }

    #[test]
    fn only_forms_are_read() {
        for (content_type, ok) in [
            ("multipart/form-data; boundary=b", true),
            ("Multipart/Form-Data;charset=utf-8; boundary=b", true),
            ("multipart/form-data", false),
            ("multipart/form-data; boundary=", false),
            ("application/x-www-form-urlencoded; boundary=b", false),
            (&format!("multipart/form-data; boundary={}", "b".repeat(71)), false),
        ] {
            assert_eq!(FormReader::new(content_type).is_ok(), ok, "{content_type}");
        }
    }

    proptest! {
        #[test]
        fn any_split_gives_the_same_events(
            body in "(--b 1|\r\n|-|--|Content-Disposition: form-data; name=(file|a)|\"|x){0,30}",
            chunk in 1usize..20,
        ) {
            let whole = read(body.as_bytes(), body.len()).map_err(|error| error.code);
            prop_assert_eq!(read(body.as_bytes(), chunk).map_err(|error| error.code), whole);
        }

        #[test]
        fn any_content_survives(content: Vec<u8>, chunk in 1usize..50) {
            prop_assume!(find(&content, b"\r\n--b 1", 0).is_none());
            let mut body = b"--b 1\r\nContent-Disposition: form-data; name=file\r\n\r\n".to_vec();
            body.extend(&content);
            body.extend(b"\r\n--b 1--");
            let events = read(&body, chunk).unwrap();
            let found: Vec<u8> = events.into_iter().filter_map(|e| match e { FormEvent::Data(d) => Some(d), _ => None }).flatten().collect();
            prop_assert_eq!(found, content);
        }

        #[test]
        fn any_content_type_is_a_form_or_not(text: String, parameters in "[;=\" a\\\\]{0,20}") {
            let _ = (FormReader::new(&text), FormReader::new(&format!("multipart/form-data;{parameters}")));
        }
    }
}
