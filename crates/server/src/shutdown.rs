//! The word that it is time to stop, for every task that listens.

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

/// Waits for an interrupt (Ctrl-C) or a termination request.
pub(crate) async fn signal() {
    use tokio::signal::unix::{SignalKind, signal};
    match signal(SignalKind::terminate()) {
        Ok(mut terminate) => {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = tokio::signal::ctrl_c() => {}
            }
        }
        Err(_) => {
            let _ = tokio::signal::ctrl_c().await;
        }
    }
}
