//! The file of settings, and the bounds of what it says.

use std::path::Path;

use anyhow::{Context, bail};
use model::name::{BucketName, ChannelName};

use super::{Config, SnapshotsConfig};
use crate::proxies::TrustedProxies;

/// The longest name of a server, bytes.
const INSTANCE_MAX: usize = 32;

impl Config {
    /// Reads a file.
    ///
    /// # Errors
    /// When it cannot be read or has an unknown key.
    pub(super) fn read(path: &Path) -> anyhow::Result<Self> {
        let text =
            std::fs::read_to_string(path).with_context(|| format!("cannot read the settings in {}", path.display()))?;
        toml::from_str(&text).with_context(|| format!("the settings in {} are not right", path.display()))
    }

    /// The proxies whose word counts.
    ///
    /// # Errors
    /// When one of them is no network.
    pub(crate) fn proxies(&self) -> anyhow::Result<TrustedProxies> {
        TrustedProxies::new(&self.trusted_proxies, self.forwarded_header)
            .context("`trusted_proxies` are addresses and networks such as 10.0.0.0/8 or 2001:db8::1")
    }

    /// Whether each value is within its bounds.
    ///
    /// # Errors
    /// Which one is not.
    pub(super) fn check(&self) -> anyhow::Result<()> {
        if self.read_only && self.meta.as_ref().is_some_and(|meta| !meta.is_empty()) {
            bail!(
                "`read_only` is about a data directory; `millpond store read-only --meta …` makes a map in PostgreSQL read-only"
            );
        }
        if self.listen.is_empty() {
            bail!("`listen` needs at least one address");
        }
        if self.region.is_empty() || !self.region.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-') {
            bail!("`region` is letters, digits and dashes, such as cn-hangzhou; it is {:?}", self.region);
        }
        if let Some(instance) = &self.instance {
            let is_name = (1..=INSTANCE_MAX).contains(&instance.len())
                && instance.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
            if !is_name {
                bail!(
                    "`instance` is 1 to {INSTANCE_MAX} letters, digits and dashes, such as pond-1; it is {instance:?}"
                );
            }
            if self.meta.as_deref().is_none_or(str::is_empty) {
                bail!("`instance` names one of several servers that share a map: set `meta` too, or leave it out");
            }
        }
        for (domain, bucket) in &self.custom_domains {
            if BucketName::parse(bucket).is_err() {
                bail!("`custom_domains` maps {domain} to {bucket:?}, which is no bucket name");
            }
        }
        for bucket in &self.hls_sign.siblings {
            if BucketName::parse(bucket).is_err() {
                bail!("`hls_sign.siblings` lists {bucket:?}, which is no bucket name");
            }
        }
        if let Some(bucket) = &self.live.default_bucket
            && BucketName::parse(bucket).is_err()
        {
            bail!("`live.default_bucket` is {bucket:?}, which is no bucket name");
        }
        for endpoint in [&self.public_endpoint, &self.internal_endpoint].into_iter().flatten() {
            if endpoint.is_empty() || endpoint.contains(|c: char| c.is_whitespace() || c == '/') {
                bail!(
                    "`public_endpoint` and `internal_endpoint` are a host and a port if it needs one, not {endpoint:?}"
                );
            }
        }
        self.proxies()?;
        if self.max_connections == Some(0) {
            bail!("`max_connections` is at least 1");
        }
        if !(1024..=1 << 30).contains(&self.live.max_message_bytes) {
            bail!("`live.max_message_bytes` is between 1 KiB and 1 GiB");
        }
        if !(1..=ChannelName::MAX_BYTES).contains(&self.live.channel_name_max_bytes) {
            bail!(
                "`live.channel_name_max_bytes` is between 1 and {}, so that a playlist's name fits behind it in a key",
                ChannelName::MAX_BYTES
            );
        }
        if !(1..=86_400).contains(&self.storage.lifecycle_interval_s) {
            bail!("`storage.lifecycle_interval_s` is between a second and a day");
        }
        if self.storage.cache_mib > 1 << 30 {
            bail!("`storage.cache_mib` is at most 1 PiB");
        }
        if self.storage.tail_ms != 0 && !(100..=60_000).contains(&self.storage.tail_ms) {
            bail!("`storage.tail_ms` is between 100 ms and a minute, or 0 for none");
        }
        if !(1..=3600).contains(&self.storage.access_log_interval_s) {
            bail!("`storage.access_log_interval_s` is between a second and an hour");
        }
        if ![self.http.head_timeout_s, self.http.body_timeout_s].iter().all(|s| (1..=86_400).contains(s)) {
            bail!("`http.head_timeout_s` and `http.body_timeout_s` are between a second and a day");
        }
        if !(1..=86_400).contains(&self.http.stalled_answer_s) {
            bail!("`http.stalled_answer_s` is between a second and a day");
        }
        if self.drain_s > 3600 || self.leave_s > 3600 {
            bail!("`drain_s` and `leave_s` are at most an hour each");
        }
        if self.storage.reserve_mib > 1 << 24 {
            bail!("`storage.reserve_mib` is at most 16 TiB");
        }
        if ![self.memory.receive_mib, self.memory.send_mib].iter().all(|mib| (1..=1 << 20).contains(mib)) {
            bail!("`memory.receive_mib` and `memory.send_mib` are between 1 MiB and 1 TiB");
        }
        if self.http.min_body_bytes_per_s > 1 << 20 {
            bail!("`http.min_body_bytes_per_s` is at most 1 MiB");
        }
        let cache = &self.cache;
        if [cache.segment_max_age_s, cache.live_playlist_max_age_s, cache.vod_playlist_max_age_s]
            .iter()
            .any(|s| *s > 31_536_000)
        {
            bail!("`cache.segment_max_age_s` and the others like it are at most 31536000, a year");
        }
        self.snapshots.check()?;
        if self.live.media_timeout_s == 0 || self.live.ping_after_s == 0 {
            bail!("`live.media_timeout_s` and `live.ping_after_s` are at least 1");
        }
        Ok(())
    }
}

impl SnapshotsConfig {
    fn check(&self) -> anyhow::Result<()> {
        if self.workers > 256 || !(1..=100_000).contains(&self.max_waiting) || self.stills_mib > 1 << 20 {
            bail!("`snapshots.workers`, `snapshots.max_waiting` or `snapshots.stills_mib` is out of its bounds");
        }
        if ![self.deadline_ms, self.request_deadline_ms].iter().all(|ms| (50..=120_000).contains(ms)) {
            bail!("`snapshots.deadline_ms` and `snapshots.request_deadline_ms` are between 50 ms and two minutes");
        }
        if !(1..=100).contains(&self.jpeg_quality) || !(256..=1 << 28).contains(&self.max_pixels) {
            bail!("`snapshots.jpeg_quality` is 1 to 100, `snapshots.max_pixels` 256 to 268435456");
        }
        for (topic, url) in &self.topics {
            if !(url.starts_with("http://") || url.starts_with("https://")) {
                bail!("`snapshots.topics` maps {topic:?} to {url:?}, which is no address of HTTP");
            }
        }
        Ok(())
    }
}
