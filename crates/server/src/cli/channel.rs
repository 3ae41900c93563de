//! `millpond channel`: LiveChannels, over the API of a running server.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Subcommand};
use hyper::Method;
use model::name::{BucketName, ChannelName, PlaylistName};
use model::{BucketAcl, LiveChannelConfig};
use oss::sign::presign::{Signer, UnsignedRequest};
use oss::sign::rtmp::{RtmpStyle, RtmpUrl, sign_rtmp_url};
use serde_json::Value;

use super::accounts::{Server, text};
use super::client::{Call, Client};
use super::wire::{Endpoint, Trust};
use crate::clock::Clock;
use crate::root_key::RootKey;

/// What to do with a channel.
#[derive(Debug, Subcommand)]
pub(crate) enum Channel {
    /// Make a bucket and a channel in it, and print URLs to push to and to play.
    Create(Create),
    /// Change settings of a channel that its configuration in OSS has no elements for, or show them. The next push follows
    /// them.
    Set(Set),
    /// Show what the last pushes to a channel left behind: encoder, length, pictures, segments, quirks.
    Sessions(Sessions),
}

/// The flags of `channel sessions`.
#[derive(Debug, Args)]
pub(crate) struct Sessions {
    /// Bucket and channel.
    #[arg(value_name = "BUCKET/CHANNEL")]
    channel: String,
    #[command(flatten)]
    server: Server,
}

/// The flags of `channel set`.
#[derive(Debug, Args)]
pub(crate) struct Set {
    /// Bucket and channel.
    #[arg(value_name = "BUCKET/CHANNEL")]
    channel: String,
    /// Settings: recovery_points_start_segments=true, refuse_unrecordable_after_s=5. An empty value leaves one to the server.
    /// Without any, those of the channel are shown.
    #[arg(value_name = "KEY=VALUE")]
    settings: Vec<String>,
    #[command(flatten)]
    server: Server,
}

impl Set {
    fn run(self) -> anyhow::Result<ExitCode> {
        let (bucket, name) = super::sign::split(&self.channel)?;
        let path = format!("channels/{bucket}/{name}/settings");
        let answer = if self.settings.is_empty() {
            self.server.request(Method::GET, &path, String::new())?
        } else {
            let wanted = self.settings.iter().map(|setting| parse_setting(setting)).collect::<anyhow::Result<_>>()?;
            self.server.request(Method::PATCH, &path, Value::Object(wanted).to_string())?
        };
        match answer.as_object() {
            Some(settings) if !self.server.json => {
                for (key, value) in settings {
                    say!("{key}={}", if value.is_null() { "(as the server)".to_owned() } else { value.to_string() });
                }
            }
            _ => say!("{answer}"),
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// `key=value`, with a number, a truth value or nothing.
fn parse_setting(setting: &str) -> anyhow::Result<(String, Value)> {
    let (key, value) =
        setting.split_once('=').ok_or_else(|| anyhow::anyhow!("{setting:?} is no setting; write KEY=VALUE"))?;
    let value = match value {
        "" => Value::Null,
        value => serde_json::from_str(value)
            .map_err(|_| anyhow::anyhow!("{value:?} is neither a number nor true or false"))?,
    };
    Ok((key.to_owned(), value))
}

/// The flags of `channel create`.
#[derive(Debug, Args)]
pub(crate) struct Create {
    /// Bucket and channel; the bucket is made when it is not there.
    #[arg(value_name = "BUCKET/CHANNEL")]
    channel: String,
    /// The server.
    #[arg(long, default_value = "http://127.0.0.1:9000", value_name = "URL")]
    endpoint: String,
    #[command(flatten)]
    trust: Trust,
    /// Let everybody play it; without this, play URLs need a signature.
    #[arg(long)]
    public: bool,
    /// Shortest length of a segment, seconds; viewers are about four times as far behind.
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u32).range(1..=100))]
    frag_duration: u32,
    /// Segments in the live playlist.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=100))]
    frag_count: u32,
    /// Name of the live playlist.
    #[arg(long, default_value = PlaylistName::DEFAULT, value_name = "NAME.m3u8")]
    playlist: String,
    /// Seconds for which the printed URLs are valid.
    #[arg(long, default_value_t = 86_400, value_parser = clap::value_parser!(u32).range(1..=604_800))]
    expires: u32,
    /// Folder of a server whose generated key is used when OSS_ACCESS_KEY_ID and OSS_ACCESS_KEY_SECRET are not set.
    #[arg(long, env = "MILLPOND_DATA_DIR", value_name = "DIR", default_value = "./millpond-data")]
    data_dir: PathBuf,
}

impl Channel {
    /// Does it.
    pub(crate) fn run(self) -> anyhow::Result<ExitCode> {
        match self {
            Channel::Create(create) => create.run(),
            Channel::Sessions(sessions) => sessions.run(),
            Channel::Set(set) => set.run(),
        }
    }
}

impl Sessions {
    fn run(self) -> anyhow::Result<ExitCode> {
        let (bucket, name) = super::sign::split(&self.channel)?;
        let path = format!("channels/{bucket}/{name}/sessions");
        if !self.server.json {
            say!(
                "{:<20} {:>7} {:>8} {:>8} {:>9}  ENCODER, QUIRKS, AND WHAT TO CHANGE IN IT",
                "START",
                "SECONDS",
                "PICTURES",
                "SEGMENTS",
                "KB"
            );
        }
        self.server.list(Method::GET, &path, "sessions", session_line)?;
        Ok(ExitCode::SUCCESS)
    }
}

/// One push for people.
fn session_line(session: &Value) -> String {
    let start = text(session, "start").replace(".000Z", "Z");
    let report = &session["report"];
    if report.is_null() {
        return format!("{start:<20} no report: the server did not live to write it");
    }
    let number = |name: &str| report[name].as_u64().unwrap_or(0);
    let quirks: Vec<String> = report["quirks"]
        .as_object()
        .map(|quirks| quirks.iter().map(|(name, count)| format!("{name}={count}")).collect())
        .unwrap_or_default();
    // What an encoder calls itself is shown without whatever a terminal would obey.
    let encoder: String = text(report, "encoder").chars().filter(|c| !c.is_control()).collect();
    let advice: Vec<&str> = report["advice"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    let line = format!(
        "{start:<20} {:>7} {:>8} {:>8} {:>9}  {encoder}  {}",
        number("seconds"),
        number("pictures"),
        number("segments"),
        (number("video_bytes") + number("audio_bytes")) / 1000,
        quirks.join(" ")
    );
    if advice.is_empty() { line } else { format!("{line}  → {}", advice.join("; ")) }
}

impl Create {
    fn run(self) -> anyhow::Result<ExitCode> {
        let create = self;
        let (bucket, name) = super::sign::split(&create.channel)?;
        let root = RootKey::find(&create.data_dir)?;
        let request = ChannelRequest {
            bucket,
            channel: ChannelName::parse(name.as_bytes())?,
            acl: create.public.then_some(BucketAcl::PublicRead),
            config: LiveChannelConfig {
                frag_duration: create.frag_duration,
                frag_count: create.frag_count,
                playlist_name: PlaylistName::parse(&create.playlist)?,
                ..LiveChannelConfig::default()
            },
        };
        let expires_s = Clock::system().now_s() + i64::from(create.expires);
        let urls =
            super::small_runtime()?.block_on(make(&create.endpoint, &create.trust, &root, &request, expires_s))?;
        say!("Push to   {}", urls.push);
        say!("  in OBS  Server      {}", urls.obs_server);
        say!("          Stream Key  {}", urls.obs_key);
        say!("  ffmpeg  {}", urls.ffmpeg());
        say!("Play      {}", urls.play);
        say!("  page    {}", urls.page);
        say!("{}", delays(create.frag_duration));
        Ok(ExitCode::SUCCESS)
    }
}

/// How far viewers are behind, as measured with hls.js and a key frame every second; what was chosen is marked.
fn delays(frag_duration: u32) -> String {
    const MEASURED: [(u32, &str); 3] = [(1, "3.5 s"), (2, "8 s"), (5, "19 s")];
    let mut text = "Delay     FragDuration".to_owned();
    for (seconds, delay) in MEASURED {
        let mark = if seconds == frag_duration { "*" } else { "" };
        text.push_str(&format!("   {seconds} s → {delay}{mark}"));
    }
    text.push_str("   (--frag-duration; a key frame must come as often: -g, or the keyframe interval of OBS)");
    text
}

/// A channel somebody wants.
pub(super) struct ChannelRequest {
    pub(super) bucket: BucketName,
    pub(super) channel: ChannelName,
    pub(super) acl: Option<BucketAcl>,
    pub(super) config: LiveChannelConfig,
}

/// How a channel is reached.
pub(super) struct Urls {
    pub(super) push: String,
    pub(super) obs_server: String,
    pub(super) obs_key: String,
    pub(super) play: String,
    pub(super) page: String,
}

impl Urls {
    /// A line for a shell. The URL is quoted, since it contains `&`.
    pub(super) fn ffmpeg(&self) -> String {
        format!("ffmpeg -re -i FILE.mp4 -c:v libx264 -g 60 -c:a aac -f flv '{}'", self.push)
    }
}

/// Makes the bucket and the channel over the API.
///
/// # Errors
/// When the server cannot be reached, or refuses.
pub(super) async fn make(
    endpoint: &str,
    trust: &Trust,
    root: &RootKey,
    request: &ChannelRequest,
    expires_s: i64,
) -> anyhow::Result<Urls> {
    let signer = Signer { access_key: root.id.clone(), secret: root.secret.clone(), token: None };
    let client = Client::new(endpoint, trust, signer.clone())?;
    let acl: Vec<_> = request.acl.iter().map(|acl| ("x-oss-acl".to_owned(), acl.as_str().into())).collect();
    let now_s = Clock::system().now_s();
    let bucket = Call {
        method: Method::PUT,
        bucket: &request.bucket,
        key: "",
        query: &[],
        headers: &acl,
        body: bytes::Bytes::new(),
    };
    client.call(bucket, now_s).await?;
    let channel = Call {
        method: Method::PUT,
        bucket: &request.bucket,
        key: request.channel.as_str(),
        query: &[("live", None)],
        headers: &[],
        body: oss::xml::live_channel::render_configuration(&request.config).into(),
    };
    client.call(channel, now_s).await?;
    Ok(urls(client.endpoint(), &signer, request, expires_s))
}

fn urls(endpoint: &Endpoint, signer: &Signer, request: &ChannelRequest, expires_s: i64) -> Urls {
    let authority = endpoint.address().authority();
    // The port of HTTPS speaks RTMPS, too.
    let (web, rtmp) = if endpoint.address().is_secure() { ("https", "rtmps") } else { ("http", "rtmp") };
    let url = RtmpUrl {
        host: authority,
        style: RtmpStyle::Path,
        bucket: request.bucket.as_str(),
        channel: request.channel.as_str(),
        parameters: &[("playlistName", request.config.playlist_name.as_str())],
    };
    let push = sign_rtmp_url(&url, &signer.access_key, &signer.secret, None, expires_s);
    let push = push.replacen("rtmp://", &format!("{rtmp}://"), 1);
    let obs_server = format!("{rtmp}://{authority}/{}/live", request.bucket);
    let obs_key = push.strip_prefix(&obs_server).map_or("", |rest| rest.trim_start_matches('/')).to_owned();
    let key = format!("{}/{}", request.channel, request.config.playlist_name);
    let is_public = request.acl.is_some_and(|acl| acl != BucketAcl::Private);
    let process = [("x-oss-process", Some("hls/sign"))];
    let unsigned = UnsignedRequest {
        method: "GET",
        bucket: Some(&request.bucket),
        key: &key,
        query: if is_public { &[] } else { &process },
        headers: &[],
    };
    let mut play = format!("{web}://{authority}/{}{}", request.bucket, unsigned.encoded_path());
    if !is_public {
        play.push('?');
        play.push_str(&signer.v1_url_query(&unsigned, expires_s));
    }
    let page = format!("{web}://{authority}/-/play?url={}", model::percent::percent_encode(play.as_bytes(), false));
    Urls { push, obs_server, obs_key, play, page }
}
