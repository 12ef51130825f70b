//! The files of the repository as its rules see them. The rules themselves are in `tests/tidy.rs`.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

/// Every text file that a rule speaks of, by its path from the root.
pub struct Checkout {
    root: PathBuf,
    files: BTreeMap<String, String>,
}

pub struct Manifest {
    pub name: String,
    /// What ships with it: dependencies of tests and of the build don't.
    pub dependencies: Vec<String>,
}

impl Checkout {
    pub fn read() -> Self {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap();
        let mut files = BTreeMap::new();
        walk(&root, &root, &mut files);
        assert!(files.contains_key("Cargo.toml"), "{} is not the repository", root.display());
        Self { root, files }
    }

    pub fn ending<'a>(&'a self, end: &'a str) -> impl Iterator<Item = &'a str> {
        self.files.keys().map(String::as_str).filter(move |path| path.ends_with(end))
    }

    pub fn text(&self, path: &str) -> &str {
        &self.files[path]
    }

    pub fn try_text(&self, path: &str) -> Option<&str> {
        self.files.get(path).map(String::as_str)
    }

    pub fn exists(&self, path: &str) -> bool {
        self.root.join(path).exists()
    }

    pub fn manifests(&self) -> Vec<Manifest> {
        let members = self.ending("/Cargo.toml");
        members.map(|path| manifest(self.text(path))).collect()
    }
}

fn walk(root: &Path, folder: &Path, files: &mut BTreeMap<String, String>) {
    for entry in fs::read_dir(folder).unwrap() {
        let entry = entry.unwrap();
        let name = entry.file_name().into_string().unwrap();
        // `target` is built and dotted folders are of tools: neither is ours to judge.
        if name.starts_with('.') || name == "target" {
            continue;
        }
        let path = entry.path();
        if entry.file_type().unwrap().is_dir() {
            walk(root, &path, files);
        } else if [".rs", ".md", ".toml", ".feature"].iter().any(|end| name.ends_with(end)) {
            let relative = path.strip_prefix(root).unwrap().to_str().unwrap().to_owned();
            files.insert(relative, fs::read_to_string(&path).unwrap());
        }
    }
}

/// Our manifests are plain: one key per line, and each dependency of ours is a key.
fn manifest(text: &str) -> Manifest {
    let mut found = Manifest { name: String::new(), dependencies: Vec::new() };
    let mut section = "";
    for line in text.lines().map(str::trim) {
        if line.starts_with('[') {
            section = line;
            continue;
        }
        let Some((key, value)) = line.split_once('=') else { continue };
        let key = key.trim().split('.').next().unwrap_or_default();
        if section == "[package]" && key == "name" {
            found.name = value.trim().trim_matches('"').to_owned();
        }
        let ships = section == "[dependencies]"
            || section.starts_with("[target.") && section.ends_with(".dependencies]");
        if ships {
            found.dependencies.push(key.to_owned());
        }
    }
    found
}

/// What stands in backticks, outside of blocks.
pub fn quoted(text: &str) -> impl Iterator<Item = &str> {
    let mut in_block = false;
    let prose = text.lines().filter(move |line| {
        let fence = line.trim_start().starts_with("```");
        in_block ^= fence;
        !fence && !in_block
    });
    prose.flat_map(|line| line.split('`').skip(1).step_by(2))
}

/// Title and number of steps of each scenario. A table or a text belongs to its step.
pub fn scenarios(text: &str) -> Vec<(String, usize)> {
    let mut found: Vec<(String, usize)> = Vec::new();
    // A background counts with no scenario: its steps are read once.
    let mut counts = false;
    for line in text.lines().map(str::trim) {
        let block = line.split_once(':');
        if let Some(("Scenario" | "Scenario Outline" | "Example", title)) = block {
            found.push((title.trim().to_owned(), 0));
            counts = true;
        } else if let Some(("Background" | "Examples" | "Rule" | "Feature", _)) = block {
            counts = false;
        }
        let step = ["Given ", "When ", "Then ", "And ", "But ", "* "];
        let is_step = counts && step.iter().any(|keyword| line.starts_with(keyword));
        if let Some((_, steps)) = found.last_mut().filter(|_| is_step) {
            *steps += 1;
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scenario_is_counted_without_its_tables() {
        let text =
            "Feature: f\n Background:\n  Given b\n Scenario: one\n  Given a\n  | x |\n  Then c\n";
        assert_eq!(scenarios(text), [("one".to_owned(), 2)]);
    }

    #[test]
    fn only_prose_names_paths() {
        let text = "see `a/b` and `c`\n```\n`d`\n```\n";
        assert_eq!(quoted(text).collect::<Vec<_>>(), ["a/b", "c"]);
    }

    #[test]
    fn what_ships_is_told_from_what_tests() {
        let text = "[package]\nname = \"x\"\n[dependencies]\na.workspace = true\n\
                    b = { workspace = true }\n[dev-dependencies]\nc.workspace = true\n";
        let manifest = manifest(text);
        assert_eq!((manifest.name.as_str(), manifest.dependencies.len()), ("x", 2));
    }
}
