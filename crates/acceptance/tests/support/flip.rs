//! Requests with one byte changed.

use super::Request;

/// Change it to look elsewhere; what fails is printed with its request.
pub(crate) const SEED: u64 = 0x5eed_0001;

/// A small generator: the same flips in every run.
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 >> 16).unwrap() % bound
    }

    /// Another byte: one bit away, or any.
    pub(crate) fn other(&mut self, byte: u8) -> u8 {
        let changed =
            if self.below(2) == 0 { byte ^ (1 << self.below(7)) } else { u8::try_from(self.below(127)).unwrap() };
        if changed == byte { byte ^ 1 } else { changed }
    }
}

/// A part of a request that its signature covers.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Part {
    Method,
    Path,
    Query,
    Header(usize),
    /// The body, of which these bytes are covered.
    Body(usize, usize),
}

pub(crate) struct Case {
    pub(crate) name: &'static str,
    pub(crate) request: Request,
    pub(crate) parts: Vec<Part>,
}

impl Case {
    /// Everything but the body is covered.
    pub(crate) fn new(name: &'static str, request: Request) -> Self {
        let mut parts = vec![Part::Method, Part::Path];
        parts.extend((!request.query.is_empty()).then_some(Part::Query));
        parts.extend((0..request.headers.len()).map(Part::Header));
        Self { name, request, parts }
    }

    pub(crate) fn with_body(mut self) -> Self {
        self.parts.push(Part::Body(0, self.request.body.len()));
        self
    }
}

pub(crate) fn text(request: &mut Request, part: Part) -> &mut String {
    match part {
        Part::Method => &mut request.method,
        Part::Path => &mut request.path,
        Part::Query => &mut request.query,
        Part::Header(index) => &mut request.headers[index].1,
        Part::Body(..) => unreachable!("a body is bytes"),
    }
}

pub(crate) fn flip(request: &Request, part: Part, random: &mut Random) -> Request {
    let mut changed = request.clone();
    if let Part::Body(start, end) = part {
        let at = start + random.below(end - start);
        changed.body[at] = random.other(changed.body[at]);
        return changed;
    }
    let text = text(&mut changed, part);
    let mut bytes = text.clone().into_bytes();
    let at = random.below(bytes.len());
    // A line end or, in the request line, a space would begin another part of the request.
    let ends = |byte: u8| matches!(byte, b'\r' | b'\n') || byte == b' ' && !matches!(part, Part::Header(_));
    bytes[at] = loop {
        let byte = random.other(bytes[at]);
        if !ends(byte) {
            break byte;
        }
    };
    *text = String::from_utf8(bytes).unwrap();
    changed
}
