//! The server around the management API: what it is, how it is, and what a request would be answered.

use std::sync::Arc;

use async_trait::async_trait;
use model::Error;
use model::name::ObjectKey;
use model::percent::percent_encode;
use oss::request::{RawRequest, bare_host};
use oss::sign::presign::{Signer, UnsignedRequest};
use serde_json::{Value, json};
use store::meta::peer::Process;

use super::door::Door;
use super::pipeline::rehearsal::rehearse;
use crate::accounts::Fault;
use crate::edge::Edge;
use crate::management::{As, Attempt, Host, Rehearsed, Visitor};

/// A disk with less of it free is worth a word, in percent.
const LOW_PERCENT: u64 = 10;
/// With less the server is about to fail.
const FULL_BYTES: u64 = 256 * 1024 * 1024;
/// How long an address is good that is signed to be tried.
const TRIED_S: i64 = 60;

/// The server, as a call reached it.
pub(super) struct Around<'a> {
    pub(super) edge: &'a Arc<Edge>,
    /// Host and port where the OSS API is.
    pub(super) public: String,
    pub(super) is_secure: bool,
}

impl<'a> Around<'a> {
    /// The server, reached under `/-/`.
    pub(super) fn public(edge: &'a Arc<Edge>, raw: &RawRequest, door: Door) -> Self {
        let public = door.public_host(raw, &edge.config).unwrap_or_else(|| raw.host.clone());
        Self { edge, public, is_secure: raw.secure }
    }

    /// The server, reached at a listener for operators.
    pub(super) fn operators(edge: &'a Arc<Edge>, raw: &RawRequest) -> Self {
        let port = edge.config.listen.first().map_or(80, |address| address.port());
        let public = edge.config.public_endpoint.clone();
        Self {
            edge,
            public: public.unwrap_or_else(|| format!("{}:{port}", bare_host(&raw.host))),
            is_secure: raw.secure,
        }
    }

    /// The request that is tried, signed where it is to be.
    fn request(&self, visitor: &Visitor<'_>, attempt: &Attempt) -> Result<RawRequest, Fault> {
        if !attempt.key.is_empty() {
            ObjectKey::parse(attempt.key.as_bytes())?;
        }
        let below = percent_encode(attempt.key.as_bytes(), true);
        let base = self.edge.config.domains.iter().find(|domain| domain.eq_ignore_ascii_case(&bare_host(&self.public)));
        let (host, path) = match base {
            Some(_) if self.edge.config.force_virtual_hosted => {
                (format!("{}.{}", attempt.bucket, self.public), format!("/{below}"))
            }
            _ => (self.public.clone(), format!("/{}/{below}", attempt.bucket)),
        };
        let mut raw = RawRequest { method: attempt.method.clone(), path, host, ..RawRequest::default() };
        raw.secure = self.is_secure;
        let mut add = |name: &str, value: Option<&String>| {
            raw.headers.extend(value.map(|value| (name.to_owned(), value.clone().into_bytes())));
        };
        add("origin", attempt.origin.as_ref());
        add("referer", attempt.referer.as_ref());
        if let Some((method, headers)) = &attempt.preflight {
            add("access-control-request-method", Some(method));
            add("access-control-request-headers", headers.as_ref());
            raw.method = "OPTIONS".to_owned();
            // Browsers sign no preflight.
            return Ok(raw);
        }
        self.sign(visitor, attempt, &mut raw)?;
        Ok(raw)
    }

    fn sign(&self, visitor: &Visitor<'_>, attempt: &Attempt, raw: &mut RawRequest) -> Result<(), Fault> {
        let identity = visitor.identity;
        let Some(id) = identity.caller().access_key_id() else { return Ok(()) };
        let signer = Signer {
            access_key: id.clone(),
            secret: identity.secret().clone(),
            token: identity.token().map(str::to_owned),
        };
        let unsigned = UnsignedRequest {
            method: &attempt.method,
            bucket: Some(&attempt.bucket),
            key: &attempt.key,
            query: &[],
            headers: &[],
        };
        let now_s = self.edge.clock.now_s();
        match attempt.caller {
            As::Anonymous => {}
            As::SignedUrl => raw.query = signer.v1_url_query(&unsigned, now_s.saturating_add(TRIED_S)),
            As::Caller => raw.headers.extend(signer.v1_headers(&unsigned, now_s)),
        }
        Ok(())
    }

    /// How the parts of the server are, in words.
    async fn health(&self, disk: Option<Disk>) -> Value {
        let edge = self.edge;
        let entry = |name: &str, trouble: Option<(&str, String)>| {
            let (state, message) = trouble.unwrap_or(("ok", String::new()));
            json!({"name": name, "state": state, "message": message})
        };
        let metadata =
            edge.objects.check_ready().await.err().map(|error| ("fail", format!("does not answer: {error}")));
        let disk = disk.and_then(|disk| match disk.free {
            free if free < FULL_BYTES => Some(("fail", "is full: nothing more can be recorded".to_owned())),
            free if free < disk.total / 100 * LOW_PERCENT => {
                let percent = free.saturating_mul(100) / disk.total.max(1);
                Some(("warn", format!("is nearly full: {percent} % are free")))
            }
            _ => None,
        });
        let on_air = edge.live.all_on_air();
        let lossy = on_air.values().filter(|push| push.warnings().contains(&"media_lost")).count();
        let waiting = edge.live.pushes_that_wait();
        let recording = (lossy > 0).then(|| format!("lost media of {lossy} running pushes"));
        let waits = (waiting > 0).then(|| format!("has segments of {waiting} running pushes wait on the disk"));
        let recording: Vec<String> = recording.into_iter().chain(waits).collect();
        let recording = (!recording.is_empty()).then(|| ("warn", recording.join("; ")));
        let store = edge.dependencies.has_store().then(|| {
            let trouble = edge.dependencies.store_trouble();
            entry("blobs", trouble.map(|why| ("warn", format!("do not answer: {why}"))))
        });
        let first = [entry("metadata", metadata)].into_iter().chain(store);
        first.chain([entry("disk", disk), entry("recording", recording)]).collect()
    }
}

#[async_trait]
impl Host for Around<'_> {
    async fn about(&self, is_root: bool) -> Value {
        let Self { edge, .. } = self;
        let config = &edge.config;
        let folder = config.data_dir.clone();
        let disk = tokio::task::spawn_blocking(move || Disk::of(&folder)).await.ok().flatten();
        let census = edge.connections.census();
        let connections = [census.new, census.idle, census.in_request, census.publishing];
        let mut about = json!({
            "version": env!("CARGO_PKG_VERSION"),
            "commit": option_env!("MILLPOND_COMMIT").unwrap_or_default(),
            "started": model::date::format_iso8601(edge.started_ms),
            "region": config.region,
            "load": {"connections": connections.iter().sum::<usize>(), "publications": edge.live.all_on_air().len()},
            "health": self.health(disk).await,
        });
        if !is_root {
            return about;
        }
        let listeners = edge.listening.get().map(Vec::as_slice).unwrap_or_default();
        let has_tls = edge.tls.is_some();
        about["listeners"] = listeners
            .iter()
            .map(|(purpose, address)| json!({"purpose": purpose, "address": address.to_string(), "tls": has_tls}))
            .collect();
        about["certificate"] = edge.tls.as_ref().and_then(|tls| tls.validity()).map_or(Value::Null, |validity| {
            json!({"names": validity.names, "not_after": model::date::format_iso8601(validity.not_after_ms)})
        });
        if let Some(disk) = disk {
            let used = edge.objects.stored_bytes().await.ok();
            about["disk"] = json!({"free_bytes": disk.free, "total_bytes": disk.total, "used_bytes": used});
        }
        if edge.peers.is_shared() {
            // Where they cannot be read, the page says the rest.
            let servers = edge.peers.processes().await.unwrap_or_default();
            about["servers"] = servers.iter().map(server).collect();
        }
        about["limits"] = json!({
            "max_connections": edge.connections.caps().max,
            "buckets": config.max_buckets,
            "channels_per_bucket": config.live.max_channels_per_bucket,
            "ingest_mbit": config.live.max_ingest_mbit_s,
        });
        about
    }

    async fn rehearse(&self, visitor: &Visitor<'_>, attempt: &Attempt) -> Result<Rehearsed, Fault> {
        let raw = self.request(visitor, attempt)?;
        Ok(rehearse(self.edge, &raw, visitor.peer).await)
    }
}

/// A server of the installation, for people.
fn server(process: &Process) -> Value {
    let record = &process.record;
    let state = match (process.is_alive, record.is_leaving) {
        (false, _) => "dead",
        (true, true) => "leaving",
        (true, false) => "alive",
    };
    let address = |(purpose, address): &(String, String)| json!({"purpose": purpose, "address": address});
    json!({
        "name": record.name,
        "state": state,
        "version": record.version,
        "started": model::date::format_iso8601(record.started_ms),
        "seen": model::date::format_iso8601(record.said_ms),
        "listeners": record.addresses.iter().map(address).collect::<Vec<_>>(),
    })
}

/// What there is of a disk, bytes.
#[derive(Debug, Clone, Copy)]
struct Disk {
    free: u64,
    total: u64,
}

impl Disk {
    /// The one that holds a folder.
    fn of(folder: &std::path::Path) -> Option<Self> {
        let found = rustix::fs::statvfs(folder).ok()?;
        let bytes = |blocks: u64| blocks.saturating_mul(found.f_frsize);
        Some(Self { free: bytes(found.f_bavail), total: bytes(found.f_blocks) })
    }
}

/// The message of a refusal.
pub(super) fn refused(error: &Error) -> Rehearsed {
    Rehearsed {
        code: Some(error.code.as_str().to_owned()),
        ec: error.ec.map(str::to_owned),
        message: Some(error.message.clone().into_owned()),
        ..Rehearsed::default()
    }
}
