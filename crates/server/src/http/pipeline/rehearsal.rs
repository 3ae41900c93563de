//! A request that is only tried: it goes the way of every request as far as the decision, and its answer is kept for
//! whoever asked. Reads of objects run too, so that what is not there shows; nothing else does.

use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use model::{Error, OperationKind};
use oss::request::RawRequest;

use super::{Decided, RequestFacts, decide};
use crate::dialect::{self, Answer};
use crate::edge::Edge;
use crate::http::around::refused;
use crate::http::door::Door;
use crate::http::render::Envelope;
use crate::management::Rehearsed;
use crate::objects::BodySource;

/// The body of a request that has none.
struct Nothing;

impl BodySource for Nothing {
    fn next(&mut self) -> Pin<Box<dyn Future<Output = Result<Option<Bytes>, Error>> + Send + '_>> {
        Box::pin(std::future::ready(Ok(None)))
    }

    fn announced_length(&self) -> Option<u64> {
        Some(0)
    }

    fn is_present(&self) -> bool {
        false
    }
}

/// What a request would be answered if it came to a public listener.
pub(in crate::http) async fn rehearse(edge: &Arc<Edge>, raw: &RawRequest, peer: SocketAddr) -> Rehearsed {
    let now_ms = edge.clock.now_ms();
    let request_id = crate::ids::request_id(now_ms);
    let mut envelope = Envelope::new(edge, raw, request_id, now_ms, Instant::now(), Door::Public);
    let outcome = answer(edge, raw, peer, &mut envelope).await;
    let mut rehearsed = outcome.as_ref().err().map(refused).unwrap_or_default();
    let response = match outcome {
        Ok(answer) => envelope.answer(answer),
        Err(error) => envelope.refusal(&error),
    };
    rehearsed.status = response.status().as_u16();
    rehearsed.headers = response
        .headers()
        .iter()
        .filter(|(name, _)| !is_of_every_answer(name.as_str()))
        .map(|(name, value)| (name.as_str().to_owned(), String::from_utf8_lossy(value.as_bytes()).into_owned()))
        .collect();
    rehearsed
}

async fn answer(
    edge: &Arc<Edge>,
    raw: &RawRequest,
    peer: SocketAddr,
    envelope: &mut Envelope,
) -> Result<Answer, Error> {
    let (mut body, mut facts) = (Nothing, RequestFacts::default());
    let decided = decide(edge, raw, &mut body, peer, Door::Public, envelope, &mut facts).await?;
    let (raw, authenticated, granted) = match decided {
        Decided::Answer(answer) => return Ok(answer),
        Decided::Granted(granted) => *granted,
    };
    match granted.grant.operation() {
        OperationKind::GetObject | OperationKind::HeadObject => {
            let step = super::Step { edge, raw: &raw, authenticated: &authenticated, peer, now_ms: envelope.now_ms };
            dialect::run(&step.asked(), &step.call(granted, &envelope.request_id), &mut body).await
        }
        OperationKind::DeleteObject => Ok(Answer::empty(204)),
        _ => Ok(Answer::empty(200)),
    }
}

/// What says nothing about access.
fn is_of_every_answer(name: &str) -> bool {
    ["date", "server", "x-oss-request-id", "x-oss-server-time", "content-length", "connection"].contains(&name)
}
