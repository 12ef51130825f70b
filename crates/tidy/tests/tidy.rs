//! The rules of this repository that the compiler can't see. Each test lists every offence at once.

use std::path::Path;
use tidy::{Checkout, Manifest, quoted, scenarios};

const MAX_FILE_LINES: usize = 500;
const MAX_DECISION_LINES: usize = 60;
const MAX_SCENARIO_STEPS: usize = 9;

/// A thing in one of these has no home yet.
const NAMES_WITHOUT_A_NOUN: [&str; 4] = ["common", "helpers", "util", "utils"];

/// What a path in the documents must begin with to be ours to check.
const TOP_FOLDERS: [&str; 5] = ["bins/", "crates/", "deploy/", "docs/", "features/"];

/// What each library may build on. A member that isn't here is a program, which may build on
/// libraries only, or on anything if nothing ships from it.
const LIBRARIES: [(&str, &[&str]); 6] = [
    ("contracts", &[]),
    ("executor", &["contracts"]),
    ("gate", &["contracts", "relay", "store"]),
    ("jobs", &["contracts", "executor", "gate", "store"]),
    ("relay", &[]),
    ("store", &["contracts"]),
];

/// One runs the others as programs and speaks their types, one tries their parsers: nothing ships from
/// either.
const TESTS_OF_ALL: [&str; 2] = ["features", "fuzz"];

#[test]
fn every_source_file_says_what_it_owns() {
    let checkout = Checkout::read();
    let silent = checkout.ending(".rs").filter(|file| !checkout.text(file).starts_with("//!"));
    none(silent.map(|file| format!("{file} does not begin with //!")));
}

#[test]
fn no_source_file_outgrows_its_reader() {
    let checkout = Checkout::read();
    let lengths = checkout.ending(".rs").map(|file| (file, checkout.text(file).lines().count()));
    let long = lengths.filter(|(_, lines)| *lines > MAX_FILE_LINES);
    none(long.map(|(file, lines)| format!("{file} has {lines} lines, {MAX_FILE_LINES} at most")));
}

#[test]
fn every_module_has_a_noun() {
    let checkout = Checkout::read();
    none(checkout.ending(".rs").filter_map(|file| {
        let path = Path::new(file).with_extension("");
        let mut parts = path.iter().filter_map(|part| part.to_str());
        let nameless = parts.find(|part| NAMES_WITHOUT_A_NOUN.contains(part) || *part == "mod")?;
        Some(format!("{file}: `{nameless}` names nothing"))
    }));
}

#[test]
fn members_build_only_on_what_lies_below() {
    let manifests = Checkout::read().manifests();
    assert!(manifests.len() >= 8, "found {} members only", manifests.len());
    let member = |name: &str| manifests.iter().any(|manifest| manifest.name == name);
    none(manifests.iter().flat_map(|Manifest { name, dependencies }| {
        let ours = dependencies.iter().filter(|dependency| member(dependency));
        let refused = ours.filter(|dependency| !may_build_on(name, dependency));
        refused
            .map(|dependency| format!("{name} may not depend on {dependency}"))
            .collect::<Vec<_>>()
    }));
}

fn may_build_on(name: &str, dependency: &str) -> bool {
    if TESTS_OF_ALL.contains(&name) {
        return true;
    }
    match LIBRARIES.iter().find(|(library, _)| *library == name) {
        Some((_, below)) => below.contains(&dependency),
        None => LIBRARIES.iter().any(|(library, _)| *library == dependency),
    }
}

#[test]
fn every_decision_is_short_and_listed() {
    let checkout = Checkout::read();
    let index = checkout.try_text("docs/decisions/README.md").unwrap_or_default();
    let decisions = checkout.ending(".md").filter_map(|file| {
        let name = file.strip_prefix("docs/decisions/")?;
        (name != "README.md").then_some((file, name))
    });
    none(decisions.flat_map(|(file, name)| {
        let lines = checkout.text(file).lines().count();
        let number = name.split_once('-').map_or("", |(number, _)| number);
        let numbered = number.len() == 4 && number.bytes().all(|byte| byte.is_ascii_digit());
        let offences = [
            (!numbered).then(|| format!("{file} is not named NNNN-title.md")),
            (lines > MAX_DECISION_LINES).then(|| format!("{file} has {lines} lines")),
            (!index.contains(name)).then(|| format!("{file} is not in docs/decisions/README.md")),
        ];
        offences.into_iter().flatten().collect::<Vec<_>>()
    }));
}

#[test]
fn paths_that_the_documents_name_exist() {
    let checkout = Checkout::read();
    let documents = checkout.ending(".md").filter(|file| {
        let in_docs = file.strip_prefix("docs/").is_some_and(|name| !name.contains('/'));
        in_docs || *file == "README.md"
    });
    none(documents.flat_map(|file| {
        let lost = quoted(checkout.text(file)).filter(|path| {
            let plain = !path.contains(['*', '{', '<', '…', ' ']);
            let ours = TOP_FOLDERS.iter().any(|top| path.starts_with(top));
            plain && ours && !checkout.exists(path)
        });
        lost.map(|path| format!("{file}: `{path}` does not exist")).collect::<Vec<_>>()
    }));
}

#[test]
fn every_scenario_can_be_read_in_one_breath() {
    let checkout = Checkout::read();
    let features = checkout.ending(".feature").flat_map(|file| {
        let scenarios = scenarios(checkout.text(file));
        scenarios.into_iter().map(move |(title, steps)| (file, title, steps))
    });
    let long = features.filter(|(_, _, steps)| *steps > MAX_SCENARIO_STEPS);
    none(long.map(|(file, title, steps)| format!("{file}: `{title}` has {steps} steps")));
}

fn none(offences: impl Iterator<Item = String>) {
    let offences: Vec<_> = offences.collect();
    assert!(offences.is_empty(), "\n{}", offences.join("\n"));
}
