//! An RTMP connection from a stranger: no bytes panic, hold memory that was not sent, or mean something else when they arrive in
//! other pieces.
//!
//! The first input byte says how the rest is cut; an odd one puts a plain handshake in front, so that the fuzzer need not find it.
#![no_main]

use libfuzzer_sys::fuzz_target;
use media::rtmp::{Event, HandshakeRandom, Limits, Refusal, RefusalCode, ServerSession};

/// What one run of a session showed.
#[derive(Debug, PartialEq)]
struct Story {
    events: Vec<Event>,
    failed: bool,
    closing: bool,
}

fuzz_target!(|data: &[u8]| {
    let Some((&seed, rest)) = data.split_first() else { return };
    let mut stream = Vec::new();
    if seed & 1 == 1 {
        stream.push(3);
        stream.extend_from_slice(&[0; 2 * 1536]);
    }
    stream.extend_from_slice(rest);
    let whole = run(&[&stream], seed);
    let mut pieces: Vec<&[u8]> = Vec::new();
    let mut left = stream.as_slice();
    let mut size = usize::from(seed) + 1;
    while !left.is_empty() {
        let (piece, after) = left.split_at(size.min(left.len()));
        pieces.push(piece);
        left = after;
        size = size * 7 % 251 + 1;
    }
    // As text, because a transaction id may be NaN, which equals nothing.
    let (whole, split) = (format!("{whole:?}"), format!("{:?}", run(&pieces, seed)));
    assert_eq!(whole, split, "the split changes the meaning");
});

fn run(pieces: &[&[u8]], seed: u8) -> Story {
    let mut session = ServerSession::new(Limits::default(), HandshakeRandom::new([0x5a; 3072]));
    let mut story = Story { events: Vec::new(), failed: false, closing: false };
    let mut received = 0_usize;
    let mut sent = 0_usize;
    for piece in pieces {
        session.feed(piece);
        received += piece.len();
        loop {
            match session.next_event() {
                Ok(Some(Event::Publish(request))) => {
                    // The target of a publish is parsed by the caller from the same bytes.
                    drop(request.target());
                    if seed & 2 == 2 {
                        session.reject(&Refusal {
                            code: RefusalCode::BadName,
                            description: "NoSuchLiveChannel: no".to_owned(),
                            details: "channel".to_owned(),
                        });
                    } else {
                        session.accept();
                    }
                    story.events.push(Event::Publish(request));
                }
                Ok(Some(event)) => story.events.push(event),
                Ok(None) => break,
                Err(error) => {
                    assert!(error.nearby.len() <= 64);
                    story.failed = true;
                    break;
                }
            }
        }
        sent += session.take_output().len();
        // Acknowledgements and answers are a small multiple of what made them.
        assert!(sent <= 8192 + received.saturating_mul(64), "{sent} bytes out for {received} in");
        if session.is_closing() {
            break;
        }
    }
    story.closing = session.is_closing();
    story
}
