//! The layering of `docs/architecture.md`, kept true by reading the sources: who may import whom, and which crates do
//! no IO.

#![allow(clippy::unwrap_used, reason = "a failed expectation of a test is a panic")]

#[path = "support/sources.rs"]
mod sources;

use std::fs;
use std::path::Path;

use sources::{code, crates_folder, sources};

/// Fails when a source below `folder` mentions one of `words`.
fn check(folder: &Path, words: &[&str]) {
    let files = if folder.is_dir() { sources(folder) } else { vec![folder.to_owned()] };
    assert!(!files.is_empty(), "{} has no sources", folder.display());
    let mut broken = Vec::new();
    for file in files {
        for (number, line) in code(&file) {
            for word in words {
                if line.contains(word) {
                    broken.push(format!("{}:{number}: {word}", file.display()));
                }
            }
        }
    }
    assert!(broken.is_empty(), "the layering is broken:\n{}", broken.join("\n"));
}

/// What a crate without IO, clock, randomness and tasks does not mention.
const IMPURE: &[&str] = &[
    "std::fs",
    "std::net::Tcp",
    "std::net::Udp",
    "std::thread",
    "std::process",
    "std::env",
    "SystemTime::now",
    "Instant::now",
    "tokio",
    "getrandom",
    "rand::",
    "println!",
    "eprintln!",
    "static mut",
];

#[test]
fn media_is_pure_and_imports_nothing_of_ours() {
    let folder = crates_folder().join("media/src");
    check(&folder, IMPURE);
    check(&folder, &["use oss", "oss::", "use store", "store::", "use model", "model::"]);
}

#[test]
fn model_is_pure_and_imports_nothing_of_ours() {
    let folder = crates_folder().join("model/src");
    check(&folder, IMPURE);
    check(&folder, &["use media", "media::", "use oss", "oss::", "use store", "store::", "hyper", "http::"]);
}

#[test]
fn oss_is_pure_and_imports_the_model_only() {
    let folder = crates_folder().join("oss/src");
    check(&folder, IMPURE);
    check(&folder, &["use media", "media::", "use store", "store::"]);
}

#[test]
fn store_knows_no_protocol() {
    check(&crates_folder().join("store/src"), &["use media", "media::", "use oss", "oss::", "hyper", "axum", "http::"]);
}

#[test]
fn only_the_edge_of_the_server_knows_http_and_sockets() {
    let server = crates_folder().join("server/src");
    for module in ["ops", "live"] {
        check(&server.join(module), &["hyper", "http_body", "TcpStream", "TcpListener", "axum"]);
    }
}

/// A request that opened a blob beside its share could take the descriptor of somebody's segment.
#[test]
fn requests_open_files_out_of_their_share() {
    check(&crates_folder().join("server/src/ops"), &["blobs.open", "blobs.create", "blobs.recover", "blobs.clone"]);
}

#[test]
fn only_the_store_knows_how_things_are_kept() {
    check(&crates_folder().join("server/src"), &["rusqlite", "rmp_serde", "SELECT ", "INSERT "]);
}

/// Documents name files and tests; what they name must exist.
#[test]
fn links_in_documents_lead_somewhere() {
    let root = crates_folder().parent().unwrap().to_owned();
    let mut documents: Vec<_> = fs::read_dir(root.join("docs"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "md"))
        .collect();
    documents.push(root.join("README.md"));
    let mut broken = Vec::new();
    for document in documents {
        let text = fs::read_to_string(&document).unwrap();
        let folder = document.parent().unwrap();
        for piece in text.split("](").skip(1) {
            let target = piece.split(')').next().unwrap_or_default();
            if target.contains("://") || target.starts_with('#') {
                continue;
            }
            let path = target.split('#').next().unwrap_or_default();
            if !folder.join(path).exists() {
                broken.push(format!("{}: {target}", document.display()));
            }
        }
    }
    assert!(broken.is_empty(), "links lead nowhere:\n{}", broken.join("\n"));
}
