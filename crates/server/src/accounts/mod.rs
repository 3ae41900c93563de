//! The accounts of this installation: the root account, its users, their keys and policies, temporary sessions, and the
//! proof of who calls (access control 1, OSS auth).

mod authenticator;
mod changes;
mod identity;
mod sessions;

use std::net::IpAddr;

use model::{Error, OwnerId};
use store::meta::Meta;

pub(crate) use authenticator::{Authenticated, Sender};
pub(crate) use changes::{Fault, code_of};
pub(crate) use identity::Identity;
pub(crate) use sessions::{MAX_SESSION_S, SessionRequest};

use crate::auth_failures::AuthFailures;
use crate::clock::Clock;
use crate::config::Config;
use crate::root_key::RootKey;
use identity::Derived;

/// The name that stands for the account itself where keys are made.
pub(crate) const ROOT_NAME: &str = "root";

/// Who may call, and the proof that somebody is who they say.
pub(crate) struct Accounts {
    meta: Meta,
    root: RootKey,
    clock: Clock,
    derived: Derived,
    failures: AuthFailures,
    region: String,
    accepted_regions: Vec<String>,
}

impl Accounts {
    /// The accounts in this store, below the root account.
    pub(crate) fn new(meta: Meta, root: RootKey, clock: Clock, config: &Config) -> Self {
        Self {
            meta,
            root,
            clock,
            derived: Derived::default(),
            failures: AuthFailures::new(config.auth_failures_per_minute),
            region: config.region.clone(),
            accepted_regions: config.accepted_regions.clone(),
        }
    }

    /// The root account and the key that the server was started with.
    pub(crate) fn root(&self) -> &RootKey {
        &self.root
    }

    /// The number of the root account.
    pub(crate) fn owner(&self) -> &OwnerId {
        &self.root.owner
    }

    /// What a caller reads whose claim was wrong: the error itself, or after too many of them from one address that it
    /// should come back later.
    pub(crate) async fn refuse(&self, from: IpAddr, error: Error) -> Error {
        self.failures.refuse(from, error).await
    }

    /// Remembers a signed call that must not be made twice, until `until_ms`; whether it is new.
    ///
    /// # Errors
    /// Those of the store.
    pub(crate) async fn remember_once(&self, what: &[u8; 32], until_ms: i64) -> Result<bool, store::Error> {
        self.meta.remember_once(what, until_ms).await
    }
}
