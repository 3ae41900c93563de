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

/// It knows `usage`, which is arithmetic and knows nothing: what a commit counts is added to the rows of its hour and month by the
/// commit itself, so the rows are the store's.
#[test]
fn store_knows_no_protocol() {
    check(&crates_folder().join("store/src"), &["use media", "media::", "use oss", "oss::", "hyper", "axum", "http::"]);
}

#[test]
fn pictures_know_media_only_and_usage_is_pure() {
    check(
        &crates_folder().join("pictures/src"),
        &["use oss", "oss::", "use store", "store::", "model::", "hyper", "http::"],
    );
    let usage = crates_folder().join("usage/src");
    check(&usage, IMPURE);
    check(&usage, &["media::", "use oss", "oss::", "use store", "store::", "model::"]);
}

#[test]
fn only_the_edge_of_the_server_knows_http_and_sockets() {
    let server = crates_folder().join("server/src");
    for module in ["ops", "live", "objects", "accounts", "management", "dialect"] {
        check(&server.join(module), &["hyper", "http_body", "TcpStream", "TcpListener", "axum"]);
    }
}

/// An operation takes a typed request and gives a typed outcome; a second dialect needs a parser and a renderer, no more.
#[test]
fn operations_know_no_wire() {
    let ops = crates_folder().join("server/src/ops");
    check(
        &ops,
        &["oss::", "RawRequest", "Answer", "crate::http", "crate::dialect", "x-oss-", "xml", "Xml", "\"etag\""],
    );
}

/// Objects are reached by those who show a grant; the metadata store is behind the doors of the services.
#[test]
fn operations_reach_data_through_services_only() {
    let server = crates_folder().join("server/src");
    for module in ["ops", "dialect", "http", "management"] {
        for file in sources(&server.join(module)).into_iter().filter(|file| !file.ends_with("pipeline/reads.rs")) {
            check(&file, &["Meta>", ": Meta", "&Meta", ".meta.", "dyn BlobStore"]);
        }
    }
}

/// What writes, relabels or deletes objects is called where the grant for it is looked at, and nowhere else.
#[test]
fn objects_change_behind_the_doors_of_objects_only() {
    let server = crates_folder().join("server/src");
    let changes = [
        ".put_object(",
        ".put_object_from(",
        ".update_object(",
        ".delete_object(",
        ".delete_objects(",
        ".delete_unchanged(",
        ".abort_upload(",
        "meta.commit_segment(",
        "meta.commit_playlist(",
    ];
    // Tests look from outside the doors.
    let is_test = |file: &Path| {
        file.ends_with("pipeline/reads.rs") || file.components().any(|part| part.as_os_str() == "scenario")
    };
    for file in sources(&server) {
        if !file.starts_with(server.join("objects")) && !is_test(&file) {
            check(&file, &changes);
        }
    }
}

/// The row of an operation says what it is; nothing else tells operations apart but the one `match` that carries them out,
/// and what reads addresses.
#[test]
fn operations_are_listed_once() {
    let mut places = Vec::new();
    for folder in ["server/src", "model/src", "oss/src"] {
        for file in sources(&crates_folder().join(folder)) {
            let count = code(&file).into_iter().filter(|(_, line)| line.contains("OperationKind::")).count();
            let named = file.strip_prefix(crates_folder()).unwrap().display().to_string();
            if count > 10 && !LISTS.contains(&named.as_str()) {
                places.push(format!("{named}: {count}"));
            }
        }
    }
    assert!(places.is_empty(), "operations are listed in further places:\n{}", places.join("\n"));
}

/// The table, the `match` that carries operations out, and the reading of addresses.
const LISTS: &[&str] = &[
    "model/src/operation.rs",
    "server/src/dialect/mod.rs",
    "oss/src/request/route.rs",
    "oss/src/request/sub_resource.rs",
];

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
