//! What a client may know of an error of the store.

use model::{Error, ErrorCode};

use crate::descriptors::Seldom;

/// Turns a fault of the store into what a client may know of it.
pub(crate) fn internal(error: store::Error) -> Error {
    crate::damage::count(&error);
    match error.kind {
        _ if error.is_out_of_descriptors() => out_of_descriptors(&error),
        _ if error.subject == store::Subject::ReadOnly => Error::new(ErrorCode::ServiceUnavailable)
            .message("This installation is read-only at the moment, as it is being moved. Nothing was changed.")
            .header("retry-after", "60"),
        store::ErrorKind::Unavailable => {
            tracing::error!(%error, "the store is unavailable");
            crate::space::suspect();
            Error::new(ErrorCode::ServiceUnavailable)
                .message("The store does not answer. Please try again.")
                .header("retry-after", "1")
        }
        _ => {
            tracing::error!(%error, "the store failed");
            Error::new(ErrorCode::InternalError)
        }
    }
}

/// The answer to a request that got no descriptor: its share is in use, and the others' is not touched for it.
pub(super) fn out_of_descriptors(error: &store::Error) -> Error {
    static SELDOM: Seldom = Seldom::new();
    if let Some(count) = SELDOM.count() {
        tracing::warn!(%error, count, "requests found no descriptor");
    }
    Error::new(ErrorCode::ServiceUnavailable)
        .message("Too many files are open. Please try again in a moment.")
        .header("retry-after", "1")
}
