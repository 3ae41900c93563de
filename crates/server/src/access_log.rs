//! Access logs of buckets (PutBucketLogging, HTTP API 8.15): lines are gathered in memory as answers end, and written
//! every so often to an object of the hour in the bucket that the configuration names. No request waits for its line;
//! when lines come faster than they are written, some are dropped and counted. A crash loses what was not yet written.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use model::name::{BucketName, ObjectKey};
use model::{LoggingConfiguration, log_object_name};
use oss::access_log::AccessLogLine;
use tokio::sync::Notify;

use crate::metrics::{ACCESS_LOG_DROPPED, ACCESS_LOG_LINES};
use crate::objects::{LogGrant, LogObject, NotWritten, Objects};
use crate::shutdown::Shutdown;

/// Lines that wait to be written.
const MAX_PENDING_BYTES: usize = 32 << 20;
/// From here on nobody waits for the interval to pass.
const MANY_PENDING_BYTES: usize = MAX_PENDING_BYTES / 4;
const HOUR_MS: i64 = 3_600_000;

/// Whose lines go where.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Route {
    source: BucketName,
    target: String,
    prefix: String,
}

/// What waits to be written, and the objects it is written to.
pub(crate) struct AccessLog {
    objects: Arc<Objects>,
    interval: Duration,
    pending: Mutex<Pending>,
    is_pressing: Notify,
    /// The object of each route, with the hour it is for. The lock is held while a flush runs.
    open: tokio::sync::Mutex<HashMap<Route, (i64, LogObject)>>,
}

#[derive(Default)]
struct Pending {
    lines: HashMap<Route, String>,
    bytes: usize,
}

/// A line whose request is being answered. When it is dropped, the answer has ended, whole or not, and the line is
/// written.
pub(crate) struct Entry {
    log: Arc<AccessLog>,
    route: Route,
    line: AccessLogLine,
    started: Instant,
    sent: u64,
}

impl Entry {
    /// A line about a request to `source`, which came at `started`.
    pub(crate) fn new(
        log: &Arc<AccessLog>,
        source: BucketName,
        target: LoggingConfiguration,
        line: AccessLogLine,
        started: Instant,
    ) -> Self {
        let route = Route { source, target: target.target_bucket, prefix: target.target_prefix };
        Self { log: log.clone(), route, line, started, sent: 0 }
    }

    /// Counts bytes of the body as sent.
    pub(crate) fn count_sent(&mut self, bytes: usize) {
        self.sent = self.sent.saturating_add(bytes as u64);
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        let took_ms = u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.log.push(&self.route, &self.line.finish(self.sent, took_ms));
    }
}

impl AccessLog {
    /// A log whose objects are written every `interval`.
    pub(crate) fn new(objects: Arc<Objects>, interval: Duration) -> Self {
        Self {
            objects,
            interval,
            pending: Mutex::default(),
            is_pressing: Notify::new(),
            open: tokio::sync::Mutex::default(),
        }
    }

    fn pending(&self) -> MutexGuard<'_, Pending> {
        self.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Bytes that wait to be written.
    pub(crate) fn waiting_bytes(&self) -> usize {
        self.pending().bytes
    }

    /// Takes whole lines, unless too many wait.
    fn push(&self, route: &Route, lines: &str) {
        let mut pending = self.pending();
        let bytes = pending.bytes.saturating_add(lines.len());
        if bytes > MAX_PENDING_BYTES {
            drop(pending);
            return dropped(lines);
        }
        pending.bytes = bytes;
        match pending.lines.get_mut(route) {
            Some(text) => text.push_str(lines),
            None => {
                pending.lines.insert(route.clone(), lines.to_owned());
            }
        }
        drop(pending);
        if bytes >= MANY_PENDING_BYTES {
            self.is_pressing.notify_one();
        }
    }

    /// Writes what waits. Lines that cannot be written now wait for the next time.
    pub(crate) async fn flush(&self) {
        let mut open = self.open.lock().await;
        let now_ms = self.objects.now_ms();
        let hour = now_ms.div_euclid(HOUR_MS);
        open.retain(|_, (of, _)| *of == hour);
        let waiting = std::mem::take(&mut *self.pending());
        for (route, text) in waiting.lines {
            let mut object = open.remove(&route).map(|(_, object)| object);
            // An object that others took is not written again; there is another name each time.
            for _ in 0..2 {
                let mut taken = match object.take() {
                    Some(object) => object,
                    None => match begin(&self.objects, &route, now_ms).await {
                        Ok(object) => object,
                        Err(error) => {
                            object = self.keep(&route, &text, error);
                            break;
                        }
                    },
                };
                match taken.append(&self.objects, &text).await {
                    Ok(()) => {
                        metrics::counter!(ACCESS_LOG_LINES).increment(text.matches('\n').count() as u64);
                        object = Some(taken);
                        break;
                    }
                    Err(NotWritten::Replaced) => {}
                    Err(error) => {
                        self.keep(&route, &text, error);
                        break;
                    }
                }
            }
            if let Some(object) = object {
                open.insert(route, (hour, object));
            }
        }
    }

    /// What becomes of lines that could not be written.
    fn keep(&self, route: &Route, text: &str, why: NotWritten) -> Option<LogObject> {
        match why {
            NotWritten::Failed(error) => {
                tracing::warn!(%error, bucket = %route.source, "the access log cannot be written now");
                self.push(route, text);
            }
            NotWritten::NoBucket | NotWritten::Replaced => {
                tracing::warn!(bucket = %route.source, target = route.target, "the access log has nowhere to go");
                dropped(text);
            }
        }
        None
    }
}

fn dropped(lines: &str) {
    metrics::counter!(ACCESS_LOG_DROPPED).increment(lines.matches('\n').count() as u64);
}

/// The object of an hour, not there yet.
async fn begin(objects: &Objects, route: &Route, now_ms: i64) -> Result<LogObject, NotWritten> {
    let name = log_object_name(&route.prefix, &route.source, now_ms, &crate::ids::upload_id());
    let target = BucketName::parse(&route.target).map_err(|_| NotWritten::NoBucket)?;
    let key = ObjectKey::parse(name.as_bytes()).map_err(|_| NotWritten::NoBucket)?;
    let grant = LogGrant::new(target.clone(), &route.prefix, key).ok_or(NotWritten::NoBucket)?;
    match objects.bucket(&target).await {
        Ok(Some(bucket)) => Ok(LogObject::new(grant, bucket.record.storage_class)),
        Ok(None) => Err(NotWritten::NoBucket),
        Err(error) => Err(NotWritten::Failed(error)),
    }
}

/// Writes what waits, again and again, until the server stops.
pub(crate) async fn deliver(log: Arc<AccessLog>, mut shutdown: Shutdown) {
    loop {
        tokio::select! {
            () = shutdown.wait() => return,
            () = tokio::time::sleep(log.interval) => {}
            () = log.is_pressing.notified() => {}
        }
        log.flush().await;
    }
}
