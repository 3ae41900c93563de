//! The floor that Millpond's ingest is measured against: reads a pushed RTMP stream and writes the bytes to a file.
//!
//! `floor PORT FILE CHUNK_SIZE` listens on 127.0.0.1:PORT (0 picks a free port) and takes one publisher after the other. It
//! answers no more than a publisher waits for, in canned bytes, and never parses what it reads after that: whatever a
//! real server costs above this figure is the price of understanding the stream. ffmpeg takes over the chunk size that a
//! server announces and makes one write of each chunk, so CHUNK_SIZE must be the one of the server compared with. Each connection ends in one line of
//! JSON on stdout: bytes read, CPU seconds (user and system) spent on that connection, and seconds of wall clock.

use std::fs::File;
use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};

/// C1 and S1 (RTMP 1.0, 5.2.3).
const HANDSHAKE_SIZE: usize = 1536;

/// The size of each read once the stream flows.
const READ_SIZE: usize = 64 * 1024;

/// How much a publisher may send before it has asked to publish.
const COMMANDS_LIMIT: usize = 64 * 1024;

/// A publisher that says nothing for this long is given up.
const SILENCE: Duration = Duration::from_secs(30);

fn main() -> ExitCode {
    let mut args = std::env::args().skip(1);
    let port = args.next().and_then(|port| port.parse::<u16>().ok());
    let path = args.next();
    let chunk_size = args.next().and_then(|size| size.parse::<u32>().ok());
    let (Some(port), Some(path), Some(chunk_size @ 128..=0xFF_FFFF), None) = (port, path, chunk_size, args.next())
    else {
        eprintln!("usage: floor PORT FILE CHUNK_SIZE");
        return ExitCode::from(2);
    };
    match serve(port, &path, chunk_size) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("floor: {error}");
            ExitCode::FAILURE
        }
    }
}

fn serve(port: u16, path: &str, chunk_size: u32) -> io::Result<()> {
    let listener = TcpListener::bind(("127.0.0.1", port))?;
    say(&format!(r#"{{"listening":{}}}"#, listener.local_addr()?.port()))?;
    loop {
        let (mut socket, _) = listener.accept()?;
        let cpu = cpu_time();
        let start = Instant::now();
        // One unusable publisher must not end the benchmark: its line shows an error instead of figures.
        match record(&mut socket, path, chunk_size) {
            Ok(bytes) => say(&format!(
                r#"{{"bytes":{bytes},"cpu_seconds":{:.6},"seconds":{:.3}}}"#,
                (cpu_time() - cpu).as_secs_f64(),
                start.elapsed().as_secs_f64()
            ))?,
            Err(error) => say(&format!(r#"{{"error":"{:?}"}}"#, error.kind()))?,
        }
    }
}

/// Stdout is a pipe in the benchmark and would be held back until it is full.
fn say(line: &str) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    writeln!(stdout, "{line}")?;
    stdout.flush()
}

/// User and system time of this process, to the nanosecond.
fn cpu_time() -> Duration {
    Duration::try_from(clock_gettime(ClockId::ProcessCPUTime)).unwrap_or_default()
}

/// Takes one push from the handshake to its end and returns the number of bytes read.
fn record(socket: &mut TcpStream, path: &str, chunk_size: u32) -> io::Result<u64> {
    socket.set_nodelay(true)?;
    socket.set_read_timeout(Some(SILENCE))?;
    shake_hands(socket)?;
    let mut total = 1 + 2 * HANDSHAKE_SIZE as u64 + answer_commands(socket, chunk_size)?;

    let mut file = File::create(path)?;
    let mut buffer = vec![0; READ_SIZE];
    loop {
        let size = socket.read(&mut buffer)?;
        if size == 0 {
            return Ok(total);
        }
        file.write_all(buffer.get(..size).unwrap_or_default())?;
        total += size as u64;
    }
}

/// The plain handshake: S1 is zeros, S2 is what the publisher sent.
fn shake_hands(socket: &mut TcpStream) -> io::Result<()> {
    let mut c0_c1 = [0; 1 + HANDSHAKE_SIZE];
    socket.read_exact(&mut c0_c1)?;
    let mut answer = vec![0; 1 + HANDSHAKE_SIZE];
    answer[0] = 3;
    answer.extend_from_slice(&c0_c1[1..]);
    socket.write_all(&answer)?;
    let mut c2 = [0; HANDSHAKE_SIZE];
    socket.read_exact(&mut c2)
}

/// Answers connect, createStream and publish, in the order in which publishers send them. Their names are looked for in
/// the plain bytes, because none of them is long enough to be cut by a chunk header. Returns the bytes read.
fn answer_commands(socket: &mut TcpStream, chunk_size: u32) -> io::Result<u64> {
    let mut seen = Vec::new();
    let mut buffer = [0; 4096];
    let steps: [(&[u8], Vec<u8>); 3] = [
        (b"connect", connected(chunk_size)),
        (
            b"createStream",
            command(3, 0, b"_result", |body| {
                // ffmpeg and OBS number their commands from 1: connect, releaseStream, FCPublish, createStream.
                number(body, 4.0);
                body.push(0x05);
                number(body, 1.0);
            }),
        ),
        (
            b"publish",
            command(5, 1, b"onStatus", |body| {
                number(body, 0.0);
                body.push(0x05);
                status(body, "NetStream.Publish.Start");
            }),
        ),
    ];
    let mut from = 0;
    for (name, answer) in steps {
        let end = loop {
            if let Some(at) = position(seen.get(from..).unwrap_or_default(), name) {
                break from + at + name.len();
            }
            if seen.len() > COMMANDS_LIMIT {
                return Err(io::ErrorKind::InvalidData.into());
            }
            let size = socket.read(&mut buffer)?;
            if size == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            seen.extend_from_slice(buffer.get(..size).unwrap_or_default());
        };
        from = end;
        socket.write_all(&answer)?;
    }
    Ok(seen.len() as u64)
}

fn position(bytes: &[u8], name: &[u8]) -> Option<usize> {
    // The length before the name tells the command `publish` from the `FCPublish` of other publishers.
    bytes
        .windows(name.len() + 2)
        .position(|window| window[..2] == (name.len() as u16).to_be_bytes() && &window[2..] == name)
        .map(|at| at + 2)
}

/// Window of acknowledgements, peer bandwidth, chunk size, and the answer to connect. The window is the largest there is, so that
/// neither side spends time on acknowledgements.
fn connected(chunk_size: u32) -> Vec<u8> {
    let window = 0x7FFF_FFFF_u32.to_be_bytes();
    let mut out = message(2, 5, 0, &window);
    out.extend(message(2, 6, 0, &[&window[..], &[2]].concat()));
    out.extend(message(2, 1, 0, &chunk_size.to_be_bytes()));
    out.extend(command(3, 0, b"_result", |body| {
        number(body, 1.0);
        body.push(0x05);
        status(body, "NetConnection.Connect.Success");
    }));
    out
}

/// An AMF0 command message; `arguments` appends what follows the name.
fn command(chunk_stream: u8, stream: u32, name: &[u8], arguments: impl Fn(&mut Vec<u8>)) -> Vec<u8> {
    let mut body = vec![0x02];
    text(&mut body, name);
    arguments(&mut body);
    message(chunk_stream, 20, stream, &body)
}

/// One message in one chunk with a full header (RTMP 1.0, 5.3.1.2.1). Every body here is shorter than the 128 bytes of
/// the chunk size that a connection begins with.
fn message(chunk_stream: u8, kind: u8, stream: u32, body: &[u8]) -> Vec<u8> {
    assert!(body.len() <= 128, "canned answers fit in one chunk");
    let mut out = vec![chunk_stream, 0, 0, 0, 0, 0, body.len() as u8, kind];
    out.extend_from_slice(&stream.to_le_bytes());
    out.extend_from_slice(body);
    out
}

fn status(body: &mut Vec<u8>, code: &str) {
    body.push(0x03);
    for (name, value) in [("level", "status"), ("code", code)] {
        text(body, name.as_bytes());
        body.push(0x02);
        text(body, value.as_bytes());
    }
    body.extend_from_slice(&[0, 0, 9]);
}

fn text(body: &mut Vec<u8>, value: &[u8]) {
    body.extend_from_slice(&(value.len() as u16).to_be_bytes());
    body.extend_from_slice(value);
}

fn number(body: &mut Vec<u8>, value: f64) {
    body.push(0x00);
    body.extend_from_slice(&value.to_be_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_are_told_apart_by_their_length() {
        assert_eq!(position(b"\x02\x00\x09FCpublish\x02\x00\x07publish", b"publish"), Some(15));
        assert_eq!(position(b"\x02\x00\x09FCpublish", b"publish"), None);
    }

    #[test]
    fn a_message_says_its_own_length() {
        let answer = command(5, 1, b"onStatus", |body| status(body, "NetStream.Publish.Start"));
        assert_eq!(answer[..12], [5, 0, 0, 0, 0, 0, (answer.len() - 12) as u8, 20, 1, 0, 0, 0]);
        assert_eq!(connected(4096)[..16], [2, 0, 0, 0, 0, 0, 4, 5, 0, 0, 0, 0, 0x7F, 0xFF, 0xFF, 0xFF]);
    }
}
