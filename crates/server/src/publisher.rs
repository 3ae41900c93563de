//! Pushing: the client side of RTMP over a socket, for the demo, the command line and the benchmarks.

use std::time::Duration;

use anyhow::{Context, bail};
use bytes::Bytes;
use media::flv_file::{FlvFile, FlvFileError};
use media::rtmp::client::{ClientConfig, ClientEvent, ClientSession};
use media::rtmp::message::{Tag, TagKind};
use media::rtmp::url::RtmpUrl;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::Instant;

/// How long connecting and the answer to `publish` may take.
const TIMEOUT: Duration = Duration::from_secs(10);

/// A recording that can be pushed: the tags of an FLV file in memory.
#[derive(Debug, Clone)]
pub(crate) struct Recording {
    tags: Vec<RecordedTag>,
    /// What one round lasts, milliseconds.
    duration_ms: u32,
}

#[derive(Debug, Clone)]
struct RecordedTag {
    tag: Tag,
    /// Sequence headers are sent once, not in every round.
    is_header: bool,
}

impl Recording {
    /// Reads the tags of an FLV file.
    ///
    /// # Errors
    /// When it is not FLV, or has no video.
    pub(crate) fn parse(file: Bytes) -> anyhow::Result<Self> {
        let file = FlvFile::new(file).map_err(|error| match error {
            FlvFileError::NotFlv => anyhow::anyhow!("{error} (convert with: ffmpeg -i INPUT -c copy OUTPUT.flv)"),
            _ => error.into(),
        })?;
        // Of a file that is cut, what is whole is pushed.
        let tags: Vec<_> = file.map_while(Result::ok).map(RecordedTag::new).collect();
        let duration_ms = duration_of(&tags).context("the FLV file has no video")?;
        Ok(Self { tags, duration_ms })
    }

    /// Says what one round lasts, when that is known better than from the last frames.
    #[must_use]
    pub(crate) fn lasting(mut self, duration_ms: u32) -> Self {
        self.duration_ms = duration_ms;
        self
    }
}

impl RecordedTag {
    fn new(tag: Tag) -> Self {
        let is_header = match (tag.kind, &tag.payload[..]) {
            (TagKind::Video, [head, 0, ..]) => head & 0x0f == 7,
            (TagKind::Audio, [head, 0, ..]) => head >> 4 == 10,
            _ => false,
        };
        Self { tag, is_header }
    }
}

/// The time of the last video frame plus one frame.
fn duration_of(tags: &[RecordedTag]) -> Option<u32> {
    let frames = tags.iter().filter(|recorded| recorded.tag.kind == TagKind::Video && !recorded.is_header);
    let mut times = frames.map(|recorded| recorded.tag.timestamp_ms);
    let first = times.next()?;
    let (mut last, mut frame) = (first, 40);
    for time in times {
        if time > last {
            frame = time - last;
        }
        last = last.max(time);
    }
    Some(last - first + frame)
}

/// How a recording is pushed.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Pace {
    /// At the speed of its time stamps, or as fast as the server reads.
    pub(crate) real_time: bool,
    /// How often the recording is played; 0 is without end.
    pub(crate) rounds: u32,
}

/// Pushes a recording until its rounds are over or the server ends it.
///
/// # Errors
/// When the server cannot be reached, refuses (with its reason), or ends the push.
pub(crate) async fn publish(url: &str, recording: &Recording, pace: Pace) -> anyhow::Result<()> {
    let url = RtmpUrl::parse(url).map_err(|error| anyhow::anyhow!("{url:?} is no RTMP URL: {error}"))?;
    let connecting = TcpStream::connect((url.host.as_str(), url.port));
    let stream = tokio::time::timeout(TIMEOUT, connecting)
        .await
        .with_context(|| format!("{}:{} does not answer", url.host, url.port))?
        .with_context(|| format!("cannot connect to {}:{}", url.host, url.port))?;
    stream.set_nodelay(true)?;
    let config = ClientConfig {
        flash_ver: concat!("FMLE/3.0 (compatible; Millpond/", env!("CARGO_PKG_VERSION"), ")").to_owned(),
        ..ClientConfig::new(&url)
    };
    let mut push = Push { stream, session: ClientSession::new(config, &crate::ids::handshake_random()) };
    tokio::time::timeout(TIMEOUT, push.begin()).await.context("the server does not answer the publish")??;
    push.send(recording, pace).await?;
    push.session.unpublish();
    push.write().await?;
    let _ = push.stream.shutdown().await;
    // The server closes when the last segment is stored.
    let _ = tokio::time::timeout(TIMEOUT, push.read_until_end()).await;
    Ok(())
}

struct Push {
    stream: TcpStream,
    session: ClientSession,
}

impl Push {
    async fn begin(&mut self) -> anyhow::Result<()> {
        loop {
            let is_publishing = self.handle_events()?;
            self.write().await?;
            if is_publishing {
                return Ok(());
            }
            if self.stream.read_buf(self.session.read_buffer()).await? == 0 {
                bail!("the server closed the connection before it answered");
            }
        }
    }

    /// Whether the server said that publishing has begun.
    fn handle_events(&mut self) -> anyhow::Result<bool> {
        let mut is_publishing = false;
        while let Some(event) = self.session.next_event()? {
            match event {
                ClientEvent::Publishing => is_publishing = true,
                ClientEvent::Refused { code, description } => bail!("the server refused: {code} ({description})"),
                ClientEvent::Ended => bail!("the server ended the push"),
            }
        }
        Ok(is_publishing)
    }

    async fn send(&mut self, recording: &Recording, pace: Pace) -> anyhow::Result<()> {
        let started = Instant::now();
        let first_ms = recording.tags.first().map_or(0, |recorded| recorded.tag.timestamp_ms);
        let mut round: u32 = 0;
        while pace.rounds == 0 || round < pace.rounds {
            for RecordedTag { tag, .. } in recording.tags.iter().filter(|recorded| round == 0 || !recorded.is_header) {
                let elapsed_ms = u64::from(tag.timestamp_ms.saturating_sub(first_ms))
                    + u64::from(round) * u64::from(recording.duration_ms);
                if pace.real_time {
                    self.wait_until(started + Duration::from_millis(elapsed_ms)).await?;
                }
                // RTMP time is 32 bits wide and wraps.
                let timestamp_ms = (elapsed_ms & 0xffff_ffff) as u32;
                match tag.kind {
                    TagKind::Video => self.session.send_video(timestamp_ms, &tag.payload)?,
                    TagKind::Audio => self.session.send_audio(timestamp_ms, &tag.payload)?,
                }
                self.write().await?;
            }
            round += 1;
        }
        Ok(())
    }

    /// Waits, answering the server's pings meanwhile.
    async fn wait_until(&mut self, moment: Instant) -> anyhow::Result<()> {
        loop {
            let read = tokio::select! {
                () = tokio::time::sleep_until(moment) => return Ok(()),
                read = self.stream.read_buf(self.session.read_buffer()) => read,
            };
            if read.context("the connection broke")? == 0 {
                bail!("the server closed the connection");
            }
            self.handle_events()?;
            self.write().await?;
        }
    }

    async fn write(&mut self) -> anyhow::Result<()> {
        let output = self.session.take_output();
        if !output.is_empty() {
            self.stream.write_all(&output).await.context("the connection broke")?;
        }
        Ok(())
    }

    async fn read_until_end(&mut self) {
        while matches!(self.stream.read_buf(self.session.read_buffer()).await, Ok(count) if count > 0) {
            if self.handle_events().is_err() {
                return;
            }
            if self.write().await.is_err() {
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sample_is_a_recording() {
        let recording = Recording::parse(Bytes::from_static(include_bytes!("../assets/sample.flv"))).unwrap();
        assert!(recording.tags.iter().any(|recorded| recorded.tag.kind == TagKind::Audio));
        assert_eq!(recording.duration_ms, 24_000);
    }

    #[test]
    fn what_is_no_recording_says_so() {
        for bytes in [&b""[..], b"FLV", b"FLV\x01\x05\0\0\0\xff", b"FLV\x01\x05\0\0\0\x09\0\0\0\0", b"RIFFxxxxxxxx"] {
            assert!(Recording::parse(Bytes::from_static(bytes)).is_err(), "{bytes:?}");
        }
    }
}
