//! What fuzzing has found worth keeping, again in every test run: the checks and the inputs of `fuzz/`.

#[path = "../../../fuzz/checks/relay_answers.rs"]
mod relay_answers;
#[path = "../../../fuzz/checks/relay_headers.rs"]
mod relay_headers;
#[path = "../../../fuzz/checks/relay_requests.rs"]
mod relay_requests;

use std::{fs, path::Path};

#[test]
fn the_corpus_of_answers_holds() {
    replay("relay_answers", relay_answers::check);
}

#[test]
fn the_corpus_of_headers_holds() {
    replay("relay_headers", relay_headers::check);
}

#[test]
fn the_corpus_of_requests_holds() {
    replay("relay_requests", relay_requests::check);
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
