//! What a server cannot do without and does not decide about itself: its metadata, and a store of blobs that is another
//! place. Each is asked in the background, so that whoever asks how the server is never waits for one that is away.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use store::blob::BlobStore;
use tokio::time::Instant;

use crate::objects::Objects;
use crate::shutdown::Shutdown;

/// How often each is asked, counted from its last answer: one question at a time, or one that hangs would be asked again and again.
const ASK_EVERY: Duration = Duration::from_secs(5);
/// With no answer for so long it does not answer.
const SILENCE: Duration = Duration::from_secs(11);

/// The dependencies of one server.
pub(crate) struct Dependencies {
    objects: Arc<Objects>,
    blobs: Arc<dyn BlobStore>,
    metadata: Heard,
    /// Files of this machine are not asked: [`crate::space`] looks after their disk.
    store: Heard,
}

/// What was last heard of one.
#[derive(Debug)]
struct Heard(Mutex<(Instant, Option<String>)>);

impl Heard {
    fn new() -> Self {
        Self(Mutex::new((Instant::now(), None)))
    }

    /// Notes an answer; whether it says something else than the one before.
    fn note(&self, trouble: Option<String>) -> bool {
        let mut heard = self.0.lock();
        let is_news = heard.1.is_some() != trouble.is_some();
        *heard = (Instant::now(), trouble);
        is_news
    }

    /// What is wrong with it, for people.
    fn trouble(&self) -> Option<String> {
        let heard = self.0.lock();
        let silence = heard.0.elapsed();
        heard.1.clone().or_else(|| (silence > SILENCE).then(|| format!("no answer for {} s", silence.as_secs())))
    }
}

impl Dependencies {
    /// Those of a server with these stores. They count as well until one says otherwise.
    pub(crate) fn new(objects: Arc<Objects>, blobs: Arc<dyn BlobStore>) -> Self {
        Self { objects, blobs, metadata: Heard::new(), store: Heard::new() }
    }

    /// Whether blobs are in another place, which may be away while this server is well.
    pub(crate) fn has_store(&self) -> bool {
        self.blobs.finishes_elsewhere()
    }

    /// Why the store of blobs counts as away, for people; `None` while it answers, and where blobs are files.
    pub(crate) fn store_trouble(&self) -> Option<String> {
        if self.has_store() { self.store.trouble() } else { None }
    }

    /// Whether each answers, under the name that its metric has.
    pub(crate) fn are_up(&self) -> [(&'static str, bool); 2] {
        [("metadata", self.metadata.trouble().is_none()), ("blobs", self.store_trouble().is_none())]
    }

    /// Asks until the word to stop.
    pub(crate) async fn watch(self: Arc<Self>, mut shutdown: Shutdown) {
        let metadata = async {
            loop {
                let answer = self.objects.check_ready().await;
                self.hear(&self.metadata, "the metadata store", answer);
                tokio::time::sleep(ASK_EVERY).await;
            }
        };
        let store = async {
            while self.has_store() {
                let answer = self.blobs.answers().await;
                self.hear(&self.store, "the S3-compatible store", answer);
                tokio::time::sleep(ASK_EVERY).await;
            }
        };
        tokio::select! {
            () = shutdown.wait() => {}
            ((), ()) = async { tokio::join!(metadata, store) } => {}
        }
    }

    fn hear(&self, heard: &Heard, what: &str, answer: Result<(), store::Error>) {
        // Errors of engines may have several lines.
        let trouble = answer.err().map(|error| error.detail.split_whitespace().collect::<Vec<_>>().join(" "));
        let why = trouble.clone();
        if heard.note(trouble) {
            match why {
                Some(why) => tracing::warn!("{what} does not answer: {why}"),
                None => tracing::info!("{what} answers again"),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn silence_is_trouble_and_an_answer_ends_it() {
        let heard = Heard::new();
        tokio::time::sleep(SILENCE).await;
        assert_eq!(heard.trouble(), None);
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert_eq!(heard.trouble(), Some("no answer for 12 s".to_owned()));
        assert!(!heard.note(None), "it was not said to be away");
        assert_eq!(heard.trouble(), None);
        assert!(heard.note(Some("refused".to_owned())));
        assert!(!heard.note(Some("refused".to_owned())), "said once");
        assert_eq!(heard.trouble(), Some("refused".to_owned()));
        assert!(heard.note(None));
    }
}
