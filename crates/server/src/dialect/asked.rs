//! A granted request as it came over the wire, for the parsers and renderers of this module.

use model::name::{BucketName, ObjectKey};
use model::{Error, ErrorCode, OperationKind, Resource};
use oss::request::{Addressing, Query, RawRequest, Route};
use oss::sign::Credentials;

use crate::accounts::{Accounts, Identity};
use crate::config::Config;
use crate::memory::Memory;

/// What a parser and a renderer look at.
#[derive(Clone, Copy)]
pub(crate) struct Asked<'a> {
    /// The request as it came.
    pub(crate) raw: &'a RawRequest,
    /// What it asks for.
    pub(crate) route: &'a Route,
    /// How its caller proved who it is.
    pub(crate) credentials: &'a Credentials,
    /// The key that signed.
    pub(crate) identity: Option<&'a Identity>,
    /// Who may call; a form proves its sender in its fields.
    pub(crate) accounts: &'a Accounts,
    /// What host names mean.
    pub(crate) addressing: &'a Addressing,
    /// What the run was configured with.
    pub(crate) config: &'a Config,
    /// The room for its documents.
    pub(crate) memory: &'a Memory,
    /// When it came, unix ms.
    pub(crate) now_ms: i64,
}

impl<'a> Asked<'a> {
    /// The parameters.
    pub(super) fn query(&self) -> &'a Query {
        &self.route.query
    }

    /// The operation.
    pub(super) fn kind(&self) -> OperationKind {
        self.route.kind
    }

    /// The bucket that the request names.
    ///
    /// # Errors
    /// `InvalidArgument` when it names none, which the route rules out.
    pub(super) fn bucket(&self) -> Result<&'a BucketName, Error> {
        self.route.resource.bucket().ok_or_else(|| Error::new(ErrorCode::InvalidArgument))
    }

    /// The key that the request names.
    ///
    /// # Errors
    /// `InvalidArgument` when it names none, which the route rules out.
    pub(super) fn key(&self) -> Result<&'a ObjectKey, Error> {
        match &self.route.resource {
            Resource::Object(_, key) => Ok(key),
            Resource::Service | Resource::Bucket(_) => Err(Error::new(ErrorCode::InvalidArgument)),
        }
    }
}
