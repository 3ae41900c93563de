//! Temporary sessions (OSS auth 11).

use std::sync::Arc;
use std::time::Duration;

use model::access::policy::Policy;
use store::meta::{SessionRecord, SessionRole};

use super::Accounts;
use super::changes::{Fault, Result, check_name};
use super::identity::SESSION_PREFIX;
use crate::shutdown::Shutdown;

/// The longest a session may last (12 hours, as the official service).
pub(crate) const MAX_SESSION_S: u32 = 43_200;
/// How long an ended session is remembered, so that its user reads `SecurityTokenExpired` and not that the key is
/// unknown.
const REMEMBER_ENDED_MS: i64 = 86_400_000;
/// How often ended sessions are forgotten.
const FORGET_EVERY: Duration = Duration::from_secs(600);

/// The request for a temporary session.
#[derive(Debug)]
pub(crate) struct SessionRequest<'a> {
    /// Whom it acts for: a user, or the account itself.
    pub(crate) user: &'a str,
    /// What it is called in the names of bucket policies.
    pub(crate) session_name: &'a str,
    /// How long it lasts, seconds.
    pub(crate) duration_s: u32,
    /// What narrows it further.
    pub(crate) policy: Option<String>,
}

impl Accounts {
    /// Makes a temporary session. Secret and token are in the answer and never shown again.
    pub(crate) async fn assume(&self, request: SessionRequest<'_>) -> Result<SessionRecord> {
        check_name("The name of a session", request.session_name)?;
        if !(1..=MAX_SESSION_S).contains(&request.duration_s) {
            return Err(Fault::Invalid(format!("A session lasts 1 to {MAX_SESSION_S} seconds.")));
        }
        if let Some(policy) = &request.policy {
            Policy::parse_for_user(policy.as_bytes(), &self.region)?.check_actions()?;
        }
        let uid = self.uid(request.user).await?;
        let now_ms = self.clock.now_ms();
        let session = SessionRecord {
            id: format!("{SESSION_PREFIX}{}", crate::ids::access_key_id()),
            secret: crate::ids::secret(),
            token: format!("CAIS{}{}", crate::ids::secret(), crate::ids::secret()),
            uid,
            policy: request.policy,
            role: Some(SessionRole { role: request.user.to_owned(), session: request.session_name.to_owned() }),
            expires_ms: now_ms.saturating_add(i64::from(request.duration_s) * 1000),
        };
        self.meta.put_session(&session).await?;
        tracing::info!(user = request.user, session = request.session_name, key = session.id, "session begun");
        Ok(session)
    }

    /// Forgets sessions that ended a while ago, and calls that nobody can make again, until the word to stop is given.
    pub(crate) async fn forget_sessions(self: Arc<Self>, mut shutdown: Shutdown) {
        loop {
            let before_ms = self.clock.now_ms().saturating_sub(REMEMBER_ENDED_MS);
            if let Err(error) = self.meta.delete_ended_sessions(before_ms, 1000).await {
                tracing::warn!(%error, "ended sessions cannot be forgotten now");
            }
            if let Err(error) = self.meta.forget_happened(self.clock.now_ms(), 10_000).await {
                tracing::warn!(%error, "calls that were made cannot be forgotten now");
            }
            tokio::select! {
                () = shutdown.wait() => return,
                () = tokio::time::sleep(FORGET_EVERY) => {}
            }
        }
    }
}
