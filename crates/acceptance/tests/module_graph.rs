//! The graph of the modules of each crate, computed from the sources. Modules that form a circle can only be understood, tested and
//! changed together, so there are no circles but the one of the store that is named here, and it does not grow. In the server
//! every arrow points down.
//!
//! `cargo test -p millpond-acceptance --test module_graph -- --nocapture` prints the graph.

#![allow(clippy::unwrap_used, reason = "a failed expectation of a test is a panic")]

#[path = "support/sources.rs"]
mod sources;

use std::collections::{BTreeMap, BTreeSet};

use sources::{code, crates_folder, sources};

/// Which modules each top-level module of a crate names.
type Graph = BTreeMap<String, BTreeSet<String>>;

fn graph(name: &str) -> Graph {
    let folder = crates_folder().join(name).join("src");
    let mut graph = Graph::new();
    for file in sources(&folder) {
        let inside = file.strip_prefix(&folder).unwrap();
        let module =
            inside.components().next().unwrap().as_os_str().to_string_lossy().trim_end_matches(".rs").to_owned();
        let named = graph.entry(module.clone()).or_default();
        for (_, line) in code(&file) {
            named.extend(names(&line));
        }
        named.remove(&module);
    }
    let modules: BTreeSet<String> = graph.keys().cloned().collect();
    for named in graph.values_mut() {
        named.retain(|name| modules.contains(name));
    }
    graph
}

/// The modules that a line names after `crate::`.
fn names(line: &str) -> Vec<String> {
    let word = |text: &str| text.chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '_').collect::<String>();
    let mut found = Vec::new();
    for rest in line.split("crate::").skip(1) {
        match rest.strip_prefix('{') {
            Some(group) => {
                found.extend(group.split('}').next().unwrap_or_default().split(',').map(|name| word(name.trim())))
            }
            None => found.push(word(rest)),
        }
    }
    found
}

/// Modules that reach each other, in groups of two or more.
fn circles(graph: &Graph) -> Vec<BTreeSet<String>> {
    let reach = |from: &str| {
        let mut seen = BTreeSet::new();
        let mut next = vec![from.to_owned()];
        while let Some(module) = next.pop() {
            for named in graph.get(&module).into_iter().flatten() {
                if seen.insert(named.clone()) {
                    next.push(named.clone());
                }
            }
        }
        seen
    };
    let reached: BTreeMap<&String, BTreeSet<String>> = graph.keys().map(|module| (module, reach(module))).collect();
    let mut found: Vec<BTreeSet<String>> = Vec::new();
    for (module, far) in &reached {
        let circle: BTreeSet<String> = far.iter().filter(|other| reached[other].contains(*module)).cloned().collect();
        if circle.len() > 1 && !found.contains(&circle) {
            found.push(circle);
        }
    }
    found
}

fn check(name: &str, known: &[&[&str]]) {
    let graph = graph(name);
    println!("{name}");
    for (module, named) in &graph {
        println!("  {module} -> {}", named.iter().cloned().collect::<Vec<_>>().join(", "));
    }
    let found = circles(&graph);
    let known: Vec<BTreeSet<String>> =
        known.iter().map(|circle| circle.iter().map(|name| (*name).to_owned()).collect()).collect();
    assert_eq!(found, known, "the circles of the modules of {name} are not those that are known");
}

#[test]
fn the_modules_of_the_pure_crates_form_no_circle() {
    check("media", &[]);
    check("model", &[]);
    check("oss", &[]);
}

#[test]
fn the_modules_of_the_store_form_no_circle() {
    check("store", &[]);
}

#[test]
fn the_modules_of_the_server_form_no_circle() {
    check("server", &[]);
}

/// The layers of the server from the bottom up; a module names only those before it, and what is not listed here.
const LAYERS: &[&[&str]] = &[
    &["metering"],
    &["objects"],
    &["accounts", "access_log", "stills"],
    &["live"],
    &["ops", "management"],
    &["dialect"],
    &["edge"],
    &["http", "ingest"],
    &["listen"],
    &["admin"],
    &["startup"],
    &["cli"],
];

#[test]
fn every_arrow_points_down() {
    let graph = graph("server");
    let layer = |module: &str| LAYERS.iter().position(|layer| layer.contains(&module));
    let mut upwards = Vec::new();
    for (module, named) in &graph {
        let Some(own) = layer(module) else { continue };
        upwards.extend(
            named
                .iter()
                .filter(|name| layer(name).is_some_and(|other| other >= own))
                .map(|name| format!("{module} -> {name}")),
        );
    }
    assert!(upwards.is_empty(), "a module knows what is above it:\n{}", upwards.join("\n"));
    let unknown: Vec<_> =
        LAYERS.iter().flat_map(|layer| layer.iter()).filter(|name| !graph.contains_key(**name)).collect();
    assert!(unknown.is_empty(), "there are no such modules: {unknown:?}");
}

#[test]
fn circles_are_found() {
    let graph: Graph = [("a", &["b"][..]), ("b", &["c"]), ("c", &["b", "d"]), ("d", &[]), ("e", &["a"])]
        .iter()
        .map(|(name, named)| ((*name).to_owned(), named.iter().map(|name| (*name).to_owned()).collect()))
        .collect();
    assert_eq!(circles(&graph), [BTreeSet::from(["b".to_owned(), "c".to_owned()])]);
    assert_eq!(names("use crate::{http, ingest};"), ["http", "ingest"]);
    assert_eq!(names("let x = crate::ops::internal(crate::live::y);"), ["ops", "live"]);
}
