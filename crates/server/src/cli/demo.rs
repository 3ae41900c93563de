//! `millpond demo`: a server, a bucket, a channel and a publisher, so that a picture plays at once.

use std::fmt::Write;
use std::io::IsTerminal;
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use model::name::{BucketName, ChannelName};
use model::{BucketAcl, LiveChannelConfig};

use super::channel::{self, ChannelRequest, Urls};
use super::wire::Trust;
use crate::clock::Clock;
use crate::config::{Config, ConfigArgs};
use crate::listen::Inherited;
use crate::log::{self, LogFormat};
use crate::publisher::{self, Pace};
use crate::shutdown::Signals;
use crate::startup;

/// The flags of `demo`.
#[derive(Debug, Args)]
pub(crate) struct Demo {
    #[command(flatten)]
    config: ConfigArgs,
    /// How the log is written.
    #[arg(long, env = "MILLPOND_LOG_FORMAT", value_enum, default_value_t)]
    log_format: LogFormat,
}

/// Pause before the built-in publisher tries again, after somebody else took its channel for example.
const RETRY: Duration = Duration::from_secs(2);

impl Demo {
    /// Runs until an interrupt.
    pub(crate) fn run(self) -> anyhow::Result<ExitCode> {
        log::start(self.log_format, "warn")?;
        let config = Config::load(&self.config)?;
        let numbers = crate::metrics::install()?;
        let sample = super::publish::sample()?;
        super::serve::run(async {
            let mut signals = Signals::listen()?;
            let running = startup::start(config, Inherited::default(), numbers).await?;
            super::serve::announce(&running, self.log_format);
            let authority = running.http.first().map_or_else(String::new, |a| super::serve::shown(*a).to_string());
            let endpoint = format!("http://{authority}");
            let root = running.edge.accounts.root();
            let expires_s = Clock::system().now_s() + 7 * 86_400;
            let config = LiveChannelConfig { frag_duration: 2, frag_count: 5, ..LiveChannelConfig::default() };
            let bucket = BucketName::parse("demo")?;
            let trust = Trust::default();
            let request = |name: &str| -> anyhow::Result<ChannelRequest> {
                let channel = ChannelName::parse(name.as_bytes())?;
                Ok(ChannelRequest {
                    bucket: bucket.clone(),
                    channel,
                    acl: Some(BucketAcl::PublicRead),
                    config: config.clone(),
                })
            };
            let clock = channel::make(&endpoint, &trust, root, &request("clock")?, expires_s).await?;
            let camera = channel::make(&endpoint, &trust, root, &request("camera")?, expires_s).await?;
            let push = clock.push.clone();
            let publishing = tokio::spawn(async move {
                loop {
                    let pace = Pace { real_time: true, rounds: 0 };
                    if let Err(error) = publisher::publish(&push, &sample, pace).await {
                        tracing::warn!("the built-in publisher: {error:#}");
                    }
                    tokio::time::sleep(RETRY).await;
                }
            });
            if self.log_format == LogFormat::Json {
                let line = serde_json::json!({
                    "level": "INFO", "message": "demo", "play": clock.play, "page": clock.page,
                    "push": camera.push, "camera_play": camera.play, "camera_page": camera.page,
                    "obs_server": camera.obs_server, "obs_key": camera.obs_key,
                });
                log::print(&format!("{line}\n"));
            } else {
                log::print(&explanation(&clock, &camera)?);
            }
            signals.wait().await;
            publishing.abort();
            running.stop(signals.wait()).await;
            Ok(ExitCode::SUCCESS)
        })
    }
}

fn explanation(clock: &Urls, camera: &Urls) -> Result<String, std::fmt::Error> {
    let (bold, dim, plain) =
        if std::io::stdout().is_terminal() { ("\x1b[1m", "\x1b[2m", "\x1b[0m") } else { ("", "", "") };
    let mut out = String::new();
    writeln!(out, "{bold}A picture plays{plain} {dim}(in some seconds; the built-in publisher pushes it){plain}")?;
    writeln!(out, "  Watch it       {bold}{}{plain}", clock.page)?;
    writeln!(out, "  Playlist       {}", clock.play)?;
    writeln!(out)?;
    writeln!(out, "{bold}Push your own{plain} {dim}(valid for seven days){plain}")?;
    writeln!(out, "  OBS            Settings > Stream > Service: Custom…")?;
    writeln!(out, "    Server       {}", camera.obs_server)?;
    writeln!(out, "    Stream Key   {}", camera.obs_key)?;
    writeln!(out, "  ffmpeg         ffmpeg -re -i FILE.mp4 -c:v libx264 -g 60 -c:a aac -f flv \\")?;
    writeln!(out, "                   '{}'", camera.push)?;
    writeln!(out, "  Watch it       {}", camera.page)?;
    writeln!(out)?;
    writeln!(out, "{dim}Stop with Ctrl-C. Everything stays in the data folder.{plain}")?;
    Ok(out)
}
