//! The sources of the project, for tests that read them.

use std::fs;
use std::path::{Path, PathBuf};

/// The folder of all crates.
pub(crate) fn crates_folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

/// Every Rust source below a folder that is not only compiled for tests.
pub(crate) fn sources(folder: &Path) -> Vec<PathBuf> {
    let all = all_sources(folder);
    let test_modules: Vec<PathBuf> = all.iter().flat_map(|file| test_modules_of(file)).collect();
    let is_test = |file: &Path| {
        file.strip_prefix(folder).unwrap().components().any(|part| part.as_os_str() == "tests")
            || test_modules.iter().any(|module| file.starts_with(module) || file == module.with_extension("rs"))
    };
    all.into_iter().filter(|file| !is_test(file) && !file.ends_with("tests.rs")).collect()
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
    found.sort();
    found
}

/// The modules that a source declares for tests only, as the folders that they would have.
fn test_modules_of(file: &Path) -> Vec<PathBuf> {
    let text = fs::read_to_string(file).unwrap();
    let is_root = ["mod.rs", "lib.rs", "main.rs"].iter().any(|name| file.ends_with(name));
    let folder = if is_root { file.parent().unwrap().to_owned() } else { file.with_extension("") };
    let after_attribute = text.split(ONLY_FOR_TESTS).skip(1).filter_map(|rest| rest.split_once(")]\n"));
    after_attribute
        .filter_map(|(_, rest)| rest.split_once(';'))
        .filter_map(|(item, _)| item.trim().rsplit_once("mod "))
        .filter(|(visibility, name)| !visibility.contains('\n') && name.chars().all(is_of_name))
        .map(|(_, name)| folder.join(name))
        .collect()
}

fn is_of_name(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_'
}

/// How the attributes begin that leave an item out of the program.
const ONLY_FOR_TESTS: &str = "#[cfg(test";
const ONLY_FOR_SOME_TESTS: &str = "#[cfg(all(test";

/// The lines of a source that are code and no tests, with their numbers.
pub(crate) fn code(path: &Path) -> Vec<(usize, String)> {
    lines_of_code(&fs::read_to_string(path).unwrap())
}

/// As [`code`]. An item for tests alone is left out whatever stands behind it, and nothing but the item: it ends with the first
/// line that is indented as its attribute is and ends something, which holds for everything that rustfmt has formatted.
pub(crate) fn lines_of_code(text: &str) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    let mut left_out: Option<usize> = None;
    for (number, line) in (1..).zip(text.lines()) {
        let code = line.trim();
        let indent = line.len() - line.trim_start().len();
        if let Some(of_attribute) = left_out {
            let is_attribute = code.starts_with("#[") || code.starts_with("//");
            if indent == of_attribute && !is_attribute && code.ends_with(['}', ';', ',']) {
                left_out = None;
            }
        } else if code.starts_with(ONLY_FOR_TESTS) || code.starts_with(ONLY_FOR_SOME_TESTS) {
            left_out = Some(indent);
        } else if !code.is_empty() && !code.starts_with("//") {
            found.push((number, code.to_owned()));
        }
    }
    found
}
