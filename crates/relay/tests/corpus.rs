//! What fuzzing has found worth keeping, again in every test run: the checks and the inputs of `fuzz/`.

#[path = "../../../fuzz/checks/relay_answers.rs"]
mod relay_answers;
#[path = "../../../fuzz/checks/relay_headers.rs"]
mod relay_headers;
#[path = "../../../fuzz/checks/relay_requests.rs"]
mod relay_requests;
#[path = "../../../fuzz/replay.rs"]
mod replay;

use replay::replay;

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
