//! Standard error and standard output of a server: lines that are written when somebody takes them, and lost when
//! nobody does. Whoever has a line hands it over and goes on (D28); one thread writes, and may hang in it for ever.
//!
//! `tracing-appender` has such a writer too. It bounds lines but not bytes, forgets those that the disk refused, and
//! says nothing of the loss.

use std::collections::VecDeque;
use std::io::{self, Write};
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};

/// Lines that may wait.
const MAX_LINES: usize = 8192;
/// Bytes that may wait.
const MAX_BYTES: usize = 2 << 20;
/// Pause before a reader that has no room, on a descriptor that does not block, is tried again.
const FULL_PAUSE: Duration = Duration::from_millis(20);

/// The line that stands for so many lost ones.
pub(super) type Notice = fn(u64) -> String;

/// Lines on their way out. Clones share them.
#[derive(Debug, Clone)]
pub(crate) struct Output(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    queue: Mutex<Queue>,
    /// Something waits.
    filled: Condvar,
    /// Nothing waits any more.
    emptied: Condvar,
}

#[derive(Debug, Default)]
struct Queue {
    entries: VecDeque<Entry>,
    bytes: usize,
    is_writing: bool,
}

#[derive(Debug, PartialEq, Eq)]
enum Entry {
    Line(Box<[u8]>),
    /// Here so many lines are missing, because there was no room for them.
    Lost(u64),
}

impl Output {
    /// Starts the thread that writes to `to`. Where lines were lost, `notice` says so once `to` takes lines again.
    ///
    /// # Errors
    /// When the operating system has no thread left.
    pub(super) fn start(name: &str, to: impl Write + Send + 'static, notice: Option<Notice>) -> io::Result<Self> {
        let output =
            Self(Arc::new(Shared { queue: Mutex::default(), filled: Condvar::new(), emptied: Condvar::new() }));
        let shared = Arc::clone(&output.0);
        let mut pen = Pen { to, notice, owed: 0, is_torn: false };
        std::thread::Builder::new().name(name.to_owned()).stack_size(256 << 10).spawn(move || {
            loop {
                match shared.next() {
                    Entry::Line(line) => pen.line(&line),
                    Entry::Lost(lines) => {
                        pen.owed = pen.owed.saturating_add(lines);
                        pen.tell_loss();
                    }
                }
            }
        })?;
        Ok(output)
    }

    /// Hands over a line, or several that belong together, with the line feed at their end. Never waits.
    pub(crate) fn push(&self, line: &[u8]) {
        let mut queue = self.0.queue.lock();
        if queue.entries.len() < MAX_LINES && queue.bytes.saturating_add(line.len()) <= MAX_BYTES {
            queue.bytes += line.len();
            queue.entries.push_back(Entry::Line(line.into()));
        } else {
            match queue.entries.back_mut() {
                Some(Entry::Lost(lines)) => *lines = lines.saturating_add(1),
                _ => queue.entries.push_back(Entry::Lost(1)),
            }
            drop(queue);
            count_lost(1);
        }
        self.0.filled.notify_one();
    }

    /// Waits until everything was written, at most until `deadline`.
    pub(crate) fn flush(&self, deadline: Instant) {
        let mut queue = self.0.queue.lock();
        while queue.is_writing || !queue.entries.is_empty() {
            if self.0.emptied.wait_until(&mut queue, deadline).timed_out() {
                return;
            }
        }
    }
}

/// What the log writes its lines to: one call, one line, and never an error.
impl Write for Output {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.push(line);
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Shared {
    fn next(&self) -> Entry {
        let mut queue = self.queue.lock();
        queue.is_writing = false;
        loop {
            if let Some(entry) = queue.entries.pop_front() {
                if let Entry::Line(line) = &entry {
                    queue.bytes = queue.bytes.saturating_sub(line.len());
                }
                queue.is_writing = true;
                return entry;
            }
            self.emptied.notify_all();
            self.filled.wait(&mut queue);
        }
    }
}

/// The side of the thread.
struct Pen<W> {
    to: W,
    notice: Option<Notice>,
    /// Lines lost that no line has reported yet.
    owed: u64,
    /// Whether the last line was written in part.
    is_torn: bool,
}

impl<W: Write> Pen<W> {
    fn line(&mut self, line: &[u8]) {
        self.tell_loss();
        if self.write(line).is_err() {
            self.owed = self.owed.saturating_add(1);
            count_lost(1);
        }
    }

    fn tell_loss(&mut self) {
        if self.owed > 0
            && let Some(notice) = self.notice
            && self.write(notice(self.owed).as_bytes()).is_ok()
        {
            self.owed = 0;
        }
    }

    fn write(&mut self, line: &[u8]) -> io::Result<()> {
        if self.is_torn {
            write_whole(&mut self.to, b"\n").map_err(|(_, error)| error)?;
            self.is_torn = false;
        }
        write_whole(&mut self.to, line).map_err(|(written, error)| {
            self.is_torn = written > 0;
            error
        })
    }
}

/// As `write_all`, but a reader that has no room now is waited for, and an error tells how much went out before.
fn write_whole(to: &mut impl Write, bytes: &[u8]) -> Result<(), (usize, io::Error)> {
    let mut written = 0;
    while let Some(rest) = bytes.get(written..).filter(|rest| !rest.is_empty()) {
        match to.write(rest) {
            Ok(0) => return Err((written, io::ErrorKind::WriteZero.into())),
            Ok(count) => written += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            // Some programs make the pipe that they read from us non-blocking, for both sides.
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => std::thread::sleep(FULL_PAUSE),
            Err(error) => return Err((written, error)),
        }
    }
    Ok(())
}

fn count_lost(lines: u64) {
    metrics::counter!(crate::metrics::LOG_LINES_LOST).increment(lines);
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    /// A scripted reader: the answers to the next writes, then everything is taken.
    #[derive(Clone, Default)]
    struct Reader {
        taken: Arc<Mutex<Vec<u8>>>,
        answers: Arc<Mutex<VecDeque<Result<usize, i32>>>>,
    }

    impl Reader {
        fn text(&self) -> String {
            String::from_utf8(self.taken.lock().clone()).unwrap()
        }
    }

    impl Write for Reader {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let count = match self.answers.lock().pop_front() {
                None => bytes.len(),
                Some(Ok(count)) => count,
                Some(Err(code)) => return Err(io::Error::from_raw_os_error(code)),
            };
            self.taken.lock().extend_from_slice(&bytes[..count]);
            Ok(count)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    const NO_SPACE: i32 = 28;
    const AGAIN: i32 = 11;

    fn soon() -> Instant {
        Instant::now() + Duration::from_secs(20)
    }

    fn output(reader: &Reader) -> Output {
        Output::start("test", reader.clone(), Some(|lines| format!("{lines} lost\n"))).unwrap()
    }

    #[test]
    fn lines_that_the_disk_refuses_are_told_of_once_it_takes_lines_again() {
        let reader = Reader::default();
        // "a" is refused; "b" in part, after the notice failed, too; then there is room.
        *reader.answers.lock() =
            [Err(NO_SPACE), Err(NO_SPACE), Ok(1), Err(NO_SPACE)].into_iter().collect::<VecDeque<_>>();
        let output = output(&reader);
        for line in ["a\n", "bbb\n", "c\n"] {
            output.push(line.as_bytes());
        }
        output.flush(soon());
        assert_eq!(reader.text(), "b\n2 lost\nc\n");
    }

    #[test]
    fn a_reader_that_has_no_room_now_is_waited_for() {
        let reader = Reader::default();
        *reader.answers.lock() = [Err(AGAIN), Ok(1), Err(4), Err(AGAIN)].into_iter().collect();
        let output = output(&reader);
        output.push(b"line\n");
        output.flush(soon());
        assert_eq!(reader.text(), "line\n");
    }

    /// Takes its first write only when the test asks for it.
    struct Stalled(mpsc::Receiver<()>, Reader);

    impl Write for Stalled {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            // Told, or nobody is left to tell.
            let _ = self.0.recv();
            self.1.write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn nobody_waits_for_a_reader_that_stands_still_and_what_waits_is_bounded() {
        for (len, fits) in [(8, MAX_LINES), (MAX_BYTES / 10, 10)] {
            let (go, wait) = mpsc::channel();
            let reader = Reader::default();
            let output =
                Output::start("test", Stalled(wait, reader.clone()), Some(|lines| format!("{lines} lost\n"))).unwrap();
            let line = format!("{}\n", "x".repeat(len - 1));
            for _ in 0..fits + 1000 {
                output.push(line.as_bytes());
            }
            output.flush(Instant::now() + Duration::from_millis(10));
            drop(go);
            output.flush(soon());
            let text = reader.text();
            let written = text.lines().filter(|text| text.len() == len - 1).count();
            // The thread may have had one in its hand.
            assert!((fits..=fits + 1).contains(&written), "{written} of {len} bytes");
            // It says so once, or twice where it began when some were lost already.
            let lost: Vec<usize> = text.lines().filter_map(|text| text.strip_suffix(" lost")?.parse().ok()).collect();
            assert!((1..=2).contains(&lost.len()) && text.ends_with(" lost\n"), "{lost:?}");
            assert_eq!(lost.iter().sum::<usize>(), fits + 1000 - written);
        }
    }
}
