//! `millpond publish`: push a recording, paced or as fast as it goes, once or many times side by side.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context;
use bytes::Bytes;
use clap::Args;

use crate::log::{self, LogFormat};
use crate::publisher::{self, Pace, Recording};

/// The built-in sample: made by `scripts/make-sample.sh`.
static SAMPLE: &[u8] = include_bytes!("../../assets/sample.flv");
/// What one round of the sample lasts, milliseconds.
const SAMPLE_MS: u32 = 24_000;

/// The flags of `publish`.
#[derive(Debug, Args)]
pub(crate) struct Publish {
    /// Where to push; {N} in it becomes the number of the publisher, from 0.
    url: String,
    /// FLV file to push; the built-in sample when absent.
    #[arg(long, value_name = "FLV")]
    file: Option<PathBuf>,
    /// How often the recording is pushed; 0 is without end.
    #[arg(long, default_value_t = 1)]
    rounds: u32,
    /// Push as fast as the server reads instead of at real time.
    #[arg(long)]
    fast: bool,
    /// Publishers side by side.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    publishers: u32,
}

impl Publish {
    /// Pushes until all publishers are done.
    pub(crate) fn run(self) -> anyhow::Result<ExitCode> {
        log::start(LogFormat::Text, "warn")?;
        let recording = match &self.file {
            None => sample()?,
            Some(path) => {
                let bytes = std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
                Recording::parse(bytes.into()).with_context(|| path.display().to_string())?
            }
        };
        let pace = Pace { real_time: !self.fast, rounds: self.rounds };
        super::small_runtime()?.block_on(async {
            let mut pushes = tokio::task::JoinSet::new();
            for n in 0..self.publishers {
                let (url, recording) =
                    (self.url.replace("{N}", &n.to_string()).replace("{n}", &n.to_string()), recording.clone());
                pushes.spawn(async move { publisher::publish(&url, &recording, pace).await });
            }
            let mut failed = 0;
            while let Some(ended) = pushes.join_next().await {
                if let Err(error) = ended.map_err(anyhow::Error::from).and_then(|outcome| outcome) {
                    failed += 1;
                    complain!("millpond: {error:#}");
                }
            }
            Ok(if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
        })
    }
}

/// The built-in sample as a recording.
///
/// # Errors
/// When the program was built with a damaged sample.
pub(crate) fn sample() -> anyhow::Result<Recording> {
    Ok(Recording::parse(Bytes::from_static(SAMPLE)).context("the built-in sample")?.lasting(SAMPLE_MS))
}
