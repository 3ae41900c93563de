//! The layering of `docs/architecture.md`, kept true by reading the sources: who may import whom, and which crates do
//! no IO.

#![allow(clippy::unwrap_used, reason = "a failed expectation of a test is a panic")]

use std::fs;
use std::path::{Path, PathBuf};

fn crates_folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

/// Every Rust source below a folder that is not only compiled for tests.
fn sources(folder: &Path) -> Vec<PathBuf> {
    let all = all_sources(folder);
    let mut test_modules = vec!["tests".to_owned()];
    for file in &all {
        let text = fs::read_to_string(file).unwrap();
        for after in text.split("#[cfg(test)]\nmod ").skip(1) {
            if let Some((name, _)) = after.split_once(';').filter(|(name, _)| !name.contains(' ')) {
                test_modules.push(name.to_owned());
            }
        }
    }
    let is_test = |file: &PathBuf| {
        file.components().any(|part| {
            let part = part.as_os_str().to_string_lossy();
            test_modules.iter().any(|name| part == name.as_str() || part == format!("{name}.rs"))
        })
    };
    all.into_iter().filter(|file| !is_test(&file.strip_prefix(folder).unwrap().to_owned())).collect()
}

fn all_sources(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(all_sources(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
    found
}

/// The lines of a source that are code and stand before its tests.
fn code(path: &Path) -> Vec<(usize, String)> {
    let text = fs::read_to_string(path).unwrap();
    text.lines()
        .enumerate()
        .take_while(|(_, line)| !line.starts_with("#[cfg(test)]"))
        .map(|(number, line)| (number + 1, line.trim().to_owned()))
        .filter(|(_, line)| !line.starts_with("//"))
        .collect()
}

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
    check(&folder, &["use oss", "oss::", "use store", "store::"]);
}

#[test]
fn oss_is_pure_and_imports_nothing_of_ours() {
    let folder = crates_folder().join("oss/src");
    check(&folder, IMPURE);
    check(&folder, &["use media", "media::", "use store", "store::"]);
}

#[test]
fn store_knows_no_media_and_no_http() {
    check(&crates_folder().join("store/src"), &["use media", "media::", "hyper", "axum", "http::"]);
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
