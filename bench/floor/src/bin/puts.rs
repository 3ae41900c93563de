//! The floor that Millpond's uploads are measured against: takes `PUT` requests and makes their bodies durable.
//!
//! `puts files|files-md5|group PORT DIRECTORY` listens on 127.0.0.1:PORT (0 picks a free port), one thread a connection. It
//! looks for `Content-Length` and the end of the head, and at nothing else. An answer says that the body is on disk:
//!
//! * `files`: in a file of its own, written as it comes, flushed, renamed, its directory flushed;
//! * `files-md5`: the same, and its MD5 was computed on another thread while it came, as an ETag demands;
//! * `group`: in one log. One thread appends all bodies that wait and flushes once for all of them.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};
use std::thread;

use md5::{Digest, Md5};

/// The size of each read of a body.
const READ_SIZE: usize = 256 * 1024;

/// The longest head of a request.
const HEAD_LIMIT: usize = 16 * 1024;

/// Pieces that may wait to be hashed.
const WAITING_PIECES: usize = 64;

const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [mode, port, directory] = args.as_slice() else { return usage() };
    let Ok(port) = port.parse::<u16>() else { return usage() };
    let directory = PathBuf::from(directory);
    let started = match mode.as_str() {
        "files" => files(directory, false),
        "files-md5" => files(directory, true),
        "group" => group(&directory),
        _ => return usage(),
    };
    match started.and_then(|keep| serve(port, &keep)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("puts: {error}");
            ExitCode::FAILURE
        }
    }
}

fn usage() -> ExitCode {
    eprintln!("usage: puts files|files-md5|group PORT DIRECTORY");
    ExitCode::from(2)
}

/// What is done with a body: it reads so many bytes of the body and comes back when they are durable.
type Keep = Arc<dyn Fn(&mut dyn Read, usize) -> io::Result<()> + Send + Sync>;

fn serve(port: u16, keep: &Keep) -> io::Result<()> {
    let listener = TcpListener::bind(("127.0.0.1", port))?;
    let mut stdout = io::stdout().lock();
    writeln!(stdout, r#"{{"listening":{}}}"#, listener.local_addr()?.port())?;
    stdout.flush()?;
    loop {
        let (socket, _) = listener.accept()?;
        let keep = Arc::clone(keep);
        // A connection that fails ends alone.
        thread::spawn(move || connection(socket, &keep));
    }
}

fn connection(mut socket: TcpStream, keep: &Keep) -> io::Result<()> {
    socket.set_nodelay(true)?;
    let mut seen = Vec::new();
    let mut buffer = vec![0; HEAD_LIMIT];
    loop {
        let head = loop {
            if let Some(end) = seen.windows(4).position(|four| four == b"\r\n\r\n") {
                break end + 4;
            }
            let count = socket.read(&mut buffer)?;
            if count == 0 || seen.len() > HEAD_LIMIT {
                return Ok(());
            }
            seen.extend_from_slice(&buffer[..count]);
        };
        let len = content_length(&seen[..head]).ok_or(io::ErrorKind::InvalidData)?;
        let early = seen.len().min(head + len);
        keep(&mut io::Cursor::new(&seen[head..early]).chain(&mut socket), len)?;
        seen.drain(..early);
        socket.write_all(ANSWER)?;
    }
}

fn content_length(head: &[u8]) -> Option<usize> {
    head.split(|byte| *byte == b'\n').find_map(|line| {
        let (name, value) = std::str::from_utf8(line).ok()?.split_once(':')?;
        name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse().ok())?
    })
}

/// A file for each body.
fn files(directory: PathBuf, hashes: bool) -> io::Result<Keep> {
    fs::create_dir_all(&directory)?;
    let number = AtomicU64::new(0);
    Ok(Arc::new(move |body, len| {
        let path = directory.join(number.fetch_add(1, Ordering::Relaxed).to_string());
        let part = path.with_extension("part");
        if hashes { write_and_hash(&part, body, len)? } else { write(&part, body, len)? }
        fs::rename(part, path)?;
        File::open(&directory)?.sync_all()
    }))
}

fn write(path: &Path, body: &mut dyn Read, len: usize) -> io::Result<()> {
    let mut file = File::create_new(path)?;
    let mut buffer = vec![0; READ_SIZE];
    let mut left = len;
    while left > 0 {
        let size = left.min(READ_SIZE);
        let piece = &mut buffer[..size];
        body.read_exact(piece)?;
        file.write_all(piece)?;
        left -= piece.len();
    }
    file.sync_data()
}

fn write_and_hash(path: &Path, body: &mut dyn Read, len: usize) -> io::Result<()> {
    thread::scope(|scope| {
        let (pieces, queue) = sync_channel::<Arc<[u8]>>(WAITING_PIECES);
        let hashing = scope.spawn(move || {
            let mut md5 = Md5::new();
            queue.iter().for_each(|piece| md5.update(piece));
            md5.finalize()
        });
        let mut file = File::create_new(path)?;
        let mut left = len;
        while left > 0 {
            let mut piece: Arc<[u8]> = vec![0; left.min(READ_SIZE)].into();
            body.read_exact(Arc::get_mut(&mut piece).unwrap_or_default())?;
            let _ = pieces.send(Arc::clone(&piece));
            file.write_all(&piece)?;
            left -= piece.len();
        }
        drop(pieces);
        file.sync_data()?;
        let digest = hashing.join().map_err(|_| io::Error::other("the hashing thread ended"))?;
        std::hint::black_box(digest);
        Ok(())
    })
}

/// One log for all bodies.
fn group(directory: &Path) -> io::Result<Keep> {
    fs::create_dir_all(directory)?;
    let log = File::create(directory.join("log"))?;
    let (records, queue) = channel();
    thread::spawn(move || append(log, &queue));
    let records: Sender<(Vec<u8>, SyncSender<bool>)> = records;
    Ok(Arc::new(move |body, len| {
        let mut record = vec![0; len];
        body.read_exact(&mut record)?;
        let (answer, kept) = sync_channel(1);
        let _ = records.send((record, answer));
        match kept.recv() {
            Ok(true) => Ok(()),
            _ => Err(io::Error::other("the log failed")),
        }
    }))
}

fn append(mut log: File, queue: &Receiver<(Vec<u8>, SyncSender<bool>)>) {
    while let Ok((mut bytes, first)) = queue.recv() {
        let mut waiting = vec![first];
        for (record, answer) in queue.try_iter() {
            bytes.extend_from_slice(&record);
            waiting.push(answer);
        }
        let is_kept = log.write_all(&bytes).and_then(|()| log.sync_data()).is_ok();
        for answer in waiting {
            let _ = answer.send(is_kept);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_length_is_found_in_any_case() {
        assert_eq!(content_length(b"PUT /a HTTP/1.1\r\nHost: b\r\ncontent-LENGTH: 42\r\n\r\n"), Some(42));
        assert_eq!(content_length(b"PUT /a HTTP/1.1\r\nHost: b:1\r\n\r\n"), None);
    }
}
