//! What fuzzing has found worth keeping, again in every test run: the checks and the inputs of `fuzz/`.

#[path = "../../../fuzz/checks/contracts_link.rs"]
mod contracts_link;
#[path = "../../../fuzz/checks/contracts_names.rs"]
mod contracts_names;
#[path = "../../../fuzz/checks/contracts_requests.rs"]
mod contracts_requests;
#[path = "../../../fuzz/checks/contracts_sessions.rs"]
mod contracts_sessions;
#[path = "../../../fuzz/replay.rs"]
mod replay;
#[path = "../../../fuzz/checks/understood.rs"]
mod understood;

use replay::replay;

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

#[test]
fn the_corpus_of_sessions_holds() {
    replay("contracts_sessions", contracts_sessions::check);
}
