//! From one publisher of a channel to the next: whether the one before has ended, and who waits for that.
//!
//! An encoder that starts again right after its end meets the publication before it, whose last segment is still being
//! stored, or whose last bytes are still to be read. That is no competitor, so it is waited for. Whether a connection has
//! ended only the task that serves it can see, so it is asked.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;

/// Publishers that wait for one channel; each is a connection that is not read from. More are refused at once.
pub(super) const MAX_WAITING: usize = 4;

/// How long the answer of a publication is waited for. One that is busy for longer answers no encoder either, and
/// counts as silent soon.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(3);

/// How far the end of a publication has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Phase {
    Running,
    /// Its connection has ended, or it was asked to stop; its last segment is being stored.
    Ending,
    Ended,
}

/// The end of one publication, and those who want to know of it.
#[derive(Debug)]
pub(super) struct Succession {
    phase: watch::Sender<Phase>,
    /// Questions whether the peer is still there, counted.
    asked: watch::Sender<u64>,
    /// The last of them that was answered with yes.
    answered: watch::Sender<u64>,
    waiting: AtomicUsize,
    /// Who waits for the end on this server, and could take up what is not listed by then.
    heirs: watch::Sender<usize>,
}

impl Default for Succession {
    fn default() -> Self {
        Self {
            phase: watch::Sender::new(Phase::Running),
            asked: watch::Sender::new(0),
            answered: watch::Sender::new(0),
            waiting: AtomicUsize::new(0),
            heirs: watch::Sender::new(0),
        }
    }
}

impl Succession {
    /// Nothing more comes; what has come is still to be stored.
    pub(super) fn begin_end(&self) {
        self.phase.send_if_modified(|phase| {
            let is_news = *phase == Phase::Running;
            *phase = (*phase).max(Phase::Ending);
            is_news
        });
    }

    /// Everything is stored, the channel is free.
    pub(super) fn end(&self) {
        self.phase.send_replace(Phase::Ended);
    }

    pub(super) fn is_ending(&self) -> bool {
        *self.phase.borrow() != Phase::Running
    }

    /// The questions, for the task that serves the connection.
    pub(super) fn questions(&self) -> watch::Receiver<u64> {
        self.asked.subscribe()
    }

    /// The newest question, if it is still open.
    pub(super) fn open_question(&self) -> Option<u64> {
        let asked = *self.asked.borrow();
        (*self.answered.borrow() < asked && !self.is_ending()).then_some(asked)
    }

    /// When this question was asked already, the peer was there.
    pub(super) fn answer(&self, question: u64) {
        self.answered.send_if_modified(|answered| {
            let is_news = *answered < question;
            *answered = (*answered).max(question);
            is_news
        });
    }

    /// Asks whether the connection has ended; false when it has not, or does not say so in time.
    pub(super) async fn ask(&self) -> bool {
        let (mut phase, mut answered) = (self.phase.subscribe(), self.answered.subscribe());
        let mut question = 0;
        self.asked.send_modify(|asked| {
            *asked += 1;
            question = *asked;
        });
        let answer = async {
            tokio::select! {
                biased;
                _ = phase.wait_for(|phase| *phase != Phase::Running) => true,
                _ = answered.wait_for(|answered| *answered >= question) => false,
            }
        };
        tokio::time::timeout(ANSWER_TIMEOUT, answer).await.unwrap_or(false)
    }

    /// Waits for the end; false when it has not come by the deadline.
    pub(super) async fn wait(&self, deadline: Instant) -> bool {
        let mut phase = self.phase.subscribe();
        tokio::time::timeout_at(deadline, phase.wait_for(|phase| *phase == Phase::Ended)).await.is_ok()
    }

    /// Says that whoever waits here could take up what waits for the store, until what is returned is dropped.
    pub(super) fn heir(&self) -> Heir<'_> {
        self.heirs.send_modify(|heirs| *heirs += 1);
        Heir(self)
    }

    /// Whether somebody waits who could take up what waits for the store.
    pub(super) fn has_heir(&self) -> bool {
        *self.heirs.borrow() > 0
    }

    /// Waits for one.
    pub(super) async fn heir_comes(&self) {
        // An error would mean that nobody can come any more, which whoever asks here rules out.
        let _ = self.heirs.subscribe().wait_for(|heirs| *heirs > 0).await;
    }

    /// A place among those who want to publish next, if there is one left.
    pub(super) fn place(&self) -> Option<Place<'_>> {
        let taken = self.waiting.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |waiting| {
            (waiting < MAX_WAITING).then_some(waiting + 1)
        });
        taken.is_ok().then(|| Place(self))
    }
}

/// Somebody who would take up what waits.
pub(super) struct Heir<'a>(&'a Succession);

impl Drop for Heir<'_> {
    fn drop(&mut self) {
        self.0.heirs.send_modify(|heirs| *heirs -= 1);
    }
}

/// One of the few who wait.
pub(super) struct Place<'a>(&'a Succession);

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.0.waiting.fetch_sub(1, Ordering::Relaxed);
    }
}
