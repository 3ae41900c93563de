//! A granted request as it came over the wire, for the parsers and renderers of this module.

use model::name::{BucketName, ObjectKey};
use model::{Error, ErrorCode, OperationKind, Resource};
use oss::request::{Query, RawRequest, Route};
use oss::sign::Credentials;

use crate::memory::Memory;
use crate::ops::Call;

/// What a parser and a renderer look at.
#[derive(Clone, Copy)]
pub(crate) struct Asked<'a> {
    /// The request as it came.
    pub(crate) raw: &'a RawRequest,
    /// What it asks for.
    pub(crate) route: &'a Route,
    /// How its caller proved who it is.
    pub(crate) credentials: &'a Credentials,
    /// The room for its documents.
    pub(crate) memory: &'a Memory,
    /// When it came, unix ms.
    pub(crate) now_ms: i64,
    /// What its answer is called.
    pub(crate) request_id: &'a str,
}

impl<'a> Asked<'a> {
    /// The wire side of a call.
    pub(super) fn of(call: &'a Call<'_>) -> Self {
        Self {
            raw: call.raw,
            route: &call.granted.route,
            credentials: &call.granted.credentials,
            memory: &call.state.memory,
            now_ms: call.now_ms,
            request_id: call.request_id,
        }
    }

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
