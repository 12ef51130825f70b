//! What fuzzing has found worth keeping, again in every test run: the checks and the inputs of `fuzz/`.

#[path = "../../../fuzz/checks/agent_events.rs"]
mod agent_events;
#[path = "../../../fuzz/checks/agent_globs.rs"]
mod agent_globs;
#[path = "../../../fuzz/checks/agent_unpack.rs"]
mod agent_unpack;
#[path = "../../../fuzz/replay.rs"]
mod replay;
#[path = "../../../fuzz/checks/tars.rs"]
mod tars;

use replay::replay;

#[test]
fn the_corpus_of_events_holds() {
    replay("agent_events", agent_events::check);
}

#[test]
fn the_corpus_of_globs_holds() {
    replay("agent_globs", agent_globs::check);
}

#[test]
fn the_corpus_of_tars_holds() {
    replay("agent_unpack", agent_unpack::check);
}
