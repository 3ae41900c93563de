//! The end of a connection in stages (RFC 9112 9.6): what a peer still sends is read and thrown away for a while, so that it
//! gets to read its answer.
//!
//! A socket that is closed while bytes of its peer are unread is reset, and the reset overtakes the answer. Whoever uploads
//! with a wrong signature would then learn that the connection broke; a reverse proxy would make a 502 of the refusal, which
//! SDKs try again.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep};

/// What is read at most of a body that nobody wants, in bytes.
const MAX_BYTES: u64 = 128 << 20;
/// How long that may take.
const MAX_TIME: Duration = Duration::from_secs(15);
/// How long the peer may pause meanwhile.
const MAX_PAUSE: Duration = Duration::from_secs(2);
/// Bytes read at once.
const READ_BYTES: usize = 16 * 1024;

/// Marks the answer to a request whose body was not read to its end.
#[derive(Debug, Clone, Copy)]
pub(super) struct Unread;

/// Whether more of a request is to be expected when its connection is closed.
#[derive(Debug, Default)]
pub(super) struct Rest(AtomicBool);

impl Rest {
    /// The connection is going to end behind an answer whose request was not read to its end.
    pub(super) fn expect(&self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// A stream that is closed in stages where its peer still sends.
pub(super) struct Lingering<S> {
    stream: S,
    rest: Arc<Rest>,
    end: Option<Box<End>>,
}

/// The last stage: nothing more is written.
struct End {
    until: Instant,
    pause: Pin<Box<Sleep>>,
    left: u64,
    has_more: bool,
    buffer: [u8; READ_BYTES],
}

impl<S> Lingering<S> {
    /// Closes `stream` in stages where `rest` says so, or where something is unread.
    pub(super) fn new(stream: S, rest: Arc<Rest>) -> Self {
        Self { stream, rest, end: None }
    }
}

impl End {
    fn begin(has_more: bool) -> Box<Self> {
        let now = Instant::now();
        let pause = Box::pin(tokio::time::sleep_until(now + MAX_PAUSE));
        Box::new(Self { until: now + MAX_TIME, pause, left: MAX_BYTES, has_more, buffer: [0; READ_BYTES] })
    }

    /// Reads until the peer has nothing more to say, or was heard for long enough.
    fn poll<S: AsyncRead + Unpin>(&mut self, stream: &mut S, context: &mut Context<'_>) -> Poll<()> {
        loop {
            // Looked at here, since a timer has no turn as long as bytes come.
            let now = Instant::now();
            if now >= self.until || self.left == 0 {
                return Poll::Ready(());
            }
            let mut buffer = ReadBuf::new(&mut self.buffer);
            match Pin::new(&mut *stream).poll_read(context, &mut buffer) {
                Poll::Ready(Ok(())) if !buffer.filled().is_empty() => {
                    self.left = self.left.saturating_sub(buffer.filled().len() as u64);
                    self.has_more = true;
                    self.pause.as_mut().reset((now + MAX_PAUSE).min(self.until));
                }
                Poll::Ready(_) => return Poll::Ready(()),
                // Most connections end between two requests.
                Poll::Pending if !self.has_more => return Poll::Ready(()),
                Poll::Pending => return self.pause.as_mut().poll(context),
            }
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Lingering<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Lingering<S> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if this.end.is_none() {
            ready!(Pin::new(&mut this.stream).poll_shutdown(context))?;
        }
        let end = this.end.get_or_insert_with(|| End::begin(this.rest.0.load(Ordering::Relaxed)));
        end.poll(&mut this.stream, context).map(Ok)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn what_still_comes_is_read_until_the_peer_closes() {
        let (mut peer, ours) = duplex(1024);
        let rest = Arc::new(Rest::default());
        rest.expect();
        let mut ours = Lingering::new(ours, rest);
        let sender = tokio::spawn(async move {
            for _ in 0..1000 {
                peer.write_all(&[0; 1000]).await?;
            }
            let mut answer = Vec::new();
            peer.read_to_end(&mut answer).await.map(|_| answer)
        });
        ours.write_all(b"no").await.unwrap();
        let closing = tokio::spawn(async move { ours.shutdown().await });
        assert_eq!(sender.await.unwrap().unwrap(), b"no");
        closing.await.unwrap().unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn a_peer_that_says_nothing_is_not_waited_for() {
        for (is_expected, pause) in [(false, Duration::ZERO), (true, MAX_PAUSE)] {
            let (_peer, ours) = duplex(1024);
            let rest = Arc::new(Rest::default());
            if is_expected {
                rest.expect();
            }
            let start = Instant::now();
            Lingering::new(ours, rest).shutdown().await.unwrap();
            assert!(start.elapsed() < pause + Duration::from_millis(10), "{:?}", start.elapsed());
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_peer_that_never_ends_is_left() {
        let (mut peer, ours) = duplex(1024);
        let mut ours = Lingering::new(ours, Arc::default());
        tokio::spawn(async move {
            while peer.write_all(&[0; 1]).await.is_ok() {
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        });
        tokio::task::yield_now().await;
        let start = Instant::now();
        ours.shutdown().await.unwrap();
        assert!(start.elapsed() <= MAX_TIME + Duration::from_millis(100), "{:?}", start.elapsed());
        let (mut peer, ours) = duplex(1 << 20);
        tokio::spawn(async move { while peer.write_all(&[0; 1 << 16]).await.is_ok() {} });
        tokio::task::yield_now().await;
        Lingering::new(ours, Arc::default()).shutdown().await.unwrap();
    }
}
