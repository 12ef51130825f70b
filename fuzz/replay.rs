//! Runs a check on every input of its corpus, for `tests/corpus.rs` of the crates.

use std::{fs, path::Path};

pub(crate) fn replay(target: &str, check: fn(&[u8])) {
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
