//! The thread of the operators' listener. Whoever asks whether a server is alive asks when it may not be: a file system
//! that is frozen holds every thread that touches a file of it, those of the runtime too, since SQLite's index of its log
//! is memory that such a file stands behind. So these pages have a thread and a runtime of their own, which touches none.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use metrics_exporter_prometheus::PrometheusHandle;
use tokio::net::TcpListener;
use tokio::runtime::{Builder, Handle, Runtime};
use tokio::sync::{Mutex, oneshot};
use tokio::task::JoinHandle;

use crate::edge::Edge;
use crate::objects::Objects;
use crate::shutdown::Shutdown;

/// How long the store may take to answer `/readyz`: less than most probes wait, more than a slow disk needs for a read.
pub(crate) const READY_TIMEOUT: Duration = Duration::from_secs(3);

/// A runtime for one thread.
#[derive(Debug)]
pub(crate) struct Own(Option<Runtime>);

impl Own {
    /// Made before descriptors are divided, since it takes some.
    ///
    /// # Errors
    /// When the system gives none.
    pub(crate) fn make() -> io::Result<Self> {
        Ok(Self(Some(Builder::new_current_thread().enable_all().build()?)))
    }
}

impl Drop for Own {
    /// A runtime may not be waited for where tasks run: a start that fails drops it there.
    fn drop(&mut self) {
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}

/// Serves on a thread of its own until the word that the process `ends`; the task that is returned waits for it.
///
/// # Errors
/// When there is no thread to be had.
pub(crate) fn start(
    own: Own,
    listener: TcpListener,
    edge: Arc<Edge>,
    numbers: PrometheusHandle,
    shutdown: Shutdown,
    ends: Shutdown,
) -> io::Result<JoinHandle<()>> {
    // A socket belongs to the runtime that it was made in.
    let listener = listener.into_std()?;
    let readiness = Arc::new(Readiness::new(Handle::current(), edge.objects.clone()));
    let (done, ended) = oneshot::channel();
    let serve = async move {
        match TcpListener::from_std(listener) {
            Ok(listener) => super::serve(listener, edge, numbers, readiness, shutdown, ends).await,
            Err(error) => tracing::error!(%error, "the admin listener cannot be used"),
        }
    };
    std::thread::Builder::new().name("admin".to_owned()).spawn(move || {
        if let Some(runtime) = &own.0 {
            let _ = runtime.block_on(async { crate::panics::spawn("admin", serve).await });
        }
        // What is still open is cut, and nobody waits for it.
        drop(own);
        let _ = done.send(());
    })?;
    Ok(tokio::spawn(async { ended.await.unwrap_or_default() }))
}

/// Asks the store whether it answers, on the runtime that requests run on.
pub(crate) struct Readiness {
    requests: Handle,
    objects: Arc<Objects>,
    /// The question that is under way: one at a time, or a store that hangs would be asked again by every probe.
    asked: Mutex<Option<JoinHandle<Result<(), store::Error>>>>,
}

impl Readiness {
    fn new(requests: Handle, objects: Arc<Objects>) -> Self {
        Self { requests, objects, asked: Mutex::new(None) }
    }

    /// Returns within [`READY_TIMEOUT`].
    ///
    /// # Errors
    /// What keeps the store from answering, for people.
    pub(crate) async fn ask(&self) -> Result<(), String> {
        let answer = async {
            let mut asked = self.asked.lock().await;
            // An answer that nobody waited for is about a time that has passed.
            asked.take_if(|asked| asked.is_finished());
            let question = asked.get_or_insert_with(|| {
                let objects = self.objects.clone();
                self.requests.spawn(async move { objects.check_ready().await })
            });
            let answer = question.await;
            *asked = None;
            answer
        };
        match tokio::time::timeout(READY_TIMEOUT, answer).await {
            Ok(Ok(Ok(()))) => Ok(()),
            Ok(Ok(Err(error))) => Err(error.to_string()),
            Ok(Err(stopped)) => Err(stopped.to_string()),
            Err(_) => Err(format!("no answer within {} s; is its disk frozen?", READY_TIMEOUT.as_secs())),
        }
    }

    /// Where what needs the store runs: it may wait, and the pages of this thread may not wait with it.
    pub(crate) fn requests(&self) -> &Handle {
        &self.requests
    }
}
