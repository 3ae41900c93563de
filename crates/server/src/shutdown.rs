//! The word that it is time to stop, for every task that listens.

use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;

/// Given to every task; becomes true once.
#[derive(Debug, Clone)]
pub(crate) struct Shutdown(watch::Receiver<bool>);

/// Says that it is time.
#[derive(Debug)]
pub(crate) struct ShutdownTrigger(watch::Sender<bool>);

/// A trigger with the word it gives.
pub(crate) fn channel() -> (ShutdownTrigger, Shutdown) {
    let (sender, receiver) = watch::channel(false);
    (ShutdownTrigger(sender), Shutdown(receiver))
}

impl ShutdownTrigger {
    /// Tells everybody; may be called again.
    pub(crate) fn fire(&self) {
        self.0.send_replace(true);
    }
}

impl Shutdown {
    /// Whether the word was given.
    pub(crate) fn is_on(&self) -> bool {
        *self.0.borrow()
    }

    /// Waits for the word; returns at once when it was given before, or when nobody is left to give it.
    pub(crate) async fn wait(&mut self) {
        // An error means that the trigger is gone, which is the end of the process too.
        let _ = self.0.wait_for(|on| *on).await;
    }
}

/// An interrupt (Ctrl-C) or a termination request, from when this is made on.
#[derive(Debug)]
pub(crate) struct Signals {
    interrupt: Signal,
    terminate: Signal,
}

impl Signals {
    /// From here on those signals do not end the process. Made before a server says that it is ready: whoever waits for
    /// that may stop it at once.
    ///
    /// # Errors
    /// When the operating system has no more room for handlers.
    pub(crate) fn listen() -> std::io::Result<Self> {
        Ok(Self { interrupt: signal(SignalKind::interrupt())?, terminate: signal(SignalKind::terminate())? })
    }

    /// Waits for the first of them.
    pub(crate) async fn wait(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

/// Ends the process after `limit`, whatever still waits: a disk that hangs holds threads that nobody can stop.
pub(crate) fn leave_within(limit: Duration) {
    let leave = move || {
        std::thread::sleep(limit);
        tracing::error!(limit_s = limit.as_secs(), "not everything has ended in time: the process leaves now");
        // Should even leaving hang, in what the system's library does at the end.
        let _ = std::thread::Builder::new().spawn(|| {
            std::thread::sleep(LAST_WORDS);
            let _ = rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL);
        });
        std::thread::sleep(LAST_WORDS / 4);
        std::process::exit(1)
    };
    if let Err(error) = std::thread::Builder::new().name("leave".to_owned()).spawn(leave) {
        tracing::warn!(%error, "no thread for the bound on stopping");
    }
}

/// How long leaving itself may take.
const LAST_WORDS: Duration = Duration::from_secs(1);
