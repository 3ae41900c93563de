//! Bytes of files that go from the page cache to a socket without passing through this process.
//!
//! hyper takes a body as pieces of memory and gives them, untouched and in their order, to the stream below it. So a body
//! puts a range of a file into the [`Outbox`] of its connection and gives hyper a placeholder of the same length, and
//! [`FileStream`] tells the kernel to send the range where a placeholder comes by. A placeholder without its range ends
//! the connection: what is in it is never sent.

use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use parking_lot::Mutex;
use store::blob::FileRange;
use tokio::io::{AsyncRead, AsyncWrite, Interest, ReadBuf};
use tokio::net::TcpStream;

/// The longest range that one placeholder stands for.
pub(super) const MAX_RANGE: usize = 1 << 20;

/// What placeholders are slices of. Nobody reads it, so its pages are never loaded.
static BLANK: [u8; MAX_RANGE] = [0; MAX_RANGE];

fn is_placeholder(bytes: &[u8]) -> bool {
    !bytes.is_empty() && BLANK.as_ptr_range().contains(&bytes.as_ptr())
}

/// The ranges that wait to be sent on one connection. hyper asks a body for more only when little is left to be written,
/// so there are few.
#[derive(Debug, Default)]
pub(super) struct Outbox(Mutex<VecDeque<FileRange>>);

impl Outbox {
    /// Adds a range of at most [`MAX_RANGE`] bytes and gives the placeholder that is to be sent in its place.
    pub(super) fn put(&self, mut range: FileRange) -> Bytes {
        let blank = BLANK.get(..range.len).unwrap_or(&BLANK);
        range.len = blank.len();
        self.0.lock().push_back(range);
        Bytes::from_static(blank)
    }
}

/// A socket that sends files in place of placeholders.
pub(super) struct FileStream {
    stream: TcpStream,
    outbox: Arc<Outbox>,
}

impl FileStream {
    /// Sends the ranges of `outbox` on `stream`.
    pub(super) fn new(stream: TcpStream, outbox: Arc<Outbox>) -> Self {
        Self { stream, outbox }
    }

    /// Tries `write` as often as the socket says that it takes something.
    fn poll_socket(
        &self,
        context: &mut Context<'_>,
        mut write: impl FnMut(&TcpStream) -> io::Result<usize>,
    ) -> Poll<io::Result<usize>> {
        loop {
            ready!(self.stream.poll_write_ready(context))?;
            match self.stream.try_io(Interest::WRITABLE, || write(&self.stream)) {
                Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => {}
                done => return Poll::Ready(done),
            }
        }
    }

    /// Sends what the first range still has, at most `len` bytes.
    fn poll_send_file(&self, context: &mut Context<'_>, len: usize) -> Poll<io::Result<usize>> {
        let mut ranges = self.outbox.0.lock();
        let Some(range) = ranges.front_mut() else {
            return Poll::Ready(Err(io::Error::other("a placeholder has no file")));
        };
        let len = len.min(range.len);
        let sent = ready!(self.poll_socket(context, |stream| send_file(stream, range, len)))?;
        if sent == 0 {
            return Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into()));
        }
        range.offset = range.offset.saturating_add(sent as u64);
        range.len = range.len.saturating_sub(sent);
        if range.len == 0 {
            ranges.pop_front();
        }
        Poll::Ready(Ok(sent))
    }
}

#[cfg(target_os = "linux")]
fn send_file(stream: &TcpStream, range: &FileRange, len: usize) -> io::Result<usize> {
    let mut offset = range.offset;
    Ok(rustix::fs::sendfile(stream, &*range.file, Some(&mut offset), len)?)
}

/// Elsewhere the store shares no files.
#[cfg(not(target_os = "linux"))]
fn send_file(_stream: &TcpStream, _range: &FileRange, _len: usize) -> io::Result<usize> {
    Err(io::ErrorKind::Unsupported.into())
}

/// Sends the head of an answer and says that a body follows, so that both begin in one packet.
#[cfg(target_os = "linux")]
fn send_head(stream: &TcpStream, head: &[u8]) -> io::Result<usize> {
    use rustix::net::SendFlags;
    Ok(rustix::net::send(stream, head, SendFlags::MORE | SendFlags::NOSIGNAL)?)
}

#[cfg(not(target_os = "linux"))]
fn send_head(stream: &TcpStream, head: &[u8]) -> io::Result<usize> {
    stream.try_write(head)
}

impl AsyncRead for FileStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl AsyncWrite for FileStream {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(context, &[IoSlice::new(bytes)])
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let Some(first) = slices.iter().position(|slice| is_placeholder(slice)) else {
            return Pin::new(&mut self.stream).poll_write_vectored(context, slices);
        };
        let (before, rest) = slices.split_at_checked(first).unwrap_or((slices, &[]));
        let mut written = 0;
        if let [head] = before {
            written = ready!(self.poll_socket(context, |stream| send_head(stream, head)))?;
        } else if !before.is_empty() {
            written = ready!(Pin::new(&mut self.stream).poll_write_vectored(context, before))?;
        }
        let is_all_written = written == before.iter().map(|slice| slice.len()).sum::<usize>();
        let Some(placeholder) = rest.first().filter(|_| is_all_written) else {
            return Poll::Ready(Ok(written));
        };
        match self.poll_send_file(context, placeholder.len()) {
            Poll::Ready(Ok(sent)) => Poll::Ready(Ok(written.saturating_add(sent))),
            // The waker is in place; whoever comes back with what is left waits.
            Poll::Pending if written > 0 => Poll::Ready(Ok(written)),
            other => other,
        }
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
#[cfg(target_os = "linux")]
mod tests {
    use std::future::poll_fn;
    use std::io::Write as _;

    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    use super::*;

    async fn connected() -> (FileStream, Arc<Outbox>, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let outbox = Arc::new(Outbox::default());
        (FileStream::new(listener.accept().await.unwrap().0, outbox.clone()), outbox, client)
    }

    fn file(bytes: &[u8]) -> Arc<std::fs::File> {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(bytes).unwrap();
        Arc::new(file)
    }

    /// Writes as hyper does: all slices that are left, until nothing is.
    async fn write_all(stream: &mut FileStream, slices: &[&[u8]]) -> io::Result<()> {
        let mut slices: VecDeque<&[u8]> = slices.iter().copied().collect();
        while !slices.is_empty() {
            let all: Vec<IoSlice<'_>> = slices.iter().map(|slice| IoSlice::new(slice)).collect();
            let mut written = poll_fn(|context| Pin::new(&mut *stream).poll_write_vectored(context, &all)).await?;
            while let Some(first) = slices.front_mut() {
                let count = written.min(first.len());
                *first = &first[count..];
                written -= count;
                if !first.is_empty() {
                    break;
                }
                slices.pop_front();
            }
        }
        Ok(())
    }

    #[tokio::test]
    async fn files_are_sent_where_their_placeholders_stand() {
        let (mut stream, outbox, mut client) = connected().await;
        // More than a socket holds, so that ranges are sent in parts.
        let bytes: Vec<u8> = (0..3 * MAX_RANGE).map(|at| (at % 253).to_le_bytes()[0]).collect();
        let file = file(&bytes);
        let mut expected = Vec::new();
        let mut pieces = Vec::new();
        for (text, offset, len) in
            [("first head", 7, MAX_RANGE), ("", MAX_RANGE, MAX_RANGE), ("last head", 2 * MAX_RANGE + 1, 5)]
        {
            expected.extend_from_slice(text.as_bytes());
            expected.extend_from_slice(&bytes[offset..offset + len]);
            if !text.is_empty() {
                pieces.push(Bytes::from_static(text.as_bytes()));
            }
            pieces.push(outbox.put(FileRange { file: file.clone(), offset: offset as u64, len, held: None }));
        }
        pieces.push(Bytes::from_static(b"end"));
        expected.extend_from_slice(b"end");
        let reading = tokio::spawn(async move {
            let mut read = Vec::new();
            client.read_to_end(&mut read).await.unwrap();
            read
        });
        write_all(&mut stream, &pieces.iter().map(|piece| &piece[..]).collect::<Vec<_>>()).await.unwrap();
        stream.shutdown().await.unwrap();
        assert!(reading.await.unwrap() == expected);
    }

    #[tokio::test]
    async fn a_placeholder_alone_is_never_sent() {
        let (mut stream, outbox, mut client) = connected().await;
        let placeholder = outbox.put(FileRange { file: file(b"short"), offset: 0, len: 10, held: None });
        // The file ends before its range does, so the connection fails after what there is.
        assert_eq!(write_all(&mut stream, &[&placeholder]).await.unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
        outbox.0.lock().clear();
        assert!(write_all(&mut stream, &[b"head", &placeholder]).await.is_err());
        drop(stream);
        let mut read = Vec::new();
        client.read_to_end(&mut read).await.unwrap();
        assert_eq!(read, b"shorthead");
    }
}
