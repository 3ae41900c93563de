//! PostObject: an upload by an HTML form (HTTP API 11). The form is read piece by piece, without IO; its signature is
//! the business of `sign`.

mod fields;
mod policy;
mod reader;

pub use fields::{PostFields, PostSuccess};
pub use policy::{PostPolicy, PostPolicyFacts};
pub use reader::{FormEvent, FormReader};
