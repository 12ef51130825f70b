//! What fuzzing has found worth keeping, again in every test run: the checks and the inputs of `fuzz/`.

#[path = "../../../fuzz/checks/gate_body.rs"]
mod gate_body;
#[path = "../../../fuzz/checks/gate_egress.rs"]
mod gate_egress;
#[path = "../../../fuzz/checks/gate_hello.rs"]
mod gate_hello;
#[path = "../../../fuzz/checks/gate_surface.rs"]
mod gate_surface;
#[path = "../../../fuzz/checks/gate_usage.rs"]
mod gate_usage;

use std::{fs, path::Path};

#[test]
fn the_corpus_of_body_holds() {
    replay("gate_body", gate_body::check);
}

#[test]
fn the_corpus_of_egress_holds() {
    replay("gate_egress", gate_egress::check);
}

#[test]
fn the_corpus_of_hellos_holds() {
    replay("gate_hello", gate_hello::check);
}

#[test]
fn the_corpus_of_surface_holds() {
    replay("gate_surface", gate_surface::check);
}

#[test]
fn the_corpus_of_usage_holds() {
    replay("gate_usage", gate_usage::check);
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
