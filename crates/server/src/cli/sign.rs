//! `millpond sign`: signed URLs without a server.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, bail};
use clap::{Args, Subcommand, ValueEnum};
use model::name::BucketName;
use oss::sign::presign::{Signer, UnsignedRequest};
use oss::sign::rtmp::{RtmpStyle, RtmpUrl, sign_rtmp_url};

use crate::clock::Clock;
use crate::root_key::RootKey;

/// What to sign.
#[derive(Debug, Subcommand)]
pub(crate) enum Sign {
    /// A URL to push to: rtmp://HOST/BUCKET/live/CHANNEL?…
    Rtmp(SignRtmp),
    /// A URL to read (or write) an object with.
    Url(SignUrl),
}

/// Where the key comes from and how a URL names its bucket.
#[derive(Debug, Args)]
struct Common {
    /// Host and port of the server.
    #[arg(long, default_value = "127.0.0.1:9000", value_name = "HOST[:PORT]")]
    host: String,
    /// Put the bucket before the host (bucket.HOST) instead of into the path.
    #[arg(long)]
    virtual_host: bool,
    /// Seconds for which the URL is valid.
    #[arg(long, default_value_t = 3600, value_parser = clap::value_parser!(u32).range(1..))]
    expires: u32,
    /// Folder of a server whose generated key is used when OSS_ACCESS_KEY_ID and OSS_ACCESS_KEY_SECRET are not set.
    #[arg(long, env = "MILLPOND_DATA_DIR", value_name = "DIR", default_value = "./millpond-data")]
    data_dir: PathBuf,
}

/// The flags of `sign rtmp`.
#[derive(Debug, Args)]
pub(crate) struct SignRtmp {
    /// Bucket and channel.
    #[arg(value_name = "BUCKET/CHANNEL")]
    channel: String,
    /// Name of the live playlist for this push; the channel's own when absent.
    #[arg(long, value_name = "NAME.m3u8")]
    playlist: Option<String>,
    #[command(flatten)]
    common: Common,
}

/// The flags of `sign url`.
#[derive(Debug, Args)]
pub(crate) struct SignUrl {
    /// Bucket and key.
    #[arg(value_name = "BUCKET/KEY")]
    object: String,
    /// Method the URL is for.
    #[arg(long, default_value = "GET")]
    method: String,
    /// Processing, for example hls/sign, which signs the segments of a playlist too.
    #[arg(long, value_name = "PROCESS")]
    process: Option<String>,
    /// Version of the signature.
    #[arg(long, value_enum, default_value_t)]
    version: Version,
    /// Region of a V4 signature.
    #[arg(long, env = "MILLPOND_REGION", default_value = "cn-hangzhou")]
    region: String,
    #[command(flatten)]
    common: Common,
}

/// The version of a signature.
#[derive(Debug, Clone, Copy, Default, ValueEnum)]
enum Version {
    /// HMAC-SHA1, valid until a moment.
    #[default]
    V1,
    /// HMAC-SHA256, valid for at most seven days.
    V4,
}

impl Sign {
    /// Prints the URL.
    pub(crate) fn run(self) -> anyhow::Result<ExitCode> {
        let url = match self {
            Sign::Rtmp(sign) => sign.url()?,
            Sign::Url(sign) => sign.url()?,
        };
        say!("{url}");
        Ok(ExitCode::SUCCESS)
    }
}

impl SignRtmp {
    fn url(&self) -> anyhow::Result<String> {
        let (bucket, channel) = split(&self.channel)?;
        model::name::ChannelName::parse(channel.as_bytes())?;
        let key = RootKey::find(&self.common.data_dir)?;
        let playlist = match &self.playlist {
            Some(name) => Some(model::name::PlaylistName::parse(name)?),
            None => None,
        };
        let parameters: Vec<_> = playlist.iter().map(|name| ("playlistName", name.as_str())).collect();
        let url = RtmpUrl {
            host: &self.common.host,
            style: if self.common.virtual_host { RtmpStyle::VirtualHosted } else { RtmpStyle::Path },
            bucket: bucket.as_str(),
            channel,
            parameters: &parameters,
        };
        let expires_s = Clock::system().now_s() + i64::from(self.common.expires);
        Ok(sign_rtmp_url(&url, &key.id, &key.secret, token().as_deref(), expires_s))
    }
}

impl SignUrl {
    fn url(&self) -> anyhow::Result<String> {
        let (bucket, key) = split(&self.object)?;
        model::name::ObjectKey::parse(key.as_bytes())?;
        let root = RootKey::find(&self.common.data_dir)?;
        let signer = Signer { access_key: root.id.clone(), secret: root.secret.clone(), token: token() };
        let query: Vec<_> = self.process.iter().map(|process| ("x-oss-process", Some(process.as_str()))).collect();
        let method = self.method.to_ascii_uppercase();
        let unsigned = UnsignedRequest { method: &method, bucket: Some(&bucket), key, query: &query, headers: &[] };
        let now_s = Clock::system().now_s();
        let signed = match self.version {
            Version::V1 => signer.v1_url_query(&unsigned, now_s + i64::from(self.common.expires)),
            Version::V4 if self.common.expires > 604_800 => bail!("a V4 URL is valid for at most 604800 seconds"),
            Version::V4 => signer.v4_url_query(&unsigned, &self.region, now_s, self.common.expires),
        };
        let host = &self.common.host;
        let path = unsigned.encoded_path();
        Ok(match self.common.virtual_host {
            true => format!("http://{bucket}.{host}{path}?{signed}"),
            false => format!("http://{host}/{bucket}{path}?{signed}"),
        })
    }
}

/// The token that goes with a temporary key in the environment (`millpond sts assume`).
fn token() -> Option<String> {
    std::env::var("OSS_SESSION_TOKEN").ok().filter(|token| !token.is_empty())
}

/// Splits `BUCKET/REST`.
pub(super) fn split(text: &str) -> anyhow::Result<(BucketName, &str)> {
    let (bucket, rest) =
        text.split_once('/').filter(|(_, rest)| !rest.is_empty()).context("give BUCKET/NAME, such as media/cam1")?;
    Ok((BucketName::parse(bucket).with_context(|| format!("{bucket:?} is no bucket name"))?, rest))
}
