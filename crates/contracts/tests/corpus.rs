//! What fuzzing has found worth keeping, again in every test run: the checks and the inputs of `fuzz/`.

#[path = "../../../fuzz/checks/contracts_link.rs"]
mod contracts_link;
#[path = "../../../fuzz/checks/contracts_names.rs"]
mod contracts_names;
#[path = "../../../fuzz/checks/contracts_requests.rs"]
mod contracts_requests;

use std::{fs, path::Path};

#[test]
fn the_corpus_of_link_holds() {
    replay("contracts_link", contracts_link::check);
}

#[test]
fn the_corpus_of_names_holds() {
    replay("contracts_names", contracts_names::check);
}

#[test]
fn the_corpus_of_requests_holds() {
    replay("contracts_requests", contracts_requests::check);
}

fn replay(target: &str, check: fn(&[u8])) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus").join(target);
    let mut inputs: Vec<_> =
        fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    inputs.sort();
    assert!(!inputs.is_empty(), "{} is empty", folder.display());
    for input in inputs {
        // A check that fails says what, and this says with which input.
        println!("{}", input.display());
        check(&fs::read(&input).unwrap());
    }
}
