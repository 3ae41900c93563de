//! A panic is a bug; one in a connection's task must stay there, be counted and be seen.

use std::panic::AssertUnwindSafe;
use std::pin::{Pin, pin};

use tokio::runtime::Handle;
use tokio::task::JoinHandle;

/// Runs a task whose panic is logged and counted.
pub(crate) fn spawn<F>(what: &'static str, task: F) -> JoinHandle<()>
where
    F: Future<Output = ()> + Send + 'static,
{
    tokio::spawn(async move { guard(what, pin!(task)).await.unwrap_or_default() })
}

/// Runs a task on another runtime; `None` when it panicked, which is logged and counted, or when that runtime ends.
pub(crate) async fn run_on<F>(runtime: &Handle, what: &'static str, task: F) -> Option<F::Output>
where
    F: Future<Output: Send> + Send + 'static,
{
    runtime.spawn(async move { guard(what, pin!(task)).await }).await.ok().flatten()
}

/// What a task returns, or `None` when it panicked, which is logged and counted. It stays where it is: a task that is handed over
/// by value has room twice.
pub(crate) async fn guard<F: Future>(what: &'static str, task: Pin<&mut F>) -> Option<F::Output> {
    let caught = CatchUnwind(task).await;
    if let Err(message) = &caught {
        metrics::counter!(crate::metrics::PANICS).increment(1);
        tracing::error!(what, message, "a task panicked: please report this");
    }
    caught.ok()
}

struct CatchUnwind<'a, F>(Pin<&'a mut F>);

impl<F: Future> Future for CatchUnwind<'_, F> {
    type Output = Result<F::Output, String>;

    fn poll(mut self: Pin<&mut Self>, context: &mut std::task::Context<'_>) -> std::task::Poll<Self::Output> {
        let polled = std::panic::catch_unwind(AssertUnwindSafe(|| self.0.as_mut().poll(context)));
        match polled {
            Ok(poll) => poll.map(Ok),
            Err(panic) => {
                let message = panic
                    .downcast_ref::<&str>()
                    .map(|text| (*text).to_owned())
                    .or_else(|| panic.downcast_ref::<String>().cloned())
                    .unwrap_or_else(|| "(no message)".to_owned());
                std::task::Poll::Ready(Err(message))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;

    #[tokio::test]
    async fn a_panic_ends_only_its_task() {
        let task = super::spawn("test", async { panic!("on purpose") });
        assert!(task.await.is_ok());
    }

    #[tokio::test]
    async fn who_waits_hears_of_a_panic() {
        assert_eq!(super::guard("test", pin!(async { 1 })).await, Some(1));
        assert_eq!(super::guard("test", pin!(async { panic!("on purpose") })).await, None::<()>);
    }
}
