//! What a look at an engine came to, one line for each thing that was tried.

use std::fmt;

/// How something is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// As it has to be.
    Good,
    /// Servers must not be run on it.
    Bad,
    /// To be known, and nothing that servers rely on.
    Note,
}

/// One thing that was tried.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// What was tried.
    pub what: &'static str,
    /// How it is.
    pub verdict: Verdict,
    /// What was seen, for people.
    pub text: String,
}

impl Seen {
    pub(crate) fn good(what: &'static str, text: impl Into<String>) -> Self {
        Self { what, verdict: Verdict::Good, text: text.into() }
    }

    pub(crate) fn bad(what: &'static str, text: impl Into<String>) -> Self {
        Self { what, verdict: Verdict::Bad, text: text.into() }
    }

    pub(crate) fn note(what: &'static str, text: impl Into<String>) -> Self {
        Self { what, verdict: Verdict::Note, text: text.into() }
    }

    /// How far another clock is ahead of ours.
    pub(crate) fn clock(ahead_ms: i64, most_ms: i64) -> Self {
        let seconds = ahead_ms.unsigned_abs() as f64 / 1000.0;
        let way = if ahead_ms < 0 { "behind" } else { "ahead of" };
        let text = format!("{seconds:.1} s {way} this machine");
        match ahead_ms.unsigned_abs() <= most_ms.unsigned_abs() {
            true => Self::good("clock", text),
            false => Self::bad("clock", format!("{text}; let both follow a time server")),
        }
    }
}

impl fmt::Display for Seen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let verdict = match self.verdict {
            Verdict::Good => "ok  ",
            Verdict::Bad => "BAD ",
            Verdict::Note => "note",
        };
        write!(f, "{verdict}  {:<20}  {}", self.what, self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clocks_may_be_a_little_apart() {
        assert_eq!(Seen::clock(-1500, 5000), Seen::good("clock", "1.5 s behind this machine"));
        assert_eq!(Seen::clock(5001, 5000).verdict, Verdict::Bad);
        assert_eq!(Seen::note("x", "y").to_string(), "note  x                     y");
    }
}
