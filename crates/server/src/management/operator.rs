//! Who manages: the account itself, or one of its users for itself.

use model::access::Caller;
use model::{Error, ErrorCode};

use super::Management;
use crate::accounts::{Fault, Identity, ROOT_NAME};

/// Who manages.
pub(super) enum Operator {
    Root,
    /// A user by permanent key.
    User(String),
}

impl Operator {
    pub(super) async fn of(management: &Management, identity: &Identity) -> Result<Self, Fault> {
        match identity.caller() {
            Caller::Root { .. } => Ok(Self::Root),
            // A session that began another one would leave its own policy and its own end behind.
            Caller::User { uid, .. } if !identity.is_session() => {
                Ok(Self::User(management.accounts.name_of(uid).await?))
            }
            _ => Err(denied("Temporary keys cannot be used here.")),
        }
    }

    pub(super) fn must_be_root(&self) -> Result<(), Fault> {
        match self {
            Self::Root => Ok(()),
            Self::User(_) => Err(denied("Only the account itself may do this.")),
        }
    }

    /// The account may act for everybody, a user for itself.
    pub(super) fn may_act_for(&self, name: &str) -> Result<(), Fault> {
        match self {
            Self::Root => Ok(()),
            Self::User(own) if own == name => Ok(()),
            Self::User(_) => Err(denied("A user may begin sessions for itself only.")),
        }
    }

    pub(super) fn name(&self) -> &str {
        match self {
            Self::Root => ROOT_NAME,
            Self::User(name) => name,
        }
    }
}

pub(super) fn denied(message: &'static str) -> Fault {
    Error::new(ErrorCode::AccessDenied).message(message).into()
}
